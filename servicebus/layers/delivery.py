"""One frame on its way to a channel, how a layer is to treat it, and who learns what became of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ..errors import ServiceBusError


class Options(NamedTuple):
    """How a layer treats a delivery. Deliveries with equal options to one channel may travel together.

    Attributes:
        needs_worker: refuse the frame with NoWorkers when no worker is registered with the list.
        may_bundle: the sender does not wait for the outcome, so frames for one inbox may share one list element (see
            ``protocol.bundles``), which is taken or refused as a whole.
        counted: the full name of a channel whose own capacity applies, "" for none. What a process has taken and not
            handed over yet counts too, so the readers of such a channel report what they hold.
    """

    needs_worker: bool = False
    may_bundle: bool = False
    counted: str = ""


PLAIN = Options()
TO_WORKERS = Options(needs_worker=True)
BUNDLED = Options(may_bundle=True)


class Delivery(Protocol):
    """A frame on its way. The layer settles each delivery exactly once.

    Attributes:
        frame: the encoded message. A layer replaces it while it waits, when another primary takes over.
        channel: the list that the frame goes to: a channel, or the inbox of a process (see ``protocol.addresses``).
        options: how the layer treats it.
        place: the number that its channel gave the frame, 0 while it is not known. The layer sets it before it settles
            the delivery, and finds the frame by it.
    """

    frame: bytes
    place: int

    @property
    def channel(self) -> str: ...

    @property
    def options(self) -> Options: ...

    def settle(self, error: ServiceBusError | None) -> None:
        """Take the outcome: None when the channel took the frame, else why not. Called once; it must not raise."""
        ...
