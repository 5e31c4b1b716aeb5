"""One request made from its template: what the placeholders of a key stand for."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b, shake_128
from math import exp
from statistics import NormalDist
from typing import NamedTuple

from valkeyctl.bench.arm import Pairs
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.scenario import Expectation, RequestTemplate, Sizes
from valkeyctl.bench.traffic.templates import Values, compile_template, is_json

_WORDS = tuple(
    "cache server answer prompt token model memory latency namespace value replica schedule "  # noqa: SIM905 - one word a line reads worse
    "arrival window budget policy shard cluster session stream request header block trace round "
    "sample arm rate limit queue worker reader writer epoch digest lease quota index cursor".split()
)
# Four words for each value of a byte, so that ten bytes of a digest are forty words.
_PROMPT_PHRASES = 10
_PHRASES = tuple(
    " ".join(_WORDS[byte * step % len(_WORDS)] for step in (1, 5, 11, 17)) for byte in range(256)
)
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the stream.

    Attributes:
        index: Its place in the stream, from 0.
        key: What it asks for; equal for requests that a cache may answer alike.
        kind: Index in the scenario's requests.
        method: HTTP method.
        path: Below the arm's base URL.
        body: What is sent.
        headers: Sent beside it.
        expect: What makes its answer right, placeholders filled in.
        due: Seconds after the stream's start at which it arrives; None in a closed loop.
    """

    index: int
    key: int
    kind: int
    method: str
    path: str
    body: bytes = field(repr=False)
    headers: Pairs = field(repr=False)
    expect: Expectation
    due: float | None = None


class Made(NamedTuple):
    """What all requests of one kind for one key have in common; a tuple is quickly made."""

    method: str
    path: str
    body: bytes
    headers: Pairs
    expect: Expectation


class Maker:
    """Fills in the placeholders of the scenario's requests.

    Args:
        plan: Its scenario and seed decide every text.
        salt: Goes into every text that is to be of this run alone.
        compared: Whether answers for one key may be held against each other.
    """

    def __init__(self, plan: Plan, salt: str, *, compared: bool = True) -> None:
        scenario = plan.scenario
        self._templates = tuple(
            _Compiled(one, scenario.sizes, compared=compared) for one in scenario.requests
        )
        self._sizes = scenario.sizes
        self.seed = plan.seed
        self.salt = salt
        self.of_the_run = f" ({salt})" if salt else ""
        # Short, and fit for a path whatever the salt holds.
        self.tag = f"-{blake2b(salt.encode(), digest_size=5).hexdigest()}" if salt else ""

    def make(self, kind: int, key: str, known: Mapping[str, int] | None = None) -> Made:
        """Return the request of *kind* that asks for *key*.

        Args:
            kind: Index in the scenario's requests.
            key: What ``{key}`` stands for.
            known: Sizes that are not drawn, as a trace gives them.

        Raises:
            UsageError: A variable of the environment is not set.
        """
        return self._templates[kind].fill(_OfTheKey(self, key, known or {}))

    def size(self, name: str, key: str) -> int:
        """Return what is drawn for *key* from the distribution of sizes called *name*."""
        return drawn_size(self._sizes[name], name, self.seed, key)


def drawn_size(sizes: Sizes, name: str, seed: int, key: str) -> int:
    """Return what is drawn for *key* from *sizes*, which the scenario calls *name*."""
    if not sizes.sigma:
        return max(1, min(sizes.most, round(sizes.median)))
    text = f"{seed} {name} {key}".encode()
    # 48 bits and a half, so that it is never 0 or 1, where the quantile is infinite.
    drawn = int.from_bytes(blake2b(text, digest_size=6).digest())
    normal = _NORMAL.inv_cdf((drawn + 0.5) / 2**48)
    return max(1, min(sizes.most, round(sizes.median * exp(sizes.sigma * normal))))


class _OfTheKey:
    """The `Values` of one key."""

    __slots__ = ("_known", "_maker", "key")

    def __init__(self, maker: Maker, key: str, known: Mapping[str, int]) -> None:
        self._maker = maker
        self._known = known
        self.key = key

    @property
    def fresh_key(self) -> str:
        return self.key + self._maker.tag

    @property
    def prompt(self) -> str:
        maker, key = self._maker, self.key
        digest = blake2b(f"{maker.seed} {key}".encode(), digest_size=_PROMPT_PHRASES).digest()
        words = " ".join([_PHRASES[byte] for byte in digest])
        return f"Question {key} of set {maker.seed}{maker.of_the_run}: {words}?"

    @property
    def salt(self) -> str:
        return self._maker.salt

    def size(self, name: str) -> int:
        known = self._known.get(name)
        return self._maker.size(name, self.key) if known is None else known

    def filler(self, size: int) -> str:
        seed = f"{self._maker.seed} {self._maker.salt} {self.key}".encode()
        # Four letters for three bytes; as good as random, so that nothing can shrink it.
        raw = shake_128(seed).digest(size * 3 // 4 + 3)
        return urlsafe_b64encode(raw)[:size].decode("ascii")


class _Compiled:
    """A request's templates, ready to be filled in."""

    def __init__(
        self, request: RequestTemplate, sizes: Mapping[str, Sizes], *, compared: bool
    ) -> None:
        body, expect = request.body, request.expect
        self._method = request.method
        self._path = compile_template(request.path, "path", sizes)
        self._body = compile_template(body, "json" if is_json(body) else "text", sizes)
        self._headers = tuple(
            (name, compile_template(value, "header", sizes)) for name, value in request.headers
        )
        self._expect = replace(expect, same_for_key=expect.same_for_key and compared)
        self._contains = compile_template(expect.contains, "text", sizes)
        self._values = tuple(
            (path, compile_template(value, "json", sizes)) for path, value in expect.json
        )
        # Most expectations are the same for every key; one object serves them all.
        self._same: Expectation | None = None
        self._differ = any(
            one.names for one in (self._contains, *(value for _, value in self._values))
        )

    def fill(self, values: Values) -> Made:
        expect = self._same
        if expect is None:
            expect = self._filled(values)
            if not self._differ:
                self._same = expect
        return Made(
            self._method,
            self._path.fill(values),
            self._body.fill(values).encode(),
            tuple([(name, value.fill(values)) for name, value in self._headers]),
            expect,
        )

    def _filled(self, values: Values) -> Expectation:
        expect = self._expect
        return Expectation(
            status=expect.status,
            contains=self._contains.fill(values),
            json=tuple((path, value.fill(values)) for path, value in self._values),
            matches=expect.matches,
            min_bytes=expect.min_bytes,
            max_bytes=expect.max_bytes,
            same_for_key=expect.same_for_key,
            said=expect.contains if self._contains.names else "",
        )
