"""What HTTP headers ask of a cache: those of a request, and those of an origin's answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

SWITCH_HEADER = "x-valkeyctl-cache"

Wish: TypeAlias = Literal["use", "refresh", "off"]


def wish_of(headers: Mapping[str, str]) -> Wish:
    """Return how a request wants the cache used.

    ``X-Valkeyctl-Cache: off`` and ``Cache-Control: no-store`` want it neither read nor
    written, ``Cache-Control: no-cache`` and ``max-age=0`` want a new answer, which is
    stored.
    """
    if headers.get(SWITCH_HEADER, "").strip().lower() == "off":
        return "off"
    control = headers.get("cache-control")
    if control is None:
        return "use"
    asked = directives_of(control)
    if "no-store" in asked:
        return "off"
    return "refresh" if "no-cache" in asked or asked.get("max-age") == "0" else "use"


def directives_of(control: str) -> dict[str, str]:
    """Return the directives of a ``Cache-Control`` header by name, with their arguments."""
    found: dict[str, str] = {}
    for part in control.split(","):
        name, _, argument = part.strip().partition("=")
        if name:
            # The first one counts (RFC 9111, 4.2.1).
            found.setdefault(name.lower(), argument.strip().strip('"'))
    return found


def lifetime_of(control: str | None, expires: str | None, *, now: float) -> float | None:
    """Return the seconds for which an answer says that a shared cache may reuse it.

    Args:
        control: Its ``Cache-Control``.
        expires: Its ``Expires``.
        now: Seconds since 1970, to compare ``Expires`` with.

    Returns:
        None when it says nothing; 0 for what cannot be understood (RFC 9111, 4.2.1).
    """
    directives = directives_of(control or "")
    for name in ("s-maxage", "max-age"):
        if name in directives:
            seconds = directives[name]
            return float(seconds) if seconds.isascii() and seconds.isdigit() else 0.0
    if expires is None:
        return None
    try:
        return max(parsedate_to_datetime(expires).timestamp() - now, 0.0)
    except ValueError:
        return 0.0  # "0" is common, and means long ago


def names_of(values: Iterable[str]) -> set[str]:
    """Return the header names in the values of ``Vary`` headers, in lower case."""
    return {name.strip().lower() for value in values for name in value.split(",") if name.strip()}


def matches(if_none_match: str, etag: str) -> bool:
    """Say whether *etag* is one of those that a client has (RFC 9110, 13.1.2: weak comparison)."""
    if if_none_match.strip() == "*":
        return True
    wanted = etag.removeprefix("W/")
    return any(part == wanted for part in _tags(if_none_match))


def _tags(header: str) -> Iterable[str]:
    """Yield the quoted parts of a list of entity tags, which may have commas inside."""
    at = 0
    while (start := header.find('"', at)) >= 0 and (end := header.find('"', start + 1)) >= 0:
        yield header[start : end + 1]
        at = end + 1
