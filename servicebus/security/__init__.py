"""Who may do what on the bus: signed frames, and one server user per service."""

from .signing import Keyring

__all__ = ["Keyring"]
