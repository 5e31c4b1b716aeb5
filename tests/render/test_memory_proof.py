"""The memory budget, held against the kernel: a full server, a snapshot, and writes meanwhile."""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import pytest

from tests.conftest import free_port, one_podman
from tests.render.conftest import Podman, ask
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.profile import Profile
from valkeyctl.render import POD, render

# Small values are the worst case: some twenty lie on each page that one write has copied.
VALUE_BYTES = 200
BATCH = 500
MIN_COPIED = 0.5


def writes(
    rng: random.Random, keys: int, first: int | None = None
) -> list[tuple[str | bytes, ...]]:
    """Return one batch of writes: to the keys from *first* on, else to keys at random."""
    numbers = (
        (rng.randrange(keys) for _ in range(BATCH))
        if first is None
        else range(first, first + BATCH)
    )
    return [("SET", f"t:response:{number}", rng.randbytes(VALUE_BYTES)) for number in numbers]


@pytest.mark.podman
@one_podman
@pytest.mark.slow
def test_a_full_server_survives_any_writes_during_a_snapshot(
    tmp_path: Path, podman: Podman
) -> None:
    """With copy_on_write: 1 the kernel has no reason to kill, however fast a client writes."""
    port, rng = free_port(), random.Random(1)
    profile = Profile.model_validate(
        {
            "name": podman.name,
            "publish": f"127.0.0.1:{port}",
            "memory": {"limit": "256Mi", "copy_on_write": 1},
            "persistence": "rdb",
            "pull": "never",
        }
    )
    artefacts = render(profile)
    (tmp_path / POD).write_text(artefacts.files[POD])
    podman.run("kube", "play", str(tmp_path / POD))
    ask(Endpoint(port=port), "PING")
    keys = int(artefacts.budget.maxmemory * 1.3) // (VALUE_BYTES + 80)

    with Wire(Endpoint(port=port), timeout=30) as wire:
        wire.call("CONFIG", "SET", "save", "")  # no snapshot but the one that is measured
        for first in range(0, keys, BATCH):
            wire.pipeline(writes(rng, keys, first))
        evicted = int(wire.info("stats")["evicted_keys"])
        wire.call("BGSAVE")
        while wire.info("persistence")["rdb_bgsave_in_progress"] == "1":
            wire.pipeline(writes(rng, keys))
        after = wire.info("persistence")

    copied = int(after["rdb_last_cow_size"]) / artefacts.budget.maxmemory
    assert evicted > 0, "the server was not full"
    assert after["rdb_last_bgsave_status"] == "ok"
    assert copied > MIN_COPIED, f"only {copied:.0%} of the data were copied: nothing was proven"
    found = podman.inspect("container", artefacts.container)
    assert cast("dict[str, object]", found["State"])["Running"] is True
    assert found["RestartCount"] == 0
