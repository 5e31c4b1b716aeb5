"""What the gateway reads of a chat request: the few fields it acts on, no more.

The body goes to the provider byte by byte, so unknown fields pass, and whatever a
provider may answer differently about is left to the provider.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from valkeyctl.gateway.failures import wrong

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True)
class ChatRequest:
    """A checked chat request.

    Attributes:
        model: As the caller names it.
        stream: Whether the caller wants server-sent events.
        include_usage: Whether the last event of a stream reports the tokens.
        max_tokens: Most tokens of the answer; None when the caller sets no bound.
        choices: How many answers the caller wants.
        user: Whom the caller asks for, in its own words; empty when it does not say.
        document: The whole body, parsed.
        ambiguous: An object in the body has one name twice; who reads which value is
            open, so its answer is nobody else's.
    """

    document: dict[str, Json] = field(repr=False)
    ambiguous: bool
    user: str
    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    choices: int


def read_chat(body: bytes) -> ChatRequest:
    """Return the fields of the chat request in *body* that the gateway acts on.

    Raises:
        RequestFailure: 400; it is not JSON, or one of these fields has a wrong type.
    """
    document, ambiguous = _document(body)
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise wrong("'model' must be a non-empty string", param="model")
    _check_messages(document.get("messages"))
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise wrong("'stream_options' must be an object", param="stream_options")
    include_usage = _flag(options or {}, "include_usage", "stream_options.include_usage")
    # The newer name wins, as it does at the provider.
    bound = _count(document, "max_completion_tokens")
    user = document.get("user")
    if user is not None and not isinstance(user, str):
        raise wrong("'user' must be a string", param="user")
    return ChatRequest(
        document=document,
        ambiguous=ambiguous,
        user=user or "",
        model=model,
        stream=_flag(document, "stream", "stream"),
        include_usage=include_usage,
        max_tokens=_count(document, "max_tokens") if bound is None else bound,
        choices=_count(document, "n") or 1,
    )


def _document(body: bytes) -> tuple[dict[str, Json], bool]:
    ambiguous = False

    def collect(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        nonlocal ambiguous
        members = dict(pairs)
        ambiguous = ambiguous or len(members) != len(pairs)
        return members

    try:
        # Decoded first: json.loads would take UTF-16 and UTF-32 too, which the provider
        # does not, and which would give one request two texts.
        document: Json = json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=collect
        )
    except UnicodeDecodeError as error:
        raise wrong("the body is not UTF-8", code="invalid_json") from error
    except RecursionError as error:
        raise wrong("the body is nested too deep", code="invalid_json") from error
    except ValueError as error:
        # The text of the error may quote the body, so only the place is repeated.
        place = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise wrong(f"the body is not JSON{place}", code="invalid_json") from error
    if not isinstance(document, dict):
        raise wrong("the body must be a JSON object", code="invalid_json")
    return document, ambiguous


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_messages(messages: Json) -> None:
    if not isinstance(messages, list) or not messages:
        raise wrong("'messages' must be a non-empty array", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise wrong(
                f"'messages[{index}]' must be an object with a 'role'", param=f"messages[{index}]"
            )


def _flag(document: dict[str, Json], name: str, param: str) -> bool:
    value = document.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong(f"'{param}' must be true or false", param=param)
    return value


def _count(document: dict[str, Json], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    # bool is an int in Python, not in JSON.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise wrong(f"'{name}' must be a whole number above zero", param=name)
    return value
