"""Errors that belong to a contract: declared beside the requests, raised by handlers, caught by callers as they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, dataclass_transform, get_type_hints

import msgspec

from ..errors import ConfigurationError, RemoteError
from ..foundation.plain import plain
from ..foundation.text import as_repr, as_text

RESERVED_CODES = frozenset(
    {
        "deadline_exceeded",
        "internal",
        "invalid_request",
        "message_too_large",
        "overloaded",
        "reply_not_encodable",
        "reply_too_large",
        "unauthorized",
        "unknown_operation",
        "worker_stopped",
    }
)
"""Codes of the bus itself (docs/spec.md, section 6). A contract cannot declare them."""

_TAKEN_NAMES = frozenset({"code", "message", "details", "executed", "retryable"})
"""Attributes that every error has, so no contract can use them for its data."""


@dataclass_transform(kw_only_default=True)
class ServiceError(RemoteError):
    """An error of a contract. Its annotations are its data, as keyword-only arguments.

    ``class OutOfStock(ServiceError, code="out_of_stock"): sku: str; available: int`` is raised by a handler as
    ``OutOfStock(sku="A", available=3)``. A caller whose request was declared in the same module catches the same class
    with the same attributes. Fields are of any type that msgspec encodes.

    Raises:
        ConfigurationError: at class creation, for a code that is reserved or missing, or a field whose name is taken.
    """

    _shape: ClassVar[type[msgspec.Struct] | None] = None

    def __init_subclass__(cls, *, code: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        annotated = vars(cls).get("__annotations__", ())
        taken = [name for name in annotated if name in _TAKEN_NAMES or hasattr(RemoteError, name)]
        if taken:
            raise ConfigurationError(
                f"{cls.__qualname__}: every error has an attribute {taken[0]!r} already; give the field another name"
            )
        if code in RESERVED_CODES or not code:
            raise ConfigurationError(f"{cls.__qualname__}: give it a code of its own, not {code!r}")
        cls.code = code
        cls._shape = None

    def __init__(self, *args: Any, **details: Any) -> None:
        """Make the error from its data, by name; or from the ``args`` of an error of this class, to make it again."""
        shape = self.shape()
        data = self._again(args) if args else shape(**details)
        fields = msgspec.structs.asdict(data)
        text = ", ".join(f"{name}={as_repr(value)}" for name, value in fields.items())
        super().__init__(self.code, text, fields)
        self.args = self.code, self.message, msgspec.to_builtins(fields, enc_hook=_plain_or_text)
        self.__dict__.update(fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.details), vars(self)

    def _again(self, args: tuple[Any, ...]) -> msgspec.Struct:
        shape = self.shape()
        if len(args) == 3 and args[0] == self.code and isinstance(args[2], Mapping):
            try:
                return msgspec.convert(dict(args[2]), shape, strict=False)
            except msgspec.ValidationError:
                return shape(**args[2])
        name, fields = type(self).__qualname__, "=..., ".join((*shape.__struct_fields__, ""))
        raise TypeError(f"{name} takes its data by name: {name}({fields.removesuffix(', ')})")

    @classmethod
    def shape(cls) -> type[msgspec.Struct]:
        """The Struct of this error's fields, made from its annotations on first use."""
        if cls._shape is None:
            inherited = get_type_hints(ServiceError)
            fields = [_field(cls, name, kind) for name, kind in get_type_hints(cls).items() if name not in inherited]
            cls._shape = msgspec.defstruct(cls.__name__, fields, kw_only=True)
        return cls._shape


def errors_of_module(module: str, *, reloaded: bool = False) -> dict[str, type[ServiceError]]:
    """The errors of a contract module, by code: those that it declares, and those that it imports.

    Of several classes with one code, one in the module's namespace counts before one that is only declared in it (in a
    function, or before a reload), and among equals the later one. For a request from before a reload it is the reverse:
    a program that has that request has the errors of that time.
    """
    namespace = vars(sys.modules[module]).values() if module in sys.modules else ()
    visible = [value for value in namespace if isinstance(value, type) and issubclass(value, ServiceError)]
    declared = [kind for kind in _descendants(ServiceError) if kind.__module__ == module]
    imported = [kind for kind in visible if kind.__module__ != module]
    own = [kind for kind in visible if kind.__module__ == module]
    former = [kind for kind in declared if kind not in visible] if reloaded else []
    return {kind.code: kind for kind in (*imported, *declared, *own, *former) if kind is not ServiceError}


def errors_without_contract() -> dict[str, type[ServiceError]]:
    """By code, every error class of this process whose code no other class has."""
    found: dict[str, type[ServiceError]] = {}
    ambiguous: set[str] = set()
    for kind in _descendants(ServiceError):
        if found.setdefault(kind.code, kind) is not kind:
            ambiguous.add(kind.code)
    return {code: kind for code, kind in found.items() if code not in ambiguous}


def _descendants(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for derived in kind.__subclasses__():
        yield derived
        yield from _descendants(derived)


def _field(cls: type, name: str, kind: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    return (name, kind, getattr(cls, name)) if hasattr(cls, name) else (name, kind)


def _plain_or_text(value: Any) -> Any:
    try:
        return plain(value)
    except TypeError:
        return as_text(value)


def _rebuild(cls: type[ServiceError], details: dict[str, Any]) -> ServiceError:
    return cls(**details)
