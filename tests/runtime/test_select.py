"""Which runtime is taken, and the reason that is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from valkeyctl.errors import MissingError, UsageError
from valkeyctl.runtime.select import choose, runtime_named


def fake_podman(folder: Path, *, works: bool) -> dict[str, str]:
    """Return an environment whose podman answers, and can or cannot make pods."""
    program = folder / "podman"
    version = json.dumps({"Client": {"Version": "4.3.1", "Built": 0}})
    program.write_text(
        f"#!/bin/sh\ncase $1 in version) echo '{version}';; *) exit {0 if works else 125};; esac\n"
    )
    program.chmod(0o755)
    return {"VALKEYCTL_PODMAN": str(program)}


def test_podman_is_taken_where_it_works(tmp_path: Path) -> None:
    """The reason names the version."""
    choice = choose("auto", tmp_path, environ=fake_podman(tmp_path, works=True))

    assert choice.runtime.name == "podman"
    assert choice.reason == "podman 4.3.1 works"


def test_without_podman_a_process_is_taken(tmp_path: Path) -> None:
    """The reason says what is missing."""
    choice = choose("auto", tmp_path, environ={"VALKEYCTL_PODMAN": "no-such-podman"})

    assert choice.runtime.name == "process"
    assert choice.reason == "process: no-such-podman is not installed"


def test_a_podman_that_cannot_make_pods_is_passed_over(tmp_path: Path) -> None:
    """It runs and it could not start a server, which is what counts."""
    choice = choose("auto", tmp_path, environ=fake_podman(tmp_path, works=False))

    assert choice.runtime.name == "process"
    assert "cannot make a pod" in choice.reason


def test_what_was_asked_for_is_taken_or_refused(tmp_path: Path) -> None:
    """A wish for a runtime that does not work is not met by the other one."""
    environ = {"VALKEYCTL_PODMAN": "no-such-podman"}

    assert choose("process", tmp_path, environ=environ).reason == "process was asked for"
    with pytest.raises(MissingError, match="no-such-podman is not installed"):
        choose("podman", tmp_path, environ=environ)


def test_without_any_runtime_both_are_named(tmp_path: Path) -> None:
    """The message says what is missing of each, the hint how to get one."""
    environ = {"VALKEYCTL_PODMAN": "no-such-podman", "VALKEYCTL_SERVER": "no-such-server"}

    with pytest.raises(
        MissingError, match=r"no-such-podman is not installed, and .*no-such-server"
    ):
        choose("auto", tmp_path, environ=environ)


def test_a_variable_that_is_no_command_is_wrong_usage(tmp_path: Path) -> None:
    """An open quote is told with the variable that it stands in."""
    with pytest.raises(UsageError, match="VALKEYCTL_PODMAN is no command: No closing quotation"):
        choose("auto", tmp_path, environ={"VALKEYCTL_PODMAN": 'podman "--root'})


def test_an_unknown_runtime_is_a_bug(tmp_path: Path) -> None:
    """Names come from our own records and options, which allow two."""
    with pytest.raises(KeyError):
        runtime_named("docker", tmp_path)
