"""Print a server user for each service, which may do what the service does; or load the scripts these users run.

A user's password is that of SERVICEBUS_PASSWORD_<SERVICE>, or a new one, which is shown once on standard error.
``servicebus acl load`` loads the scripts, which these users may run but not load.
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
from .options import add_url, url_of

LOAD = ["load"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``servicebus acl``."""
    listed = "[SERVICE=]CHANNEL,..."
    parser.add_argument("targets", nargs="*", metavar="MODULE[:ATTR]", help="where a Service is; or the word: load")
    parser.add_argument(
        "--caller", action="append", default=[], metavar="NAME", help="one that calls and serves nothing"
    )
    parser.add_argument("--calls", action="append", default=[], metavar=listed, help="what it calls or sends to")
    parser.add_argument("--publishes", action="append", default=[], metavar=listed.replace("CHANNEL", "EVENT"))
    parser.add_argument("--prefix", default="asgi", help="of every Redis key (default asgi)")
    parser.add_argument("--cluster", action="store_true", help="allow what a Cluster's clients ask as well")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--aclfile", action="store_true", help="print lines of an aclfile, not commands")
    form.add_argument("--json", action="store_true", help="print data")
    add_url(parser)


def run(options: argparse.Namespace) -> int:
    """0 when the rules are printed, or the scripts loaded."""
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
    password = given or secrets.token_urlsafe(32)
    listed = rules(user, password, prefix=options.prefix, cluster=options.cluster)
    if not given:
        print(f"{user.name}: the password is {password} (shown once)", file=sys.stderr)
    return listed


def _load(url: str) -> int:
    # What needs no server does not import its client.
    from ..layers.redis.topology.script_loader import load_scripts
    from ..layers.redis.topology.target import target_from_url

    for where in asyncio.run(load_scripts(target_from_url(url))):
        print(f"loaded: {where}")
    return 0
