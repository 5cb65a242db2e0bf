from __future__ import annotations

from ...support.replay.orders import bus, faults, one_real_day, real_day, write_orders
from ..services.conftest import sqlite, sqlite_url

__all__ = ["bus", "faults", "one_real_day", "real_day", "sqlite", "sqlite_url", "write_orders"]
