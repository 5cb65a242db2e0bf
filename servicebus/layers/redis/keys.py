"""Channel and group names to Redis keys. docs/spec.md, section 3."""

from __future__ import annotations

from ...protocol.names import split_local


class Keys:
    """The keys under one prefix. All keys of one channel share a Cluster slot."""

    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def messages(self, channel: str) -> bytes:
        """The list of a channel's frames; of a process-local channel, that of its whole process."""
        return f"{self._prefix}:{{{split_local(channel)[0]}}}".encode()

    def workers(self, channel: str) -> bytes:
        return f"{self._prefix}:{{{split_local(channel)[0]}}}:workers".encode()

    def group(self, group: str) -> bytes:
        return f"{self._prefix}:group:{{{group}}}".encode()
