"""The real server of the tests, under the names that they use."""

from __future__ import annotations

from servicebus.testing.servers import Admin, is_running
from servicebus.testing.servers import Server as RealServer

real_server = RealServer

__all__ = ["Admin", "RealServer", "is_running", "real_server"]
