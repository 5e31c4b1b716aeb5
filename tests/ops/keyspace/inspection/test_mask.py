"""No preview shows a secret, and what is none stays readable."""

from __future__ import annotations

import json
import time

import pytest

from valkeyctl.ops.keyspace.inspection.mask import MASK, is_secret_name, mask_text, mask_value

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "Authorization",
        "api_key",
        "apiKey",
        "x-api-key",
        "client_secret",
        "token",
        "access_token",
        "accessToken",
        "refreshTokens",
        "Set-Cookie",
        "private_key",
    ],
)
def test_the_value_of_a_secret_field_is_masked(name: str) -> None:
    """By name, at any depth, in a mapping as in the text of one."""
    document = {"outer": [{name: SECRET, "model": "gpt-x"}]}

    assert mask_value(document) == {"outer": [{name: MASK, "model": "gpt-x"}]}
    assert SECRET not in mask_text(json.dumps(document))
    assert SECRET not in mask_text(json.dumps(document)[:-5])
    assert SECRET not in mask_text(f"{name}={SECRET}&model=gpt-x")


@pytest.mark.parametrize("name", ["max_tokens", "total_tokens", "token_count", "maxTokens"])
def test_a_number_of_tokens_is_no_secret(name: str) -> None:
    """What an LLM's usage counts stays readable."""
    assert mask_value({name: 128}) == {name: 128}
    assert mask_text(f'{{"{name}": 128, "cut": "o') == f'{{"{name}": 128, "cut": "o'


@pytest.mark.parametrize("name", ["tokenizer", "author", "passage", "model", "secrecy"])
def test_an_ordinary_name_is_no_secret(name: str) -> None:
    """Only a name that tells of a secret hides its value."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-123", f"Authorization: {MASK} {MASK}"),
        ("say bearer abcdefgh to it", f"say bearer {MASK} to it"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: {MASK}"),
        ("key sk-proj-abcdefgh1234 here", f"key sk-{MASK} here"),
        ("redis://user:hunter2@db:6379/0", f"redis://user:{MASK}@db:6379/0"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln", MASK),
        ("nothing to hide: 12", "nothing to hide: 12"),
    ],
)
def test_secrets_are_known_by_their_form(text: str, shown: str) -> None:
    """Bearer strings, provider keys, web tokens and passwords in URLs, wherever they stand."""
    assert mask_text(text) == shown


def test_json_in_a_string_of_json_is_masked() -> None:
    """A request body kept as a string inside another document is read too."""
    inner = json.dumps({"api_key": SECRET})

    assert SECRET not in json.dumps(mask_value({"body": inner}))
    assert SECRET not in mask_text(json.dumps({"body": inner})[:-1])


@pytest.mark.parametrize("end", range(20, 60))
def test_a_secret_that_is_cut_off_is_masked(end: int) -> None:
    """Text cut inside of a secret shows none of it."""
    text = json.dumps({"a": 1, "password": r'hun"ter\2' * 20})[:end]

    assert "hun" not in mask_text(text)


def test_a_nested_bomb_is_cut_short() -> None:
    """A thousand levels of lists neither crash nor hang the preview."""
    bomb = "[" * 100_000 + "]" * 100_000
    nested: list[object] = []
    for _ in range(900):
        nested = [nested]

    assert len(json.dumps(mask_value(nested))) < 200
    assert mask_text(bomb) == bomb


@pytest.mark.parametrize("text", ["a" * 300_000, "token" * 60_000, "x:" * 150_000, "://" * 100_000])
def test_long_text_takes_linear_time(text: str) -> None:
    """No text makes the search for secrets take the square of its length."""
    started = time.process_time()

    mask_text(text)

    assert time.process_time() - started < 0.5
