"""One side of a comparison: what its requests carry and what serves them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import urlsplit

from valkeyctl.errors import UsageError

Node: TypeAlias = "bool | int | float | str | list[Node] | dict[str, Node] | None"
Pairs: TypeAlias = tuple[tuple[str, str], ...]

BYPASS_HEADER = "X-Valkeyctl-Cache"
BYPASS = (BYPASS_HEADER, "off")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECTIVE = re.compile(r"[a-z][a-z0-9-]*")
# "key" only as a word of its own: our own X-Valkeyctl-Cache is no secret.
_SECRET = re.compile(
    r"auth|cookie|secret|token|passw|credential|api.?key|(^|[-_.])key", re.IGNORECASE
)
ARM_FORM = (
    "Write it as NAME=header:K:V, NAME=env:K=V, NAME=url:URL or NAME=server:DIRECTIVE=VALUE; "
    "repeat it for more parts"
)


@dataclass(frozen=True)
class Arm:
    """One side of the comparison.

    Attributes:
        name: What the report calls it.
        headers: Sent with every request of this arm.
        env: Set for the application that bench starts to serve this arm.
        url: Base URL of an application that serves this arm; None is the run's target.
        server: Settings of a throwaway server that bench starts for this arm's cache;
            empty uses the run's.
    """

    name: str
    headers: Pairs = field(default=(), repr=False)
    env: Pairs = field(default=(), repr=False)
    url: str | None = field(default=None, repr=False)
    server: Pairs = ()

    @property
    def bypasses(self) -> bool:
        """Whether its requests ask the gateway to leave the cache alone."""
        return any(
            name.lower() == BYPASS_HEADER.lower() and value.strip().lower() == "off"
            for name, value in self.headers
        )

    def same_as(self, other: Arm) -> bool:
        """Say whether *other* is the same in all but its name: an A/A pair."""
        return (self.headers, self.env, self.url, self.server) == (
            other.headers,
            other.env,
            other.url,
            other.server,
        )

    def again(self) -> Arm:
        """Return the same arm under a second name; their difference is the noise floor."""
        return replace(self, name=f"{self.name}-again")

    def to_json(self, *, show_secrets: bool = False) -> dict[str, Node]:
        """Return plain data; values that look like secrets are ``***`` unless asked for."""

        def pairs(items: Pairs) -> list[Node]:
            return [[key, value if show_secrets else _masked(key, value)] for key, value in items]

        url = self.url if show_secrets or self.url is None else mask_url(self.url)
        return {
            "name": self.name,
            "headers": pairs(self.headers),
            "env": pairs(self.env),
            "url": url,
            "server": pairs(self.server),
        }


DEFAULT_ARMS = (Arm("cached"), Arm("uncached", headers=(BYPASS,)))


def parse_arm(text: str) -> Arm:
    """Return the arm that ``NAME``, or ``NAME=PART``, names; `merge_arms` joins its parts.

    Raises:
        UsageError: It is not of one of the forms.
    """
    name, equals, part = text.partition("=")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"the arm {text!r} has no usable name, which is 1 to 40 of A-Z a-z 0-9 . _ - and "
            "begins with a letter or digit",
            hint=ARM_FORM,
        )
    if not equals or not part:
        return Arm(name)
    kind, _, rest = part.partition(":")
    if kind == "header":
        key, colon, value = rest.partition(":")
        value = value.strip()
        if not colon or not _TOKEN.fullmatch(key) or not _printable(value):
            raise UsageError(
                f"the header of arm {name!r} cannot be sent: it takes a name, a colon and "
                "printable ASCII",
                hint=ARM_FORM,
            )
        return Arm(name, headers=((key, value),))
    if kind == "env":
        key, equals, value = rest.partition("=")
        if not equals or not _VARIABLE.fullmatch(key) or "\0" in value:
            raise UsageError(f"the variable of arm {name!r} cannot be set", hint=ARM_FORM)
        return Arm(name, env=((key, value),))
    if kind == "server":
        key, equals, value = rest.partition("=")
        if not equals or not _DIRECTIVE.fullmatch(key) or not _printable(value):
            raise UsageError(f"the server setting of arm {name!r} cannot be made", hint=ARM_FORM)
        return Arm(name, server=((key, value),))
    if kind == "url":
        return Arm(name, url=check_url(rest, f"the URL of arm {name!r}"))
    raise UsageError(
        f"arm {name!r} has a part of an unknown kind; allowed are header, env, url and server",
        hint=ARM_FORM,
    )


def merge_arms(parts: Iterable[Arm]) -> tuple[Arm, ...]:
    """Return one arm per name, in order of first mention, each with all its parts.

    Raises:
        UsageError: An arm names two URLs.
    """
    merged: dict[str, Arm] = {}
    for part in parts:
        known = merged.get(part.name, Arm(part.name))
        if known.url and part.url and known.url != part.url:
            raise UsageError(f"arm {part.name!r} names two URLs", hint="Give each arm one URL")
        merged[part.name] = Arm(
            part.name,
            known.headers + part.headers,
            known.env + part.env,
            known.url or part.url,
            known.server + part.server,
        )
    return tuple(merged.values())


def arm_from_json(data: Node) -> Arm:
    """Return the arm that `Arm.to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: It is not one.
    """
    if not isinstance(data, dict):
        raise TypeError("an arm must be a mapping")

    def pairs(node: Node) -> Pairs:
        return tuple((str(key), str(value)) for key, value in node)  # type: ignore[union-attr, misc, str-unpack]

    url = data["url"]
    return Arm(
        str(data["name"]),
        pairs(data["headers"]),
        pairs(data["env"]),
        None if url is None else str(url),
        pairs(data["server"]),
    )


def check_url(url: str, what: str) -> str:
    """Return *url* without a slash at its end; *what* names it in the message.

    Raises:
        UsageError: It is not an http(s) URL. The message never repeats it, as it may
            hold a password.
    """
    hint = "Write it as http://host[:port][/path]"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _port = parts.port
    except ValueError as error:
        raise UsageError(f"{what} cannot be read: {error}", hint=hint) from error
    if usable and (parts.query or parts.fragment):
        raise UsageError(
            f"{what} has a query or a fragment, and each request has its own path and query",
            hint=f"{hint}; a query belongs into the path of a scenario's request",
        )
    if not usable or not _printable(url) or " " in url:
        raise UsageError(f"{what} is not an http or https address", hint=hint)
    return url.rstrip("/")


def mask_url(text: str) -> str:
    """Return *text* with the user and password of every URL in it as ``***``."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def looks_secret(name: str) -> bool:
    """Say whether the value of a header or variable called *name* must not be shown."""
    return _SECRET.search(name) is not None


def _masked(key: str, value: str) -> str:
    return "***" if looks_secret(key) else mask_url(value)


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
