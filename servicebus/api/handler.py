"""A handler: one operation or event, the function that serves it, and what the function's annotations declare."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

import msgspec

from ..contract.decoding import body_decoder
from ..contract.request import Request, operation_of, reply_type
from ..errors import ConfigurationError
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
        ConfigurationError: the function takes other parameters, is a generator, or contradicts the contract.
    """
    hints = _hints(function)
    parameters = _checked_parameters(function, hints)
    argument = hints.get(parameters[0].name, Any)
    typed = isinstance(argument, type) and issubclass(argument, Request)
    reply = _checked_reply(function, reply_type(argument), hints) if typed else hints.get("return", Any)
    return Handler(
        name=name or (operation_of(argument) if typed else function.__name__),
        function=function,
        request=argument,
        reply=reply,
        decode=body_decoder(Any if argument is dict else argument),
        reply_class=reply if typed and isinstance(reply, type) and issubclass(reply, msgspec.Struct) else None,
        wants_context=len(parameters) == 2,
        in_thread=not inspect.iscoroutinefunction(function),
    )


def _checked_parameters(function: Callable[..., Any], hints: dict[str, Any]) -> list[inspect.Parameter]:
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    positional = all(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)
    if not 1 <= len(parameters) <= 2 or not positional:
        raise ConfigurationError(f"{_name(function)} must take the message, and the context if it wants it")
    if len(parameters) == 2 and hints.get(parameters[1].name, Context) not in (Context, Any):
        raise ConfigurationError(
            f"{_name(function)}: the second parameter gets the Context; annotate it as Context, or not at all"
        )
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(f"{_name(function)} is a generator; a handler returns its reply")
    return parameters


def _checked_reply(function: Callable[..., Any], declared: Any, hints: dict[str, Any]) -> Any:
    returned = hints.get("return", declared)
    if returned not in (declared, Any):
        raise ConfigurationError(f"{_name(function)} returns {returned!r}, but its request declares {declared!r}")
    return declared


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError as error:
        raise ConfigurationError(f"{_name(function)}: {error}; annotations must name module-level types") from error


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
