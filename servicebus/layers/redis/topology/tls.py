"""The TLS side of redis-py's connection options, ``ssl_*``: each has its effect, or is refused by name."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from ....errors import ConfigurationError

REQUIREMENTS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
"""What ``ssl_cert_reqs`` may be."""
VERSIONS = {"tlsv12": ssl.TLSVersion.TLSv1_2, "tlsv13": ssl.TLSVersion.TLSv1_3}
"""What ``ssl_min_version`` may be, without dots and underscores."""
TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""Words for yes and no, in a URL or a settings file."""


def read_truth(name: str, value: Any) -> bool:
    """Read a yes or no.

    Raises:
        ConfigurationError: it is neither; the text names the option.
    """
    found = TRUTH.get(str(value).lower())
    if found is None:
        raise ConfigurationError(f"{name} must be true or false")
    return found


def read_tls(options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the ``ssl_*`` options, as values that redis-py takes too.

    Raises:
        ConfigurationError: nobody knows an option, or what its value means.
    """
    read: dict[str, Any] = {}
    for name, value in options.items():
        if name not in READERS:
            raise ConfigurationError(f"{name} has no effect here: known are {', '.join(sorted(READERS))}")
        if value is not None or name == "ssl_cert_reqs":
            read[name] = READERS[name](name, value)
    if "ssl_certfile" not in read:
        for name in ("ssl_keyfile", "ssl_password"):
            if name in read:
                raise ConfigurationError(f"{name} belongs to a certificate: give ssl_certfile too")
    return read


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """A context that does what options of ``read_tls`` say.

    Raises:
        ConfigurationError: a file that they name cannot be used, or a value.
    """
    try:
        return _context(options)
    except OSError as error:  # an SSLError is one
        raise ConfigurationError(
            "ssl_ca_certs, ssl_ca_path, ssl_ca_data, ssl_certfile, ssl_keyfile or ssl_ciphers cannot be used, "
            f"such as a file: {error}"
        ) from error


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"), cadata=options.get("ssl_ca_data")
    )
    required = REQUIREMENTS[options.get("ssl_cert_reqs", "required")]
    context.check_hostname = options.get("ssl_check_hostname", True) and required is not ssl.CERT_NONE
    context.verify_mode = required
    for flag in options.get("ssl_include_verify_flags", ()):
        context.verify_flags |= flag
    for flag in options.get("ssl_exclude_verify_flags", ()):
        context.verify_flags &= ~flag
    if "ssl_certfile" in options:
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    if "ssl_min_version" in options:
        context.minimum_version = options["ssl_min_version"]
    if "ssl_ciphers" in options:
        context.set_ciphers(options["ssl_ciphers"])
    return context


def _requirement(name: str, value: Any) -> str:
    text = str(value).lower()
    for known, mode in REQUIREMENTS.items():
        if (isinstance(value, int) and value == mode) or text in (known, mode.name.lower()):
            return known
    raise ConfigurationError(f"{name} must be one of {', '.join(REQUIREMENTS)}")


def _version(name: str, value: Any) -> ssl.TLSVersion:
    text = str(getattr(value, "name", value)).lower().replace(".", "").replace("_", "")
    for known, version in VERSIONS.items():
        if text in (known, known.removeprefix("tlsv"), str(int(version))):
            return version
    raise ConfigurationError(f"{name} must be TLSv1.2 or TLSv1.3")


def _flags(name: str, value: Any) -> list[ssl.VerifyFlags]:
    parts = value.strip("[]").split(",") if isinstance(value, str) else value
    try:
        return [ssl.VerifyFlags[part.strip()] if isinstance(part, str) else ssl.VerifyFlags(part) for part in parts]
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(f"{name} must be a list of ssl.VerifyFlags") from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} must be text")
    return str(value)


READERS: dict[str, Callable[[str, Any], Any]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_data": _text,
    "ssl_ca_path": _text,
    "ssl_cert_reqs": _requirement,
    "ssl_certfile": _text,
    "ssl_check_hostname": read_truth,
    "ssl_ciphers": _text,
    "ssl_exclude_verify_flags": _flags,
    "ssl_include_verify_flags": _flags,
    "ssl_keyfile": _text,
    "ssl_min_version": _version,
    "ssl_password": _text,
}
"""How each option is read."""
