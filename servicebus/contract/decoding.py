"""Decoders of message bodies whose cost is linear in the bytes, whatever program wrote them.

Python hashes a str with a secret of the process, so nobody can choose many that collide in a dict. Every other hash is
known, and a dict whose keys all collide costs the square of their number: 464 KB of such tuples kept a caller busy for
eight seconds. So before a body is decoded, a map in it that is not small must have keys of str or bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, NoReturn

import msgspec
from msgspec import inspect

from ..errors import ConfigurationError

SMALL_BODY: Final = 1024
"""Bytes of a body that is not checked: keys that collide cost a fifth of a millisecond in it."""
SMALL_MAP: Final = 15
"""Entries of a map with any keys: seven comparisons a key at most. It is what the short map header holds."""
MAX_DECLARED: Final = 1000
"""Entries of each map and array, where a type declares sets of, or maps by, values that are no str."""
MAX_DEPTH: Final = 1000
"""Maps and arrays within each other: as deep as Python's recursion limit lets the decoder go."""

_LARGE = re.compile(rb"[\xde\xdf]")  # the headers of maps of more than SMALL_MAP entries, wherever these bytes stand
_RUN = re.compile(rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]*")  # values of one byte: numbers, None and booleans
_FIXED: Final = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9} | {
    0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18,
}  # fmt: skip
_BY_LENGTH: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4}
_EXTENSIONS: Final = frozenset({0xC7, 0xC8, 0xC9})
_CONTAINERS: Final = {0xDC: (1, 2), 0xDD: (1, 4), 0xDE: (2, 2), 0xDF: (2, 4)}  # values an entry, bytes of the count
_TEXT: Final = frozenset({*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB})

_RANDOMIZED = (inspect.StrType, inspect.BytesType, inspect.ByteArrayType, inspect.EnumType, inspect.LiteralType)
_SETS = (inspect.SetType, inspect.FrozenSetType)
_OPEN = (inspect.AnyType, inspect.CustomType)


def body_decoder(declared: Any) -> Callable[[Any], Any]:
    """A decoder from the bytes of a body to a declared type, or to plain values for ``Any``.

    The decoder raises msgspec.ValidationError, among others, for a body that would cost more than its size.

    Raises:
        ConfigurationError: no body can be decoded to that type, or to one that it is made of.
    """
    try:
        decode = msgspec.msgpack.Decoder(declared).decode
        nodes = list(_nodes(inspect.type_info(declared), set()))
    except TypeError as error:
        raise ConfigurationError(f"no body can be decoded to {declared!r}: {' '.join(str(error).split())}") from error
    for node in nodes:
        if isinstance(node, inspect.CustomType) and node.cls is not object:
            name = getattr(node.cls, "__qualname__", repr(node.cls))
            raise ConfigurationError(
                f"no body can be decoded to {declared!r}: {name} is no msgspec.Struct, dataclass, TypedDict, "
                "NamedTuple, attrs class or builtin type, and models of pydantic are not supported"
            )
    hashed = [node.key_type for node in nodes if isinstance(node, inspect.DictType)]
    hashed += [node.item_type for node in nodes if isinstance(node, _SETS)]
    limit = MAX_DECLARED if any(not isinstance(node, (*_RANDOMIZED, *_OPEN)) for node in hashed) else 0
    if not limit and not any(isinstance(node, _OPEN) for node in nodes):
        return decode  # no map by anything but str can come of it

    def decode_checked(body: Any) -> Any:
        if len(body) > SMALL_BODY:
            check_cost(bytes(memoryview(body)), limit)
        return decode(body)

    return decode_checked


def check_cost(body: bytes, limit: int = 0) -> None:
    """Refuse a body that would cost more than its size to decode. One that cannot be decoded may pass.

    Args:
        body: one msgpack value.
        limit: 0 for plain values; for a type with other keys, or with sets, the entries of its largest map or array.

    Raises:
        msgspec.ValidationError: a map of more than ``SMALL_MAP`` entries has a key that is neither str nor bytes, or a
            map or an array has more than ``limit`` entries, or they are nested too deeply.
    """
    if limit or _LARGE.search(body):
        with suppress(IndexError):  # the body ends too early, and the decoder says where
            _scan(body, limit)


def _scan(body: bytes, limit: int) -> None:
    at, left, keys_are_text = 0, 1, False  # values left in the container that is being read: in a map a key is even
    outer: list[tuple[int, bool]] = []
    while True:
        while not left:
            if not outer:
                return
            left, keys_are_text = outer.pop()
        head = body[at]
        if keys_are_text and not left & 1 and head not in _TEXT:
            _refuse(f"a map of more than {SMALL_MAP} entries has a key that is no str")
        if head in _ONE_BYTE:
            end = at + 1 if keys_are_text else _end_of_run(body, at, left)
            left -= end - at
            at = end
            continue
        left -= 1
        step, entries, values = _read_head(body, at, head)
        at += step
        if values:
            if limit and entries > limit:
                _refuse(f"a map or an array has {entries} entries, over the limit of {limit} beside sets or other keys")
            if len(outer) >= MAX_DEPTH:
                _refuse(f"maps and arrays are nested over {MAX_DEPTH} deep")
            outer.append((left, keys_are_text))
            left, keys_are_text = entries * values, not limit and values == 2 and entries > SMALL_MAP


_ONE_BYTE: Final = frozenset({*range(0x80), 0xC0, 0xC2, 0xC3, *range(0xE0, 0x100)})


def _end_of_run(body: bytes, at: int, left: int) -> int:
    found = _RUN.match(body, at, at + left)
    return found.end() if found else at + 1


def _read_head(body: bytes, at: int, head: int) -> tuple[int, int, int]:
    """The bytes to pass over, and for a container also its entries, and the values in each."""
    if 0xA0 <= head < 0xC0:
        return 1 + (head & 0x1F), 0, 0
    if head < 0xA0:
        return 1, head & 0x0F, 1 if head >= 0x90 else 2
    if head in _FIXED:
        return _FIXED[head], 0, 0
    if head in _BY_LENGTH:
        size = _BY_LENGTH[head]
        return 1 + size + (head in _EXTENSIONS) + _number(body, at + 1, size), 0, 0
    if head in _CONTAINERS:
        values, size = _CONTAINERS[head]
        return 1 + size, _number(body, at + 1, size), values
    raise IndexError  # 0xC1, which nothing begins with


def _number(body: bytes, at: int, size: int) -> int:
    return int.from_bytes(body[at : at + size], "big")


def _refuse(reason: str) -> NoReturn:
    raise msgspec.ValidationError(reason)


def _nodes(node: Any, seen: set[int]) -> Iterator[Any]:
    """All types that a type is made of. A Struct may hold itself."""
    if isinstance(node, tuple):
        for part in node:
            yield from _nodes(part, seen)
    elif isinstance(node, inspect.Type | inspect.Field) and id(node) not in seen:
        seen.add(id(node))
        yield node
        for field in node.__struct_fields__:
            yield from _nodes(getattr(node, field), seen)
