"""Where a channel name leads: the list that holds its messages, and the local name there (docs/spec.md, section 2)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

from ..contract.names import checked_channel
from ..foundation.memo import Memo


def checked_address(name: object) -> tuple[str, str]:
    """The route of a legal channel name, remembered. Raises as ``checked_channel``."""
    return _addresses[name] if isinstance(name, str) else _checked_address(name)


def _checked_address(name: object) -> tuple[str, str]:
    return split_address(checked_channel(name))


_addresses: Memo[str, tuple[str, str]] = Memo(_checked_address)


def inbox_mark(service: str) -> str:
    """What the names of all processes of a service start with: eight characters, by which a server's ACL knows them."""
    return urlsafe_b64encode(sha256(service.encode()).digest()[:6]).decode()


def reply_prefix(service: str, process: str) -> str:
    """What all reply channels of a process start with, up to and including the ``!``."""
    return f"response.{service}.{process}!"


def split_address(channel: str) -> tuple[str, str]:
    """The list that holds a channel's messages, and the local name that tells them apart in it.

    ``inventory.request`` has a list of its own: ``("inventory.request", "")``. The process-local channels of one
    process share its inbox: ``response.orders.4f2a!c81d`` is ``("4f2a!", "response.orders!c81d")``.
    """
    name, mark, rest = channel.partition("!")
    if not mark:
        return channel, ""
    prefix, dot, process = name.rpartition(".")
    if not prefix.strip("."):
        prefix += dot  # nothing, or dots alone: ``.4f2a!c81d`` is not ``4f2a!c81d``
    return process + mark, prefix + mark + rest


def full_name(target: str, local: str) -> str:
    """The channel that ``split_address`` made a list and a local name of."""
    if not local:
        return target
    prefix, _, rest = local.partition("!")
    return f"{prefix}.{target}{rest}" if prefix.strip(".") else f"{prefix}{target}{rest}"


def caller_of(reply_channel: str) -> str:
    """The service that a reply channel belongs to, "" when it is not one of ours."""
    parts = reply_channel.split(".", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "response" else ""
