"""The field types of a profile: sizes, durations, addresses and names."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import BeforeValidator, SecretStr, WithJsonSchema

from valkeyctl.units import parse_duration, parse_size

# Names become pod, volume and file names: what Kubernetes calls a DNS label.
NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
NAMESPACE_PATTERN = r"^[a-z][a-z0-9_-]{0,39}$"
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _size(value: object) -> int:
    if isinstance(value, (str, int)):
        return parse_size(value)
    return parse_size(str(value))


def _duration(value: object) -> float:
    if isinstance(value, (str, int, float)):
        return parse_duration(value)
    return parse_duration(str(value))


def split_host_port(text: str) -> tuple[str, int]:
    """Return the host and port of ``host:port``, ``[v6]:port`` or a bare port.

    Raises:
        ValueError: It is not an address, or the port is outside 1 to 65535.
    """
    form = "write host:port, such as 127.0.0.1:6379"
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
Address = Annotated[str, BeforeValidator(_publish), WithJsonSchema({"type": "string"})]
Secret = Annotated[
    SecretStr, WithJsonSchema({"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$"})
]
