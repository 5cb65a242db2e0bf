"""Who a bus logs in as, and what it says when the server does not let it in."""

from __future__ import annotations

import asyncio

import pytest
from redis.credentials import CredentialProvider

from servicebus import ServiceBus, Unavailable
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.servers import Server

from ...support.refusals import refused
from ...support.shop import CHANNEL
from ...support.timing import LONG


def with_credentials(server: Server, credentials: str) -> str:
    return f"unix://{credentials}@{server.path}"


async def test_the_password_in_the_url_is_used(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "requirepass", "s3cret")
    async with ServiceBus(with_credentials(own_server, ":s3cret")) as bus:
        await bus.send(CHANNEL, {"type": "x"})


async def test_a_user_and_password_in_the_url_are_used(own_server: Server) -> None:
    own_server.run("ACL", "SETUSER", "ann", "on", ">p%40ss", "~*", "&*", "+@all")
    async with ServiceBus(with_credentials(own_server, "ann:p%2540ss")) as bus:
        await bus.send(CHANNEL, {"type": "x"})


@pytest.mark.parametrize("credentials", [":wrong", "nobody:s3cret"])
async def test_a_wrong_password_is_refused_for_good_and_not_repeated(own_server: Server, credentials: str) -> None:
    own_server.run("CONFIG", "SET", "requirepass", "s3cret")
    error = await refused(with_credentials(own_server, credentials))
    assert isinstance(error, Unavailable)
    assert "WRONGPASS" in str(error)
    assert "wrong" not in str(error).replace("WRONGPASS", "")
    assert not error.retryable


async def test_a_missing_password_is_refused_for_good(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "requirepass", "s3cret")
    error = await refused(own_server.url)
    assert isinstance(error, Unavailable)
    assert "NOAUTH" in str(error)
    assert "it wants a password: redis://:PASSWORD@HOST" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("command", ["time", "evalsha"])
async def test_a_permission_that_is_missing_is_said_and_never_tried_again(own_server: Server, command: str) -> None:
    own_server.run("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all", f"-{command}")
    with pytest.raises(Unavailable, match=f"(?i)NOPERM|{command.partition('|')[0]}") as caught:
        async with ServiceBus(with_credentials(own_server, "ann:pw")) as bus:
            await bus.send(CHANNEL, {"type": "x"})
    assert (caught.value.executed, caught.value.retryable) == ("no", False)


async def test_a_user_without_a_password_has_his_rights_and_not_those_of_default(own_server: Server) -> None:
    own_server.run("ACL", "SETUSER", "ann", "on", "nopass", "~*", "&*", "+@all")
    async with ServiceBus(f"unix://ann@{own_server.path}") as bus:
        await bus.send(CHANNEL, {"type": "x"})
        clients = own_server.run("CLIENT", "LIST").decode().splitlines()
        assert [line for line in clients if "name=client" in line]
        assert all("user=ann" in line for line in clients if "name=client" in line)
    error = await refused(f"unix://bob@{own_server.path}")
    assert isinstance(error, Unavailable)
    assert "WRONGPASS" in str(error)
    assert not error.retryable


async def test_a_layer_logs_in_with_what_its_credential_provider_gives(own_server: Server) -> None:
    class Rolling(CredentialProvider):
        password = "one"

        def get_credentials(self) -> tuple[str, str]:
            return "ann", self.password

    own_server.run("ACL", "SETUSER", "ann", "on", ">one", "~*", "&*", "+@all")
    provider = Rolling()
    layer = RedisChannelLayer([{"path": own_server.path, "credential_provider": provider}])
    await layer.send("jobs", {"type": "job"})
    own_server.run("ACL", "SETUSER", "ann", "resetpass", ">two")
    provider.password = "two"
    own_server.run("CLIENT", "KILL", "USER", "ann")
    assert await asyncio.wait_for(layer.receive("jobs"), LONG) == {"type": "job"}
    await layer.close_pools()
