"""A handler: one operation or event, the function that serves it, and what the function's annotations declare."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ..contract.decoding import body_decoder
from ..contract.request import Request, operation_of, reply_type
from ..errors import ConfigurationError
from ..foundation.coroutines import is_async
from .context import Context


@dataclass(frozen=True, slots=True)
class Handler:
    """One operation or event.

    Attributes:
        name: the ``type`` of the messages it serves.
        function: what serves them.
        request: the annotation of its first parameter: a Request, another type, or Any.
        reply: the reply type that the request declares, or the annotation of what it returns; Any for neither.
        decode: body bytes to the argument. Raises what ``protocol.codec.UNDECODABLE`` lists.
        reply_class: the class its result must be an instance of, None to let every result pass.
        wants_context: whether the function takes the Context as its second argument.
        in_thread: whether it is a plain ``def``, which runs in a thread.
    """

    name: str
    function: Callable[..., Any]
    request: Any
    reply: Any
    decode: Callable[[Any], Any]
    reply_class: type | None
    wants_context: bool
    in_thread: bool


def make_handler(name: str | None, function: Callable[..., Any]) -> Handler:
    """A handler from a function and its annotations.

    Args:
        name: the operation or event; None to take it from the request type, or else from the function.
        function: the first parameter takes the message, an optional second one the context.

    Raises:
        ConfigurationError: it is no function, takes other parameters, is a generator, contradicts the contract, or
            declares types that no message has.
    """
    if not inspect.isroutine(function):
        raise ConfigurationError(f"a handler is a function, not {function!r}: write an `async def` that calls it")
    hints = _hints(function)
    parameters = _checked_parameters(function, hints)
    argument = hints.get(parameters[0].name, Any)
    typed = _is_request(argument)
    if typed:
        reply = _checked_reply(function, reply_type(argument), hints)
    else:
        reply = hints.get("return", Any)
        _check_untyped(function, argument, reply)
    return Handler(
        name=name or (operation_of(argument) if typed else function.__name__),
        function=function,
        request=argument,
        reply=reply,
        decode=_decoder(function, argument),
        reply_class=reply if typed and isinstance(reply, type) and issubclass(reply, msgspec.Struct) else None,
        wants_context=len(parameters) == 2,
        in_thread=not is_async(function),
    )


def _checked_parameters(function: Callable[..., Any], hints: dict[str, Any]) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function)
    except ValueError as error:  # some builtin functions
        raise ConfigurationError(f"{_name(function)}: {error}; write an `async def` that calls it") from error
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    positional = all(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
    if not 1 <= len(parameters) <= 2 or not positional:
        raise ConfigurationError(f"{_name(function)} must take the message, and the context if it wants it")
    if len(parameters) == 2 and hints.get(parameters[1].name, Context) not in (Context, Any):
        raise ConfigurationError(
            f"{_name(function)}: the second parameter gets the Context; annotate it as Context, or not at all"
        )
    if is_async(inspect.unwrap(function)) and not is_async(function):
        raise ConfigurationError(
            f"{_name(function)} is an `async def` in a plain wrapper: make that an `async def` too"
        )
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(f"{_name(function)} is a generator; a handler returns its reply")
    return parameters


def _is_request(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Request)


def _check_untyped(function: Callable[..., Any], argument: Any, reply: Any) -> None:
    """Refuse what stands for a request without being one, and a reply that would have to be awaited once more."""
    stand_for = [get_origin(argument), *(get_args(argument) if get_origin(argument) in (Union, UnionType) else ())]
    if isinstance(argument, TypeVar):
        stand_for += [argument.__bound__, *argument.__constraints__]
    if any(_is_request(get_origin(one) or one) for one in stand_for):
        raise ConfigurationError(
            f"{_name(function)} takes {argument!r}: it serves one operation, so annotate it with one Request class"
        )
    returned = get_origin(reply) or reply
    if not is_async(function) and isinstance(returned, type) and issubclass(returned, Awaitable):
        raise ConfigurationError(f"{_name(function)} returns {reply!r}: declare it with `async def`")


def _decoder(function: Callable[..., Any], argument: Any) -> Callable[[Any], Any]:
    try:
        return body_decoder(argument)
    except ConfigurationError as error:
        raise ConfigurationError(f"{_name(function)}: {error}") from error


def _checked_reply(function: Callable[..., Any], declared: Any, hints: dict[str, Any]) -> Any:
    returned = hints.get("return", declared)
    if returned not in (declared, Any):
        raise ConfigurationError(f"{_name(function)} returns {returned!r}, but its request declares {declared!r}")
    _decoder(function, declared)  # its callers need one
    return declared


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError) as error:
        raise ConfigurationError(f"{_name(function)}: {error}; annotations must name module-level types") from error


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}"
