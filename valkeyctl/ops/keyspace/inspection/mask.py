"""Secrets blotted out of what a person is shown: by the name of a field, or by their form.

Over-masking is the safe failure: a preview is for recognising a value, not for using it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

MASK = "***"

_ALWAYS = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    r"api[\s_-]?key",
    r"access[\s_-]?key",
    r"private[\s_-]?key",
    r"account[\s_-]?key",
    "authorization",
    "credential",
    "signature",
    "cookie",
)
_SECRET_NAME = re.compile(
    # `pass`, `auth` and `bearer` only as words of their own: `passage` and `author` are none.
    rf"{'|'.join(_ALWAYS)}|(?<![a-z])(?:pass|auth|bearer)(?![a-z])",
    re.IGNORECASE,
)
# Not the start of a longer word: `tokenizer` is none, `accessToken` and `API_TOKEN` are.
_TELLS_OF_TOKEN = r"[Tt]okens?(?![a-z])|TOKENS?(?![A-Z])"  # noqa: S105 - a pattern
_TOKEN_NAME = re.compile(_TELLS_OF_TOKEN)
# Not within a word, but right behind an escape of JSON that is cut off, such as `\n`.
_EDGE = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4}))"
_BARE = (
    (
        # To its end, or to where the text is cut off.
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r".*?(?:-----END [A-Z0-9 ]{0,64}-----|\Z)",
            re.DOTALL,
        ),
        f"{MASK} (a private key)",
    ),
    # A header's value has spaces and semicolons of its own.
    (
        re.compile(rf"{_EDGE}((?:set-)?cookie\s{{0,8}}:)\s{{0,8}}[^\r\n\"']+", re.IGNORECASE),
        rf"\1 {MASK}",
    ),
    (re.compile(rf"{_EDGE}(bearer)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    # OpenAI, Anthropic and those that took over their form; Stripe.
    (re.compile(rf"{_EDGE}([srp]k[-_])[\w-]{{8,}}"), rf"\1{MASK}"),
    # GitHub, GitLab, Slack, Hugging Face, Google, AWS (ids of keys, and temporary ones).
    (re.compile(rf"{_EDGE}(gh[a-z]_|github_pat_|glpat-|hf_)[\w-]{{8,}}"), rf"\1{MASK}"),
    (re.compile(rf"{_EDGE}(xox[a-z]-|xapp-)[\w-]{{8,}}"), rf"\1{MASK}"),
    (re.compile(rf"{_EDGE}(AIza|ya29\.)[\w.-]{{16,}}"), rf"\1{MASK}"),
    (re.compile(rf"{_EDGE}(A(?:KIA|SIA|GPA|IDA|ROA))[A-Z0-9]{{8,}}"), rf"\1{MASK}"),
    # A JSON web token, signed (three parts) or encrypted (five).
    (re.compile(rf"{_EDGE}eyJ[\w-]{{8,}}(?:\.[\w-]*){{1,4}}"), MASK),
    # To the last @ before the path: a password that was not escaped may have one, too. Cut
    # off before it, all but a port's digits may be one.
    (
        re.compile(r"(://[^\s:@/]{0,64}:)(?!\d{1,5}\Z)[^\s/\"'<>]{1,4096}(@|\Z)"),
        rf"\1{MASK}\2",
    ),
    # A token in the place of the user.
    (re.compile(r"(://)[^\s:@/\"'<>]{20,256}@"), rf"\1{MASK}@"),
)
# Starts at the telling word, not at the start of its name: a leading `\w*` would try
# every place of a long word, which takes time by the square of its length.
_PAIR = re.compile(
    rf"(?P<name>(?:{'|'.join(_ALWAYS)}|(?-i:{_TELLS_OF_TOKEN}))[\w-]{{0,32}})"
    r"(?P<link>\\*[\"']?\s{0,8}[:=]\s{0,8})"
    r"(?P<value>\\+\"[^\"]*\"?|\"(?:[^\"\\]|\\.)*\"?|'[^']*'?"
    r"|(?:(?:basic|digest|token|apikey|negotiate)\s+)?[^\s,;&}\]\"']+)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = re.compile(r"-?[\d.]+")
_DEEPEST = 32
_NAMES_OF_VALUES = ("name", "key", "header")


def mask_value(value: object, depth: int = 0) -> object:
    """Return *value* as JSON can hold it, with each secret in it replaced by ``***``.

    A string that is itself JSON, or holds a bearer token, a provider's key, a JSON web
    token, a private key or a URL with a password, is masked inside; so is a name. Bytes
    become text, in which what is not UTF-8 stays as one surrogate a byte. What nests
    deeper than 32 levels is left out.
    """
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return mask_text(value, depth)
    if isinstance(value, Mapping):
        return _mask_fields(value, depth)
    if isinstance(value, (list, tuple)):
        return _mask_items(value, depth)
    return value


def mask_text(text: str, depth: int = 0) -> str:
    """Return *text* with each secret in it replaced by ``***``; whole or cut-off JSON too."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.dumps(mask_value(json.loads(text), depth + 1), ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # not JSON, or cut off: masked as text below
    for form, replacement in _BARE:
        text = form.sub(replacement, text)
    return _PAIR.sub(_mask_pair, text)


def mask_named(name: str, text: str) -> str:
    """Return *text*, the value of a field called *name*, as far as it may be shown."""
    return MASK if is_secret_name(name) else mask_text(text)


def is_secret_name(name: str) -> bool:
    """Say whether a text field called *name* is taken for a secret."""
    return bool(_SECRET_NAME.search(name) or _TOKEN_NAME.search(name))


def _name(name: object) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)


def _mask_fields(fields: Mapping[object, object], depth: int) -> dict[str, object]:
    masked: dict[str, object] = {}
    met: dict[str, int] = {}
    # Headers are often kept as {"name": "authorization", "value": ...}.
    told = any(
        isinstance(fields.get(word), str) and is_secret_name(str(fields[word]))
        for word in _NAMES_OF_VALUES
    )
    for key, part in fields.items():
        name = _name(key)
        # A name may be a secret itself, as in a table of limits by API key.
        shown = mask_text(name, _DEEPEST)
        met[shown] = met.get(shown, 0) + 1
        if shown != name and met[shown] > 1:
            shown = f"{shown} ({met[shown]})"
        masked[shown] = MASK if told and name == "value" else _mask_field(name, part, depth)
    return masked


def _mask_items(items: Sequence[object], depth: int) -> list[object]:
    match items:
        case [str() | bytes() as name, str() | bytes()] if is_secret_name(_name(name)):
            return [_name(name), MASK]
    return [mask_value(part, depth + 1) for part in items]


def _mask_field(name: str, value: object, depth: int) -> object:
    if value is None:
        return None
    if _SECRET_NAME.search(name):
        return MASK
    if _TOKEN_NAME.search(name):
        # `max_tokens` is a number and no secret.
        return value if isinstance(value, (bool, int, float)) else MASK
    return mask_value(value, depth + 1)


def _mask_pair(found: re.Match[str]) -> str:
    name, link, value = found["name"], found["link"], found["value"]
    if name.lower().startswith("token") and _NUMBER.fullmatch(value):
        return found[0]
    quote = value[: len(value) - len(value.lstrip("\\\"'"))]
    return f"{name}{link}{quote}{MASK}{quote}"
