"""Finding the service that a worker serves, by the name of its module."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from ..api.service import Service
from ..config import django_settings_named
from ..errors import ConfigurationError


def load_service(target: str) -> Service:
    """Import a module and return the ``Service`` in it.

    Django is set up first when ``DJANGO_SETTINGS_MODULE`` is set. The current directory is searched for the module too.

    Args:
        target: ``MODULE`` or ``MODULE:ATTR``. Without ``ATTR`` the module must hold exactly one service.

    Raises:
        ConfigurationError: the module or the attribute does not exist, the attribute is not a service, or importing
            the module failed.
    """
    module_name, _, attribute = target.partition(":")
    module = _imported(module_name)
    if attribute:
        found = getattr(module, attribute, None)
        if not isinstance(found, Service):
            raise ConfigurationError(f"{target} is not a Service: name one as MODULE:ATTR")
        return found
    services = [value for value in vars(module).values() if isinstance(value, Service)]
    if len(services) != 1:
        raise ConfigurationError(f"{module_name} holds {len(services)} services: name one as {module_name}:ATTR")
    return services[0]


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if django_settings_named():
            import django

            django.setup()
        return importlib.import_module(name)
    except Exception as error:  # importing a module runs its code, which may raise anything
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"no module {error.name!r} (looked in {here} too)") from error
        raise ConfigurationError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
