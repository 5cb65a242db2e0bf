"""The former module of ``servicebus.testing.faulty_channel_layer``, for tests that still import from here."""

from __future__ import annotations

from .faulty_channel_layer import FaultyChannelLayer, misbehaving

__all__ = ["FaultyChannelLayer", "misbehaving"]
