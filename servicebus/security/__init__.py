"""Signed frames, and one server user per service with the rights that the service needs."""

from .keyring import Keyring

__all__ = ["Keyring"]
