"""Secrets blotted out of what a person is shown: by the name of a field, or by their form.

Over-masking is the safe failure: a preview is for recognising a value, not for using it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

MASK = "***"

_ALWAYS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "api[_-]?key",
    "access[_-]?key",
    "private[_-]?key",
    "authorization",
    "credential",
    "cookie",
)
_SECRET_NAME = re.compile("|".join(_ALWAYS), re.IGNORECASE)
# As a word of its own, not the start of one: `tokenizer` is none.
_TOKEN_NAME = re.compile(r"(?:^|[^a-z])tokens?(?![a-z])|Tokens?(?![a-z])")
_BARE = (
    (re.compile(r"\b(bearer)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"\bsk-[\w-]{8,}"), f"sk-{MASK}"),  # the form of most providers' keys
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), MASK),  # a JSON web token
    (re.compile(r"(://[^\s:@/]{0,64}:)[^\s@/]+@"), rf"\1{MASK}@"),
)
# Starts at the telling word, not at the start of its name: a leading `\w*` would try
# every place of a long word, which takes time by the square of its length.
_PAIR = re.compile(
    rf"(?P<name>(?:{'|'.join(_ALWAYS)}|tokens?(?![a-z]))[\w-]{{0,32}})"
    r"(?P<link>\\*[\"']?\s{0,8}[:=]\s{0,8})"
    r"(?P<value>\\+\"[^\"]*\"?|\"(?:[^\"\\]|\\.)*\"?|'[^']*'?"
    r"|(?:(?:basic|digest|token)\s+)?[^\s,;&}\]\"']+)",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = re.compile(r"-?[\d.]+")
_DEEPEST = 32


def mask_value(value: object, depth: int = 0) -> object:
    """Return *value* as JSON can hold it, with each secret in it replaced by ``***``.

    A string that is itself JSON, or holds a bearer token, a provider's key, a JSON web
    token or a URL with a password, is masked inside. Bytes become text, in which what is
    not UTF-8 stays as one surrogate a byte. What nests deeper than 32 levels is left out.
    """
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return mask_text(value, depth)
    if isinstance(value, Mapping):
        named = ((_name(name), part) for name, part in value.items())
        return {name: _mask_field(name, part, depth) for name, part in named}
    if isinstance(value, (list, tuple)):
        return [mask_value(part, depth + 1) for part in value]
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
