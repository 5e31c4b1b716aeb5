"""Changing passwords while clients are connected, and while we are killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.deployments import SentinelMember
from tests.ops.conftest import Start, on_process
from tests.runtime.conftest import unique_profile
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, RefusedError, UsageError
from valkeyctl.ops import rotation
from valkeyctl.ops.access import access
from valkeyctl.ops.rotation import finish, hand_over, rotate
from valkeyctl.ops.secrets import Passwords, passwords
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.users import kept_passwords
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.render.acl import ADMIN, APP, REPLICA, SENTINEL


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def profile(state: StateFolder) -> Profile:
    """A deployment with users, on the embedded server."""
    made = unique_profile(auth=True)
    on_process(made, state)
    return made


def logs_in(profile: Profile, user: str, password: str | None) -> bool:
    """Say whether *user* gets in with *password* now."""
    try:
        with Wire(Endpoint(port=profile.port, username=user, password=password)) as wire:
            return wire.call("PING") == b"PONG"
    except AuthError:
        return False


def test_both_passwords_work_until_the_old_one_is_taken_away(
    profile: Profile, state: StateFolder
) -> None:
    """And a connection that the old one opened goes on even then."""
    old = access(profile, state, APP)
    with Wire(old) as before:
        rotated = rotate(profile, state, [APP], progress=quiet)
        new = access(profile, state, APP)
        both = [logs_in(profile, APP, password) for password in (old.password, new.password)]

        finished = finish(profile, state, progress=quiet)

        assert new.password != old.password
        assert both == [True, True]
        assert [one.user for one in rotated.users] == [APP]
        assert rotated.told == finished.told == (profile.name,)
        assert not logs_in(profile, APP, old.password)
        assert logs_in(profile, APP, new.password)
        assert before.call("PING") == b"PONG"


def test_who_is_logged_in_by_the_old_password_is_counted(
    profile: Profile, state: StateFolder
) -> None:
    """So that the operator knows when to finish."""
    with Wire(access(profile, state, APP)):
        rotate(profile, state, [APP], progress=quiet)

        app = next(one for one in kept_passwords(profile, state) if one.user == APP)

    assert (app.rotating, app.clients, app.older_clients) == (True, 1, 1)
    assert app.file.read_text() == passwords(state, profile.name).current(APP)


def test_all_users_are_changed_when_none_is_named(profile: Profile, state: StateFolder) -> None:
    """Our own login among them, which goes on working at every step."""
    rotated = rotate(profile, state, progress=quiet)
    finished = finish(profile, state, progress=quiet)

    assert [one.user for one in rotated.users] == [ADMIN, APP]
    assert [one.rotating for one in finished.users] == [False, False]
    with Wire(access(profile, state)) as wire:
        assert wire.call("ACL", "WHOAMI") == b"admin"


@pytest.mark.parametrize("step", ["prepare", "_tell", "promote", "retire"])
def test_killed_at_any_step_the_next_call_goes_on(
    profile: Profile, state: StateFolder, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Every password that a client may have works at every moment between."""
    kept = passwords(state, profile.name)
    old = kept.current(APP)

    def both() -> None:
        rotate(profile, state, [APP], progress=quiet)
        finish(profile, state, [APP], progress=quiet)

    with monkeypatch.context() as broken:
        killed_after(broken, step)
        with pytest.raises(KeyboardInterrupt):
            both()
    assert logs_in(profile, APP, kept.current(APP))
    assert logs_in(profile, APP, old) or step == "retire"

    if kept.previous(APP) is None and kept.current(APP) == old:
        rotate(profile, state, [APP], progress=quiet)
    finish(profile, state, [APP], progress=quiet)

    assert kept.accepted(APP) == (kept.current(APP),)
    assert logs_in(profile, APP, kept.current(APP))
    assert not logs_in(profile, APP, old)


def killed_after(patch: pytest.MonkeyPatch, step: str) -> None:
    """Let a rotation be killed right after *step*."""
    target: object = rotation if step == "_tell" else Passwords
    real: Callable[..., None] = getattr(target, step)

    def dying(*arguments: object, **named: object) -> None:
        real(*arguments, **named)
        raise KeyboardInterrupt

    patch.setattr(target, step, dying)


def test_a_rotation_that_was_cut_short_cannot_be_finished(
    profile: Profile, state: StateFolder
) -> None:
    """A server might not know the new password, and would accept none."""
    passwords(state, profile.name).prepare(APP, "new")

    with pytest.raises(RefusedError, match="was interrupted"):
        finish(profile, state, progress=quiet)


def test_a_third_password_is_refused(profile: Profile, state: StateFolder) -> None:
    """It would end the first one's life by surprise."""
    rotate(profile, state, [APP], progress=quiet)

    with pytest.raises(RefusedError, match="is being changed already"):
        rotate(profile, state, [APP], progress=quiet)


def test_who_has_no_password_cannot_change_it(profile: Profile, state: StateFolder) -> None:
    """The probe has none, and a deployment without users has nobody."""
    with pytest.raises(UsageError, match="no user probe"):
        rotate(profile, state, ["probe"], progress=quiet)
    with pytest.raises(UsageError, match="has no users"):
        rotate(unique_profile(), state, progress=quiet)


def test_before_the_first_deploy_nobody_is_told(state: StateFolder) -> None:
    """For Compose: the files are changed, and exported by hand."""
    made = unique_profile(auth=True)

    rotated = rotate(made, state, progress=quiet)

    assert rotated.told == ()
    assert "none was told" in rotated.warnings[0]
    assert all(one.made and not one.rotating for one in rotated.users)


def unit(kind: str) -> Artefacts:
    """Return a unit of a topology, as far as a hand-over looks at it."""
    made = render(unique_profile(auth=True))
    return replace(
        made, name="p-1", profile="p", kind="sentinel" if kind == "sentinel" else "server"
    )


def test_a_replica_logs_in_to_its_primary_by_the_new_password(start: Start) -> None:
    """From its next connection on, without a restart."""
    endpoint = start()

    hand_over(unit("server"), endpoint, REPLICA, "new")
    hand_over(unit("server"), endpoint, APP, "not this")

    with Wire(endpoint) as wire:
        assert wire.call("CONFIG", "GET", "primaryauth") == [b"primaryauth", b"new"]


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[SentinelMember]:
    """A sentinel that watches a primary called ``p``."""
    made = SentinelMember(tmp_path / "sentinel")
    made.configure("sentinel monitor p 127.0.0.1 1 1")
    made.start()
    yield made
    made.kill()


def test_a_sentinel_logs_in_everywhere_by_the_new_password(sentinel: SentinelMember) -> None:
    """To the servers that it watches, and to the other sentinels."""
    hand_over(unit("sentinel"), sentinel.endpoint, SENTINEL, "new")

    written = (Path(str(sentinel._folder)) / "sentinel.conf").read_text()
    assert 'sentinel auth-pass p "new"' in written
    assert 'sentinel sentinel-pass "new"' in written
