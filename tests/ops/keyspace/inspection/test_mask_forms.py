"""Whatever surrounds a secret of a known form, no preview shows it."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.ops.keyspace.inspection.mask import MASK, mask_named, mask_text, mask_value

_WORD = string.ascii_letters + string.digits
_UPPER = string.ascii_uppercase + string.digits


def _random(alphabet: str, size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=size, max_size=size)


# Prefix, and the part that must never be seen.
FORMS = {
    "openai": ("sk-proj-", _random(_WORD + "_-", 48)),
    "openai, old": ("sk-", _random(_WORD, 48)),
    "anthropic": ("sk-ant-api03-", _random(_WORD + "_-", 93)),
    "stripe": ("sk_live_", _random(_WORD, 24)),
    "github": ("ghp_", _random(_WORD, 36)),
    "github, of an app": ("ghs_", _random(_WORD, 36)),
    "github, fine-grained": ("github_pat_", _random(_WORD + "_", 82)),
    "gitlab": ("glpat-", _random(_WORD + "_-", 20)),
    "hugging face": ("hf_", _random(_WORD, 34)),
    "slack": ("xoxb-", _random(string.digits + "-", 40)),
    "google": ("AIza", _random(_WORD + "_-", 35)),
    "aws": ("AKIA", _random(_UPPER, 16)),
    "aws, temporary": ("ASIA", _random(_UPPER, 16)),
    "web token": ("eyJ", _random(_WORD, 30).map(lambda part: f"{part}.{part[::-1]}.{part}")),
    "encrypted web token": ("eyJ", _random(_WORD, 30).map(lambda part: ".".join([part] * 5))),
    "bearer": ("Bearer ", _random(_WORD + "._~+/", 30)),
    "url": ("redis://user:", _random(_WORD + "!$%:@", 16).map(lambda word: f"{word}@db:6379/0")),
    "private key": (
        "-----BEGIN RSA PRIVATE KEY-----\n",
        _random(_WORD + "+/\n", 200).map(lambda key: f"{key}\n-----END RSA PRIVATE KEY-----"),
    ),
}
_BEFORE = st.sampled_from(["", " ", "key ", "\n", '"', "'", "=", ":", "(", "é", "https://x/?q="])
_AFTER = st.sampled_from(["", " ", "\n", '"', "'", ",", ")", " and more"])


def _hidden(secret: str) -> list[str]:
    """Return the parts of *secret* that are long enough to be of use to anybody."""
    body = secret.partition("@db")[0].partition("\n-----END")[0]
    return [body[at : at + 8] for at in range(0, len(body) - 7, 8)]


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_a_secret_is_hidden_wherever_it_stands(form: str, data: st.DataObject) -> None:
    """In text, as a value or a name of an object, in JSON within JSON, whole or cut off."""
    prefix, strategy = FORMS[form]
    secret = data.draw(strategy)
    text = data.draw(_BEFORE) + prefix + secret + data.draw(_AFTER)
    document = {"outer": [{"note": text, text: 1}], "inner": json.dumps({"a": text})}
    written = json.dumps(document, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(1, 12))

    shown = [
        mask_text(text),
        json.dumps(mask_value(document), ensure_ascii=False),
        mask_text(written),
        mask_text(text[: len(text) - cut]),
        mask_text(written[: len(written) - cut]),
        mask_named("note", text),
    ]

    for one in shown:
        for part in _hidden(secret):
            assert part not in one
            assert json.dumps(part)[1:-1] not in one


@given(
    name=st.sampled_from(
        [
            *("GITHUB_TOKEN", "authtoken", "tokenValue", "X-Auth", "pass", "PWD", "api key"),
            *("accountKey", "X-Amz-Signature", "AWS_SECRET_ACCESS_KEY", "SESSION-COOKIE"),
        ]
    ),
    secret=st.text(_WORD + "+/=;. ", min_size=12, max_size=60).filter(str.strip),
)
def test_a_telling_name_hides_any_value(name: str, secret: str) -> None:
    """In an object, a field of a hash, and the two ways that lists of headers are kept."""
    shown = [
        json.dumps(mask_value({name: secret})),
        json.dumps(mask_value([{"name": name, "value": secret}])),
        json.dumps(mask_value([[name, secret]])),
        mask_text(json.dumps({"headers": {name: secret}})),
        mask_named(name, secret),
    ]

    assert all(secret not in one for one in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Cookie: a=b; session=c1d2", f"Cookie: {MASK}"),
        ("curl -H 'Set-Cookie: a=b; c=d' http://x", f"curl -H 'Set-Cookie: {MASK}' http://x"),
        ("GITHUB_TOKEN=abc", f"GITHUB_TOKEN={MASK}"),
        ("https://x/?sig=1&Signature=abc%2F&n=1", f"https://x/?sig=1&Signature={MASK}&n=1"),
        ("https://0123456789abcdef0123@host/x", f"https://{MASK}@host/x"),
    ],
)
def test_headers_variables_and_urls_lose_only_their_secret(text: str, shown: str) -> None:
    """What stands around it stays readable."""
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "task-force-one meets at desk-number-twelve",
        "the tokenizer of the author passes a passage",
        "https://example.com:8080/a@b",
        "see scikit-learn, AKI and eyJ",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """A preview is for recognising a value."""
    assert mask_text(text) == text


def test_names_that_are_masked_alike_stay_apart() -> None:
    """A table by API key keeps its rows."""
    table = {f"sk-{'x' * 20}{number}": number for number in range(3)}

    assert mask_value(table) == {"sk-***": 0, "sk-*** (2)": 1, "sk-*** (3)": 2}
