"""No read returns what an invalidation, a set or a delete that has returned has ended.

A state machine drives three processes, which are clients here, against a real server:
reads and writes of one and of many, loads that stay in the air while other things
happen, loads that fail or are cancelled, entries that become stale or expired by their
age, lost versions, leases, scripts and subscriptions, and much of that at the same
time. Each value is a number whose birth the model remembers: a set's when it was
called, a load's when its loader began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.endpoint import Endpoint

T = TypeVar("T")

TTL = 60.0
POLICIES = {
    "plain": NamespacePolicy(TTL, jitter=0),
    "stale": NamespacePolicy(TTL, jitter=0, stale=1000),
    "error": NamespacePolicy(TTL, jitter=0, stale=100, stale_if_error=1000),
}
# What goes wrong needs several things to happen to the same entry, so most of them do.
WHO = st.sampled_from([0, 0, 1, 1, 2])
NAMESPACES = st.sampled_from(["stale", "stale", "stale", "plain", "error"])
IDS = st.sampled_from(["a", "a", "a", "a", "b"])
TAGS = st.sampled_from([["red"], ["red"], ["red"], [], ["red", "blue"]])
# As often as it is to happen.
HOW = st.sampled_from(
    [
        *("get", "get", "get_many", "set", "set", "delete", "invalidate", "invalidate_tag"),
        *("age", "age", "expire", "begin", "begin", "begin", "begin", "begin_many", "begin_many"),
        *("end", "end", "end", "end", "fail", "cancel", "anew", "lose_version", "lose_tag"),
        *("lose_lease", "flush_scripts", "kill_subscriptions"),
    ]
)
# Which of the loads in the air; as many as there may be.
WHICH = st.integers(0, 5)
ACTS = st.tuples(HOW, WHO, NAMESPACES, IDS, TAGS, WHICH)

# Writes the creation time of an entry, if it is there; of one that was written meanwhile too.
AGE = """
if redis.call('STRLEN', KEYS[1]) < 38 then return 0 end
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
local high = math.floor(ms / 4294967296)
redis.call('SETRANGE', KEYS[1], 20, struct.pack('>I4I4', high, ms - high * 4294967296))
return 1
"""


@dataclass(eq=False)
class Load:
    """A caller, and what its loader waits for."""

    began: int
    task: asyncio.Task[object]
    go: asyncio.Event
    fails: list[bool]


@dataclass(frozen=True)
class Value:
    """Where a value lives, and since when."""

    birth: int
    namespace: str
    id: str
    tags: Sequence[str]


@dataclass
class Model:
    """When values were born, and when what ended them had returned, in steps."""

    step: int = 0
    values: list[Value] = field(default_factory=list)
    ended: list[tuple[int, str, str | None]] = field(default_factory=list)

    def born(self, namespace: str, id: str, tags: Sequence[str]) -> int:  # noqa: A002
        """Return a new value, born now."""
        self.values.append(Value(self.step, namespace, id, tags))
        return len(self.values) - 1

    def end(self, what: str, id: str | None = None) -> None:  # noqa: A002
        """Note that a namespace, a tag, or one entry of a namespace, has just been ended."""
        self.ended.append((self.step, what, id))

    def check(self, found: object, began: int) -> None:
        """Refuse what a read that began at *began* found, if it had ended by then."""
        if not isinstance(found, int):
            return
        value = self.values[found]
        for returned, what, id in self.ended:  # noqa: A001
            hit = (
                what in value.tags or what == value.namespace
                if id is None
                else (what, id) == (value.namespace, value.id)
            )
            assert not (hit and value.birth < returned <= began), (
                f"{value} was read by a caller of step {began} after {what} {id or ''} "
                f"had ended at {returned}"
            )


class Coherence(RuleBasedStateMachine):
    """Three clients, one server."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clients = [ValkeyClient(endpoint, deadline=10) for _ in range(3)]
        self.caches = [
            CacheService(client, app="t", policies=POLICIES, budget=10, lease=30)
            for client in self.clients
        ]
        self.model = Model()
        self.loads: list[Load] = []
        self.run(self.clients[0].execute("FLUSHALL"))

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Return what *work* returns; the loads in the air move on meanwhile."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        for load in self.loads:
            load.go.set()
        self.run(self.settle())
        self.collect()
        for load in self.loads:
            load.task.cancel()
        self.run(self.settle())
        for client in self.clients:
            self.run(client.aclose())
        self.loop.close()

    async def settle(self) -> None:
        """Let what was sent be answered, and its callers move on."""
        for client in self.clients * 2:
            await client.ping()
        for _ in range(5):
            await asyncio.sleep(0)

    def begin(self, namespace: str, who: int, ids: Sequence[str], tags: Sequence[str]) -> None:
        """Put a get_or_load, or a load_many of several ids, in the air."""
        fails = [False]
        go = asyncio.Event()

        async def load_all(asked: Sequence[str]) -> dict[str, int]:
            born = {id: self.model.born(namespace, id, tags) for id in asked}  # noqa: A001
            await go.wait()
            if fails[0]:
                raise LookupError("origin down")
            return born

        async def load_one() -> int:
            return (await load_all(ids))[ids[0]]

        async def call() -> object:
            if len(ids) == 1:
                return await self.caches[who].get_or_load(namespace, ids[0], load_one, tags=tags)
            return await self.caches[who].load_many(namespace, ids, load_all, tags=tags)

        task = self.loop.create_task(call())
        self.loads.append(Load(self.model.step, task, go, fails))

    def collect(self) -> None:
        """Check what the loads that have ended brought to their callers."""
        for load in self.loads:
            if load.task.done() and not load.task.cancelled():
                error = load.task.exception()
                if error is not None:
                    assert isinstance(error, LookupError)
                    continue
                found = load.task.result()
                for value in found.values() if isinstance(found, dict) else [found]:
                    # Others may end it within its own step: only earlier ones bind it.
                    self.model.check(value, load.began - 1)
        # Of those with a background load the loader may still wait.
        self.loads = [load for load in self.loads if not (load.task.done() and load.go.is_set())]

    async def act(
        self,
        how: str,
        who: int,
        namespace: str,
        id: str,  # noqa: A002
        tags: list[str],
        which: int,
        *,
        began: int,
    ) -> None:
        """Let one thing happen; what it reads is bound by what had ended at step *began*."""
        cache, model = self.caches[who], self.model
        if how == "get":
            model.check(await cache.get(namespace, id), began)
        elif how == "get_many":
            for found in (await cache.get_many(namespace, ["a", "b"])).values():
                model.check(found, began)
        elif how == "set":
            value = model.born(namespace, id, tags)
            assert await cache.set(namespace, id, value, tags=tags)
            model.end(namespace, id)
        elif how == "delete":
            await cache.delete(namespace, id)
            model.end(namespace, id)
        elif how == "invalidate":
            await cache.invalidate(namespace)
            model.end(namespace)
        elif how == "invalidate_tag":
            await cache.invalidate_tag("red")
            model.end("red")
        elif how == "anew":
            await self.load_anew(cache, namespace, id, tags)
        elif how in {"begin", "begin_many"}:
            self.begin(namespace, who, [id] if how == "begin" else ["a", "b"], tags)
        elif how in {"end", "fail", "cancel"}:
            self.end(how, which)
        else:
            await self.trouble(how, cache.client, namespace, id)

    def end(self, how: str, which: int) -> None:
        """Let a load in the air come to its end, if there is one."""
        if not self.loads:
            return
        load = self.loads[which % len(self.loads)]
        if how == "cancel":
            self.loads.remove(load)
            load.task.cancel()
        else:
            load.fails[0] = how == "fail"
            load.go.set()

    async def load_anew(
        self,
        cache: CacheService,
        namespace: str,
        id: str,  # noqa: A002
        tags: list[str],
    ) -> None:
        """See that a forced load brings what was born after it was asked for."""
        asked = len(self.model.values)

        async def loader() -> int:
            return self.model.born(namespace, id, tags)

        lookup = await cache.fetch(namespace, id, loader, tags=tags, refresh=True)
        assert isinstance(lookup.value, int)
        assert lookup.value >= asked

    async def trouble(self, how: str, client: ValkeyClient, namespace: str, id: str) -> None:  # noqa: A002
        """Let an entry age, or the server lose something that entries or loads depend on."""
        entry = f"t:{namespace}:{id}"
        words: dict[str, tuple[str | int, ...]] = {
            "age": ("EVAL", AGE, 1, entry, round((TTL + 1) * 1000)),
            "expire": ("EVAL", AGE, 1, entry, round((TTL + 500) * 1000)),
            "lose_version": ("DEL", f"t:~version:{namespace}"),
            "lose_tag": ("DEL", "t:~tag:red"),
            "lose_lease": ("DEL", f"t:~load:{namespace}:{id}"),
            "flush_scripts": ("SCRIPT", "FLUSH"),
            "kill_subscriptions": ("CLIENT", "KILL", "TYPE", "pubsub"),
        }
        await client.execute(*words[how])

    @rule(act=ACTS)
    def one_after_another(self, act: tuple[str, int, str, str, list[str], int]) -> None:
        self.model.step += 1
        self.run(self.act(*act, began=self.model.step))
        self.run(self.settle())
        self.collect()

    @rule(acts=st.lists(ACTS, min_size=2, max_size=6))
    def all_at_once(self, acts: list[tuple[str, int, str, str, list[str], int]]) -> None:
        self.model.step += 1

        async def storm() -> None:
            # Others may end what one of them reads within this very step: only what had
            # returned before binds it.
            await asyncio.gather(*(self.act(*act, began=self.model.step - 1) for act in acts))
            await self.settle()

        self.run(storm())
        self.collect()


def test_no_read_returns_what_has_been_ended(endpoint: Endpoint) -> None:
    """Whatever three processes do in whatever order."""

    class OnThisServer(Coherence):
        def __init__(self) -> None:
            super().__init__(endpoint)

    run_state_machine_as_test(
        OnThisServer,
        settings=settings(
            max_examples=50,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
