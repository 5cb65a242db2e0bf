"""Frames whose slot moves, on primaries that refuse and take by turns: whatever happens, they are taken in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from servicebus.errors import SendUnknown, ServiceBusError
from servicebus.layers.delivery import PLAIN, Options
from servicebus.layers.limits import Limits
from servicebus.layers.redis.sending.pipeline import Pipeline
from servicebus.layers.redis.topology.unparking import Unparking

CHANNEL = "shop.request"
PRIMARIES = 2


class Numbered:
    """A delivery that keeps its outcomes."""

    channel = CHANNEL
    options: Options = PLAIN

    def __init__(self, number: int) -> None:
        self.number = number
        self.place = 0
        self.frame = b"x"
        self.outcomes: list[ServiceBusError | None] = []

    def settle(self, error: ServiceBusError | None) -> None:
        self.outcomes.append(error)


class Primary:
    """What ``Unparking`` uses of a pipeline. Commands reach the server, and are answered, when the test says so."""

    fence = 1

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.sent: deque[Numbered | Callable[[], None]] = deque()
        self.connected = True
        # It has, or had, the slot, and the client has not found out yet that it lost it.
        self.had_the_slot = False

    def push(self, delivery: Numbered) -> None:
        self.sent.append(delivery)

    def remove(self, deliveries: list[Numbered]) -> list[Numbered]:
        return []

    def take_unsent(self, channel: str | None = None) -> list[Numbered]:
        if self.connected:
            return []
        taken = [one for one in self.sent if isinstance(one, Numbered)]
        self.sent = deque(one for one in self.sent if not isinstance(one, Numbered))
        return taken

    def when_answered(self, done: Callable[[], None]) -> None:
        if self.connected:
            self.sent.append(done)
        else:
            done()

    def lose(self) -> None:
        """Lose the connection: nobody knows what became of the frames that were on their way."""
        self.connected = False
        lost, self.sent = self.sent, deque()
        for command in lost:
            if isinstance(command, Numbered):
                command.settle(SendUnknown(CHANNEL))
            else:
                command()

    def serve(self, commands: int) -> None:
        """Answer some of the commands that were sent: the server takes frames while it has the slot."""
        while self.connected and self.sent and commands:
            commands -= 1
            command = self.sent.popleft()
            if not isinstance(command, Numbered):
                command()
            elif self.nodes.holder is self:
                self.nodes.taken.append(command.number)
                command.settle(None)
            else:
                self.nodes.unparking.add_back(cast("Pipeline", self), CHANNEL, cast("Any", [command]))
        if not self.sent and self.nodes.holder is not self and CHANNEL in self.nodes.unparking.parked:
            self.had_the_slot = False


class Nodes:
    """Some primaries, the one that has the slot, and the one that the last reading of the slots named."""

    def __init__(self) -> None:
        self.primaries = [Primary(self) for _ in range(PRIMARIES)]
        self.holder: Primary | None = None
        self.move(0)
        self.believed: Primary | None = self.primaries[0]
        self.taken: list[int] = []
        self.deliveries: list[Numbered] = []
        self.unparking = Unparking(
            Limits(), lambda _: cast("Pipeline | None", self.believed), lambda: None, lambda frame, *_: frame
        )

    def send(self) -> None:
        delivery = Numbered(len(self.deliveries))
        self.deliveries.append(delivery)
        if self.believed is not None and CHANNEL not in self.unparking.parked:
            self.believed.push(delivery)
        else:
            self.unparking.add(delivery)

    def move(self, number: int | None) -> None:
        self.holder = None
        if number is not None:
            primary = self.primaries[number]
            if primary.had_the_slot:
                # What was on its way when the slot left is answered before the slot comes back.
                primary.serve(len(primary.sent))
            self.holder = primary
            primary.had_the_slot = True

    def believe(self, number: int | None) -> None:
        before, self.believed = self.believed, None if number is None else self.primaries[number]
        if before is not self.believed and CHANNEL not in self.unparking.parked:
            self.unparking.park(CHANNEL, cast("Pipeline | None", before))

    def settle_down(self) -> None:
        """The slot comes to one primary for good, everybody knows, and everything is answered."""
        self.move(0)
        self.believe(0)
        for _ in range(4 * PRIMARIES):
            for primary in self.primaries:
                primary.connected = True
                primary.serve(10_000)
            self.unparking.look()


NUMBERS = st.integers(0, PRIMARIES - 1)
STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 3)),
    st.tuples(st.just("serve"), NUMBERS, st.integers(1, 4)),
    st.tuples(st.just("move"), st.none() | NUMBERS),
    st.tuples(st.just("believe"), st.none() | NUMBERS),
    st.tuples(st.just("look")),
    st.tuples(st.just("lose"), NUMBERS),
    st.tuples(st.just("connect"), NUMBERS),
)


@given(st.lists(STEPS, max_size=40))
def test_frames_are_taken_in_order_however_a_slot_moves(steps: list[tuple[Any, ...]]) -> None:
    """A slot may come to a primary that has just refused a frame, with others on their way to it."""

    async def run() -> Nodes:
        nodes = Nodes()
        for kind, *values in steps:
            match kind, values:
                case "send", [count]:
                    for _ in range(count):
                        nodes.send()
                case "serve", [number, commands]:
                    nodes.primaries[number].serve(commands)
                case "move", [number]:
                    nodes.move(number)
                case "lose", [number] if nodes.primaries[number].connected:
                    nodes.primaries[number].lose()
                case "connect", [number]:
                    nodes.primaries[number].connected = True
                case "believe", [number]:
                    nodes.believe(number)
                case _:
                    nodes.unparking.look()
        nodes.settle_down()
        await nodes.unparking.close()
        return nodes

    nodes = asyncio.run(run())
    assert all(len(delivery.outcomes) == 1 for delivery in nodes.deliveries)
    assert nodes.taken == [delivery.number for delivery in nodes.deliveries if delivery.outcomes == [None]]
    assert all(isinstance(delivery.outcomes[0], SendUnknown | None) for delivery in nodes.deliveries)
