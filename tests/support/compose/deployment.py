"""docker-compose.yml, the Dockerfile and .dockerignore, read as Compose and the builder read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
NAMES = ("inventory", "pricing", "orders")

_VARIABLE = re.compile(r"\$\{(\w+):-([^{}]*)\}")
_SECONDS = {"s": 1, "m": 60}


def compose(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with its variables replaced; by their defaults where ``environ`` has none."""
    found: dict[str, Any] = _interpolated(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), environ or {})
    return found


def services(environ: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the services of the file by name."""
    found: dict[str, dict[str, Any]] = compose(environ)["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """The services that run our image."""
    return {name: service for name, service in services().items() if "build" in service}


def probe(service: Mapping[str, Any]) -> list[str]:
    """The command of its health check."""
    parts: list[str] = service["healthcheck"]["test"]
    form, *command = parts
    assert form == "CMD", "the shell form"
    return command


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as ``30s`` or ``1m``."""
    found = re.fullmatch(r"(\d+)([sm])", duration)
    assert found, duration
    return int(found[1]) * _SECONDS[found[2]]


def _interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    assert "$" not in _VARIABLE.sub("", value), f"a variable without a default: {value}"
    return _VARIABLE.sub(lambda match: environ.get(match[1]) or match[2], value)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of the Dockerfile: its word, and the rest of its line."""

    word: str
    rest: str

    @property
    def command(self) -> list[str]:
        """What a RUN or CMD in exec form runs."""
        found: list[str] = json.loads(self.rest)
        return found

    @property
    def sources(self) -> list[str]:
        """What a COPY takes out of the build context."""
        parts = self.rest.split()
        return [] if parts[0].startswith("--from=") else parts[:-1]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage of the Dockerfile, its FROM first."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[list[Instruction]] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            instruction = Instruction(*line.split(maxsplit=1))
            found += [[]] if instruction.word == "FROM" else []
            found[-1].append(instruction)
    return found


def copied() -> list[str]:
    """What the image takes out of the build context."""
    return [source for stage in stages() for one in stage if one.word == "COPY" for source in one.sources]


def image_environment() -> dict[str, str]:
    """What the final image sets."""
    settings = [part for one in stages()[-1] if one.word == "ENV" for part in one.rest.split()]
    return dict(setting.split("=", 1) for setting in settings)
