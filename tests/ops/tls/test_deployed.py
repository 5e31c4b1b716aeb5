"""Deployments under TLS: turned on and off, refused before they are touched, renewed whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.certificates import TLS_SERVER, needs_tls_server
from tests.ops.conftest import changed, on_process
from tests.ops.tls.conftest import shown_by
from tests.runtime.conftest import unique_profile
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import LockedError, MissingError, RefusedError, TlsError
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import restart, take_down
from valkeyctl.ops.health import probe
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.ops.tls import renew
from valkeyctl.ops.tls.hosts import hosts_of
from valkeyctl.ops.tls.issue import init
from valkeyctl.ops.tls.pair import own_folder
from valkeyctl.ops.tls.provide import provide
from valkeyctl.profile import Profile

pytestmark = needs_tls_server


@pytest.fixture
def deployments(state: StateFolder) -> Iterator[StateFolder]:
    """The state folder; what was deployed is gone after the test."""
    yield state
    for name in state.names():
        take_down(name, state, purge=True)


def made(profile: Profile, state: StateFolder) -> Profile:
    """Return *profile*, whose certificates have been made."""
    provide(profile, state, hosts_of(profile))
    return profile


def test_tls_is_turned_on_and_off(
    deployments: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data stays, whichever way, and each time the server answers to one kind alone."""
    # The embedded server is newer: the other one could not read its snapshot.
    monkeypatch.setenv("VALKEYCTL_SERVER", TLS_SERVER)
    plain = unique_profile(persistence="rdb")
    secure = made(changed(plain, persistence="rdb", tls=True), deployments)
    on_process(plain, deployments)
    with Wire(access(plain, deployments)) as wire:
        wire.call("SET", "k", "kept")

    found = on_process(secure, deployments)

    assert (found.action, found.url[:9]) == ("replaced", "rediss://")
    with Wire(access(secure, deployments)) as wire:
        assert wire.encryption is not None
        assert wire.call("GET", "k") == b"kept"
    assert on_process(secure, deployments).action == "unchanged"
    assert on_process(plain, deployments).action == "replaced"
    with Wire(access(plain, deployments)) as wire:
        assert wire.call("GET", "k") == b"kept"


def test_a_server_on_all_addresses_is_reached_under_one(deployments: StateFolder) -> None:
    """No certificate names 0.0.0.0: our own commands go to 127.0.0.1."""
    port = unique_profile().port
    profile = unique_profile(auth=True, tls=True, publish=f"0.0.0.0:{port}")
    on_process(made(profile, deployments), deployments)

    endpoint = access(profile, deployments)

    assert endpoint.host == "127.0.0.1"
    assert probe(endpoint).healthy
    assert on_process(profile, deployments).action == "unchanged"
    seen = status(profile, deployments)
    assert (seen.drift, seen.warnings) == ((), ())


def test_a_password_that_others_can_read_is_told(deployments: StateFolder) -> None:
    """With the command that closes it."""
    profile = unique_profile(auth=True)
    assert on_process(profile, deployments).warnings == ()
    file = deployments.secrets(profile.name) / "app"
    file.chmod(0o644)

    (warning,) = on_process(profile, deployments).warnings

    assert warning == f"{file} is open to other users: chmod 600 {file}"


def test_a_server_that_cannot_read_the_data_replaces_none(deployments: StateFolder) -> None:
    """The one with TLS is older than the embedded one; that is found before the stop."""
    plain = unique_profile(persistence="rdb")
    secure = made(changed(plain, persistence="rdb", tls=True), deployments)
    on_process(plain, deployments)
    with Wire(access(plain, deployments)) as wire:
        run_id = wire.info("server")["run_id"]

    with pytest.raises(RefusedError, match=r"may not be able to read what valkey 9\."):
        on_process(secure, deployments)

    with Wire(access(plain, deployments)) as wire:
        assert wire.info("server")["run_id"] == run_id


def test_without_certificates_nothing_is_touched(deployments: StateFolder) -> None:
    """The plain server goes on, and the command that makes them is named."""
    plain = unique_profile()
    on_process(plain, deployments)
    with Wire(access(plain, deployments)) as wire:
        run_id = wire.info("server")["run_id"]

    with pytest.raises(MissingError, match="is not there") as told:
        on_process(changed(plain, tls=True), deployments)

    assert "valkeyctl tls init" in str(told.value.hint)
    with Wire(access(plain, deployments)) as wire:
        assert wire.info("server")["run_id"] == run_id


def test_a_bad_certificate_reaches_no_running_server(deployments: StateFolder) -> None:
    """Not even one that only its certificate would change of; the old one goes on."""
    profile = made(unique_profile(tls=True), deployments)
    first = on_process(profile, deployments)
    assert any(line.startswith("TLS: certificate of ") for line in first.proofs)
    endpoint = access(profile, deployments)
    old = shown_by(endpoint)
    init(profile.name, own_folder(deployments, profile.name), ("elsewhere.org",), replace=True)

    for dry_run in (True, False):
        with pytest.raises(TlsError, match="where the server is published"):
            on_process(profile, deployments, dry_run=dry_run)

    assert shown_by(endpoint) == old


def test_a_restart_gives_no_server_an_expired_certificate(deployments: StateFolder) -> None:
    """It serves by the one that it has read; by the new file nobody would reach it."""
    profile = made(unique_profile(tls=True), deployments)
    on_process(profile, deployments)
    endpoint = access(profile, deployments)
    past = datetime.now(UTC) - timedelta(days=90)
    folder = own_folder(deployments, profile.name)
    init(profile.name, folder, ("127.0.0.1",), days=30, renew=True, now=past)
    old = shown_by(endpoint)

    with pytest.raises(TlsError, match="expired on"):
        restart(profile.name, deployments, profile=profile)

    assert shown_by(endpoint) == old


def test_a_certificate_near_its_end_is_told_at_each_deploy(deployments: StateFolder) -> None:
    """It is deployed all the same."""
    profile = unique_profile(tls=True)
    provide(profile, deployments, hosts_of(profile), days=20)

    found = on_process(profile, deployments)

    assert found.action == "started"
    assert any("expires in" in warning for warning in found.warnings)


def test_users_and_tls_together(deployments: StateFolder) -> None:
    """A login over TLS, renewed by the administrator, who is logged in by TLS too."""
    profile = made(unique_profile(auth=True, tls=True), deployments)
    on_process(profile, deployments)
    endpoint = access(profile, deployments)
    old = shown_by(endpoint)
    assert endpoint.password

    found = provide(profile, deployments, (), renew=True)

    assert found.reloaded == (profile.name,)
    assert shown_by(endpoint) != old
    assert probe(endpoint).healthy


def test_health_warns_of_a_certificate_that_ends(deployments: StateFolder) -> None:
    """Under 30 days a warning; in its last day a failure, while it still serves."""
    profile = unique_profile(tls=True)
    provide(profile, deployments, hosts_of(profile), days=29)
    on_process(profile, deployments)
    endpoint = access(profile, deployments)
    check = {one.name: one for one in probe(endpoint).checks}["tls"]

    assert (check.verdict, check.value) == ("warn", "TLSv1.3, 29 days left")
    assert "tls init --renew" in check.detail
    late = datetime.now(UTC) - timedelta(days=396, hours=12)
    folder = own_folder(deployments, profile.name)
    init(profile.name, folder, hosts_of(profile), renew=True, now=late)
    on_process(profile, deployments)
    check = {one.name: one for one in probe(endpoint).checks}["tls"]
    assert check.verdict == "fail"


def test_a_renewal_holds_the_lock(deployments: StateFolder) -> None:
    """Two commands at once do not mix their keys."""
    profile = made(unique_profile(tls=True), deployments)

    with deployments.lock(profile.name), pytest.raises(LockedError):
        provide(profile, deployments, (), renew=True)


def test_a_folder_of_ones_own_touches_no_server(deployments: StateFolder, tmp_path: Path) -> None:
    """`--out` is for another machine."""
    profile = unique_profile(tls=True)

    found = provide(profile, deployments, ("10.1.2.3",), folder=tmp_path / "out")

    assert (found.folder, found.reloaded) == (tmp_path / "out", ())
    assert not own_folder(deployments, profile.name).exists()


@pytest.mark.slow
@pytest.mark.slow
def test_a_sentinel_topology_is_renewed_whole(deployments: StateFolder) -> None:
    """Servers without a restart, sentinels one after the other, the primary as it was."""
    profile = made(
        unique_profile(
            tls=True,
            topology="sentinel",
            persistence="rdb",
            replication={"replicas": 1},
            memory={"limit": "256Mi"},
        ),
        deployments,
    )
    on_process(profile, deployments)
    endpoint = access(profile, deployments)
    before = [shown_by(endpoint.server(*node)) for node in endpoint.nodes]

    found = provide(profile, deployments, (), renew=True)

    assert len(found.reloaded) == 5
    after = [shown_by(endpoint.server(*node)) for node in endpoint.nodes]
    assert not set(before) & set(after)
    report = probe(endpoint)
    assert report.healthy, [one for one in report.checks if one.verdict == "fail"]
    # A new CA, of which none was told: deploy finds it out, and restarts the sentinels, which
    # do not know each other again before the last of them has it.
    started = [fact_of(endpoint, node) for node in endpoint.nodes]
    init(profile.name, own_folder(deployments, profile.name), hosts_of(profile), replace=True)
    assert on_process(profile, deployments).action == "replaced"
    assert not set(after) & {shown_by(endpoint.server(*node)) for node in endpoint.nodes}
    assert not set(started) & {fact_of(endpoint, node) for node in endpoint.nodes}
    assert on_process(profile, deployments).action == "unchanged"


def fact_of(endpoint: Endpoint, node: Node) -> str:
    """Return which process answers at *node*."""
    with Wire(endpoint.server(*node)) as wire:
        return wire.info("server")["process_id"]


def test_a_renewal_that_was_killed_is_finished_by_deploy(
    deployments: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new files lie where the server reads them, and nobody has told it to."""
    profile = made(unique_profile(tls=True), deployments)
    on_process(profile, deployments)
    endpoint = access(profile, deployments)
    old = shown_by(endpoint)
    with monkeypatch.context() as broken:
        broken.setattr(renew, "reload", killed)
        with pytest.raises(KeyboardInterrupt):
            provide(profile, deployments, (), renew=True)
    assert shown_by(endpoint) == old

    with Wire(endpoint) as before:
        found = on_process(profile, deployments)
        assert before.call("PING") == b"PONG"

    assert found.action == "updated"
    assert shown_by(endpoint) != old
    assert on_process(profile, deployments).action == "unchanged"


def killed(*_: object) -> None:
    """Be killed."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("asks", ["optional", "yes"])
def test_a_new_ca_reaches_a_running_server(deployments: StateFolder, asks: str) -> None:
    """Without a dropped connection: the CA before is trusted until the next renewal."""
    tls = {"enabled": True, "auth_clients": asks}
    profile = made(unique_profile(auth=True, tls=tls), deployments)
    on_process(profile, deployments)
    with Wire(access(profile, deployments)) as before:
        provide(profile, deployments, hosts_of(profile), new_ca=True)

        assert on_process(profile, deployments).action == "updated"

        assert before.call("PING") == b"PONG"
    provide(profile, deployments, (), renew=True)
    assert probe(access(profile, deployments)).healthy
    assert on_process(profile, deployments).action == "unchanged"


@pytest.mark.parametrize("lost", ["certificates", "passwords"])
def test_who_can_be_told_nothing_any_more_is_started_anew(
    deployments: StateFolder, lost: str
) -> None:
    """The server knows what was lost, and we do not; deploy does not give up."""
    profile = made(unique_profile(auth=True, tls=True, persistence="rdb"), deployments)
    on_process(profile, deployments)
    with Wire(access(profile, deployments)) as wire:
        wire.call("SET", "k", "kept")
    if lost == "certificates":
        shutil.rmtree(own_folder(deployments, profile.name))
        provide(profile, deployments, hosts_of(profile))
    else:
        for user in ("admin", "app"):
            (deployments.secrets(profile.name) / user).unlink()

    found = on_process(profile, deployments)

    assert found.action == "replaced"
    with Wire(access(profile, deployments)) as wire:
        assert wire.call("GET", "k") == b"kept"
