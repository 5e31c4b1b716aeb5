"""The field types of a profile: sizes, durations, addresses and names."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import BeforeValidator, SecretStr, WithJsonSchema

from valkeyctl.units import DURATION_FORMS, SIZE_FORMS, parse_duration, parse_size

# Names become pod, volume and file names: what Kubernetes calls a DNS label.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
APP_PATTERN = r"^([a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?)?$"  # empty: the profile's name
NAMESPACE_PATTERN = r"^[a-z][a-z0-9_-]{0,39}$"
IMAGE_PATTERN = r"^[a-z0-9][a-zA-Z0-9._:/@-]{0,254}$"
# No zero seconds, which the server refuses, and nothing that does not fit 32 bits.
SAVE_PATTERN = r"^[1-9][0-9]{0,8} [0-9]{1,9}$"
_NAME_WORDS = "lower-case letters, digits and inner hyphens, 40 at most"
PATTERN_WORDS = {
    NAME_PATTERN: _NAME_WORDS,
    APP_PATTERN: _NAME_WORDS,
    NAMESPACE_PATTERN: "a lower-case letter, then letters, digits, _ or -, 40 at most",
    IMAGE_PATTERN: "an image such as docker.io/valkey/valkey:8.1",
    SAVE_PATTERN: "'<seconds> <changes>', such as '300 100'",
}
# Far beyond any machine, and far below where the server's own numbers end.
MAX_SIZE = 2**50
MAX_DURATION = 10 * 365 * 86400.0
_LONGEST = 40
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _size(value: object) -> int:
    size = parse_size(_scalar(value, SIZE_FORMS))
    if size > MAX_SIZE:
        raise ValueError(f"{value} is more than 1 PiB; write {SIZE_FORMS}")
    return size


def _duration(value: object) -> float:
    seconds = parse_duration(_scalar(value, DURATION_FORMS))
    if seconds > MAX_DURATION:
        raise ValueError(f"{value} is more than ten years; write {DURATION_FORMS}")
    return seconds


def _scalar(value: object, forms: str) -> str:
    """Return *value* as it was written; refuse what is no number and no short text."""
    if value is None:
        raise ValueError(f"there is no value; write {forms}")
    if not isinstance(value, (str, int, float)) or len(str(value)) > _LONGEST:
        raise ValueError(f"this is not allowed; write {forms}")
    return str(value)


def split_host_port(text: str) -> tuple[str, int]:
    """Return the host and port of ``host:port``, ``[v6]:port`` or a bare port.

    Raises:
        ValueError: It is not an address, or the port is outside 1 to 65535.
    """
    form = "write host:port, such as 127.0.0.1:6379"
    if len(text) > 80:
        raise ValueError(f"this is too long for an address; {form}")
    host, _, port_text = text.strip().rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text) <= 65535):
        raise ValueError(f"{text!r} has no port between 1 and 65535; {form}")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"{host!r} is not an IP address or localhost; {form}") from None
    return host, int(port_text)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a server bound to *host*."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _publish(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("write host:port, such as 127.0.0.1:6379")
    host, port = split_host_port(str(value))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def secret_variable(text: str) -> str | None:
    """Return NAME when *text* is exactly ``${NAME}``, else None."""
    match = _ENV.fullmatch(text)
    return match[1] if match else None


def has_variable(text: str) -> bool:
    """Say whether *text* holds a ``${NAME}`` anywhere."""
    return _ENV.search(text) is not None


_SIZE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}
_DURATION_SCHEMA = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({**_SIZE_SCHEMA, "examples": ["512Mi", "64mb"]}, mode="validation"),
]
Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({**_DURATION_SCHEMA, "examples": ["30s", "5m"]}, mode="validation"),
]
Address = Annotated[
    str,
    BeforeValidator(_publish),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["127.0.0.1:6379"]}),
]
Secret = Annotated[
    SecretStr, WithJsonSchema({"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"})
]
