"""Hypothesis strategies for what travels on the wire: bodies, headers, messages and frames."""

from __future__ import annotations

from hypothesis import strategies as st

from servicebus.errors import LARGEST_MESSAGE
from servicebus.protocol.codec import encode_frame
from servicebus.protocol.envelope import REPLY, OutgoingReply, OutgoingRequest

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(max_size=20)
bodies = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=10
)
headers = st.none() | st.dictionaries(texts, texts, max_size=3)
requests = st.builds(
    OutgoingRequest,
    type=texts,
    body=bodies,
    reply_channel=texts,
    deadline=st.integers(0, 2**63),
    correlation_id=texts,
    headers=headers,
    caller=texts,
)
replies = st.builds(OutgoingReply, type=st.just(REPLY), body=bodies)
instants = st.integers(0, 2**64 - 1)
fences = st.integers(0, 2**32 - 1)
frames = st.builds(encode_frame, fences, instants, texts, requests | replies, st.just(LARGEST_MESSAGE))
