"""The application's user, on every topology: all of the library, and the verbs that read keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from tests.caching.deployments import ClusterDeployment, Member, SentinelDeployment
from tests.cli.conftest import Run
from valkeyctl.caching import CacheService, NamespacePolicy, ResponseCache, ValkeyClient
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError
from valkeyctl.render.acl import APP, users

SEEN = "the key of an entry"
NEAR = {"context": NamespacePolicy(ttl=60, near=30)}


class One:
    """A standalone server, made like the topologies."""

    def __init__(self, folder: Path) -> None:
        self.servers = [Member(folder)]

    @property
    def endpoint(self) -> Endpoint:
        """How a client connects."""
        return self.servers[0].endpoint

    def __enter__(self) -> Self:
        self.servers[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.servers[0].kill()


def let_in(members: Sequence[Member], *, kind: str = "server") -> None:
    """Give each of *members* the user of the application ``opencode``, and nobody a default."""
    found = users(
        "opencode", topology="sentinel", kind="sentinel" if kind == "sentinel" else "server"
    )
    rules = next(user.rules for user in found if user.name == APP)
    for member in members:
        member.call("ACL", "SETUSER", APP, "on", ">secret", *rules.split())


@pytest.fixture(
    scope="module",
    params=[
        "standalone",
        pytest.param("sentinel", marks=pytest.mark.slow),
        pytest.param("cluster", marks=pytest.mark.slow),
    ],
)
def endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """Each topology in turn, with the login of the application's user."""
    folder = tmp_path_factory.mktemp(str(request.param))
    makers: dict[str, Callable[[], AbstractContextManager[object]]] = {
        "standalone": lambda: One(folder),
        "sentinel": lambda: SentinelDeployment(folder, servers=2),
        "cluster": lambda: ClusterDeployment(folder, replicas=False),
    }
    with makers[request.param]() as made:
        assert isinstance(made, One | SentinelDeployment | ClusterDeployment)
        let_in(made.nodes if isinstance(made, ClusterDeployment) else made.servers)
        login = replace(made.endpoint, username=APP, password="secret")
        if isinstance(made, SentinelDeployment):
            let_in(made.sentinels, kind="sentinel")
            login = replace(login, sentinel_username=APP, sentinel_password="secret")
        yield login


async def test_the_library_works_with_no_more_than_its_rights(endpoint: Endpoint) -> None:
    """Entries, tags, single-flight, near caches, whole namespaces, and messages."""
    loads = 0

    async def load() -> str:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.02)  # so that the others find a load under way
        return "loaded"

    async with ValkeyClient(endpoint) as client, ValkeyClient(endpoint) as other:
        cache = CacheService(client, app="opencode", policies=NEAR)
        second = CacheService(other, app="opencode", policies=NEAR)

        assert await cache.set("metadata", "m", {"a": 1}, ttl=60, tags=["models"])
        assert await second.get("metadata", "m") == {"a": 1}
        values = await asyncio.gather(
            *(each.get_or_load("context", "c", load) for each in (cache, second) for _ in range(3))
        )
        assert (set(values), loads) == ({"loaded"}, 1)
        await cache.invalidate_tag("models")
        assert await second.get("metadata", "m") is None
        await cache.invalidate("context")
        assert await second.get("context", "c") is None
        assert await cache.set("metadata", "n", 1, ttl=60)
        assert await cache.delete("metadata", "n")
        async with other.listen("opencode:news") as news:
            await client.publish("opencode:news", b"hello")
            async for message in news:
                assert message.data == b"hello"
                break
        responses = ResponseCache(client, app="opencode")
        request = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

        async def call() -> dict[str, object]:
            return {"id": "1", "choices": []}

        for _ in range(2):
            await responses.complete(request, call, scope="alice")


async def test_another_applications_keys_are_refused(endpoint: Endpoint) -> None:
    """The server says no, and the library says so."""
    async with ValkeyClient(endpoint) as client:
        with pytest.raises(AuthError):
            await client.get(b"other:metadata:k")


@pytest.mark.parametrize(
    "verb",
    [
        ("ls", "--limit", "10"),
        ("stats",),
        ("tree",),
        ("top",),
        ("inspect", SEEN),
        ("export", "-o", "jsonl"),
        ("flush", "metadata", "--dry-run"),
        ("expire", "--ttl", "60", "--dry-run"),
    ],
    ids=lambda verb: verb[0],
)
def test_the_verbs_that_read_keys_work(endpoint: Endpoint, ctl: Run, verb: tuple[str, ...]) -> None:
    """What an operator looks at needs no more than the application may."""
    key = asyncio.run(seeded(endpoint))
    url = endpoint.url(show_secret=True)
    words = [key if word == SEEN else word for word in verb]

    done = ctl("--url", url, "--app", "opencode", "keys", *words)

    assert done.status == 0, done.err
    assert "secret" not in done.out + done.err


async def seeded(endpoint: Endpoint) -> str:
    """Store an entry, and return its key."""
    async with ValkeyClient(endpoint) as client:
        cache = CacheService(client, app="opencode")
        await cache.set("metadata", "seen", 1, ttl=60)
        return cache.keys.place("metadata", "seen").key.decode()
