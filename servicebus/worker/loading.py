"""Finding the service that a worker serves, by the name of its module."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..api.service import Service
from ..config import django_settings_named
from ..errors import ConfigurationError
from ..foundation.text import as_text

MAX_CAUSES = 5
"""Errors of one chain that are shown: the first few name what went wrong, and a text is one line."""

OWN = (str(Path(__file__).parents[1]) + os.sep, importlib.__file__, "<")
"""What the names of files begin with whose lines are never shown: this package and the import system."""
INSTALLED = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "purelib", "platlib"))
"""Folders of Python and of installed packages: a line there is shown only when no other led to the error."""


def load_service(target: str) -> Service:
    """Import a module and return the ``Service`` in it.

    Django is set up first when ``DJANGO_SETTINGS_MODULE`` is set. The current directory is searched for the module too.

    Args:
        target: ``MODULE`` or ``MODULE:ATTR``. Without ``ATTR`` the module must hold exactly one service; it may have
            several names.

    Raises:
        ConfigurationError: the module or the attribute does not exist, the attribute is not a service, or importing
            the module failed, which a module that ends the program does too.
    """
    module_name, _, attribute = target.partition(":")
    if "/" in module_name or not all(module_name.split(".")):
        raise ConfigurationError(
            f"{target!r} names no module: write MODULE or MODULE:ATTR, such as shop.service:service"
        )
    module = _imported(module_name)
    if attribute:
        found = getattr(module, attribute, None)
        if not isinstance(found, Service):
            raise ConfigurationError(f"{target} is not a Service: name one as MODULE:ATTR")
        return found
    services: dict[int, tuple[str, Service]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Service):
            services.setdefault(id(value), (f"{module_name}:{name}", value))
    if len(services) != 1:
        names = " or ".join(name for name, _ in services.values()) or f"{module_name}:ATTR"
        raise ConfigurationError(f"{module_name} holds {len(services)} services: name one as {names}")
    return services.popitem()[1][1]


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if django_settings_named():
            import django

            django.setup()
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # importing a module runs its code, which may raise anything, SystemExit too
        if isinstance(error, ModuleNotFoundError) and _place(error) is None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"no module {error.name!r} (looked in {here} too)") from error
        raise ConfigurationError(f"{name} cannot be imported: {_described(error)}") from error


def _described(error: BaseException) -> str:
    """Where an error was raised, what it is, and what caused it, in one line."""
    return ", because of ".join(_with_place(found) for found in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the last one first, each once."""
    seen = set[int]()
    found: BaseException | None = error
    while found is not None and id(found) not in seen and len(seen) < MAX_CAUSES:
        seen.add(id(found))
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _with_place(error: BaseException) -> str:
    place, text = _place(error), as_text(error)
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{place}: {named}" if place else named


def _place(error: BaseException) -> str | None:
    """File and line of the last code of users that ran before an error; None when the import system found nothing."""
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f"{error.filename}, line {error.lineno}"
    ran = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    shown = [place for place in ran if not place[0].startswith(OWN)]
    of_users = [place for place in shown if not place[0].startswith(INSTALLED)] or shown
    return "{}, line {}".format(*of_users[-1]) if of_users else None
