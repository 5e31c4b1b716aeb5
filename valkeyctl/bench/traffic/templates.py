"""Placeholders in a scenario's texts: ``{key}`` becomes the key that is asked for.

======================  ================================================================
``{key}``               the key: a number from 0, or what the trace calls it
``{fresh_key}``         the key, so that no other run and no warm-up asks for it
``{prompt}``            a question of 40 words, decided by the key, of this run alone
``{salt}``              what this run puts into its texts; often empty
``{NAME}``              a number of the scenario's ``sizes``
``{text:SIZE}``         filler of so many bytes (``4KiB``, or a name of ``sizes``)
``{env:NAME}``          a variable of the environment, read when the request is made
``{NAME:number}``       in JSON, as a whole value: the number, not its text
======================  ================================================================

Only a brace that a name follows begins one, so JSON needs nothing special; ``{{key}}`` is
the text ``{key}``. A value is written as its place needs it: percent-encoded in a path,
escaped in JSON.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Literal, Protocol, TypeAlias
from urllib.parse import quote

from valkeyctl.errors import UsageError
from valkeyctl.units import parse_size

Place: TypeAlias = Literal["path", "header", "text", "json"]

OF_THE_KEY = ("key", "fresh_key", "prompt", "salt")
# What differs in every run: with one of them, no run finds what another has stored.
FRESH = frozenset({"fresh_key", "prompt", "salt", "text"})
MOST_TEXT = 64 * 2**20
_FORMS = ("text:SIZE", "env:NAME")
_PLACEHOLDER = re.compile(
    r"\{\{(?P<literal>[a-z][a-z0-9_]*(?::[^{}\"]*)?)\}\}"
    r"|\{(?P<name>[a-z][a-z0-9_]*)(?::(?P<argument>[^{}\"]*))?\}"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FROM_ENVIRONMENT = re.compile(r"(?<!\{)\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEMES = {"", "bearer", "basic", "token", "apikey"}


class Values(Protocol):
    """What the placeholders of one request stand for."""

    @property
    def key(self) -> str:
        """What is asked for."""

    @property
    def fresh_key(self) -> str:
        """The same, in the words of this run alone."""

    @property
    def prompt(self) -> str:
        """A question that belongs to the key and the run."""

    @property
    def salt(self) -> str:
        """What this run puts into its texts."""

    def size(self, name: str) -> int:
        """Return the number that belongs to the key, of the sizes called *name*."""

    def filler(self, size: int) -> str:
        """Return *size* letters, digits, ``-`` and ``_`` that belong to the key and the run."""


Part: TypeAlias = "str | Callable[[Values], str]"


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders, ready to be filled in again and again.

    Attributes:
        parts: Literal texts, and functions that make what stands between them.
        names: Placeholders in it, without their arguments.
    """

    parts: tuple[Part, ...]
    names: frozenset[str]

    @property
    def constant(self) -> bool:
        """Whether nothing is to be filled in."""
        return not self.names

    def fill(self, values: Values) -> str:
        """Return the text for one request.

        Raises:
            UsageError: A variable of the environment is not set.
        """
        parts = self.parts
        if not self.names:
            return "".join(parts)  # type: ignore[arg-type]  # nothing else is in them
        return "".join([part if isinstance(part, str) else part(values) for part in parts])


def compile_template(text: str, place: Place, sizes: Collection[str]) -> Template:
    """Return *text* ready to be filled in; *sizes* are the names of the scenario's sizes.

    Raises:
        ValueError: A placeholder is unknown, or may not stand there; names it.
    """
    parts: list[Part] = []
    names: set[str] = set()
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        before, after = text[end : found.start()], text[found.end() :]
        end = found.end()
        if found["literal"] is not None:
            parts.append(f"{before}{{{found['literal']}}}")
            continue
        name, argument = found["name"], found["argument"]
        names.add(name)
        if argument == "number":
            if place != "json" or not _is_a_value(before, after):
                raise ValueError(
                    f"{found[0]} must be a whole value of JSON, such as count: '{found[0]}'"
                )
            if name not in sizes and name != "key":
                raise ValueError(f"{found[0]} is no number; only key and sizes are")
            # The quotes around it go, so that a number stands there.
            parts.append(before[:-1])
            parts.append(_number(name, sizes))
            end += 1
            continue
        parts.append(before)
        parts.append(_escaped(_part(found[0], name, argument, place, sizes), name, place))
    parts.append(text[end:])
    return Template(tuple(part for part in parts if part != ""), frozenset(names))


def _is_a_value(before: str, after: str) -> bool:
    """Say whether what stands between two pieces of JSON is a whole text, and no name."""
    whole = before.endswith('"') and not before.endswith('\\"') and after.startswith('"')
    return whole and not after[1:].lstrip().startswith(":")


def is_json(text: str) -> bool:
    """Say whether *text* is a JSON array or object once its placeholders are filled in."""
    try:
        return isinstance(json.loads(_PLACEHOLDER.sub(_stand_in, text)), (dict, list))
    except (ValueError, RecursionError):
        return False


def _stand_in(found: re.Match[str]) -> str:
    # A word where a number must stand is no JSON, so an unquoted {prompt} is found out.
    words = found["literal"] or found["argument"] or found["name"] in FRESH
    return "x" if words else "0"


def placeholders(text: str) -> frozenset[tuple[str, str]]:
    """Return name and argument of every placeholder in *text*; the argument may be empty."""
    return frozenset(
        (found["name"], found["argument"] or "")
        for found in _PLACEHOLDER.finditer(text)
        if found["name"]
    )


def shows_nothing_secret(text: str) -> bool:
    """Say whether *text* is placeholders alone, perhaps after a word such as ``Bearer``."""
    return _PLACEHOLDER.sub("", text).strip().lower() in _SCHEMES


def _part(
    shown: str, name: str, argument: str | None, place: Place, sizes: Collection[str]
) -> Callable[[Values], str]:
    if argument is None:
        if name in sizes:
            return lambda values: str(values.size(name))
        if name not in OF_THE_KEY:
            raise ValueError(_unknown(shown, name, sizes))
        return attrgetter(name)
    if name == "text":
        if argument in sizes:
            return lambda values: values.filler(values.size(argument))
        try:
            size = parse_size(argument)
        except ValueError as error:
            raise ValueError(f"{shown}: {error}, or one of the scenario's sizes") from error
        if size > MOST_TEXT:
            raise ValueError(f"{shown} is more than the {MOST_TEXT:,} bytes of a filler")
        return lambda values: values.filler(size)
    if name == "env":
        if not _VARIABLE.fullmatch(argument):
            raise ValueError(f"{shown} names no variable")
        if place == "path":
            raise ValueError(f"{shown} must not stand in a path, which servers write into logs")
        return lambda _: variable(argument)
    raise ValueError(_unknown(shown, name, sizes))


def variable(name: str) -> str:
    """Return a variable of the environment, fit for a header or a body.

    Raises:
        UsageError: It is not set, or is not printable ASCII. The message leaves its value out.
    """
    value = os.environ.get(name)
    if not value:
        raise UsageError(
            f"a request needs the variable {name}, which is not set",
            hint=f"Set it where the load is made: export {name}=...",
        )
    if not (value.isascii() and value.isprintable()):
        raise UsageError(f"the variable {name} is not printable ASCII, so it cannot be sent")
    return value


def from_environment(text: str) -> frozenset[str]:
    """Return the variables that ``{env:NAME}`` names in the header of an arm."""
    return frozenset(_FROM_ENVIRONMENT.findall(text))


def fill_environment(text: str) -> str:
    """Return the header of an arm with its ``{env:NAME}`` filled in; other braces stay.

    Raises:
        UsageError: A variable is not set, or cannot be sent.
    """
    return _FROM_ENVIRONMENT.sub(lambda found: variable(found[1]), text)


def _escaped(part: Callable[[Values], str], name: str, place: Place) -> Callable[[Values], str]:
    if name not in {*OF_THE_KEY, "env"}:
        return part  # numbers and fillers hold nothing that is special anywhere
    if place == "path":
        return lambda values: quote(part(values), safe="")
    if place == "json":
        return lambda values: encode_basestring_ascii(part(values))[1:-1]
    if place == "header":
        # Latin-1 at most can be sent; ASCII is understood everywhere.
        return lambda values: _header_text(part(values))
    return part


def _header_text(value: str) -> str:
    if value.isascii() and value.isprintable():
        return value
    return quote(value, safe="".join(map(chr, range(32, 127))))


def _number(name: str, sizes: Collection[str]) -> Callable[[Values], str]:
    if name in sizes:
        return lambda values: str(values.size(name))

    def number(values: Values) -> str:
        text = values.key
        if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0"):
            raise UsageError(f"the key {text!r:.60} is no number, which {{key:number}} needs")
        return text

    return number


def _unknown(shown: str, name: str, sizes: Collection[str]) -> str:
    from difflib import get_close_matches

    plain = (*OF_THE_KEY, *sizes)
    near = get_close_matches(name, (*plain, "text", "env"), n=1)
    guess = f"; did you mean {{{near[0]}}}?" if near else ""
    allowed = ", ".join(f"{{{one}}}" for one in (*plain, *_FORMS))
    return (
        f"unknown placeholder {shown}{guess}; allowed are {allowed}"
        f" (write {{{shown}}} for the text itself)"
    )
