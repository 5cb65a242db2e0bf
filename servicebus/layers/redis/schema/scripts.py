"""The Lua scripts, each in a file of its own, and the digests that EVALSHA calls them by.

A line ``-- include NAME`` in a script stands for the file ``lua/shared/NAME.lua``: a rule of several scripts is
written once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "lua"


_INCLUDE = re.compile(rb"^-- include (\w+)\n", re.MULTILINE)


def _read(path: str) -> bytes:
    """The source in a file, with what it includes."""
    return _INCLUDE.sub(lambda found: _read(f"shared/{found[1].decode()}.lua"), (_FOLDER / path).read_bytes())


@dataclass(frozen=True, slots=True)
class Script:
    """A script's source, and its SHA-1 as Redis computes it."""

    source: bytes
    sha: bytes

    @classmethod
    def read(cls, name: str) -> Script:
        """The script in ``lua/NAME.lua``, with what it includes."""
        source = _read(f"{name}.lua")
        return cls(source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())

    def command(self, keys: Sequence[bytes | str], *arguments: bytes | str | int) -> tuple[bytes | str | int, ...]:
        """The parts of the EVALSHA command that runs this script on ``keys``, which must lie in one slot."""
        return (b"EVALSHA", self.sha, b"%d" % len(keys), *keys, *arguments)


SEND = Script.read("send")
REGISTER = Script.read("register")
LEAVE = Script.read("leave")
MEMBERS = Script.read("members")
SEND_LOCAL = Script.read("send_local")
SEND_CHANNEL = Script.read("send_channel")
TAKEN = Script.read("taken")
TAKE = Script.read("take")
RELEASE = Script.read("release")
RESTORE = Script.read("restore")
WITHDRAW = Script.read("withdraw")
MISSING = (
    "the server does not have the scripts of the bus, and this user may not load them: "
    "run `servicebus acl load --url` with the URL of one who may"
)
ALL = (WITHDRAW, SEND, SEND_LOCAL, SEND_CHANNEL, REGISTER, LEAVE, MEMBERS, TAKEN, TAKE, RELEASE, RESTORE)
