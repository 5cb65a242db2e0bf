"""The proxy of the tests, under the name that they use."""

from __future__ import annotations

from servicebus.testing.proxy import Proxy, proxied

__all__ = ["Proxy", "proxied"]
