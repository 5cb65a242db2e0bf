"""Runs of pytest as a user of servicebus would start them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .processes import environment

INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"


def run(directory: Path, files: Mapping[str, str], *arguments: str, ini: str = "") -> str:
    """Run the tests in ``files`` with the plugin and pytest-asyncio only; what was printed, when all have passed."""
    for name, source in files.items():
        (directory / name).write_text(source)
    (directory / "pytest.ini").write_text(f"{INI}{ini}\n")
    plugins = ["-p", "pytest_asyncio.plugin", "-p", "servicebus.testing.plugin", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "--strict-config", *plugins, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
