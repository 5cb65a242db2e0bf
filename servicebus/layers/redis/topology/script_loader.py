"""Loads the scripts for users who may not: on every server that a URL leads to, replicas included.

A server does not pass scripts on to its replicas, and forgets them when it ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisClusterException, RedisError

from ....errors import Unavailable
from ..schema.scripts import ALL
from .address import Address
from .locator import asking_options
from .slot_map import asked
from .target import ClusterTarget, SentinelTarget, Target

Place = tuple[str, int]


async def load_scripts(target: Target) -> list[str]:
    """Load all scripts on every server that a target leads to, replicas included.

    Returns:
        The servers.

    Raises:
        Unavailable: a server did not take the scripts; the text names it.

    Cancelling is safe: some servers may have them.
    """
    try:
        if isinstance(target, Address):
            return [await _load(target, (target.host, target.port))]
        login = target.nodes[0] if isinstance(target, ClusterTarget) else target.primary
        return [await _load(login, place) for place in await _places(target)]
    except (RedisError, RedisClusterException, OSError) as error:
        raise Unavailable(f"{target} did not name its servers: {error}") from error


async def _places(target: SentinelTarget | ClusterTarget) -> list[Place]:
    return await (_of_cluster(target) if isinstance(target, ClusterTarget) else _of_sentinels(target))


async def _of_sentinels(target: SentinelTarget) -> list[Place]:
    where = [(one.host, one.port) for one in target.sentinels]
    options = target.sentinels[0].client_options() | asking_options()
    sentinel = Sentinel(where, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
    try:
        found = [await sentinel.discover_master(target.master), *await sentinel.discover_slaves(target.master)]
        return [(str(host), int(port)) for host, port in found]
    finally:
        await sentinel.aclose()


async def _of_cluster(target: ClusterTarget) -> list[Place]:
    async with asked(target) as nodes:
        return [(node.host, int(node.port)) for node in nodes.nodes_cache.values()]


async def _load(login: Address, place: Place) -> str:
    host, port = place
    where: dict[str, Any] = {"unix_socket_path": login.path} if login.path else {"host": host, "port": port}
    name = str(login if login.path else replace(login, host=host, port=port))
    client = Redis(**where, **login.client_options(), **asking_options())
    try:
        for script in ALL:
            await client.script_load(script.source.decode())
    except (RedisError, OSError) as error:
        raise Unavailable(f"the scripts could not be loaded at {name}: {error}") from error
    finally:
        await client.aclose()
    return name
