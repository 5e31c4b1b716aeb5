"""What every command shares: options anywhere, one envelope, one sentence, one status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from valkeyctl.cli import output
from valkeyctl.cli.boundary import run
from valkeyctl.cli.commands import COMMANDS
from valkeyctl.cli.hints import with_selection
from valkeyctl.cli.reference import command_paths
from valkeyctl.errors import StartError, UnreachableError, ValkeyctlError

HEAVY = ("redis", "pydantic", "fastapi", "locust", "asyncio", "yaml", "rich", "numpy", "httpx")


def test_every_command_is_described_as_its_own_help_begins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The top-level table says what the command says of itself."""
    for name, entry in COMMANDS.items():
        assert run([name, "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert entry.help.rstrip(".") in text, name


def test_help_lists_every_command_by_task(capsys: pytest.CaptureFixture[str]) -> None:
    """The first screen has all there is, within 80 columns."""
    assert run(["--help"]) == 0

    out = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"  {name}" in out
        assert entry.help in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines())


def test_every_command_takes_the_global_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Nouns, verbs, and a noun that is a command too."""
    for path in command_paths():
        assert run([*path, "-q", "--state-dir", "x", "-o", "json", "--help"]) == 0, path
        capsys.readouterr()


@pytest.mark.parametrize(
    "argv", [["--help"], ["--version"], ["keys", "--help"], ["bench", "--help"]]
)
def test_help_and_version_import_nothing_heavy(argv: list[str]) -> None:
    """Start-up stays quick: what a command needs is imported by that command."""
    code = (
        "import sys; sys.argv[1:] = sys.argv[1:]\n"
        "from valkeyctl.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True
    )

    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ["-o", "json", "profiles", "ls"],
        ["profiles", "-o", "json", "ls"],
        ["profiles", "ls", "-o", "json"],
        ["-o", "table", "profiles", "ls", "--output=json"],
    ],
)
def test_global_options_work_before_and_after_the_subcommand(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The option nearest to the verb wins."""
    assert run(argv) == 0

    envelope = json.loads(capsys.readouterr().out)
    assert envelope["kind"] == "profiles.ls"
    assert envelope["version"] == 1
    assert envelope["status"] == "ok"
    assert "default" in [row["name"] for row in envelope["data"]["profiles"]]


@pytest.mark.parametrize(
    "argv",
    [
        ["-o", "json", "nonsense"],
        ["nonsense", "-o", "json"],
        ["deploy", "--no-such-option", "-o", "json"],
        ["keys", "-o", "json", "flsh", "x"],
        ["-ojson", "gateway", "serve", "--port", "99999"],
        ["--output=json", "profiles", "show", "a", "b", "c"],
        ["-o", "json", "keys"],
        ["-qojson", "nonsense"],
    ],
)
def test_wrong_usage_is_an_envelope_too(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that asked for JSON gets JSON, whatever it did wrong."""
    assert run(argv) == 2

    captured = capsys.readouterr()
    envelope = json.loads(captured.out)
    assert envelope["kind"] == "error"
    assert envelope["status"] == "fail"
    assert envelope["error"]["code"] == "usage"
    assert envelope["error"]["message"]
    assert envelope["error"]["hint"].startswith("See what it takes: valkeyctl")
    assert captured.err == ""


def test_a_mistyped_command_is_answered_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence on standard error, nothing on standard output."""
    assert run(["helth"]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "did you mean health?" in captured.err
    assert "Traceback" not in captured.err


def test_a_failure_is_one_sentence_its_log_and_the_next_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What went wrong, the server's own words, what to do."""
    error = StartError("the server ended", log=("line 3", "bad directive"), hint="Fix line 3")

    output.print_error(error, ["deploy"])

    assert capsys.readouterr().err == (
        "error: the server ended\n  | line 3\n  | bad directive\nFix line 3\n"
    )


def test_no_profile_of_that_name_lists_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong name is answered with the right ones."""
    assert run(["profiles", "show", "nonexistent"]) == 2

    err = capsys.readouterr().err
    assert "there is no profile of this name" in err
    assert "default" in err


def test_no_server_is_status_three(capsys: pytest.CaptureFixture[str]) -> None:
    """A port where nothing listens is named, with what to do."""
    assert run(["--url", "redis://127.0.0.1:1/0", "health", "-o", "json"]) == 3

    envelope = json.loads(capsys.readouterr().out)
    assert envelope["error"]["code"] == "unreachable"
    assert "127.0.0.1:1" in envelope["error"]["message"]
    assert envelope["error"]["hint"]


def test_a_password_in_the_url_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Not in the result, not in an error."""
    run(["--url", "redis://:hunter2@127.0.0.1:1/0", "url", "-o", "json"])
    run(["--url", "redis://:hunter2@127.0.0.1:1/0", "health"])
    run(["--url", "http://:hunter2@127.0.0.1:1/0", "health"])

    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err


def _leaves(cls: type[ValkeyctlError]) -> list[type[ValkeyctlError]]:
    found = [cls] if cls is not ValkeyctlError else []
    for child in cls.__subclasses__():
        found.extend(_leaves(child))
    return found


def test_every_failure_has_its_status_and_is_documented() -> None:
    """docs/reference/exit-codes.md names each error code beside its status."""
    page = (Path(__file__).parents[2] / "docs/reference/exit-codes.md").read_text()

    for leaf in _leaves(ValkeyctlError):
        assert f"| {leaf.exit_code} |" in page, leaf
        assert f"`{leaf.code}`" in page, leaf


def test_unreachable_has_a_next_step_by_itself() -> None:
    """The commonest failure at three in the morning never comes without a hint."""
    assert UnreachableError("no answer").hint


@pytest.mark.parametrize("verb", ["deploy", "status", "down", "restart", "logs"])
def test_a_url_is_no_deployment(ctl: Run, verb: str) -> None:
    """What works on a deployment must not take the default one for the server at a URL."""
    done = ctl("--url", "redis://127.0.0.1:1/0", verb, "-o", "json")

    assert done.status == 2
    assert "deployment" in done.error["message"]


@pytest.mark.parametrize("option", ["--profile", "--url", "--state-dir"])
def test_an_empty_selection_is_not_the_default(ctl: Run, option: str) -> None:
    """`-p "$UNSET"` in a script names nothing, and so does nothing."""
    assert ctl(option, "", "health").status == 2


@pytest.mark.parametrize(
    ("hint", "argv", "expected"),
    [
        ("Stop it first: valkeyctl down", ["-p", "shop", "x"], "-p shop"),
        ("Go on: valkeyctl keys warm f --app a", ["--app", "a", "--url", "redis://h"], "--url"),
        ("Stop it: valkeyctl down -p shop", ["--profile=shop", "x"], ""),
        ("See what it takes: valkeyctl keys --help", ["-p", "shop"], ""),
        ("Finish: valkeyctl secrets rotate app --finish", ["-p", "shop"], "-p shop"),
        ("See them: valkeyctl backup ls", ["-p", "shop", "restore", "x"], "-p shop"),
    ],
)
def test_a_hint_names_the_deployment_that_was_meant(
    hint: str, argv: list[str], expected: str
) -> None:
    """Followed to the letter it must not reach another one."""
    added = with_selection(hint, argv).removeprefix(hint)

    assert expected in added.replace("--profile", "-p")
    assert bool(added) is bool(expected)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("Back up: valkeyctl backup; or say --yes", "valkeyctl backup --profile shop; or say"),
        ("First: valkeyctl backup, valkeyctl down", "valkeyctl backup --profile shop, valk"),
        ("Ask: valkeyctl connect -- PING", "valkeyctl connect --profile shop -- PING"),
    ],
)
def test_the_deployment_is_named_within_the_command(hint: str, expected: str) -> None:
    """Where the sentence goes on behind it, and before the server's own words."""
    assert expected in with_selection(hint, ["-p", "shop"])


def test_a_hint_never_repeats_a_password() -> None:
    """The URL of the command line may hold one."""
    hint = with_selection("Again: valkeyctl keys ls", ["--url", "redis://:hunter2@h/0"])

    assert "hunter2" not in hint
    assert "redis://:***@h:6379/0" in hint


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        (["--url", "redis://h"], {}, "Check its address, and that it runs"),
        ([], {"VALKEYCTL_URL": "redis://h"}, "Check its address, and that it runs"),
        (["-p", "shop"], {"CACHE_URL": "redis://h"}, "deployed: valkeyctl status --profile shop"),
        ([], {}, "deployed: valkeyctl status"),
    ],
)
def test_a_server_given_by_its_address_has_no_status(
    argv: list[str], environ: dict[str, str], expected: str
) -> None:
    """`status` knows deployments only, so it is no next step there."""
    hint = with_selection("Check that it is deployed: valkeyctl status", argv, environ)

    assert hint.endswith(expected)
