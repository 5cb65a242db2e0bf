"""The parser of CLUSTER NODES: everything that a node can report about another node is read back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from servicebus.testing.servers.known_nodes import KnownNode, parse_nodes, primaries_of

FLAGS = ("master", "slave", "fail?", "fail", "handshake", "noaddr", "nofailover")
slot_ranges = st.tuples(st.integers(0, 16_383), st.integers(0, 16_383)).map(lambda pair: (min(pair), max(pair)))
nodes = st.builds(
    KnownNode,
    id=st.text("0123456789abcdef", min_size=40, max_size=40),
    flags=st.frozensets(st.sampled_from(FLAGS), min_size=1),
    epoch=st.integers(0, 2**63),
    slots=st.lists(slot_ranges, max_size=4).map(tuple),
)


def line_of(node: KnownNode, *, myself: bool, in_transit: bool) -> str:
    """Return the line of CLUSTER NODES for a node, perhaps the reporting node, perhaps with a slot in transit."""
    flags = ",".join([*(["myself"] if myself else []), *sorted(node.flags)])
    slots = [f"{first}-{last}" if first < last else str(first) for first, last in node.slots]
    moving = [f"[93-<-{node.id}]"] if in_transit else []
    fixed = [node.id, "127.0.0.1:15000@15001", flags, "-", "0", "1700000000000", str(node.epoch), "connected"]
    return " ".join([*fixed, *slots, *moving])


@given(st.lists(st.tuples(nodes, st.booleans(), st.booleans()), max_size=5))
def test_every_reported_node_is_read_back(reported: list[tuple[KnownNode, bool, bool]]) -> None:
    answer = "\n".join(line_of(node, myself=myself, in_transit=moving) for node, myself, moving in reported)
    assert parse_nodes(answer) == [node for node, _, _ in reported]


@given(st.lists(nodes, max_size=5))
def test_only_primaries_with_slots_count_for_agreement(reported: list[KnownNode]) -> None:
    serving = {node.id for node in reported if node.is_primary and any(node.has(slot) for slot, _ in node.slots)}
    assert {id for id, _, _ in primaries_of(reported)} == serving


@given(nodes)
def test_nodes_that_differ_about_an_epoch_do_not_agree(known: KnownNode) -> None:
    """While they differ, a slot that moves may move back by itself."""
    newer = replace(known, epoch=known.epoch + 1)
    serves = bool(primaries_of([known]))
    assert (primaries_of([known]) != primaries_of([newer])) == serves
