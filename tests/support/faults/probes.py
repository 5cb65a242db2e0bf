"""What users of three services must not be able to do: ``web`` calls ``orders``, which calls ``stock``."""

from __future__ import annotations

from servicebus.layers.redis.schema import scripts
from servicebus.protocol.addresses import inbox_mark

Probe = tuple[str, tuple[bytes | str | int, ...]]
"""A user, and a command."""

OWN = f"asgi:{{{inbox_mark('web')}{'a' * 22}!}}"
"""The inbox of a process of the third service."""
TO_ORDERS, TO_STOCK = "asgi:{orders.request}", "asgi:{stock.request}"
SERVED_BY, STOCKED_BY = f"{TO_ORDERS}:workers", f"{TO_STOCK}:workers"
PLACED, LOW = "asgi:group:{orders.placed}", "asgi:group:{stock.low}"
SEND, TAKE, JOIN, LEAVE, LIST = (
    script.sha for script in (scripts.SEND, scripts.TAKE, scripts.REGISTER, scripts.LEAVE, scripts.MEMBERS)
)

PROBES: dict[str, list[Probe]] = {
    "take what is meant for another": [
        ("orders", ("BLMPOP", "0.01", 1, TO_STOCK, "LEFT")),
        ("web", ("BLMPOP", "0.01", 1, TO_ORDERS, "LEFT")),
        ("web", ("LPOP", TO_ORDERS)),
        ("web", ("RPOP", TO_ORDERS)),
        ("web", ("EVALSHA", TAKE, 2, TO_ORDERS, f"{TO_ORDERS}:counts", 1, "me", 1000)),
        ("orders", ("BLMPOP", "0.01", 1, OWN, "LEFT")),
        ("stock", ("LPOP", OWN)),
    ],
    "read it": [
        ("web", ("LRANGE", TO_ORDERS, 0, -1)),
        ("web", ("LINDEX", TO_ORDERS, 0)),
        ("orders", ("LRANGE", OWN, 0, -1)),
        ("orders", ("DUMP", TO_STOCK)),
        ("web", ("ZRANGE", PLACED, 0, -1)),
        ("web", ("EVALSHA", LIST, 1, PLACED)),
        ("orders", ("EVALSHA", LIST, 1, LOW)),
        ("web", ("ZRANGE", STOCKED_BY, 0, -1)),
    ],
    "send where it does not call": [
        ("web", ("EVALSHA", SEND, 2, TO_STOCK, STOCKED_BY, 10, 1000, 0, "frame")),
        ("web", ("RPUSH", TO_STOCK, "frame")),
        ("stock", ("RPUSH", TO_ORDERS, "frame")),
        ("web", ("RPUSH", "asgi:{stock.events}", "frame")),
        ("web", ("RPUSH", "other:{orders.request}", "frame")),
    ],
    "pass for a worker or a subscriber": [
        ("stock", ("EVALSHA", JOIN, 1, SERVED_BY, "me", 5000)),
        ("web", ("ZADD", SERVED_BY, 1, "me")),
        ("orders", ("ZREM", STOCKED_BY, "by-hand")),
        ("web", ("EVALSHA", JOIN, 1, PLACED, "web.events", 5000)),
        ("stock", ("ZREM", PLACED, "stock.events")),
    ],
    "remove what is there": [
        ("web", ("DEL", TO_ORDERS)),
        ("stock", ("UNLINK", OWN)),
        ("web", ("LTRIM", TO_ORDERS, 1, 0)),
        ("web", ("LSET", TO_ORDERS, 0, "x")),
        ("web", ("DEL", f"{TO_ORDERS}:pushed")),
        ("web", ("RENAME", TO_ORDERS, OWN)),
        ("web", ("PEXPIRE", TO_STOCK, 1)),
        ("web", ("FLUSHALL",)),
        ("stock", ("FLUSHDB",)),
    ],
    "bring its own scripts": [
        ("web", ("EVAL", "return 1", 0)),
        ("web", ("SCRIPT", "LOAD", "return 1")),
        ("web", ("SCRIPT", "FLUSH")),
        ("web", ("FUNCTION", "LIST")),
    ],
    "look at the server or rule it": [
        ("web", ("KEYS", "*")),
        ("web", ("SCAN", 0)),
        ("web", ("MONITOR",)),
        ("web", ("CONFIG", "GET", "*")),
        ("web", ("CONFIG", "SET", "maxmemory", 1)),
        ("web", ("DEBUG", "SLEEP", 0)),
        ("web", ("ACL", "LIST")),
        ("web", ("ACL", "SETUSER", "web", "allkeys")),
        ("web", ("CLIENT", "LIST")),
        ("web", ("CLIENT", "KILL", "TYPE", "normal")),
        ("web", ("SUBSCRIBE", "x")),
        ("web", ("REPLICAOF", "NO", "ONE")),
        ("web", ("SHUTDOWN", "NOSAVE")),
    ],
}
WITHIN_A_SCRIPT: list[Probe] = [
    ("web", ("EVALSHA", TAKE, 2, TO_ORDERS, TO_ORDERS, 1, "me", 1000)),
    ("stock", ("EVALSHA", LIST, 1, PLACED)),
    ("orders", ("EVALSHA", LEAVE, 1, STOCKED_BY, "by-hand")),
    ("stock", ("EVALSHA", LEAVE, 1, PLACED, "stock.events")),
]
"""A script may be run with these keys; what it does to them may not be done."""
