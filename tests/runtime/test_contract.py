"""What every runtime promises, tried on each of them with real servers."""

from __future__ import annotations

import re
import socket

import pytest

from tests.conftest import command
from tests.runtime.conftest import Make, unique_profile, with_conf_line
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError, PortTakenError, RefusedError, StartError
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.protocol import Runtime


def run_id(endpoint: Endpoint) -> str:
    """Return what a server that was started anew changes."""
    found = re.search(rb"run_id:(\w+)", command(endpoint, "INFO", "server"))
    assert found
    return found[1].decode()


def changed(artefacts: Artefacts, **fields: object) -> Artefacts:
    """Return artefacts of the same name and port, and otherwise of *fields*."""
    place = {"name": artefacts.name, "publish": f"{artefacts.host}:{artefacts.port}"}
    return render(unique_profile(**{**place, **fields}))


def test_a_started_server_answers_at_the_published_address(runtime: Runtime, make: Make) -> None:
    """Start returns where the server answers, and find knows it."""
    artefacts = make()

    endpoint = runtime.start(artefacts)

    assert (endpoint.host, endpoint.port) == (artefacts.host, artefacts.port)
    assert command(endpoint, "PING") == b"+PONG\r\n"
    instance = runtime.find(artefacts.name)
    assert instance is not None
    assert instance.running
    assert instance.endpoint == endpoint
    assert instance.digest == artefacts.digest
    assert instance.version[0].isdigit()
    assert instance.detail


def test_starting_the_same_again_changes_nothing(runtime: Runtime, make: Make) -> None:
    """A second start with equal artefacts leaves the server alone."""
    artefacts = make()
    first = run_id(runtime.start(artefacts))

    endpoint = runtime.start(artefacts)

    assert run_id(endpoint) == first


def test_many_are_found_stopped_and_purged_at_once(runtime: Runtime, make: Make) -> None:
    """Who is not there is left out; groups are told in their order, and who ran is known."""
    first, second = make(persistence="rdb"), make(persistence="rdb")
    names = [first.name, "vkt-none", second.name]
    for artefacts in (first, second):
        command(runtime.start(artefacts), "SET", "k", "kept")
    told: list[list[str]] = []

    found = runtime.find_all(names)
    with pytest.raises(RefusedError):
        runtime.purge_all(names)
    groups = [["vkt-none"], [second.name], [first.name]]
    stopped = runtime.stop_all(groups, 5, lambda group: told.append(list(group)))
    again = runtime.stop_all([names], 5)

    assert {name: one.digest for name, one in found.items()} == {
        first.name: first.digest,
        second.name: second.digest,
    }
    assert told == [[second.name], [first.name]]
    assert (set(stopped.units), stopped.killed) == ({first.name, second.name}, ())
    assert (again.units, runtime.find_all(names)) == ((), {})
    assert runtime.purge_all(names)
    assert not runtime.purge_all(names)
    assert not runtime.keeps(first.name)


def test_other_artefacts_replace_the_server_and_keep_its_data(runtime: Runtime, make: Make) -> None:
    """A replacement saves on the way down, although only snapshots are on."""
    artefacts = make(persistence="rdb")
    command(runtime.start(artefacts), "SET", "k", "kept")
    other = changed(artefacts, persistence="rdb", eviction="allkeys-lfu")

    endpoint = runtime.start(other)

    assert b"allkeys-lfu" in command(endpoint, "CONFIG", "GET", "maxmemory-policy")
    assert command(endpoint, "GET", "k") == b"$4\r\nkept\r\n"
    instance = runtime.find(artefacts.name)
    assert instance is not None
    assert instance.digest == other.digest


def test_a_stopped_server_is_gone_and_its_data_is_not(runtime: Runtime, make: Make) -> None:
    """Stop saves, frees the port and says whether it stopped anything."""
    artefacts = make(persistence="rdb")
    endpoint = runtime.start(artefacts)
    command(endpoint, "SET", "k", "kept")

    assert runtime.stop(artefacts.name, artefacts.stop_grace)

    assert runtime.find(artefacts.name) is None
    assert not runtime.stop(artefacts.name, artefacts.stop_grace)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((endpoint.host, endpoint.port))
    assert command(runtime.start(artefacts), "GET", "k") == b"$4\r\nkept\r\n"


def test_purge_removes_data_of_a_stopped_server_only(runtime: Runtime, make: Make) -> None:
    """Purge refuses while the data is in use, and then leaves none of it."""
    artefacts = make(persistence="rdb")
    command(runtime.start(artefacts), "SET", "k", "kept")

    with pytest.raises(RefusedError):
        runtime.purge(artefacts.name)
    runtime.stop(artefacts.name, artefacts.stop_grace)

    assert runtime.purge(artefacts.name)
    assert not runtime.purge(artefacts.name)
    assert command(runtime.start(artefacts), "GET", "k") == b"$-1\r\n"


def test_prove_lists_what_it_has_proven(runtime: Runtime, make: Make) -> None:
    """Server, port and configuration are proven, and every directive is read back."""
    artefacts = make()

    proofs = runtime.prove(artefacts)

    assert len(proofs) == 3
    assert f"port {artefacts.port}" in proofs[1]
    counts = re.search(r"(\d+) of (\d+) directives read back as written", proofs[2])
    assert counts
    assert counts[1] == counts[2]
    assert int(counts[2]) >= 25
    assert runtime.find(artefacts.name) is None


def test_prove_tells_what_a_server_reads_otherwise(runtime: Runtime, make: Make) -> None:
    """A value that the server does not take as written is named beside its reading."""
    artefacts = make()
    other = with_conf_line(artefacts, "maxclients 77")

    assert any("maxclients '1000' is read as '77'" in line for line in runtime.prove(other))


def test_prove_names_the_bad_line_and_touches_nothing(runtime: Runtime, make: Make) -> None:
    """A directive that the server does not know is refused in its own words."""
    artefacts = make()
    endpoint = runtime.start(artefacts)
    before = run_id(endpoint)
    bad = with_conf_line(artefacts, "no-such 1")
    line = len(bad.files["valkey.conf"].splitlines())

    with pytest.raises(StartError, match=rf"line {line} >>> 'no-such 1' Bad directive") as caught:
        runtime.prove(bad)

    assert any("no-such" in text for text in caught.value.log)
    assert run_id(endpoint) == before


def test_a_failed_start_leaves_nothing_running(runtime: Runtime, make: Make) -> None:
    """A server that ends at its start is reported with its last lines, and is gone."""
    bad = with_conf_line(make(), "no-such 1")

    with pytest.raises(StartError, match="no-such") as caught:
        runtime.start(bad)

    assert any("no-such" in text for text in caught.value.log)
    assert runtime.find(bad.name) is None


def test_a_port_of_another_process_is_refused_by_its_name(runtime: Runtime, make: Make) -> None:
    """Both prove and start say who has the port, and leave the running server up."""
    artefacts = make()
    endpoint = runtime.start(artefacts)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        moved = changed(artefacts, publish=f"127.0.0.1:{other.getsockname()[1]}")

        with pytest.raises(PortTakenError, match=r"taken by \S+ \(pid \d+\)"):
            runtime.prove(moved)
        with pytest.raises(PortTakenError):
            runtime.start(moved)

    assert command(endpoint, "PING") == b"+PONG\r\n"


def test_the_port_of_the_server_to_be_replaced_is_not_taken(runtime: Runtime, make: Make) -> None:
    """A deployment does not stand in its own way."""
    artefacts = make()
    runtime.start(artefacts)

    proofs = runtime.prove(changed(artefacts, eviction="allkeys-lfu"))

    assert any(f"port {artefacts.port}" in line for line in proofs)


def test_logs_are_the_servers_last_lines(runtime: Runtime, make: Make) -> None:
    """Logs yields as many lines as asked for, oldest first."""
    artefacts = make()
    runtime.start(artefacts)

    lines = list(runtime.logs(artefacts.name, 2))

    assert len(lines) == 2
    assert "Ready to accept connections" in lines[-1]


def test_logs_of_an_unknown_name_are_not_found(runtime: Runtime) -> None:
    """The failure comes with the call, not with the first line."""
    with pytest.raises(NotFoundError, match="vkt-none"):
        runtime.logs("vkt-none", 5)


def test_following_ends_with_the_server(runtime: Runtime, make: Make) -> None:
    """With follow, lines that are written later arrive, up to the last."""
    artefacts = make()
    runtime.start(artefacts)
    lines = runtime.logs(artefacts.name, 1, follow=True)
    first = next(lines)

    runtime.stop(artefacts.name, artefacts.stop_grace)

    assert "Ready to accept connections" in first
    assert any("ready to exit" in line for line in lines)
