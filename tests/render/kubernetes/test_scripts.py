"""The scripts of kubernetes.yaml, on real servers that lose machines, addresses and volumes."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.conftest import one_podman
from tests.render.conftest import Podman
from tests.render.kubernetes.pods import NAMESPACE, Pods, documents, only


def pods(podman: Podman, folder: Path, **fields: object) -> tuple[Pods, list[dict[str, object]]]:
    """Return the pods of a profile with these fields, all started at once."""
    found = documents(**fields)
    made = Pods(podman, found, folder, f"10.{200 + secrets.randbelow(40)}.{secrets.randbelow(256)}")
    for pod in made.names:
        made.start(pod)
    return made, found


def host(pod: str) -> str:
    """Return the name by which the pods of a profile know *pod*."""
    return f"{pod}.{pod.rsplit('-', 1)[0]}-nodes.{NAMESPACE}.svc"


@one_podman
@pytest.mark.podman
@pytest.mark.slow
def test_sentinel_pods_find_their_primary_and_keep_it(podman: Podman, tmp_path: Path) -> None:
    """First start, planned stop, a lost machine, a lost volume: no acknowledged write is lost."""
    fields = {"topology": "sentinel", "persistence": "aof", "memory": {"limit": "256Mi"}}
    sentinel = {"down_after": "1s", "failover_timeout": "3s"}
    made, _ = pods(podman, tmp_path, **fields, sentinel=sentinel)
    first, second, third = (f"x-valkey-{n}" for n in range(3))

    def primary() -> str:
        words = ("sentinel", "get-master-addr-by-name", "x")
        return made.ask("x-sentinel-0", *words, port=26379).split("\n")[0]

    def known(line: str) -> bool:
        told = made.ask("x-sentinel-0", "sentinel", "master", "x", port=26379)
        return line in told

    made.until("primary", lambda: primary() == host(first))
    made.until("replicas", lambda: made.ready(second) and made.ready(third))
    made.until("sentinels", lambda: known("num-other-sentinels\n2"))
    made.until("replicas known", lambda: known("num-slaves\n2"))
    assert made.ask(first, "SET", "k", "v") == "OK"
    assert made.ask(first, "WAIT", "2", "5000") == "2"

    # a planned stop: preStop hands over before the server ends
    made.stop(first)
    made.until("handed over", lambda: primary() != host(first))
    made.start(first)
    made.until("follows", lambda: made.ready(first))
    chosen = primary().split(".")[0]
    assert made.ask(first, "GET", "k") == "v"
    assert made.ask(first, "ROLE").split("\n")[:2] == ["slave", host(chosen)]

    # a lost machine with its volume, back at once: it must not become an empty primary
    made.ask(chosen, "SET", "k", "w")
    assert made.ask(chosen, "WAIT", "2", "5000") == "2"
    made.remove(chosen, with_volume=True)
    made.start(chosen)
    made.until("took over", lambda: primary() not in {"", host(chosen)})
    made.until("copied", lambda: made.ready(chosen))
    assert made.ask(chosen, "GET", "k") == "w"
    assert made.ask(primary().split(".")[0], "ROLE").split("\n")[0] == "master"


@one_podman
@pytest.mark.podman
@pytest.mark.slow
def test_cluster_pods_form_once_and_find_each_other_again(podman: Podman, tmp_path: Path) -> None:
    """The Job may run again; after all pods got other addresses the Cluster is whole again."""
    fields = {"topology": "cluster", "persistence": "aof", "memory": {"limit": "256Mi"}}
    made, found = pods(podman, tmp_path, **fields, replication={"replicas": 1})
    job, (first, *_) = only(found, "Job"), made.names

    assert "slots covered" in made.job(job)
    identity = made.ask(first, "cluster", "myid")
    assert "slots" not in made.job(job)
    assert made.ask(first, "cluster", "myid") == identity
    made.until("replicas", lambda: all(made.ready(pod) for pod in made.names))
    assert made.ask(first, "-c", "SET", "k", "v") == "OK"

    made.stop(first)
    taken = made.ask(made.names[1], "-c", "GET", "k")
    for pod in made.names[1:]:
        made.remove(pod)
    made.shift += 50
    for pod in made.names:
        made.start(pod)
    made.until("whole", lambda: "cluster_state:ok" in made.ask(first, "cluster", "info"))
    made.until("ready", lambda: all(made.ready(pod) for pod in made.names))

    assert taken == "v"
    assert made.ask(first, "-c", "GET", "k") == "v"
    table = made.ask(first, "cluster", "nodes")
    assert all(f"{made.address(pod)}:6379" in table and host(pod) in table for pod in made.names)
    assert made.ask(first, "cluster", "myid") == identity
