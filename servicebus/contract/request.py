"""Typed requests: a Struct that knows its operation name and its reply type."""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Generic, Literal, TypeVar, dataclass_transform

import msgspec

from ..errors import ConfigurationError, InvalidRequest

Reply_co = TypeVar("Reply_co", covariant=True)


def _operation_name(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


Idempotency = Literal[False, True, "keyed"]
"""Whether an operation may be repeated; "keyed": only under an idempotency key, by which its service tells."""


class _RequestMeta(msgspec.StructMeta):
    """Takes ``idempotent`` from the class line. It is of that operation alone: a derived one says so itself."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        idempotent: Idempotency = False,
        **kw: Any,
    ) -> _RequestMeta:
        if idempotent is not True and idempotent is not False and idempotent != "keyed":
            raise ConfigurationError(f'{name}: idempotent is True, False or "keyed", not {idempotent!r}')
        made = super().__new__(mcs, name, bases, namespace, **kw)
        made._idempotent = idempotent
        return made

    _idempotent: Idempotency


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Request(msgspec.Struct, Generic[Reply_co], metaclass=_RequestMeta, frozen=True, tag=_operation_name):
    """Base of typed requests: ``class Reserve(Request[Reserved], tag="reserve")``.

    ``tag`` is the operation name, by default the class name in snake case. The reply type is the type argument.
    ``idempotent=True`` promises that running it twice is the same as running it once, ``idempotent="keyed"`` that it is
    so under one idempotency key. Only what promises it may be repeated when nobody knows whether it ran.
    """


def operation_of(request: type | Mapping[str, Any] | msgspec.Struct) -> str:
    """The operation that a typed request (class or instance) or an untyped message asks for.

    Raises InvalidRequest for a message without a str ``type``, or an object that is neither.
    """
    if type(request) is dict or isinstance(request, Mapping):  # the first is what it nearly always is, and cheap to ask
        operation = request.get("type")
        if not isinstance(operation, str) or not operation:
            raise InvalidRequest('a message needs a "type", the operation it asks for', "$.type")
        return operation
    config = getattr(request, "__struct_config__", None)
    if config is None or not isinstance(config.tag, str):
        raise InvalidRequest(f"cannot send a {type(request).__name__}: use a Request or a dict with a type")
    return config.tag


def idempotency_of(request: Any) -> Idempotency:
    """What the contract of a request promises. An untyped message has no contract, so it promises nothing."""
    return type(request)._idempotent if isinstance(request, Request) else False


@cache
def reply_type(request: type[Request[Any]]) -> Any:
    """The reply type a request class declares. Raises ConfigurationError when it declares none."""
    for base in _original_bases(request):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Request):
            (argument,) = typing.get_args(base)
            if not isinstance(argument, TypeVar):
                return _resolved(argument, request)
        elif isinstance(base, type) and issubclass(base, Request) and base is not Request:
            return reply_type(base)
    raise ConfigurationError(f"{request.__qualname__} names no reply type: derive it from Request[Reply]")


@cache
def reply_decoder(request: type) -> Callable[[Any], Any]:
    """From the body of a reply to the reply type of a request class; to plain values for a message that is none."""
    declared = reply_type(request) if issubclass(request, Request) else Any
    return msgspec.msgpack.Decoder(declared).decode


def _original_bases(cls: type) -> tuple[Any, ...]:
    bases: tuple[Any, ...] = vars(cls).get("__orig_bases__", cls.__bases__)
    return bases


def _resolved(argument: Any, request: type) -> Any:
    if isinstance(argument, typing.ForwardRef):
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__={"reply": argument}), vars(sys.modules[request.__module__])
        )["reply"]
    return argument
