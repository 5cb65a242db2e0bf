"""The names of lists and groups to Redis keys. docs/spec.md, section 3."""

from __future__ import annotations


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

    def group(self, group: str) -> bytes:
        return f"{self._prefix}:group:{{{group}}}".encode()
