"""No read returns what was written before an invalidation that has returned.

A state machine drives three clients against a real server: sets, reads, loads that stay
in the air while other things happen, cancelled loads, invalidations of namespaces and
tags, lost version keys, and all of that at the same time. Each value is a number whose
birth the model remembers: a set's when it was called, a load's when its loader began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.endpoint import Endpoint

T = TypeVar("T")

SERVICES = st.sampled_from([0, 0, 0, 1, 2])
NAMESPACES = st.sampled_from(["metadata", "context"])
# Few names: what goes wrong needs several things to happen to the same entry.
IDS = st.sampled_from(["a", "a", "a", "b"])
TAGS = st.sampled_from([[], [], ["red"], ["red", "blue"]])


@dataclass
class Load:
    """A get_or_load in the air."""

    namespace: str
    id: str
    began: int
    task: asyncio.Task[int]
    go: asyncio.Event


@dataclass
class Model:
    """When values were born and when invalidations had returned, in steps."""

    step: int = 0
    births: list[int] = field(default_factory=list)
    homes: list[tuple[str, list[str]]] = field(default_factory=list)
    invalidated: list[tuple[int, str]] = field(default_factory=list)

    def born(self, namespace: str, tags: list[str]) -> int:
        """Return a new value, born now."""
        self.births.append(self.step)
        self.homes.append((namespace, tags))
        return len(self.births) - 1

    def check(self, value: object, began: int) -> None:
        """Refuse *value* for a read that began at *began*, if it was dead by then."""
        if value is None:
            return
        assert isinstance(value, int)
        namespace, tags = self.homes[value]
        for returned, what in self.invalidated:
            hit = what == namespace or what in tags
            assert not (hit and self.births[value] < returned <= began), (
                f"value {value}, born at {self.births[value]}, was read by a caller of step "
                f"{began} after {what} had been invalidated at {returned}"
            )


class Coherence(RuleBasedStateMachine):
    """Three clients, one server."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clients = [ValkeyClient(endpoint, deadline=10) for _ in range(3)]
        self.caches = [CacheService(client, app="t", budget=10) for client in self.clients]
        self.model = Model()
        self.loads: list[Load] = []
        self.run(self.clients[0].execute("FLUSHALL"))

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Return what *work* returns; the loads in the air move on meanwhile."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        for load in self.loads:
            load.task.cancel()
        self.run(self.settle())
        for client in self.clients:
            self.run(client.aclose())
        self.loop.close()

    async def settle(self) -> None:
        """Wait until what was sent has been answered and its callers have moved on."""
        for client in self.clients:
            for _ in range(2):
                await client.ping()

    async def one_set(self, who: int, namespace: str, id: str, tags: list[str]) -> None:  # noqa: A002
        value = self.model.born(namespace, tags)
        assert await self.caches[who].set(namespace, id, value, tags=tags)

    async def one_get(self, who: int, namespace: str, id: str) -> None:  # noqa: A002
        # Others may invalidate within this very step: only what returned earlier binds it.
        began = self.model.step - 1
        self.model.check(await self.caches[who].get(namespace, id), began)

    async def one_invalidation(self, who: int, what: str) -> None:
        if what in {"metadata", "context"}:
            await self.caches[who].invalidate(what)
        else:
            await self.caches[who].invalidate_tag(what)
        self.model.invalidated.append((self.model.step, what))

    @rule(who=SERVICES, namespace=NAMESPACES, id=IDS, tags=TAGS)
    def set_a_value(self, who: int, namespace: str, id: str, tags: list[str]) -> None:  # noqa: A002
        self.model.step += 1
        self.run(self.one_set(who, namespace, id, tags))

    @rule(who=SERVICES, namespace=NAMESPACES, id=IDS)
    def get_a_value(self, who: int, namespace: str, id: str) -> None:  # noqa: A002
        self.model.step += 1
        self.run(self.one_get(who, namespace, id))

    @rule(who=SERVICES, namespace=NAMESPACES)
    def get_many(self, who: int, namespace: str) -> None:
        self.model.step += 1
        values = self.run(self.caches[who].get_many(namespace, ["a", "b"]))
        for value in values.values():
            self.model.check(value, self.model.step)

    @rule(who=SERVICES, what=st.sampled_from(["metadata", "context", "red", "blue"]))
    def invalidate(self, who: int, what: str) -> None:
        self.model.step += 1
        self.run(self.one_invalidation(who, what))

    @rule(key=st.sampled_from(["~version:metadata", "~version:context", "~tag:red", "~tag:blue"]))
    def lose_a_version_key(self, key: str) -> None:
        self.model.step += 1
        self.run(self.clients[0].delete(f"t:{key}"))

    @rule(who=SERVICES, namespace=NAMESPACES, id=IDS, tags=TAGS)
    def begin_a_load(self, who: int, namespace: str, id: str, tags: list[str]) -> None:  # noqa: A002
        self.model.step += 1
        go = asyncio.Event()

        async def loader() -> int:
            value = self.model.born(namespace, tags)
            await go.wait()
            return value

        task = self.loop.create_task(self.caches[who].get_or_load(namespace, id, loader, tags=tags))
        self.loads.append(Load(namespace, id, self.model.step, task, go))
        self.run(self.settle())

    @precondition(lambda self: self.loads)
    @rule(data=st.data(), who=SERVICES)
    def end_a_load_and_read(self, data: st.DataObject, who: int) -> None:
        self.model.step += 1
        load = self.loads[data.draw(st.integers(0, len(self.loads) - 1))]
        load.go.set()
        self.run(self.settle())
        self.collect()
        self.run(self.one_get(who, load.namespace, load.id))

    @precondition(lambda self: self.loads)
    @rule(data=st.data())
    def cancel_a_load(self, data: st.DataObject) -> None:
        self.model.step += 1
        load = self.loads.pop(data.draw(st.integers(0, len(self.loads) - 1)))
        load.task.cancel()
        self.run(self.settle())
        self.collect()

    @rule(
        what=st.sampled_from(["metadata", "context", "red", "blue"]),
        calls=st.lists(st.tuples(SERVICES, NAMESPACES, IDS, TAGS, st.booleans()), max_size=6),
    )
    def all_at_once(self, what: str, calls: list[tuple[int, str, str, list[str], bool]]) -> None:
        self.model.step += 1

        async def storm() -> None:
            await asyncio.gather(
                self.one_invalidation(0, what),
                *(
                    self.one_set(who, namespace, id, tags)
                    if write
                    else self.one_get(who, namespace, id)
                    for who, namespace, id, tags, write in calls  # noqa: A001
                ),
            )

        self.run(storm())

    def collect(self) -> None:
        """Check the loads that have ended."""
        for load in [load for load in self.loads if load.task.done()]:
            self.loads.remove(load)
            self.model.check(load.task.result(), load.began - 1)


def test_no_read_returns_what_an_invalidation_has_ended(endpoint: Endpoint) -> None:
    """Whatever three clients do in whatever order."""

    class OnThisServer(Coherence):
        def __init__(self) -> None:
            super().__init__(endpoint)

    run_state_machine_as_test(
        OnThisServer,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
