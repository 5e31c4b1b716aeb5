"""The id under which the result of a call is stored, made of its arguments.

By default it reads like the call: ``app.models.load(name="gpt-x",region=None)``. The
arguments stand by name and with their defaults, so it does not matter how the call was
written, and an entry stays right when the function's parameters change their order. What
no key can hold, or is long, is a SHA-256 digest.

With a template or a callable the caller says what the id is. Either way each parameter
counts unless it is named in ``ignore``: one that is forgotten would let calls with
different answers share an entry.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import string
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Protocol
from uuid import UUID

from valkeyctl.caching.canonical import NoStableFormError, canonical
from valkeyctl.errors import UsageError

LONGEST = 200
"""Bytes of an id; longer ones are digests. A key also holds the names before it."""

_FIELD = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_DIGEST = "sha256:"
_WORDS = {None: "~none", True: "~true", False: "~false"}
Function = Callable[..., object]
Arguments = Mapping[str, object]


class CallId(Protocol):
    """Makes an id of a call's arguments, by name."""

    def __call__(self, arguments: Arguments) -> str:
        """Return the id.

        Raises:
            UsageError: An argument has no stable form.
        """


class Binder:
    """The arguments of calls of one function, by name and with defaults."""

    def __init__(self, function: Function) -> None:
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._positional = tuple(p.name for p in parameters if p.kind in by_position)
        self._keywords = frozenset(
            p.name for p in parameters if p.kind not in (p.POSITIONAL_ONLY, p.VAR_KEYWORD)
        )
        self._defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        self._simple = not any(p.kind in variable for p in parameters)
        self.names = tuple(self._signature.parameters)

    def __call__(self, args: tuple[object, ...], kwargs: Arguments) -> dict[str, object]:
        """Return the arguments of a call.

        Raises:
            TypeError: The function cannot be called so.
        """
        # `Signature.bind` takes ten times as long as all this; it is for the rest, and for
        # calls that are wrong.
        if self._simple and len(args) <= len(self._positional):
            bound = dict(zip(self._positional, args, strict=False))
            if not kwargs or (
                bound.keys().isdisjoint(kwargs) and self._keywords.issuperset(kwargs)
            ):
                if len(bound) + len(kwargs) < len(self.names):
                    bound = {**self._defaults, **bound}
                bound.update(kwargs)
                if len(bound) == len(self.names):
                    return bound
        signed = self._signature.bind(*args, **kwargs)
        signed.apply_defaults()
        return dict(signed.arguments)


class Chosen:
    """A callable of the caller's that asks for some arguments of a call, by name.

    Args:
        chooser: What it asks for are its parameters' names; one with ``**`` gets all.
        names: Of the function's parameters.
        what: What it is, for messages.

    Raises:
        UsageError: It asks for something that the function has not.
    """

    def __init__(self, chooser: Callable[..., object], names: Collection[str], what: str) -> None:
        try:
            parameters = inspect.signature(chooser).parameters.values()
        except ValueError as error:  # a builtin that does not say what it takes
            raise UsageError(
                f"{what} is a callable that does not say its arguments",
                hint="Give a lambda that names the arguments that it needs",
            ) from error
        self._chooser = chooser
        self.asked: tuple[str, ...] = tuple(names)
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return
        asked = [p for p in parameters if p.default is p.empty or p.name in names]
        for parameter in asked:
            if parameter.name not in names or parameter.kind in (
                parameter.POSITIONAL_ONLY,
                parameter.VAR_POSITIONAL,
            ):
                raise UsageError(
                    f"{what} asks for {parameter.name!r}, which is no argument that it can get",
                    hint=f"Name some of: {', '.join(names) or 'nothing, as there are none'}",
                )
        self.asked = tuple(parameter.name for parameter in asked)

    def __call__(self, arguments: Arguments) -> object:
        """Return what the callable does for these arguments."""
        return self._chooser(**{name: arguments[name] for name in self.asked})


class CallText:
    """The id that reads like the call.

    Args:
        name: Of the function.
        names: Of the parameters that count.
    """

    def __init__(self, name: str, names: Iterable[str]) -> None:
        self._name = name
        self._shown = name if len(name.encode()) <= LONGEST // 2 else _digest(name)
        self._names = sorted(names)

    def __call__(self, arguments: Arguments) -> str:
        """As `CallId`."""
        parts = []
        for name in self._names:
            try:
                parts.append(f"{name}={canonical(arguments[name])}")
            except NoStableFormError as error:
                raise UsageError(
                    f"the argument {name!r} of {self._name} cannot be part of a key: {error}",
                    hint=f"Leave it out with ignore=({name!r},), or say the id with key=",
                ) from error
        text = ",".join(parts)
        whole = f"{self._shown}({text})"
        return whole if _fits(whole) else f"{self._shown}#{_digest(text)}"


class Template:
    """The id that a text with ``{name}`` and ``{name.attribute}`` in it gives.

    Values are written so that two calls get the same id only if their values are written
    the same: what separates them in the template is percent-encoded within them, and
    None, True and False are ``~none``, ``~true`` and ``~false``. The text "1" and the
    number 1 are written the same.

    Args:
        text: The template.
        what: What it is for, for messages.

    Raises:
        UsageError: Two values in it would run together, or it asks for more than names.
    """

    def __init__(self, text: str, what: str) -> None:
        self._what = what
        self._parts: list[tuple[str, tuple[str, ...]]] = []
        separators: set[str] = set()
        before = ""
        for literal, field, spec, conversion in _parsed(text, what):
            before += literal
            if field is None:
                continue
            if not _FIELD.fullmatch(field) or spec or conversion:
                raise UsageError(
                    f"{what} has a field that is no name: {{{field}}}",
                    hint="Use {name} or {name.attribute}, or a callable as the key",
                )
            if self._parts:
                between = {char for char in before if not char.isalnum()}
                if not between:
                    raise UsageError(
                        f"{what} has two values that would run together",
                        hint="Separate them, as in {first}:{second}",
                    )
                separators |= between
            self._parts.append((before, tuple(field.split("."))))
            before = ""
        self._end = before
        self._unsafe = re.compile(f"[{re.escape(''.join(separators))}%~\\s]")

    @property
    def asked(self) -> tuple[str, ...]:
        """The parameters whose values it takes."""
        return tuple(path[0] for _, path in self._parts)

    def __call__(self, arguments: Arguments) -> str:
        """As `CallId`."""
        parts = [literal + self._value(path, arguments) for literal, path in self._parts]
        return usable("".join(parts) + self._end)

    def _value(self, path: tuple[str, ...], arguments: Arguments) -> str:
        value = arguments[path[0]]
        for attribute in path[1:]:
            value = getattr(value, attribute)
        if isinstance(value, str) and type(value) is str:
            return self._quoted(value)
        if value is None or isinstance(value, bool):
            return _WORDS[value]
        if isinstance(value, Enum):
            return self._quoted(value.name)
        if type(value) in (int, float):
            return self._quoted(repr(value))
        if isinstance(value, (date, time, Decimal, UUID, PurePath)):
            return self._quoted(str(value))
        raise UsageError(
            f"{{{'.'.join(path)}}} in {self._what} is a {type(value).__qualname__}, "
            "which has no short text",
            hint="Name one of its attributes, or give a callable as the key",
        )

    def _quoted(self, text: str) -> str:
        if text.isprintable():
            return self._unsafe.sub(lambda found: _percent(found[0]), text)
        return "".join(
            _percent(char) if not char.isprintable() or self._unsafe.match(char) else char
            for char in text
        )


class Spoken:
    """The id that a callable of the caller's says.

    Args:
        chosen: The callable.
        what: What it is, for messages.
    """

    def __init__(self, chosen: Chosen, what: str) -> None:
        self._chosen = chosen
        self._what = what

    def __call__(self, arguments: Arguments) -> str:
        """As `CallId`."""
        said = self._chosen(arguments)
        if not isinstance(said, str):
            raise UsageError(f"{self._what} must return text, not a {type(said).__qualname__}")
        return usable(said)


def call_id(
    name: str,
    names: Collection[str],
    key: str | Callable[..., str] | None,
    ignore: Collection[str],
) -> CallId:
    """Return what makes the ids of calls of one function.

    Args:
        name: Of the function.
        names: Of its parameters.
        key: A template, a callable, or None for the default.
        ignore: Parameters that do not count.

    Raises:
        UsageError: It cannot be meant, or the key leaves out a parameter that counts.
    """
    if isinstance(ignore, str) or not set(ignore) <= set(names):
        raise UsageError(
            f"ignore= of {name} is {ignore!r}, which are not all parameters of it",
            hint=f"Name some of: {', '.join(names) or 'nothing, as there are none'}",
        )
    counted = [parameter for parameter in names if parameter not in ignore]
    if key is None:
        return CallText(name, counted)
    what = f"key= of {name}"
    made: CallId
    if isinstance(key, str):
        made = template = Template(key, what)
        asked = template.asked
        unknown = [parameter for parameter in asked if parameter not in names]
        if unknown:
            raise UsageError(
                f"{what} names {unknown[0]!r}, which is no parameter of it",
                hint=f"Name some of: {', '.join(names) or 'nothing, as there are none'}",
            )
    else:
        chosen = Chosen(key, names, what)
        made = Spoken(chosen, what)
        asked = chosen.asked
    forgotten = [parameter for parameter in counted if parameter not in asked]
    if forgotten:
        raise UsageError(
            f"{what} does not depend on {', '.join(map(repr, forgotten))}: "
            "calls that differ there would share an entry",
            hint="Use it in the key, or name it in ignore= if it does not change the result",
        )
    return made


def usable(text: str) -> str:
    """Return *text* if it can be an id, and else its digest."""
    # A text that looks like a digest could be that of another's text.
    fits = _fits(text) and not text.startswith(_DIGEST)
    return text if fits else f"{_DIGEST}{_digest(text)}"


def _fits(text: str) -> bool:
    return (
        text != ""
        and " " not in text
        and text.isprintable()
        and (len(text) if text.isascii() else len(text.encode())) <= LONGEST
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode(errors="surrogatepass"))


def _parsed(text: str, what: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(f"{what} is no template: {error}") from error
