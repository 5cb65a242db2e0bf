"""Typed requests: a Struct that knows its operation, its reply type, its service and its errors."""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Generic, Literal, NamedTuple, TypeVar, dataclass_transform

import msgspec

from ..errors import ConfigurationError, InvalidRequest
from ..foundation.memo import Memo
from .decoding import body_decoder
from .names import checked_service, request_channel
from .service_errors import ServiceError, errors_of_module, errors_without_contract

Reply_co = TypeVar("Reply_co", covariant=True)


def _operation_name(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_name).lower()


Idempotency = Literal[False, True, "keyed"]
"""Whether an operation may be repeated; "keyed": only under an idempotency key, by which its service recognizes it."""


class _Declared(NamedTuple):
    """What the class line of a request says beyond its fields."""

    idempotent: Idempotency = False
    service: str = ""
    errors: tuple[type[ServiceError], ...] = ()


def _checked_errors(name: str, errors: Iterable[type[ServiceError]]) -> tuple[type[ServiceError], ...]:
    found = tuple(errors)
    for kind in found:
        if not (isinstance(kind, type) and issubclass(kind, ServiceError)):
            raise ConfigurationError(f"{name}: errors holds {kind!r}; give classes derived from ServiceError")
    return found


class _RequestMeta(msgspec.StructMeta):
    """Takes ``idempotent``, ``service`` and ``errors`` from the class line.

    ``idempotent`` belongs to one operation: a derived request declares it again. The other two are inherited.
    """

    _declared: _Declared

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        idempotent: Idempotency = False,
        service: str = "",
        errors: Iterable[type[ServiceError]] = (),
        **kw: Any,
    ) -> _RequestMeta:
        if idempotent is not True and idempotent is not False and idempotent != "keyed":
            raise ConfigurationError(f'{name}: idempotent is True, False or "keyed", not {idempotent!r}')
        inherited = next((base._declared for base in bases if isinstance(base, _RequestMeta)), _Declared())
        made = super().__new__(mcs, name, bases, namespace, **kw)
        tag = made.__struct_config__.tag
        if not isinstance(tag, str) or not tag:
            raise ConfigurationError(f"{name}: the tag is the name of the operation, a str, not {tag!r}")
        made._declared = _Declared(
            idempotent,
            checked_service(service) if service else inherited.service,
            (*inherited.errors, *_checked_errors(name, errors)),
        )
        return made


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Request(msgspec.Struct, Generic[Reply_co], metaclass=_RequestMeta, frozen=True, tag=_operation_name):
    """Base of typed requests: ``class Reserve(Request[Reserved], tag="reserve", service="inventory")``.

    The reply type is the type argument. The class line takes, besides what msgspec takes:

    - ``tag``: the operation name, by default the class name in snake case.
    - ``service``: the service that handles it. ``bus.call(Reserve(...))`` then needs no channel, and a call on another
      channel is refused.
    - ``errors``: contract errors that are declared in another module than the request. Those of its own module are
      known without that.
    - ``idempotent``: True promises that running it twice is the same as running it once, ``"keyed"`` that it is so
      under one idempotency key. Only such a request may be repeated when it is unknown whether it ran.

    Raises:
        ConfigurationError: at class creation, for an illegal value of one of these.
    """


class Operation(NamedTuple):
    """What a request class asks for: the operation, and the only channel it may be sent to, "" for any channel."""

    name: str
    channel: str


def operation_of(request: type | Mapping[str, Any] | msgspec.Struct) -> str:
    """The operation that a typed request (class or instance) or an untyped message asks for.

    Raises:
        InvalidRequest: the message has no ``type`` that is a str, or is neither a Request nor a mapping.
    """
    if isinstance(request, Mapping):
        return _type_of(request)
    return _operations[request if isinstance(request, type) else type(request)].name


def operation_on(channel: str, request: Any) -> str:
    """The operation that a message asks for, when it may be sent to ``channel``.

    Raises:
        InvalidRequest: as ``operation_of``.
        ConfigurationError: the request names a service, and this is not its request channel.
    """
    kind = type(request)
    # The hot path: nearly every untyped message is a dict, and a request class is found in the table.
    if kind is dict:
        operation = request.get("type")
        return operation if operation and type(operation) is str else _type_of(request)
    if kind not in _operations and isinstance(request, Mapping):
        return _type_of(request)
    name, only = _operations[kind]
    if only and channel != only:
        raise ConfigurationError(f"{kind.__qualname__} belongs to {only!r}: it cannot be sent to {channel!r}")
    return name


def addressed(target: Any, message: Any) -> tuple[str, Any]:
    """Channel and message of a call that names both, or of a request alone that names its service.

    Raises:
        ConfigurationError: there is only one, and it is not a request that names its service.
    """
    if message is not None or isinstance(target, str):
        return target, message
    channel = _operations[type(target)].channel if isinstance(target, Request) else ""
    if not channel:
        raise ConfigurationError(
            f"{type(target).__qualname__} names no service: give the channel first, or declare it with service="
        )
    return channel, target


def _type_of(message: Mapping[str, Any]) -> str:
    operation = message.get("type")
    if not isinstance(operation, str) or not operation:
        raise InvalidRequest('a message needs a "type", the operation it asks for', "$.type")
    return operation


def _operation_of_class(kind: type) -> Operation:
    config = getattr(kind, "__struct_config__", None)
    if config is None or not isinstance(config.tag, str):
        raise InvalidRequest(f"cannot send a {kind.__name__}: use a Request or a dict with a type")
    service = kind._declared.service if isinstance(kind, _RequestMeta) else ""
    return Operation(config.tag, request_channel(service) if service else "")


_operations: Memo[type, Operation] = Memo(_operation_of_class)


def idempotency_of(request: Any) -> Idempotency:
    """What the contract of a request promises. An untyped message has no contract, so it promises nothing."""
    return type(request)._declared.idempotent if isinstance(request, Request) else False


def errors_of(request: type) -> Mapping[str, type[ServiceError]]:
    """The contract errors of a request class, by code.

    An untyped message names no contract: for it an error counts when no other class of this process has its code.
    """
    if not isinstance(request, _RequestMeta):
        return errors_without_contract()
    module = request.__module__
    reloaded = vars(sys.modules.get(module, object)).get(request.__qualname__, request) is not request
    found = errors_of_module(module, reloaded=reloaded)
    return {**found, **{kind.code: kind for kind in request._declared.errors}}


@cache
def reply_type(request: type[Request[Any]]) -> Any:
    """The reply type that a request class declares.

    Raises:
        ConfigurationError: it declares none.
    """
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
    """A decoder from the body of a reply to a request class's reply type; to plain values for an untyped message."""
    declared = reply_type(request) if issubclass(request, Request) else Any
    return body_decoder(declared)


def _original_bases(cls: type) -> tuple[Any, ...]:
    bases: tuple[Any, ...] = vars(cls).get("__orig_bases__", cls.__bases__)
    return bases


def _resolved(argument: Any, request: type) -> Any:
    if isinstance(argument, typing.ForwardRef):
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__={"reply": argument}), vars(sys.modules[request.__module__])
        )["reply"]
    return argument
