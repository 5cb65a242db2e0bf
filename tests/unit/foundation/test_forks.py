"""What is called in the child of a fork."""

from __future__ import annotations

import subprocess
import sys

from servicebus.foundation.forks import ForkCallbacks

IMPORT_IS_QUIET = """
import atexit, os
registered = []
def record(*calls, **hooks):
    found = {call: getattr(call, "__module__", "") or "" for call in (*calls, *hooks.values())}
    registered.extend(call for call, module in found.items() if module.startswith("servicebus"))
os.register_at_fork = record
atexit.register = lambda call, *arguments: record(call)
from servicebus.channel_layer import io_thread
from servicebus.foundation import forks
assert not registered, registered
kept = [forks.ForkCallbacks(), forks.ForkCallbacks()]
for one in kept:
    forks.run_in_child(one, print)
assert len(registered) == 1, registered
"""
"""Records what modules of servicebus register; those of Python register too."""

FORK = """
import os
from servicebus.foundation.forks import run_in_child
class Owner:
    pid = os.getpid()
owner = Owner()
run_in_child(owner, lambda one: setattr(one, "pid", os.getpid()))
child = os.fork()
if child == 0:
    os._exit(0 if owner.pid == os.getpid() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert owner.pid == os.getpid()
"""
"""Forks once, and compares the process IDs that parent and child see."""


class Owner:
    """An object with sockets of its own."""

    def __init__(self) -> None:
        self.calls = 0

    def on_fork(self) -> None:
        self.calls += 1


def test_each_living_owner_is_called_once() -> None:
    callbacks = ForkCallbacks()
    callbacks.registered = True  # this process is not to call them after its own forks
    kept, dropped = Owner(), Owner()
    for owner in (kept, kept, dropped):
        callbacks.add(owner, Owner.on_fork)
    del owner, dropped
    callbacks.run()
    assert (kept.calls, len(callbacks.callbacks)) == (1, 1)


def test_importing_registers_nothing_and_the_first_use_registers_once() -> None:
    subprocess.run([sys.executable, "-c", IMPORT_IS_QUIET], check=True)


def test_a_callback_runs_in_the_child_and_not_in_the_parent() -> None:
    subprocess.run([sys.executable, "-c", FORK], check=True)
