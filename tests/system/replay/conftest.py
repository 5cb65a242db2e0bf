from __future__ import annotations

from ...support.replay.orders import bus, faults, one_real_day, real_day, write_orders

__all__ = ["bus", "faults", "one_real_day", "real_day", "write_orders"]
