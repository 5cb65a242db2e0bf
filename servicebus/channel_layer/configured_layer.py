"""What a layer is configured with, and what it has in this process: it starts anew in copies and after forks."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from channels.layers import BaseChannelLayer

from ..config import DEFAULT_EXPIRY, DEFAULT_PREFIX
from ..foundation import forks
from .channel_names import Destinations, check
from .drop_counters import DropCounters
from .hosts import Host, read_hosts
from .io_thread import keep_inherited
from .process import ProcessState
from .sending import FrameBuilder
from .serializer import Keys, Messages
from .settings import CAPACITY, GROUP_EXPIRY, RANDOM_PREFIX_LENGTH, check_seconds, checked_limits, live_limits


class ConfiguredLayer(BaseChannelLayer):  # type: ignore[misc] # channels has no types
    """The configuration and the process state of a ``RedisChannelLayer``, which documents the arguments.

    A copy of a layer, and its double in the child of a fork, have the configuration and nothing else: connections,
    messages and ``client_prefix`` are their own.
    """

    def __init__(
        self,
        hosts: Sequence[Host] | None = None,
        prefix: str = DEFAULT_PREFIX,
        expiry: float = DEFAULT_EXPIRY,
        group_expiry: float = GROUP_EXPIRY,
        capacity: int = CAPACITY,
        channel_capacity: Mapping[str | re.Pattern[str], int] | None = None,
        symmetric_encryption_keys: Keys | None = None,
        random_prefix_length: int = RANDOM_PREFIX_LENGTH,
        serializer_format: str = "msgpack",
        on_group_drop: Callable[[str, str], None] | None = None,
    ) -> None:
        self._configured = checked_limits(capacity, channel_capacity, expiry)
        check_seconds("group_expiry", group_expiry)
        self._frames = FrameBuilder(expiry)
        rules = self.compile_capacities(channel_capacity or {})
        super().__init__(expiry=expiry, capacity=capacity, channel_capacity=rules)
        if isinstance(symmetric_encryption_keys, str | bytes):
            raise ValueError("symmetric_encryption_keys must be a list of keys; the first encrypts")
        check(isinstance(prefix, str), "prefix is not a str")
        self.group_expiry = group_expiry
        self.prefix = prefix
        self.counters = DropCounters(on_group_drop)
        self._targets = read_hosts(hosts)
        self._messages = Messages(serializer_format, symmetric_encryption_keys, random_prefix_length, expiry)
        kind = type(self)
        if (kind.serialize, kind.deserialize) != (ConfiguredLayer.serialize, ConfiguredLayer.deserialize):
            self._messages.plain = False
        self._destinations = Destinations()
        self._start()

    def _start(self) -> None:
        """Begin without connections and messages, under a new name: an object that is new in this process."""
        limits = live_limits(self._configured, self)
        self._process = ProcessState(self._targets, self.prefix, limits, self.group_expiry, self.counters)
        self.client_prefix = self._process.client
        self._finalizer = weakref.finalize(self, self._process.abandon)
        self._finalizer.atexit = False
        forks.run_in_child(self, ConfiguredLayer._leave_parent)

    def _leave_parent(self) -> None:
        """Start anew in the child of a fork: the connections and the messages belong to the parent."""
        self._finalizer.detach()
        keep_inherited(self._process)
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes over: the configuration. A copy has connections, messages and a name of its own."""
        without = ("_process", "_finalizer", "client_prefix")
        return {name: value for name, value in self.__dict__.items() if name not in without}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    @property
    def expiry(self) -> float:
        """Seconds that a message may lie unread. It may be set to less later, for what is sent from then on.

        Raises:
            ValueError: it is set to something else than a number of seconds, or to more than was configured.
        """
        return self._frames.expiry

    @expiry.setter
    def expiry(self, seconds: float) -> None:
        self._frames.set_expiry(seconds)

    def serialize(self, message: dict[str, Any]) -> bytes:
        """A message in the form of this layer's serializer. A subclass may have a form of its own."""
        return self._messages.serialize(message)

    def deserialize(self, message: bytes) -> dict[str, Any]:
        """The message in what ``serialize`` has returned."""
        return self._messages.deserialize(message)
