"""The cache of LLM answers: equal requests of one scope get the stored answer.

A request is its JSON body. Two bodies are the same request when they are equal as
JSON, the order of object members aside, after `IGNORED` top-level fields are taken
away: those change how an answer travels or is accounted, never what it says.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from valkeyctl.caching.cache import CacheService
from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.observer import Observer
from valkeyctl.caching.policy import DEFAULT_POLICIES, NamespacePolicy
from valkeyctl.errors import UsageError

SCHEMA = 1
IGNORED = frozenset(
    {
        "cache",
        "metadata",
        "prompt_cache_key",
        "service_tier",
        "stream",
        "stream_options",
        "user",
    }
)
# Answers that go on elsewhere, in the provider's memory.
_STATEFUL = ("background", "conversation", "previous_response_id", "store")
_FINISHED = frozenset({"function_call", "length", "stop", "tool_calls"})
_STOPPED = frozenset({"end_turn", "max_tokens", "stop_sequence", "tool_use"})

Body = Mapping[str, object]


@dataclass(frozen=True)
class Answer:
    """An answer and where it came from.

    Attributes:
        body: The provider's JSON body.
        outcome: ``hit``, ``stale``, ``miss`` and ``collapsed`` as `Lookup`; ``bypass``: the request
            asks for state, so the cache was left out.
        age: Seconds since it was stored; None unless a hit.
        ttl: Seconds that the entry has left; None when nothing is stored.
        digest: What the request is stored under; hexadecimal SHA-256.
    """

    body: dict[str, object]
    outcome: Literal["hit", "stale", "miss", "collapsed", "bypass"]
    age: float | None
    ttl: float | None
    digest: str


class ResponseCache:
    """Answers of a provider, by canonical request.

    Args:
        client: The connection.
        app: First part of every key.
        policy: How long answers live; None takes the default of ``response``.
        namespace: Second part of every key.
        budget: Seconds that the server may cost a read or a write.
        rng: Source of the ttl's jitter.
        observers: Who hears what happens.

    Raises:
        InvalidKeyError: The application's name breaks the rule.
    """

    def __init__(
        self,
        client: ValkeyClient,
        *,
        app: str,
        policy: NamespacePolicy | None = None,
        namespace: str = "response",
        budget: float = 0.025,
        rng: random.Random | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.namespace = namespace
        self.cache = CacheService(
            client,
            app=app,
            policies={namespace: policy or DEFAULT_POLICIES["response"]},
            budget=budget,
            rng=rng,
            observers=observers,
        )

    async def complete(
        self,
        request: Body,
        call: Callable[[], Awaitable[Body]],
        *,
        scope: str,
        origin: str = "",
        ttl: float | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return the stored answer to *request*, or what *call* returns, which is then stored.

        Only complete answers are stored: every choice came to its own end (or its
        length), was not filtered, and there is no error.

        Args:
            request: The provider's JSON body.
            call: Async callable without arguments that asks the provider, on a miss.
            scope: Who may share the answer, such as a user or a tenant.
            origin: What else decides the answer: the protocol and address of the provider.
            ttl: Seconds to live, exactly; None takes the policy's, with its jitter.
            refresh: Ask the provider even where an answer is stored; its new one is stored.

        Raises:
            UsageError: The request is no JSON body.
            Exception: What *call* raised.
        """
        key = digest(request, scope=scope, origin=origin)
        if any(request.get(field) not in (None, False) for field in _STATEFUL):
            return Answer(dict(await call()), "bypass", None, None, key)

        async def load() -> dict[str, object]:
            return dict(await call())

        found = await self.cache.fetch(
            self.namespace, key, load, ttl=ttl, keep=finished, refresh=refresh
        )
        return Answer(found.value, found.outcome, found.age, found.ttl, key)

    async def invalidate(self) -> None:
        """Forget every answer of this application, at constant cost.

        Raises:
            ValkeyctlError: As `CacheService.invalidate`.
        """
        await self.cache.invalidate(self.namespace)


def digest(request: Body, *, scope: str, origin: str = "") -> str:
    """Return the hexadecimal SHA-256 that *request* is stored under.

    Raises:
        UsageError: The request is no JSON body: a key that is no string, NaN, an object.
    """
    body = {name: value for name, value in request.items() if name not in IGNORED}
    _require_json(body)
    canonical = json.dumps(
        {"schema": SCHEMA, "scope": scope, "origin": origin, "body": body},
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def finished(answer: Body) -> bool:
    """Say whether *answer* came to its end and may be given to others.

    Knows the bodies of OpenAI chat and text completions, OpenAI responses, and
    Anthropic messages; anything else is not finished.
    """
    if answer.get("error") is not None:
        return False
    choices = answer.get("choices")
    if isinstance(choices, list):
        return bool(choices) and all(
            isinstance(choice, Mapping) and choice.get("finish_reason") in _FINISHED
            for choice in choices
        )
    if answer.get("type") == "message":
        return answer.get("stop_reason") in _STOPPED
    return answer.get("object") == "response" and answer.get("status") == "completed"


def _require_json(value: object) -> None:
    """Refuse what JSON would silently turn into something equal to another request."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                raise UsageError(f"a request has the key {key!r}, which is no string")
            _require_json(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            _require_json(part)
    elif isinstance(value, float):
        if not float("-inf") < value < float("inf"):
            raise UsageError(f"a request has the number {value}, which JSON has not")
    elif not (value is None or isinstance(value, (str, int))):
        raise UsageError(f"a request has a {type(value).__name__}, which JSON has not")
