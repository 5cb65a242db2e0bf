"""From what a service does to the rules of its user."""

from __future__ import annotations

from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ConfigurationError, Service
from servicebus.contract.names import checked_channel
from servicebus.layers.redis.schema import scripts
from servicebus.protocol.addresses import inbox_mark, reply_prefix, split_address
from servicebus.security.acl import ServiceUser, grants, named_lists, rules, users

PASSWORD = "correct horse battery"
LISTS = "asgi:{%s}"

names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,39}", fullmatch=True).filter(lambda name: name != "default")
channels = st.from_regex(r"[a-zA-Z0-9_.-]{1,60}", fullmatch=True)


def keys_of(user: ServiceUser, command: str) -> set[str]:
    return {key for grant in grants(user, "asgi") if command in grant.commands for key in grant.keys}


def marked(name: str) -> str:
    return f"asgi:{{{inbox_mark(name)}*!}}"


def test_a_user_begins_with_nothing_and_a_hashed_password() -> None:
    listed = rules(ServiceUser("orders"), PASSWORD)
    digest = sha256(PASSWORD.encode()).hexdigest()
    assert listed[:5] == ["reset", "resetchannels", "on", f"#{digest}", "-@all"]
    assert PASSWORD not in " ".join(listed)


def test_a_user_pops_only_its_channels_and_its_inboxes() -> None:
    user = ServiceUser("orders", True, ("stock.request",), ("orders.placed",), ("stock.low",))
    assert keys_of(user, "blmpop") == {marked("orders"), LISTS % "orders.request", LISTS % "orders.events"}


def test_a_caller_pops_its_inbox_alone_and_registers_nowhere() -> None:
    user = ServiceUser("web", False, ("orders.request",))
    assert keys_of(user, "blmpop") == {marked("web")}
    assert keys_of(user, "zadd") == {"asgi:{orders.request}:withdrawn"}
    assert keys_of(user, "zrem") == set()


def test_a_user_pushes_to_what_it_calls_inboxes_and_subscribers() -> None:
    calling = ServiceUser("web", False, ("orders.request",))
    publishing = ServiceUser("web", False, ("orders.request",), ("web.seen",))
    assert keys_of(calling, "rpush") == {LISTS % "orders.request", LISTS % "*!"}
    assert keys_of(publishing, "rpush") == {*keys_of(calling, "rpush"), LISTS % "*.events"}


def test_a_user_reads_the_workers_and_subscribers_that_it_needs() -> None:
    user = ServiceUser("orders", True, ("stock.request",), ("orders.placed",), ("stock.low",))
    read = {key for grant in grants(user, "asgi") if grant.mark == "%R~" for key in grant.keys}
    assert read == {"asgi:{stock.request}:workers", "asgi:group:{orders.placed}"}


def test_a_user_registers_with_its_channel_and_its_events() -> None:
    user = ServiceUser("orders", True, ("stock.request",), ("orders.placed",), ("stock.low",))
    entered = {"asgi:{stock.request}:withdrawn", "asgi:{*.events}:withdrawn"}
    assert keys_of(user, "zadd") == {"asgi:{orders.request}:workers", "asgi:group:{stock.low}", *entered}
    assert keys_of(user, "zrem") == {"asgi:{orders.request}:workers"}


def test_a_user_takes_back_only_what_it_calls_and_reads_nothing_there() -> None:
    user = ServiceUser("orders", True, ("stock.request",), ("orders.placed",), ("stock.low",))
    assert keys_of(user, "lpos") == {LISTS % "stock.request"}
    assert not any(keys_of(user, command) for command in ("lindex", "lrange", "lset", "ltrim"))


@given(names, st.lists(channels, max_size=3), st.lists(channels, max_size=3), st.booleans())
def test_no_user_loads_scripts_or_reads_what_is_not_its_own(
    name: str, calls: list[str], publishes: list[str], serves: bool
) -> None:
    user = ServiceUser(name, serves, tuple(calls), tuple(publishes))
    listed = rules(user, PASSWORD)
    allowed = {word.lstrip("(") for rule in listed for word in rule.strip(")").split() if word.lstrip("(")[0] == "+"}
    assert not any("@" in word for word in allowed)
    assert allowed.isdisjoint(
        {"+eval", "+script", "+script|load", "+lrange", "+lpop", "+rpop", "+del", "+keys", "+scan"}
    )
    assert allowed.isdisjoint({"+lindex", "+lset", "+ltrim", "+lmove", "+linsert"})
    assert allowed.isdisjoint({"+client", "+client|kill", "+config", "+acl", "+cluster", "+monitor", "+flushall"})
    own = {marked(name), *([LISTS % f"{name}.request"] if serves else [])}
    assert keys_of(user, "blmpop") == own


@given(names, names)
def test_the_inboxes_of_two_services_have_patterns_of_their_own(one: str, other: str) -> None:
    assert (marked(one) == marked(other)) == (one == other)


def test_a_service_declares_what_it_subscribes_to() -> None:
    service = Service("stock")

    @service.on("orders.placed")
    async def placed(event: dict[str, str]) -> None: ...

    user = ServiceUser.of(service, ["pricing.request"], ["stock.low"])
    assert user == ServiceUser("stock", True, ("pricing.request",), ("stock.low",), ("orders.placed",))


def test_what_a_cluster_is_asked_is_allowed_only_when_there_is_one() -> None:
    user = ServiceUser("web", False)
    assert "+cluster|slots" not in rules(user, PASSWORD)
    assert {"+cluster|slots", "+client|setinfo"} <= set(rules(user, PASSWORD, cluster=True))


def test_a_prefix_is_that_of_every_key() -> None:
    user = ServiceUser("orders", True, ("stock.request",), ("orders.placed",), ("stock.low",))
    assert all(key.startswith("shop-1:") for grant in grants(user, "shop-1") for key in grant.keys)


@pytest.mark.parametrize("prefix", ["", "a b", "a*", "a)", "[ab]", "a?", "a\n"])
def test_a_prefix_that_would_be_a_pattern_or_end_a_rule_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix is"):
        rules(ServiceUser("web"), PASSWORD, prefix=prefix)


@pytest.mark.parametrize("password", ["", "short", "x" * 15])
def test_a_password_that_could_be_tried_out_is_refused_and_not_repeated(password: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the password of 'web' has {len(password)} characters") as caught:
        rules(ServiceUser("web"), password)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize(
    ("user", "complaint"),
    [
        ({"name": "a b"}, "'a b' is no service name"),
        ({"name": "default"}, "'default' is the server's own user"),
        ({"name": "web", "calls": ("a b",)}, "calls of 'web': 'a b' is no channel name"),
        ({"name": "web", "calls": ("response.a.b!",)}, "calls of 'web': 'response.a.b!' belongs to one process"),
        ({"name": "web", "calls": ("*",)}, "calls of 'web': '\\*' is no channel name"),
        ({"name": "web", "publishes": ("",)}, "publishes of 'web': '' is no channel name"),
        ({"name": "web", "subscribes": ("x)",)}, "subscribes of 'web': 'x\\)' is no channel name"),
    ],
)
def test_what_is_not_a_name_is_refused_with_its_field(user: dict[str, tuple[str, ...]], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        ServiceUser(**user)  # type: ignore[arg-type]


def test_a_service_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="service 'web' is given twice"):
        users([ServiceUser("web"), ServiceUser("web", False)])


def test_one_service_alone_need_not_be_named_in_a_list() -> None:
    assert named_lists("--calls", ["a.request,b.request", "c.request"], ["web"]) == {
        "web": ("a.request", "b.request", "c.request")
    }


def test_of_several_services_each_has_lists_of_its_own() -> None:
    assert named_lists("--calls", ["web=a.request", "shop=b.request,c.request"], ["web", "shop"]) == {
        "web": ("a.request",),
        "shop": ("b.request", "c.request"),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a.request", "--calls a.request: name the service, as in --calls web=a.request"),
        ("wep=a.request", "--calls wep=a.request: 'wep' is not one of the services: web, shop"),
        ("=a.request", "--calls =a.request: '' is not one of the services: web, shop"),
    ],
)
def test_a_list_of_an_unknown_service_is_refused_with_the_option(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        named_lists("--calls", [text], ["web", "shop"])
    assert str(caught.value) == complaint


@given(names)
def test_the_reply_channels_of_a_service_with_the_longest_name_are_legal(name: str) -> None:
    channel = reply_prefix(name, inbox_mark(name) + "r" * 22) + "c" * 11
    assert checked_channel(channel) == channel
    assert fnmatchcase(f"asgi:{{{split_address(channel)[0]}}}", marked(name))


def test_the_page_shows_what_is_printed() -> None:
    page = (Path(__file__).parents[3] / "docs/topics/acl.md").read_text()
    user = ServiceUser("orders", True, ("stock.request",), ("orders.placed",))
    listed = rules(user, PASSWORD)
    assert f"\n    {' '.join(listed[5:11])}\n" in page
    assert all(f"\n    {grant}\n" in page for grant in listed[11:])
    assert scripts.MISSING in page
