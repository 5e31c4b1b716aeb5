"""Whatever is wrong: one sentence, a next step, the right status, nothing left running."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Run, servers
from tests.conftest import command, free_port, start_server
from valkeyctl.endpoint import Endpoint


@pytest.mark.parametrize(
    ("text", "code", "place", "words"),
    [
        ("name: x\nmemory: [\n", "profile", "x.yaml:", "is not YAML"),
        ("name: x\nevicton: lru\n", "profile", "x.yaml:2 evicton", "did you mean eviction"),
        ("name: x\neviction: lru\n", "profile", "x.yaml:2 eviction", "allkeys-lru"),
        ("name: x\nmemory:\n  limit: 12Q\n", "profile", "x.yaml:3 memory.limit", "512Mi"),
        (
            "name: x\nmemory:\n  limit: 64Mi\n  maxmemory: 60mb\n",
            "memory_budget",
            "memory.maxmemory",
            "write auto",
        ),
        ("name: x\npublish: 0.0.0.0:6379\n", "profile", "x.yaml:2 publish", "authentication"),
        ("name: x\nauth: {password: hunter2}\n", "profile", "x.yaml:2 auth.password", "${NAME}"),
    ],
)
@pytest.mark.parametrize("verb", [("deploy",), ("render",), ("profiles", "validate")])
def test_a_wrong_profile_names_file_line_key_and_what_is_allowed(
    ctl: Run, home: Path, verb: tuple[str, ...], text: str, code: str, place: str, words: str
) -> None:
    """Whichever command meets it first."""
    (home / "x.yaml").write_text(text)

    done = ctl(*verb, "-p", "./x.yaml", "-o", "json")

    assert done.status == 2
    assert done.error["code"] == code
    assert place in done.error["message"]
    assert words in done.error["message"]
    assert "hunter2" not in done.out


def test_a_taken_port_is_named_and_its_owner_left_alone(ctl: Run, profile: Path) -> None:
    """We never stop what we did not start."""
    port = int(profile.read_text().rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        done = ctl("deploy", "-p", str(profile), "-o", "json")

        assert done.status == 5
        assert done.error["code"] == "port_taken"
        assert str(port) in done.error["message"]
        assert done.error["hint"]


@pytest.mark.parametrize(
    "argv",
    [
        ("health",),
        ("smoke",),
        ("keys", "ls"),
        ("keys", "stats"),
        ("keys", "inspect", "shop:response:x"),
        ("keys", "flush", "response", "--yes"),
    ],
)
def test_a_dead_server_is_status_three(ctl: Run, argv: tuple[str, ...]) -> None:
    """Every command that needs one says where it looked."""
    url = f"redis://127.0.0.1:{free_port()}/0"

    done = ctl("--url", url, "--app", "shop", *argv, "-o", "json")

    assert done.status == 3
    assert done.error["code"] == "unreachable"
    assert url.split("/")[2] in done.error["message"]


def test_a_wrong_password_is_said_and_never_shown(ctl: Run, tmp_path: Path) -> None:
    """Status 3, code auth."""
    process, endpoint = start_server(tmp_path, "--requirepass", "right-one")
    try:
        url = f"redis://:wrong-one@{endpoint.address}/0"
        done = ctl("--url", url, "health", "-o", "json")
    finally:
        process.kill()
        process.wait()

    assert done.status == 3
    assert done.error["code"] == "auth"
    assert "wrong-one" not in done.out + done.err


def test_a_frozen_server_costs_the_deadline_and_no_more(ctl: Run, tmp_path: Path) -> None:
    """It accepts the connection and never answers."""
    process, endpoint = start_server(tmp_path)
    process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = ctl("--url", endpoint.url(), "health", "--deadline", "0.3", "-o", "json")
        took = time.monotonic() - began
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    assert done.status == 3
    assert took < 2


@pytest.mark.parametrize("argv", [("deploy",), ("status",), ("down",)])
def test_an_unusable_state_folder_is_named(
    ctl: Run, profile: Path, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    """A file stands where the folder should be."""
    blocked = tmp_path / "blocked"
    blocked.write_text("")

    done = ctl(*argv, "-p", str(profile), "--state-dir", str(blocked), "-o", "json")

    assert done.status == 5
    assert done.error["code"] == "folder"
    assert "blocked" in done.error["message"]


def test_an_unwritable_output_folder_is_named(ctl: Run, home: Path) -> None:
    """Nothing is half written."""
    (home / "file").write_text("")

    done = ctl("render", "-p", "dev", "--out", "file/deploy", "-o", "json")

    assert done.status == 5
    assert done.error["code"] == "folder"


def test_flush_without_a_terminal_refuses(ctl: Run, endpoint: Endpoint) -> None:
    """Status 4, and the key is still there."""
    command(endpoint, "SET", "shop:response:a", "1")

    done = ctl("--url", endpoint.url(), "--app", "shop", "keys", "flush", "response", "-o", "json")

    assert done.status == 4
    assert done.error["code"] == "refused"
    assert "--yes" in done.error["hint"]
    assert command(endpoint, "EXISTS", "shop:response:a") == b":1\r\n"


def test_purge_without_a_terminal_refuses(ctl: Run, profile: Path) -> None:
    """The server goes on."""
    assert ctl("deploy", "-p", str(profile)).status == 0

    done = ctl("down", "--purge", "-p", str(profile), "-o", "json")

    assert done.status == 4
    assert ctl("health", "-p", str(profile)).status == 0


@pytest.mark.parametrize(
    "argv",
    [
        ("--gate", "p99_speedup"),
        ("--gate", "p42_speedup>=5"),
        ("--arm", "a b=header:x"),
        ("--arm", "a=nonsense:1"),
        ("--duration", "soon"),
        ("--rounds", "0"),
        ("--scenario", "nonexistent"),
        ("--trace", "nonexistent.jsonl"),
        ("--target", "ftp://x"),
    ],
)
def test_a_wrong_bench_option_is_said_before_anything_starts(
    ctl: Run, endpoint: Endpoint, argv: tuple[str, ...]
) -> None:
    """A run of minutes must not end in a usage error."""
    done = ctl("--url", endpoint.url(), "bench", *argv, "-o", "json")

    assert done.status in {2, 5}
    assert done.error["message"]


def _start(*argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "valkeyctl", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )


def _family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _played(out: Path) -> int:
    """Return how many blocks of a bench run are over."""
    stages = out / "stages.jsonl"
    return len(stages.read_text().splitlines()) if stages.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_bench_leaves_no_process_and_says_where_the_samples_are(
    home: Path, endpoint: Endpoint, stop: signal.Signals
) -> None:
    """Ctrl-C in the middle of a round."""
    out = home / "report"
    process = _start(
        *("--url", endpoint.url(), "bench", "--duration", "60s", "--out", str(out), "-o", "json"),
    )
    deadline = time.monotonic() + 40
    while _played(out) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)  # a foreign process: there is no clock to move
    children = _family(process)

    process.send_signal(stop)
    printed, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert json.loads(printed)["status"] == "fail"  # one object, whether or not a round was done
    assert children
    _gone, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.15, 0.3, 0.5])
def test_an_interrupted_deploy_leaves_a_usable_state(ctl: Run, profile: Path, delay: float) -> None:
    """Ctrl-C at any moment: the next deploy brings the server to its profile."""
    process = _start("deploy", "-p", str(profile))
    time.sleep(delay)  # the moment of the Ctrl-C is the point

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode in {0, 130, -signal.SIGINT}
    # A signal that falls into a callback of Python's own import machinery is lost there,
    # and Python says so in words of its own; the command then goes on.
    ours = re.sub(
        r"Exception ignored in: <function _get_module_lock.*?KeyboardInterrupt: ?\n",
        "",
        err,
        flags=re.DOTALL,
    )
    assert "Traceback" not in ours or process.returncode == -signal.SIGINT
    assert ctl("deploy", "-p", str(profile)).status == 0
    assert ctl("health", "-p", str(profile)).status == 0


def test_a_full_disk_behind_the_output_is_one_sentence() -> None:
    """`valkeyctl ... > /dev/full`."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "valkeyctl", "profiles", "ls", "-o", "json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_a_frozen_server_is_replaced(ctl: Run, profile: Path) -> None:
    """Deploy brings it to its profile although its process is there."""
    profile.write_text(profile.read_text() + "stop: {grace: 1s}\n")
    ctl("deploy", "-p", str(profile))
    frozen = servers(profile.parents[1])
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)

    status = ctl("status", "-p", str(profile))
    done = ctl("deploy", "-p", str(profile))

    assert status.status == 1
    assert done.status == 0, done.err
    assert ctl("health", "-p", str(profile)).status == 0


@pytest.mark.parametrize(
    ("argv", "extra"),
    [
        (["bench"], "bench"),
        (["bench", "report", "x"], "bench"),
        (["bench", "compare", "a", "b"], "bench"),
        (["demo"], "bench"),
        (["gateway", "serve"], "gateway"),
    ],
)
def test_a_missing_extra_is_named_with_its_install_command(argv: list[str], extra: str) -> None:
    """A plain installation has neither numpy nor uvicorn."""
    hide = (
        "import sys\n"
        "from importlib.abc import MetaPathFinder\n"
        "class Hidden(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'numpy', 'locust', 'jinja2', 'uvicorn', 'fastapi'}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "from valkeyctl.cli.main import main\n"
        "main()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", hide, *argv, "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 5, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "missing"
    assert f"valkeyctl[{extra}]" in json.loads(done.stdout)["error"]["hint"]


def test_half_a_tls_section_is_not_valid(ctl: Run, profile: Path) -> None:
    """What `deploy` would refuse, `profiles validate` does as well."""
    profile.write_text(f"{profile.read_text()}tls: {{enabled: true, ca_file: ca.crt}}\n")

    done = ctl("profiles", "validate", str(profile))

    assert done.status == 2
    assert "tls.cert_file: a CA, a certificate and its key belong together" in done.err


def test_a_description_is_neither_markup_nor_a_command_to_the_terminal(
    ctl: Run, home: Path
) -> None:
    """It is shown as it is written, or refused."""
    (home / "profiles").mkdir()
    (home / "profiles" / "a.yaml").write_text("name: a\ndescription: a [/b] c\n")
    (home / "profiles" / "b.yaml").write_text('name: b\ndescription: "\\e[2J gone"\n')

    done = ctl("profiles", "ls")

    assert "a [/b] c" in done.out
    assert "INVALID" in done.out
    assert "control character" in ctl("profiles", "validate", "b").err
    assert "\x1b" not in done.out
