"""The names of lists and groups to Redis keys. docs/spec.md, section 3."""

from __future__ import annotations

import re


class Keys:
    """The keys under one prefix. All keys of one channel share a Cluster slot."""

    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def messages(self, channel: str) -> bytes:
        """The list of a channel's frames, or of an inbox."""
        return f"{self._prefix}:{{{channel}}}".encode()

    def workers(self, channel: str) -> bytes:
        return f"{self._prefix}:{{{channel}}}:workers".encode()

    def pushed(self, channel: str) -> bytes:
        """How many frames were pushed to the list of a channel."""
        return f"{self._prefix}:{{{channel}}}:pushed".encode()

    def withdrawn(self, channel: str) -> bytes:
        """The numbers of the tombstones in the list of a channel."""
        return f"{self._prefix}:{{{channel}}}:withdrawn".encode()

    def counts(self, inbox: str) -> bytes:
        """How many messages each process-local channel of an inbox holds."""
        return f"{self._prefix}:{{{inbox}}}:counts".encode()

    def group(self, group: str) -> bytes:
        return f"{self._prefix}:group:{{{group}}}".encode()

    def pattern(self, rest: str) -> str:
        """A SCAN pattern for the keys under this prefix that look like ``rest``."""
        prefix = re.sub(r"([\\*?\[\]^-])", r"\\\1", self._prefix)
        return f"{prefix}:{rest}"

    @staticmethod
    def list_of(key: bytes) -> str:
        """The channel or inbox in a key."""
        return key.decode().partition("{")[2].partition("}")[0]
