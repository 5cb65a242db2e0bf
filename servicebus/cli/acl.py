"""Print a server user for each service, limited to what that service does; or load the scripts of the bus.

A user's password is the one in SERVICEBUS_PASSWORD_<SERVICE>, or a new one, which is shown once on standard error.
``servicebus acl load`` loads the scripts: these users may run scripts, but may not load them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys

from ..config import password_of
from ..errors import ConfigurationError
from ..security.acl import ServiceUser, named_lists, rules, users
from ..worker.loading import load_service
from .options import add_prefix, add_url, url_of

LOAD = ["load"]
PASSWORD_BYTES = 32
"""Random bytes of a new password: as many as the hash has that the server keeps of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``servicebus acl``."""
    channels, events = "[SERVICE=]CHANNEL,...", "[SERVICE=]EVENT,..."
    parser.add_argument("targets", nargs="*", metavar="MODULE[:ATTR]", help="module that holds a service; or: load")
    parser.add_argument(
        "--caller", action="append", default=[], metavar="NAME", help="name of a user that calls and serves nothing"
    )
    parser.add_argument(
        "--calls", action="append", default=[], metavar=channels, help="channels that the service calls or sends to"
    )
    parser.add_argument(
        "--publishes", action="append", default=[], metavar=events, help="events that the service publishes"
    )
    add_prefix(parser)
    parser.add_argument(
        "--cluster", action="store_true", help="also allow the commands that clients of a Redis Cluster need"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--aclfile", action="store_true", help="print the lines of an aclfile instead of commands")
    form.add_argument("--json", action="store_true", help="print JSON instead of commands")
    add_url(parser)


def run(options: argparse.Namespace) -> int:
    """Print the rules or load the scripts, and return 0.

    Raises:
        ConfigurationError: no service was named, a service cannot be loaded, or an option cannot be used.
        Unavailable: the server for the scripts cannot be reached.
    """
    if options.targets == LOAD:
        return _load(url_of(options))
    found = {name: _rules(user, options) for name, user in _users(options).items()}
    if options.json:
        print(json.dumps({"users": [{"name": name, "rules": listed} for name, listed in found.items()]}, indent=2))
        return 0
    verb = "user" if options.aclfile else "ACL SETUSER"
    for name, listed in found.items():
        print(verb, name, *listed)
    return 0


def _users(options: argparse.Namespace) -> dict[str, ServiceUser]:
    services = [load_service(target) for target in options.targets]
    names = [*(service.name for service in services), *options.caller]
    if not names:
        raise ConfigurationError("no service: name one as MODULE:ATTR, or a caller with --caller NAME")
    calls = named_lists("--calls", options.calls, names)
    publishes = named_lists("--publishes", options.publishes, names)
    serving = [ServiceUser.of(one, calls.get(one.name, ()), publishes.get(one.name, ())) for one in services]
    calling = [ServiceUser(name, False, calls.get(name, ()), publishes.get(name, ())) for name in options.caller]
    return users(serving + calling)


def _rules(user: ServiceUser, options: argparse.Namespace) -> list[str]:
    given = password_of(user.name)
    password = given or secrets.token_urlsafe(PASSWORD_BYTES)
    listed = rules(user, password, prefix=options.prefix, cluster=options.cluster)
    if not given:
        print(f"{user.name}: the password is {password} (shown once)", file=sys.stderr)
    return listed


def _load(url: str) -> int:
    # Imported here, because printing rules needs no server and so no client of a server.
    from ..layers.redis.topology.script_loader import load_scripts
    from ..layers.redis.topology.target import target_from_url

    for where in asyncio.run(load_scripts(target_from_url(url))):
        print(f"loaded: {where}")
    return 0
