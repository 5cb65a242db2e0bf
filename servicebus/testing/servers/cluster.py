"""A Cluster: several primaries that share the slots, and their replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import hiredis

from ...errors import Unavailable
from ..waiting import wait_until
from .admin import fields
from .node import Node, in_step, join
from .owned import Owned
from .process import HOST
from .server import Server
from .view import Known, known_to, primaries_of

AGREE_WITHIN = 20.0
KEYS_AT_ONCE = 100
MOVE_WITHIN_MS = 5000


class Cluster(Owned):
    """``with Cluster() as cluster:`` starts the nodes, joins them, and waits until all say that the state is ok.

    ``replicas`` is the number for each primary. ``node_timeout`` is the seconds of silence after which a node is taken
    to be down. While slots have no primary, the others are served. ``options`` are for every node.

    Attributes:
        nodes: the primaries of the start, in the order of their slots, then the replicas, by turns one for each.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 0,
        *,
        node_timeout: float = 1.0,
        password: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        self._primaries, self._replicas, self._password = primaries, replicas, password
        timeout = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(round(node_timeout * 1000)))
        coverage = ("--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no")
        replication = ("--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0")
        self._options = timeout + coverage + replication + options
        self._stack = ExitStack()
        self._nodes: list[Node] = []

    @property
    def nodes(self) -> list[Server]:
        return list(self._nodes)

    @property
    def url(self) -> str:
        """What a bus takes: all nodes of the start."""
        login = f":{self._password}@" if self._password else ""
        return f"redis+cluster://{login}{','.join(f'{HOST}:{node.port}' for node in self._nodes)}"

    def start(self) -> None:
        """Start and join the nodes. Raises Unavailable or TimeoutError."""
        try:
            for _ in range(self._primaries * (1 + self._replicas)):
                node = Node(*self._options, tcp=True, password=self._password)
                self._nodes.append(self._stack.enter_context(node))
            join(self._nodes, self._primaries)
            wait_until(self.agreed, AGREE_WITHIN, "all nodes say that the state of the cluster is ok")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all nodes. Idempotent."""
        self._stack.close()
        self._nodes.clear()

    def shard(self, number: int) -> list[Server]:
        """A primary of the start and its replicas."""
        return list(self._nodes[number :: self._primaries])

    def primary(self, number: int) -> Server:
        """The primary among these now, alive or not, as a running node says. Raises Unavailable."""
        return self._primary(number)

    def node_of(self, key: str | int) -> Server:
        """The primary of a key's slot, or of the slot of that number, as a running node says. Raises Unavailable."""
        return self._owner(key if isinstance(key, int) else self.slot_of(key))

    def slot_of(self, key: str) -> int:
        found: int = self._answering()[0].run("CLUSTER", "KEYSLOT", key)
        return found

    def kill_primary(self, number: int) -> Server:
        """Kill the primary of a shard at once, and return it. ``restart`` brings it back, ``settled`` waits."""
        found = self._primary(number)
        found.kill()
        return found

    async def settled(self) -> None:
        """Wait until all nodes that answer agree: on who is there, and on who has which slot. Raises TimeoutError.

        Cancelling is safe.
        """
        await asyncio.to_thread(wait_until, self.agreed, AGREE_WITHIN, "the nodes of the cluster agree")

    async def failover(self, number: int) -> Server:
        """Let a running replica of a shard take over from its living primary, and return it. Raises TimeoutError.

        Cancelling is safe: it ends the wait, not the failover.
        """
        return await asyncio.to_thread(self._fail_over, number)

    async def move_slot(self, slot: int, to: Server) -> None:
        """Move a slot and its keys to another primary. Raises hiredis.ReplyError, Unavailable or TimeoutError.

        Cancelling is safe: it ends the wait, not the move.
        """
        await asyncio.to_thread(self._move_slot, slot, to)

    @contextmanager
    def moving(self, slot: int, to: Server) -> Iterator[None]:
        """In this block the slot is on its way: for keys that are not there one has to ask ``to``.

        After the block the keys follow, and the slot belongs to the other node.
        """
        source, target = self._owner(slot), next(node for node in self._nodes if node is to)
        target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        yield
        self._move_keys(slot, source, target)
        # The new owner first: whoever is sent there must not be sent back.
        for node in [target, source]:
            node.run("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def agreed(self) -> bool:
        """Whether all nodes that answer say that the state is ok, see the same primaries, and follow them."""
        answering = self._answering()
        with suppress(OSError, hiredis.ReplyError):
            views = {primaries_of(known_to(node)) for node in answering}
            states = [fields(node.run("CLUSTER", "INFO")) for node in answering]
            return len(views) == 1 and all(map(self._is_complete, states)) and all(map(in_step, answering))
        return False

    def _is_complete(self, state: dict[str, str]) -> bool:
        return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == len(self._nodes)

    def _fail_over(self, number: int) -> Server:
        before = self._primary(number)
        replica = next(node for node in self.shard(number) if node is not before and node.answering)
        replica.run("CLUSTER", "FAILOVER")
        wait_until(
            lambda: self._primary(number) is replica and self.agreed(), AGREE_WITHIN, "the replica has taken over"
        )
        return replica

    def _move_slot(self, slot: int, to: Server) -> None:
        with self.moving(slot, to):
            pass
        wait_until(self.agreed, AGREE_WITHIN, f"all know the new place of slot {slot}")

    def _move_keys(self, slot: int, source: Node, target: Node) -> None:
        login = ("AUTH", self._password) if self._password else ()
        while keys := source.run("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
            source.run("MIGRATE", HOST, target.port, "", 0, MOVE_WITHIN_MS, *login, "KEYS", *keys)

    def _primary(self, number: int) -> Node:
        shard = {node.id: node for node in self._nodes[number :: self._primaries]}
        said = [known for known in self._said() if known.is_primary and known.id in shard]
        # One that was replaced while it was away still counts as a primary, but has no slots.
        return shard[max(said, key=lambda known: (bool(known.slots), known.epoch)).id]

    def _owner(self, slot: int) -> Node:
        said = [known for known in self._said() if known.has(slot)]
        if not said:
            raise Unavailable(f"no node has slot {slot}")
        return self._by_id[max(said, key=lambda known: known.epoch).id]

    def _said(self) -> list[Known]:
        """What all that answer know of all. The highest epoch is right where they differ."""
        return [known for node in self._answering() for known in known_to(node)]

    @property
    def _by_id(self) -> dict[str, Node]:
        return {node.id: node for node in self._nodes}

    def _answering(self) -> list[Node]:
        found = [node for node in self._nodes if node.answering]
        if not found:
            raise Unavailable("no node answers")
        return found
