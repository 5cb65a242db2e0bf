from __future__ import annotations

from servicebus.layers.memory.hub import HubTable, hubs

from ....support.transport import Layers, left_in, pushed

CHANNEL = "shop.request"


def test_a_table_gives_one_hub_for_each_prefix_and_name() -> None:
    table = HubTable()
    assert table.named("asgi", "shop") is table.named("asgi", "shop")
    found = {id(table.named(prefix, name)) for prefix in ("asgi", "other") for name in ("shop", "", "hop")}
    assert len(found) == 6


def test_forgetting_a_name_removes_its_hubs_and_no_others() -> None:
    table = HubTable()
    shops = [table.named("asgi", "shop"), table.named("other", "shop")]
    workshop = table.named("asgi", "workshop")
    assert table.forget("shop") == shops
    assert table.forget("shop") == []
    assert table.named("asgi", "workshop") is workshop
    assert table.named("asgi", "shop") is not shops[0]


async def test_two_urls_are_two_hubs(fresh_hub: str) -> None:
    here, there = Layers(fresh_hub), Layers(f"{fresh_hub}-other")
    one, other = await here.open(), await there.open()
    await pushed(one, CHANNEL, [1])
    assert await left_in(other, CHANNEL) == []
    assert await left_in(one, CHANNEL) == [1]
    await here.close()
    await there.close()
    hubs.forget(f"{fresh_hub.removeprefix('memory://')}-other")
