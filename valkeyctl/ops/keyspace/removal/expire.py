"""Keys that would stay for ever: found, and given an end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from valkeyctl.caching.replies import Word
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, ServerReplyError, UsageError, ValkeyctlError
from valkeyctl.ops.keyspace.display import show_bytes
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.scan import Answer, Command, Page, Walker, escape_glob
from valkeyctl.ops.keyspace.scope import Scope, owner_of

JITTER = 0.1
"""Share of a TTL by which it is longer or shorter at random, so that keys go one by one."""

_SAMPLE_SHOWN = 5
_LONGEST_TTL = 100 * 365 * 86400.0  # the server counts in ms, and refuses what overflows


@dataclass(frozen=True)
class EndlessKeys:
    """The keys of one namespace that never expire.

    Attributes:
        namespace: Its name; empty for keys of the application that are in none.
        keys: Exact count.
        memory_bytes: What they take, by MEMORY USAGE of each.
        types: How many there are of each type, the most frequent first.
        sample: Up to five of them, as printable lines.
    """

    namespace: str
    keys: int
    memory_bytes: int
    types: Mapping[str, int]
    sample: tuple[str, ...]


@dataclass(frozen=True)
class ExpireReport:
    """What was found, and what became of it.

    Attributes:
        app: The application.
        namespaces: Those with keys that never expired, the largest in bytes first.
        found: How many keys these were.
        fixed: How many keys were given an expiry, by namespace; what was written meanwhile
            included.
        left: Keys in namespaces for which there is no TTL to give.
    """

    app: str
    namespaces: tuple[EndlessKeys, ...]
    found: int
    fixed: Mapping[str, int] = field(default_factory=dict)
    left: int = 0


@dataclass
class _Group:
    """What is known so far of one namespace."""

    keys: int = 0
    memory: int = 0
    types: Counter[str] = field(default_factory=Counter)
    sample: list[bytes] = field(default_factory=list)


def find_endless(
    endpoint: Endpoint,
    app: str,
    namespace: str | None = None,
    *,
    pace: Pace | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> ExpireReport:
    """Return the keys without expiry, by namespace; changes nothing.

    Versions, leases and the like are left out: they are not entries.

    Args:
        endpoint: Of any topology.
        app: The application.
        namespace: Only this one.
        pace: How hard to work the servers.
        progress: Told the fraction of the keyspace seen, and the keys found.

    Raises:
        InvalidKeyError: The application or namespace breaks the key rules.
        UnreachableError, AuthError, ServerReplyError: as `Walker.survey`.
    """
    glob = _glob(app, namespace)
    groups: dict[str, _Group] = {}
    found = 0
    with Walker(endpoint) as walker:
        for page in walker.survey(match=glob, pace=pace):
            found += _collect(page, groups)
            if progress:
                progress(page.visited, found)
    largest_first = sorted(groups.items(), key=lambda item: -item[1].memory)
    spaces = tuple(
        EndlessKeys(
            name,
            group.keys,
            group.memory,
            dict(group.types.most_common()),
            tuple(map(show_bytes, group.sample)),
        )
        for name, group in largest_first
    )
    return ExpireReport(app, spaces, found, left=found)


def give_expiry(
    endpoint: Endpoint,
    found: ExpireReport,
    ttl: Callable[[str], float | None],
    namespace: str | None = None,
    *,
    jitter: float = JITTER,
    pace: Pace | None = None,
    progress: Callable[[float, int], None] | None = None,
    rng: random.Random | None = None,
) -> ExpireReport:
    """Give each key without expiry one, and leave every other as it is.

    The server itself decides, by ``PEXPIRE ... NX``, so a key that has been given an
    expiry meanwhile keeps that one. Running it again does no harm.

    Args:
        endpoint: Of any topology.
        found: What `find_endless` returned.
        ttl: Gives the seconds for a namespace, or None to leave its keys.
        namespace: Only this one.
        jitter: Share, 0 to below 1, by which each TTL is longer or shorter at random.
        pace: How hard to work the servers.
        progress: Told the fraction of the keyspace seen, and the keys given an expiry.
        rng: Draws the jitter.

    Raises:
        UsageError: A TTL or the jitter is out of range.
        UnreachableError, AuthError, ServerReplyError: as `Walker.walk`; no change is known of.
        PartialError: It stopped in the middle; the message says how many were done.
    """
    if not 0 <= jitter < 1:
        raise UsageError(f"jitter is a share from 0 to below 1, not {jitter}")
    ttls = {space.namespace: ttl(space.namespace) for space in found.namespaces}
    for name, seconds in ttls.items():
        if seconds is not None and not 0 < seconds < _LONGEST_TTL:
            raise UsageError(f"a ttl is above zero and at most 100 years, not {seconds} s ({name})")
    giver = _Giver({name: s for name, s in ttls.items() if s is not None}, jitter, rng)
    try:
        with Walker(endpoint) as walker:
            glob = _glob(found.app, namespace)
            for batch in walker.walk(match=glob, follow=giver.commands, pace=pace):
                giver.count(batch.keys, batch.answers)
                if progress:
                    progress(batch.visited, giver.fixed.total())
    except (ValkeyctlError, KeyboardInterrupt) as error:
        if not giver.fixed.total():
            raise
        why = str(error) if isinstance(error, ValkeyctlError) else "interrupted"
        where = f" {namespace}" if namespace else ""
        raise PartialError(
            f"at least {giver.fixed.total():,} keys of {found.app} were given an expiry, then it "
            f"stopped ({why})",
            hint=f"Run it again for the rest: valkeyctl keys expire{where} --app {found.app} --yes",
        ) from error
    left = sum(space.keys for space in found.namespaces if ttls[space.namespace] is None)
    return ExpireReport(found.app, found.namespaces, found.found, dict(giver.fixed), left)


class _Giver:
    """Gives the keys of some namespaces an expiry, and counts them."""

    def __init__(self, ttls: Mapping[str, float], jitter: float, rng: random.Random | None) -> None:
        self.fixed: Counter[str] = Counter()
        self._ttls = ttls
        self._jitter = jitter
        self._rng = rng or random.Random()

    def commands(self, keys: list[bytes]) -> list[Command]:
        """Return one command for each of *keys* that is to be given an expiry."""
        return [
            ("PEXPIRE", key, self._lifetime_ms(self._ttls[name]), "NX")
            for key, name in self._meant(keys)
        ]

    def count(self, keys: list[bytes], answers: list[Answer]) -> None:
        """Count what the answers to `commands` for *keys* confirm.

        Raises:
            ServerReplyError: The server refused one; those before it are counted.
        """
        for (_, name), answer in zip(self._meant(keys), answers, strict=True):
            if isinstance(answer, ServerReplyError):
                raise answer
            if answer == 1:
                self.fixed[name] += 1

    def _meant(self, keys: list[bytes]) -> list[tuple[bytes, str]]:
        named = ((key, _namespace_of(key)) for key in keys)
        return [(key, name) for key, name in named if name is not None and name in self._ttls]

    def _lifetime_ms(self, seconds: float) -> Word:
        return max(1, round(seconds * 1000 * self._rng.uniform(1 - self._jitter, 1 + self._jitter)))


def _glob(app: str, namespace: str | None) -> bytes:
    prefix = escape_glob(Scope(app, namespace).prefix)
    # What begins with ~ is no entry; see `caching.keys`.
    return prefix + (b"[^~]*" if namespace is None else b"*")


def _namespace_of(key: bytes) -> str | None:
    """Return the namespace of an application's key, empty if in none; None of a control key."""
    owner = owner_of(key)
    if owner is None:
        return ""
    return None if owner.control else owner.namespace


def _collect(page: Page, groups: dict[str, _Group]) -> int:
    found = 0
    for place, pttl in enumerate(page.pttl):
        if pttl != -1:
            continue
        key = page.keys[place]
        name = _namespace_of(key)
        if name is None:
            continue
        found += 1
        group = groups.setdefault(name, _Group())
        group.keys += 1
        group.memory += page.memory[place]
        group.types[page.odd.get(place, b"string").decode("utf-8", "replace")] += 1
        if len(group.sample) < _SAMPLE_SHOWN:
            group.sample.append(key)
    return found
