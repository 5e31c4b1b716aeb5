"""No password is found anywhere but in its own file: not in a file, a process or an output."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Run
from tests.conftest import PODMANS, free_port, require_podman
from valkeyctl.runtime.select import PODMAN_VARIABLE

PROFILE = """
extends: prod
name: {name}
publish: 127.0.0.1:{port}
pull: never
memory: {{limit: 128Mi, clients: 8Mi}}
stop: {{grace: 5s}}
"""
PODMAN_LOOKS = ("status", "health", "logs", "secrets ls", "deploy --dry-run")
LOOKS = (*PODMAN_LOOKS, "url", "smoke", "render", "deploy", "secrets rotate --finish --dry-run")
# Called instead of podman: keeps what it was called with, and in which environment.
SPY = """#!/bin/sh
{{ printf '%s\\n' "$@"; tr '\\0' '\\n' < /proc/self/environ; }} >> {log}
exec {podman} "$@"
"""


@dataclass(frozen=True)
class Site:
    """A deployment that was made and looked at in every way.

    Attributes:
        name: Of the deployment.
        state: The state folder.
        runtime: ``process``, or the Podman that was called.
        outputs: What each command printed, by the command.
        calls: What podman was called with; None on the process runtime.
        values: Every password that there ever was, and its hash.
    """

    name: str
    state: Path
    runtime: str
    outputs: dict[str, str]
    calls: Path | None
    values: frozenset[str]


@pytest.fixture(
    params=["process", *(pytest.param(name, marks=pytest.mark.podman) for name in PODMANS)]
)
def site(
    request: pytest.FixtureRequest, ctl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A deployment on each runtime in turn, with all that was said about it."""
    runtime, name = str(request.param), f"vkt-{secrets.token_hex(4)}"
    calls = None
    if runtime != "process":
        require_podman(runtime)
        calls, spy = tmp_path / "calls", tmp_path / "spy"
        spy.write_text(SPY.format(log=calls, podman=runtime))
        spy.chmod(0o700)
        monkeypatch.setenv(PODMAN_VARIABLE, str(spy))
    file, state = tmp_path / f"{name}.yaml", tmp_path / "state"
    file.write_text(PROFILE.format(name=name, port=free_port()))
    outputs: dict[str, str] = {}
    values: set[str] = set()

    def say(*words: str) -> None:
        done = ctl(*words, "-p", str(file), "-v")
        assert done.status == 0, (words, done.err)
        outputs[" ".join(words)] = done.out
        outputs[f"{words} on standard error"] = done.err
        for kept in (state / "secrets" / name).iterdir():
            values.update((kept.read_text(), hashlib.sha256(kept.read_bytes()).hexdigest()))

    try:
        say("deploy", "--runtime", "process" if runtime == "process" else "podman")
        say("secrets", "rotate")
        # What does not ask podman says the same on each runtime, and is asked on one.
        asked = LOOKS if runtime == "process" else PODMAN_LOOKS
        for output in ("table", "json") if runtime == "process" else ("json",):
            for words in asked:
                say(*words.split(), "-o", output)
        say("secrets", "rotate", "app", "--finish", "--yes", "-o", "json")
        yield Site(name, state, runtime, outputs, calls, frozenset(values))
    finally:
        ctl("down", "--purge", "--yes", "-p", str(file))


@pytest.mark.slow
def test_a_password_is_in_its_own_file_and_nowhere_else(site: Site) -> None:
    """Outputs, files, processes, calls of podman, and what Podman itself keeps."""
    places = {**site.outputs, **files(site), **servers(site), **kept_by_podman(site)}

    found = [place for place, text in places.items() for value in site.values if value in text]

    assert len(site.values) >= 8  # two users, two passwords each, and their hashes
    assert found == []
    assert set(modes(site)) == {0o700, 0o600}
    shown = json.loads(site.outputs["status -o json"])["data"]["password_file"]
    assert Path(shown).read_text() in site.values


def modes(site: Site) -> Iterator[int]:
    """Yield who may read each place of ours that holds secrets."""
    folders = [site.state / "secrets" / site.name]
    if site.runtime == "process":
        folders.append(site.state / "runtimes" / "process" / site.name / "secrets")
    for folder in folders:
        for path in (folder, *folder.iterdir()):
            assert path.is_dir() == (path.stat().st_mode & 0o777 == 0o700)
            yield path.stat().st_mode & 0o777


def files(site: Site) -> dict[str, str]:
    """Return every file of ours but those that are there to hold secrets."""
    return {
        str(file): file.read_bytes().decode(errors="replace")
        for file in site.state.rglob("*")
        if file.is_file() and "secrets" not in file.relative_to(site.state).parts
    }


def servers(site: Site) -> dict[str, str]:
    """Return the arguments and the environment of the server's own processes."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(site.name in word for word in words) or "valkey-server" in " ".join(words[:1]):
            try:
                environ = Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
            except OSError:  # it ended meanwhile
                continue
            found[f"process {process.pid}"] = " ".join(words) + environ
    assert found
    return found


def kept_by_podman(site: Site) -> dict[str, str]:
    """Return what podman was called with, and what it shows to whoever asks."""
    if site.calls is None:
        return {}
    pod, unit = f"{site.name}-valkey", site.name
    questions = [
        ("pod", "inspect", pod),
        ("container", "inspect", f"{pod}-server"),
        ("volume", "inspect", f"{unit}-secrets", f"{unit}-data"),
        ("logs", f"{pod}-server"),
        ("kube", "generate", pod),
    ]
    answers = {
        " ".join(words): subprocess.run(
            [site.runtime, *words], capture_output=True, text=True, check=True, timeout=60
        )
        for words in questions
    }
    return {
        "calls": site.calls.read_text(),
        **{words: answer.stdout + answer.stderr for words, answer in answers.items()},
    }
