"""Ids of calls: readable, injective, and refused where an argument is forgotten."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.callid import LONGEST, Binder, CallId, Chosen, Template, call_id
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.errors import UsageError


async def load(name: str, /, size: int = 3, *parts: str, region: str = "eu", **more: str) -> None:
    """All kinds of parameters."""


async def plain(name: str, size: int = 3, *, region: str | None = None) -> None:
    """The usual kinds of parameters."""


def made(
    function: Callable[..., object],
    key: str | Callable[..., str] | None = None,
    ignore: tuple[str, ...] = (),
) -> Callable[..., str]:
    """Return what gives the id of a call of *function*."""
    bind = Binder(function)
    identify: CallId = call_id("app.f", bind.names, key, ignore)
    return lambda *args, **kwargs: identify(bind(args, kwargs))


def test_an_id_reads_like_the_call() -> None:
    """An operator sees what is cached."""
    assert made(plain)("gpt-x") == 'app.f(name="gpt-x",region=None,size=3)'


def test_it_does_not_matter_how_a_call_is_written() -> None:
    """By position or keyword, in any order, defaults given or left out: one entry."""
    identify = made(plain)

    ids = {
        identify("a"),
        identify(name="a"),
        identify("a", 3),
        identify(region=None, size=3, name="a"),
        identify("a", region=None),
    }

    assert len(ids) == 1


def test_each_argument_counts() -> None:
    """A difference in any of them is another entry, in its type too."""
    identify = made(load)

    ids = {
        identify("a"),
        identify("b"),
        identify("a", 4),
        identify("a", "3"),
        identify("a", 3, "x"),
        identify("a", 3, "x", "y"),
        identify("a", region="us"),
        identify("a", other="x"),
        identify("a", name="x"),
    }

    assert len(ids) == 9


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("a", 1, 2), {}),
        (("a",), {"unknown": 1}),
        (("a",), {"name": "b"}),
        (("a",), {"size": 1, "region": "x", "name": "b"}),
    ],
)
def test_a_wrong_call_is_a_type_error(args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """As it would be without the cache."""
    with pytest.raises(TypeError):
        made(plain)(*args, **kwargs)


@pytest.mark.parametrize("argument", ["two words", "x" * 300, "\x7f", "\ud800", "é" * 120])
def test_what_no_key_can_hold_is_a_digest(argument: str) -> None:
    """The function's name stays readable."""
    identified = made(plain)(argument)

    assert identified.startswith("app.f#")
    assert len(identified.encode()) <= LONGEST
    KeyScheme("a" * 40, shards=64).place("n" * 40, identified)


def test_a_text_beyond_ascii_stays_readable() -> None:
    """As long as it is printable and short."""
    assert made(plain)("münchen", region="")[:20] == 'app.f(name="münchen"'


def test_an_object_is_refused_by_the_name_of_its_argument() -> None:
    """And the hint says the way out."""
    with pytest.raises(UsageError, match=r"argument 'name' of app\.f cannot .* object") as caught:
        made(plain)(object())

    assert "ignore=('name',)" in str(caught.value.hint)


def test_what_is_ignored_does_not_count() -> None:
    """A session or a request is no part of the question."""
    identify = made(plain, ignore=("name",))

    assert identify(object()) == identify(object()) == "app.f(region=None,size=3)"


@pytest.mark.parametrize("ignore", [("nme",), "name"])
def test_a_wrong_ignore_is_told_at_once(ignore: tuple[str, ...]) -> None:
    """A misspelt name would leave the argument in, one string names its letters."""
    with pytest.raises(UsageError, match=r"ignore= of app\.f"):
        made(plain, ignore=ignore)


def test_a_template_says_the_id() -> None:
    """With attributes, where an argument is an object."""
    identify = made(plain, "model:{name.id}:{size}:{region}")

    assert identify(SimpleNamespace(id="gpt-x"), 4) == "model:gpt-x:4:~none"


class Colour(enum.Enum):
    RED = "r"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("gpt-4o/mini", "gpt-4o/mini"),
        ("two words", "two%20words"),
        ("a:b", "a%3Ab"),
        ("50%", "50%25"),
        ("~none", "%7Enone"),
        ("line\nbreak", "line%0Abreak"),
        ("\ud800", "%ED%A0%80"),
        ("münchen", "münchen"),
        ("", ""),
        (None, "~none"),
        (True, "~true"),
        (1.5, "1.5"),
        (Colour.RED, "RED"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_a_template_writes_values_so_that_they_stay_apart(value: object, text: str) -> None:
    """What separates them cannot be in them."""
    assert made(plain, "{name}:{size}:{region}")(value, 1) == f"{text}:1:~none"


@given(st.text(), st.text(), st.text(), st.text())
def test_two_calls_share_a_template_only_if_their_texts_are_the_same(
    one: str, two: str, three: str, four: str
) -> None:
    """However the texts are made up."""
    template = Template("x-{a}:y{b}-z", "key=")

    same = template({"a": one, "b": two}) == template({"a": three, "b": four})

    assert same == ((one, two) == (three, four))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name}{size}:{region}", "run together"),
        ("{name}x{size}:{region}", "run together"),
        ("{name}:{size!r}:{region}", "no name"),
        ("{name}:{size:03}:{region}", "no name"),
        ("{}:{size}:{region}", "no name"),
        ("{name[0]}:{size}:{region}", "no name"),
        ("{name:{size}:{region}", "no template|no name"),
        ("{nme}:{size}:{region}", "'nme', which is no parameter"),
        ("{name}:{size}", "does not depend on 'region'"),
        ("constant", "does not depend on 'name', 'size', 'region'"),
    ],
)
def test_a_template_that_could_mix_calls_up_is_refused(template: str, message: str) -> None:
    """When the function is decorated, not when the wrong answer is given."""
    with pytest.raises(UsageError, match=message):
        made(plain, template)


def test_what_a_template_cannot_write_is_refused_when_it_comes() -> None:
    """A list has no short text."""
    with pytest.raises(UsageError, match=r"\{name\} in key= of app\.f is a list"):
        made(plain, "{name}:{size}:{region}")(["a"])


def test_escaped_braces_are_braces() -> None:
    """As in any template."""
    assert made(plain, "{{{name}}}:{size}:{region}")("a") == "{a}:3:~none"


def test_a_callable_gets_the_arguments_that_it_names() -> None:
    """In any order, with those that it does not need left out by ignore."""
    identify = made(plain, lambda region, name, sep="/": f"{region}{sep}{name}", ("size",))

    assert identify("a", region="eu") == "eu/a"


def test_a_callable_with_stars_gets_all() -> None:
    """By name."""
    identify = made(plain, lambda **arguments: "-".join(sorted(arguments)))

    assert identify("a") == "name-region-size"


def any_of_them(*args: str) -> str:
    return args[0]


def by_position(name: str, size: int, /, region: str) -> str:
    return f"{name}{size}{region}"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (lambda other: other, "'other', which is no argument"),
        (any_of_them, "'args', which is no argument"),
        (by_position, "'name', which is no argument"),
        (lambda name: name, "does not depend on 'size', 'region'"),
        (max, "does not say its arguments"),
    ],
)
def test_a_callable_that_could_mix_calls_up_is_refused(
    key: Callable[..., str], message: str
) -> None:
    """When the function is decorated."""
    with pytest.raises(UsageError, match=message):
        made(plain, key)


def test_what_a_callable_says_must_be_text() -> None:
    """Not an object that would be printed."""
    with pytest.raises(UsageError, match="must return text, not a int"):
        made(plain, lambda size: size, ("name", "region"))("a")


@pytest.mark.parametrize("said", ["", "two words", "x" * 300])
def test_what_a_callable_says_is_made_usable(said: str) -> None:
    """A prompt may be the key."""
    assert made(plain, lambda **_: said)("a").startswith("sha256:")


def test_nobody_can_name_the_digest_of_anothers_text() -> None:
    """Else who knows a text could read what was stored for it."""
    identify = made(plain, lambda name: name, ("size", "region"))
    digest = identify("a secret prompt")

    assert identify(digest) != digest


def test_tags_get_the_arguments_too() -> None:
    """By name, as a key does."""
    chosen = Chosen(lambda region: [region], ("name", "region"), "tags=")

    assert chosen({"name": "a", "region": "eu"}) == ["eu"]
