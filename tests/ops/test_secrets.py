"""Passwords: made once, kept private, and never lost half way through a change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.ops.conftest import changed
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import FolderError, MissingError, ProfileError
from valkeyctl.ops.access import access, address, unit_access
from valkeyctl.ops.secrets import Passwords, material, password_of, passwords
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.render import render
from valkeyctl.render.acl import ACL_FILE, ADMIN, APP


def hash_of(password: str | None) -> str:
    """Return what the ACL file has of *password*."""
    assert password is not None
    return hashlib.sha256(password.encode()).hexdigest()


def acl(profile: Profile | None, made: Profile, state: StateFolder) -> str:
    """Return the list of users that a server of *made* reads."""
    return material(profile, render(made), state).files[ACL_FILE].decode()


def test_a_deploy_makes_long_passwords_once(state: StateFolder) -> None:
    """32 random bytes each, of a user's own; the next deploy finds them."""
    profile = unique_profile(auth=True)

    first = material(profile, render(profile), state)
    again = material(profile, render(profile), state)

    kept = passwords(state, profile.name)
    found = {kept.current(user) for user in (ADMIN, APP)}
    assert len(found) == 2
    assert {len(password or "") for password in found} == {43}
    assert first.digest == again.digest
    assert not any(password in str(first) + repr(first) for password in found if password)


def test_the_list_of_users_has_hashes_only(state: StateFolder) -> None:
    """Who reads the file cannot log in."""
    profile = unique_profile(auth=True)

    text = acl(profile, profile, state)

    kept = passwords(state, profile.name)
    assert f"user app on #{hash_of(kept.current(APP))} " in text
    assert not any(password_of(profile.name, state, user) in text for user in (ADMIN, APP))
    assert "user default off" in text


def test_a_dry_run_writes_nothing(state: StateFolder) -> None:
    """It is proven with a password that nobody keeps."""
    profile = unique_profile(auth=True)

    found = material(profile, render(profile), state, dry_run=True)

    assert b"user admin on #" in found.files[ACL_FILE]
    assert not state.secrets(profile.name).exists()


def test_a_password_of_the_profile_is_the_applications(state: StateFolder) -> None:
    """And when it changes, the one before works until the rotation is finished."""
    profile = given("first")
    acl(profile, profile, state)

    text = acl(changed_to("second", profile), profile, state)

    kept = passwords(state, profile.name)
    assert (kept.current(APP), kept.previous(APP)) == ("second", "first")
    assert f"#{hash_of('second')} #{hash_of('first')} " in text


def test_a_password_that_no_client_could_send_is_refused(state: StateFolder) -> None:
    """A line break, say from a file; the message does not repeat it."""
    profile = given("one\ntwo")

    with pytest.raises(ProfileError, match=r"auth\.password") as caught:
        material(profile, render(profile), state)

    assert "two" not in str(caught.value)


def test_without_the_profile_nothing_is_made(state: StateFolder) -> None:
    """A restart with passwords that are gone must not lock everybody out."""
    profile = unique_profile(auth=True)

    with pytest.raises(MissingError, match="no password of the user admin"):
        material(None, render(profile), state)


def given(password: str) -> Profile:
    """Return a profile with a password of its own."""
    return unique_profile(auth={"enabled": True, "password": SecretStr(password)})


def changed_to(password: str, profile: Profile) -> Profile:
    """Return *profile* with another password."""
    return changed(profile, auth={"enabled": True, "password": SecretStr(password)})


@pytest.fixture
def kept(tmp_path: Path) -> Passwords:
    """The user ``app`` with the password ``old``."""
    found = Passwords(tmp_path / "secrets")
    found.keep(APP, "old")
    return found


def test_a_change_goes_by_steps_that_lose_nothing(kept: Passwords) -> None:
    """After each step every password that a client may have is accepted."""
    kept.prepare(APP, "new")
    assert (kept.current(APP), kept.accepted(APP)) == ("old", ("old", "new"))
    assert kept.since(APP) is None

    kept.promote(APP)
    assert (kept.current(APP), kept.accepted(APP)) == ("new", ("new", "old"))
    assert kept.since(APP) is not None
    assert kept.accepted(APP, previous=False) == ("new",)

    kept.retire(APP)
    assert (kept.accepted(APP), kept.previous(APP)) == (("new",), None)


def test_an_interrupted_change_goes_on_with_the_same_password(kept: Passwords) -> None:
    """Servers may know it already: a third one would be one too many."""
    kept.prepare(APP, "new")

    kept.prepare(APP, "newer")

    assert kept.coming(APP) == "new"


@pytest.mark.parametrize("step", ["write_private", "replace"])
def test_a_promotion_cut_short_is_done_again(
    kept: Passwords, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed before or after the old one was set aside, no password is lost."""
    kept.prepare(APP, "new")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        if step == "replace":
            broken.setattr(Path, "replace", replace_unless(".next", Path.replace))
        else:
            broken.setattr("valkeyctl.ops.secrets.write_private", die)
        with pytest.raises(KeyboardInterrupt):
            kept.promote(APP)
    assert kept.current(APP) == "old"
    assert set(kept.accepted(APP)) == {"old", "new"}

    kept.promote(APP)

    assert (kept.current(APP), kept.previous(APP)) == ("new", "old")


def replace_unless(suffix: str, real: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """Return a rename that dies at files that end with *suffix*."""

    def rename(self: Path, target: Path) -> Path:
        if self.name.endswith(suffix):
            raise KeyboardInterrupt
        return real(self, target)

    return rename


def test_an_editors_line_break_is_no_part_of_a_password(kept: Passwords) -> None:
    """Who writes the file by hand does not see it."""
    kept.file(APP).write_text("typed\n")

    assert kept.current(APP) == "typed"


def test_a_password_that_cannot_be_read_is_said_so(kept: Passwords) -> None:
    """And taken for none it would be replaced by another."""
    kept.file(APP).unlink()
    kept.file(APP).mkdir()

    with pytest.raises(FolderError, match=r"cannot read the password .*/app: Is a directory"):
        kept.current(APP)


def test_access_is_the_admins_and_the_applications(state: StateFolder) -> None:
    """Our own commands as admin, an application as app; neither shows it by itself."""
    profile = unique_profile(auth=True)
    material(profile, render(profile), state)

    ours, theirs = access(profile, state), access(profile, state, APP)

    assert ours.password == password_of(profile.name, state, ADMIN)
    assert theirs.url() == f"redis://app:***@127.0.0.1:{profile.port}/0"
    assert unit_access(render(profile), state) == ours
    assert str(ours.password) not in repr(ours) + str(ours)


def test_access_to_what_was_not_deployed_says_so(state: StateFolder) -> None:
    """Where it would be is known all the same."""
    profile = unique_profile(auth=True)

    with pytest.raises(MissingError, match=f"no password of the user admin of {profile.name}"):
        access(profile, state)
    assert address(profile, state, APP).port == profile.port


def test_without_users_nobody_logs_in(state: StateFolder) -> None:
    """The address is all there is."""
    profile = unique_profile()

    assert access(profile, state).url() == f"redis://127.0.0.1:{profile.port}/0"


def test_forgetting_a_deployment_forgets_its_passwords(state: StateFolder) -> None:
    """`down --purge` leaves nothing."""
    profile = unique_profile(auth=True)
    material(profile, render(profile), state)

    assert state.forget(profile.name)

    assert not state.secrets(profile.name).exists()
