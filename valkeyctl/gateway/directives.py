"""What a caller asks of the cache, and what the cache answers about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from valkeyctl.gateway.failures import wrong

Mode = Literal["use", "refresh", "off"]
SWITCH_HEADER = "x-valkeyctl-cache"

# The answers belong to one caller: no proxy outside may keep them (RFC 9111, 5.2.2).
PRIVATE = "private, no-store"


def read_mode(headers: Mapping[str, str]) -> Mode:
    """Return how the cache is used for one request.

    ``X-Valkeyctl-Cache: off`` and ``Cache-Control: no-store`` neither read nor write it,
    ``Cache-Control: no-cache`` (and ``max-age=0``) does not read and writes.

    Raises:
        RequestFailure: 400; X-Valkeyctl-Cache is neither on nor off. A typo there would
            make a comparison of cached and uncached measure nothing.
    """
    switch = headers.get(SWITCH_HEADER)
    if switch is not None:
        switch = switch.strip().lower()
        if switch == "off":
            return "off"
        if switch != "on":
            raise wrong(f"'{SWITCH_HEADER}' must be on or off", param=SWITCH_HEADER)
    control = headers.get("cache-control")
    if control is None:
        return "use"
    directives = {part.strip().lower() for part in control.split(",")}
    if "no-store" in directives:
        return "off"
    return "refresh" if directives & {"no-cache", "max-age=0"} else "use"


def hit(*, age: float, ttl: float) -> dict[str, str]:
    """Return the headers of an answer from the cache; both times in seconds."""
    # Whole seconds in both headers (RFC 9211, 2.2 and RFC 9111, 5.1).
    return _headers("hit", f"hit; ttl={int(ttl)}") | {"age": str(max(0, int(age)))}


def collapsed() -> dict[str, str]:
    """Return the headers of an answer that another request's origin call brought."""
    return _headers("collapsed", "fwd=uri-miss; collapsed")


def miss(*, refresh: bool, stored: bool) -> dict[str, str]:
    """Return the headers of an answer that this request's own origin call brought."""
    reason = "fwd=request" if refresh else "fwd=uri-miss"
    return _headers("miss", f"{reason}; stored" if stored else reason)


def bypass() -> dict[str, str]:
    """Return the headers of an answer for which the cache was neither read nor written."""
    return _headers("bypass", "fwd=bypass")


def _headers(outcome: str, status: str) -> dict[str, str]:
    return {
        "x-cache": outcome,
        "cache-status": f"valkeyctl; {status}",
        "cache-control": PRIVATE,
    }
