"""A program in another language reads what Python wrote, and the other way round.

Node 20.15 or later, npm and its packages have to be there: without them the tests skip, or
fail under VALKEYCTL_REQUIRE_NODE=1.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.caching.sameness import same
from tests.caching.test_golden import FILES, KEY, stored
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import Envelope, Value
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.endpoint import Endpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "valkeyctl/caching/scripts"
SECRET = bytes(range(32))
LONG = {"text": "All work and no play makes Jack a dull boy. " * 50, "n": [1, 2.5, None, True]}


def sent(value: object) -> object:
    """Return *value* as program.mjs takes it, which is JSON and a little more."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and math.isinf(value):
        return {"$float": "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, int) and abs(value) > 2**53:
        return {"$int": str(value)}
    if isinstance(value, list):
        return [sent(part) for part in value]
    if isinstance(value, dict):
        return {key: sent(part) for key, part in value.items()}
    return value


def received(value: object) -> object:
    """Return what program.mjs means."""
    match value:
        case {"$bytes": str(text)}:
            return base64.b64decode(text)
        case {"$float": str(text)}:
            return float(text)
        case {"$int": str(text)}:
            return int(text)
        case dict():
            return {key: received(part) for key, part in value.items()}
        case list():
            return [received(part) for part in value]
    return value


class Program:
    """The program on ioredis, one question at a time."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        url = f"redis://{endpoint.host}:{endpoint.port}/{endpoint.db}"
        self.process = subprocess.Popen(
            ["node", "program.mjs", url, "opencode", str(SCRIPTS)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, op: str, **more: object) -> object:
        """Return the answer; what the program could not do fails the test."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"op": op, **more}) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        assert "answer" in reply, reply
        return reply["answer"]

    def read(self, namespace: str, id: str, **more: object) -> dict[str, object]:  # noqa: A002
        """Return what it finds there."""
        found = self.ask("read", namespace=namespace, id=id, **more)
        assert isinstance(found, dict)
        return {**found, "value": received(found["value"])} if "value" in found else found

    def end(self) -> None:
        """Let it end; it must do so by itself."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            assert self.process.wait(10) == 0
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program with its packages, in a copy: nothing is installed into the repository."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        unavailable(f"{' and '.join(missing)} cannot be found")
    copy = tmp_path_factory.mktemp("node")
    shutil.copytree(
        Path(__file__).parent, copy / "tests/node", ignore=shutil.ignore_patterns("*.py", "__py*")
    )
    (copy / "docs/reference").mkdir(parents=True)
    shutil.copy(ROOT / "docs/reference/entry.d.ts", copy / "docs/reference")
    failure = run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], copy / "tests/node")
    if failure:
        unavailable(failure)
    return copy / "tests/node"


def unavailable(why: str) -> NoReturn:
    """Skip the test, or fail it where Node is required."""
    if os.environ.get("VALKEYCTL_REQUIRE_NODE") == "1":
        pytest.fail(f"VALKEYCTL_REQUIRE_NODE=1, and {why}")
    pytest.skip(why)


def run(command: list[str], folder: Path) -> str:
    """Return what a *command* that failed said; nothing when it worked."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return f"{' '.join(command)}:\n{done.stdout}{done.stderr}" if done.returncode else ""


@pytest.fixture
def program(folder: Path, endpoint: Endpoint) -> Iterator[Program]:
    """The program, connected to the server of this test."""
    program = Program(folder, endpoint)
    yield program
    program.end()


@pytest.fixture
def cache(client: ValkeyClient) -> CacheService:
    """What Python reads and writes with."""
    policies = {
        "metadata": NamespacePolicy(300, jitter=0, stale=60),
        "response": NamespacePolicy(300, compress_over=100),
        "session": NamespacePolicy(300, encrypt=True, compress_over=100),
    }
    ring = KeyRing({7: SECRET}, 7)
    return CacheService(client, app="opencode", policies=policies, keyring=ring, budget=5.0)


def test_the_types_fit_the_program(folder: Path) -> None:
    """`entry.d.ts` says what the program does, under the strictest rules."""
    assert run(["npm", "run", "--silent", "check"], folder) == ""


def test_it_reads_the_bytes_of_before(program: Program) -> None:
    """Each file of tests/caching/golden means the same to both."""
    for golden in FILES:
        if golden.name in {"json", "msgpack"}:  # numbers and keys that a JavaScript object lacks
            continue
        found = program.ask(
            "open",
            entryKey=KEY.decode(),
            stored=stored(golden.name).hex(),
            keyId=7,
            key=base64.b64encode(SECRET).decode() if golden.encrypted else None,
        )
        assert same(received(found), golden.value), golden.name


@pytest.mark.parametrize(
    "value",
    ["größe \U0001f600", b"\x00\xff", LONG, {"raw": b"\xff", "big": 2**60, "far": math.inf}, [], 0],
)
async def test_it_reads_what_python_wrote(
    program: Program, cache: CacheService, value: Value
) -> None:
    """Plain, compressed, encrypted, and with tags."""
    for namespace in ("metadata", "response", "session"):
        await cache.set(namespace, "k", value, tags=["models", "größe"])

    key = base64.b64encode(SECRET).decode()
    plain = program.read("metadata", "k")
    compressed = program.read("response", "k")
    encrypted = program.read("session", "k", keyId=7, key=key)

    assert same(plain.pop("value"), value)
    assert plain == {"freshMs": 300_000, "costMs": 0, "tags": ["größe", "models"]}
    assert same(compressed["value"], value)
    assert compressed["freshMs"] is None
    assert same(encrypted["value"], value)
    assert program.read("session", "k") == {"miss": "unreadable"}
    assert program.read("metadata", "k", keyId=7, key=key) == {"miss": "corrupt"}
    assert await cache.contains("session", "k")
    assert not await cache.contains("metadata", "k")


@pytest.mark.parametrize(
    "value",
    [
        "größe \U0001f600",
        b"\x00\xff",
        LONG,
        {"raw": b"\xff", "big": 2**60, "far": -math.inf},
        [],
        0,
    ],
)
async def test_python_reads_what_it_wrote(
    program: Program, cache: CacheService, client: ValkeyClient, value: Value
) -> None:
    """Plain, compressed, encrypted, and with tags that Python invalidates."""
    how = {"ttlMs": 60_000, "tags": ["models", "größe"]}
    ask = {"id": "k", "value": sent(value)}
    small = {**how, "compressOver": 100}
    secret = {"keyId": 7, "key": base64.b64encode(SECRET).decode()}

    assert program.ask("write", namespace="metadata", how={**how, "freshMs": 30_000}, **ask)
    assert program.ask("write", namespace="response", how=small, **ask)
    assert program.ask("write", namespace="session", how=small, **ask, **secret)

    for namespace in ("metadata", "response", "session"):
        assert same(await cache.get(namespace, "k"), value)
    envelopes = [
        Envelope.unpack(await client.get(f"opencode:{name}:k") or b"")
        for name in ("metadata", "response", "session")
    ]
    large = isinstance(value, dict) and "text" in value
    assert [envelope.flags for envelope in envelopes] == [0, int(large), 2 + int(large)]
    assert envelopes[0].fresh_ms == 30_000
    assert 50 < (await client.ttl("opencode:metadata:k") or 0) <= 60
    await cache.invalidate_tag("größe")
    assert await cache.get("metadata", "k") is None


async def test_each_sees_what_the_other_invalidates(program: Program, cache: CacheService) -> None:
    """A namespace or a tag, at once."""
    await cache.set("metadata", "by-python", 1, tags=["models"])
    program.ask("write", namespace="metadata", id="by-node", value=2, how={"ttlMs": 60_000})

    program.ask("invalidateTag", tag="models")
    assert await cache.get_many("metadata", ["by-python", "by-node"]) == {"by-node": 2}
    await cache.invalidate("metadata")
    assert program.read("metadata", "by-node") in ({"miss": "stale"}, {"miss": "absent"})

    program.ask("write", namespace="metadata", id="by-node", value=3, how={"ttlMs": 60_000})
    assert await cache.get("metadata", "by-node") == 3
    program.ask("invalidate", namespace="metadata")
    assert await cache.get("metadata", "by-node") is None


async def test_a_write_of_the_other_ends_a_load(program: Program, cache: CacheService) -> None:
    """An older value that Python was loading does not replace the one written meanwhile."""

    async def load() -> str:
        program.ask("write", namespace="metadata", id="k", value="newer", how={"ttlMs": 60_000})
        return "older"

    await cache.get_or_load("metadata", "k", load)

    assert await cache.get("metadata", "k") == "newer"
