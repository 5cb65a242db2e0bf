from __future__ import annotations

from ....support.replay.orders import one_real_day, real_day, write_orders

__all__ = ["one_real_day", "real_day", "write_orders"]
