"""Placeholders: filled in as their place needs it, and nothing else touched."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.bench.traffic.templates import Place, compile_template, is_json, placeholders
from valkeyctl.errors import UsageError

SIZES = ("size", "input_tokens")
KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@dataclass
class Given:
    """Placeholders that stand for what a test says."""

    key: str = "7"
    fresh_key: str = "7-run"
    prompt: str = 'Say "hi"\n'
    salt: str = ""
    sizes: dict[str, int] = field(default_factory=lambda: {"size": 5, "input_tokens": 12})

    def size(self, name: str) -> int:
        """Return what the test says."""
        return self.sizes[name]

    def filler(self, size: int) -> str:
        """Return so many letters."""
        return "x" * size


def fill(template: str, place: Place = "text", **given: str) -> str:
    """Return *template* with its placeholders filled in."""
    return compile_template(template, place, SIZES).fill(Given(**given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{key}", "7"),
        ("a{key}b{fresh_key}c{size}d", "a7b7-runc5d"),
        ("{text:3}|{text:size}|{text:1kb}", "xxx|xxxxx|" + "x" * 1024),
        ("{{key}}", "{key}"),
        ("{{text:5}}", "{text:5}"),
        ("{ {key}}", "{ 7}"),
        ("{}{ }{1}{Key}{key }{-}", "{}{ }{1}{Key}{key }{-}"),
        ('{"a": {"b": 1}}', '{"a": {"b": 1}}'),
        ("{{unknown}}", "{unknown}"),
    ],
)
def test_only_a_name_in_braces_is_a_placeholder(template: str, filled: str) -> None:
    """So that JSON can be written as it is, and a name in two pairs stands for itself."""
    assert fill(template) == filled


@pytest.mark.parametrize(
    ("template", "place", "said"),
    [
        ("{promt}", "text", r"unknown placeholder \{promt\}; did you mean \{prompt\}\?"),
        ("{zzz}", "text", r"allowed are \{key\}, .*\{size\}, .*\{text:SIZE\}, \{env:NAME\}"),
        ("{zzz}", "text", r"write \{\{zzz\}\} for the text itself"),
        ("{key:5}", "text", r"unknown placeholder \{key:5\}"),
        ("{text}", "text", r"unknown placeholder \{text\}"),
        ("{text:lots}", "text", r"\{text:lots\}: 'lots' is not a size.*scenario's sizes"),
        ("{text:1Gi}", "text", r"more than the 67,108,864 bytes"),
        ("{env:1X}", "text", r"\{env:1X\} names no variable"),
        ("{env:}", "header", r"names no variable"),
        ("{env:X}", "path", r"must not stand in a path"),
        ("{key:number}", "text", r"must be a whole value of JSON"),
        ('{"a": "x{key:number}"}', "json", r"must be a whole value of JSON"),
        ('{"a": "\\"{key:number}\\""}', "json", r"must be a whole value of JSON"),
        ('{"{key:number}": 1}', "json", r"must be a whole value of JSON"),
        ('{"a": "{prompt:number}"}', "json", r"is no number; only key and sizes are"),
    ],
)
def test_a_wrong_placeholder_is_named_with_what_is_allowed(
    template: str, place: Place, said: str
) -> None:
    """Before anything is sent, not in the thousandth request."""
    with pytest.raises(ValueError, match=said):
        compile_template(template, place, SIZES)


def test_a_number_in_json_is_no_text() -> None:
    """The quotes that YAML and JSON need around a placeholder go."""
    text = fill('{"n": "{size:number}", "t": "{size}", "k": ["{key:number}"]}', "json")

    assert json.loads(text) == {"n": 5, "t": "5", "k": [7]}


@pytest.mark.parametrize("key", ["user:1", "07", "-1", "1.5", "", "\u0665"])
def test_a_key_that_is_no_number_cannot_stand_for_one(key: str) -> None:
    """A trace's keys may be anything."""
    with pytest.raises(UsageError, match="no number"):
        fill('{"n": "{key:number}"}', "json", key=key or "x")


@given(KEYS)
def test_json_stays_json_whatever_is_filled_in(key: str) -> None:
    """Quotes, line ends, backslashes, emojis: what is read back is what was meant."""
    text = fill('{"a": "before {key} after", "{key}": [1]}', "json", key=key)

    assert json.loads(text) == {"a": f"before {key} after", key: [1]}


@given(KEYS)
def test_a_path_stays_one_path_whatever_is_filled_in(key: str) -> None:
    """A slash, a question mark or a blank in a key is no part of the path's form."""
    path = fill("/items/{key}?bytes=5", "path", key=key)

    assert path.isascii()
    assert path.isprintable()
    assert not set(" #") & set(path)
    assert (path.count("/"), path.count("?")) == (2, 1)
    assert unquote(path[len("/items/") : -len("?bytes=5")]) == key


@given(st.text(max_size=40))
def test_a_header_can_be_sent_whatever_is_filled_in(key: str) -> None:
    """A line end in a value would begin a header of its own."""
    value = fill("id {key}", "header", key=key.encode("utf-8", "ignore").decode())

    assert value.isascii()
    assert value.isprintable()


@given(st.text(alphabet='{}":key, \n\\', max_size=60))
def test_what_is_no_placeholder_stays_as_it_is(text: str) -> None:
    """Every character of the template is still there."""
    try:
        compiled = compile_template(text, "text", ())
    except ValueError:
        return
    if not compiled.names and "{{" not in text:
        assert compiled.fill(Given()) == text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"q": "{prompt}"}', True),
        ('{"n": {size}, "q": "{prompt}"}', True),
        ('["{key}"]', True),
        ('{"q": {prompt}}', False),
        ('{"q": {text:5}}', False),
        ("q={prompt}&n={size}", False),
        ('"{prompt}"', False),
        ("5", False),
        ("", False),
        ("[" * 100_000, False),
    ],
)
def test_a_body_is_json_when_it_is_once_filled_in(text: str, answer: bool) -> None:
    """Only then are values escaped for it."""
    assert is_json(text) is answer


def test_a_variable_of_the_environment_is_read_when_it_is_filled_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not when the scenario is read, so that nothing keeps it."""
    template = compile_template("Bearer {env:BENCH_TOKEN}", "header", ())
    monkeypatch.delenv("BENCH_TOKEN", raising=False)
    with pytest.raises(UsageError, match="needs the variable BENCH_TOKEN"):
        template.fill(Given())

    monkeypatch.setenv("BENCH_TOKEN", "hunter2")

    assert template.fill(Given()) == "Bearer hunter2"
    assert "hunter2" not in repr(template)


@pytest.mark.parametrize("value", ["line\nend", "\u00e9"])
def test_a_variable_that_cannot_be_sent_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """The message names it, and leaves its value out."""
    monkeypatch.setenv("BENCH_TOKEN", f"hunter2{value}")

    with pytest.raises(UsageError, match="BENCH_TOKEN is not printable") as caught:
        fill("{env:BENCH_TOKEN}", "header")

    assert "hunter2" not in str(caught.value)


def test_placeholders_are_listed_with_their_arguments() -> None:
    """Those that are literal text are none."""
    found = placeholders("{key}{text:5}{env:A}{{prompt}}{ x }")

    assert found == {("key", ""), ("text", "5"), ("env", "A")}
