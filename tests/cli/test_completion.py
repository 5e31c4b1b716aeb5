"""A TAB is answered from the table as typer would answer it, and knows values as well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer._click.shell_completion import ShellComplete
from typer._completion_classes import BashComplete

from tests.cli.conftest import Run
from valkeyctl.cli import completion
from valkeyctl.cli.boundary import root
from valkeyctl.cli.completion import Table, answer, offers
from valkeyctl.cli.completion_table import table
from valkeyctl.cli.namespaces import Selected, remember
from valkeyctl.cli.options import Output
from valkeyctl.cli.reference import command_paths
from valkeyctl.endpoint import Endpoint
from valkeyctl.profile import profile_names

PATHS = command_paths()
FILE = Path(completion.__file__).with_name("completion.tsv")
TABLE = Table(FILE.read_text(encoding="utf-8"))


def words(line: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is offered at the end of *line*."""
    *before, start = line.split(" ")
    return [one.word for one in offers(TABLE, before, start, environ or {})]


def typers(line: str) -> list[str]:
    """Return what typer offers there."""
    *before, start = line.split(" ")
    shell: ShellComplete = BashComplete(
        typer.main.get_command(root()), {}, "valkeyctl", "_VALKEYCTL_COMPLETE"
    )
    return [str(item.value) for item in shell.get_completions(before, start)]


def bash(*pieces: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return the answer to bash, whose line is in *pieces*."""
    asked = {
        "_VALKEYCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("valkeyctl", *pieces)),
        "COMP_CWORD": str(len(pieces)),
    }
    answered = answer({**(environ or {}), **asked})
    assert answered is not None
    assert answered[1] == 0
    return answered[0].split()


def test_the_table_is_what_the_commands_say() -> None:
    """`make docs` renews it."""
    assert FILE.read_text(encoding="utf-8") == table()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(path) or "valkeyctl")
@pytest.mark.parametrize("start", ["", "-", "--", "--d", "f", "zz"])
def test_commands_verbs_and_options_are_those_that_typer_offers(
    path: list[str], start: str
) -> None:
    """At every command, whatever was begun; options of every command come beside them."""
    line = " ".join([*path, start])
    shared = {name for param in TABLE.params("*") for name in param.names}

    ours, theirs = set(words(line)), set(typers(line))

    assert theirs <= ours
    assert ours - theirs <= shared | _values(path)
    assert not (theirs and ours - theirs - _values(path))


def _values(path: list[str]) -> set[str]:
    """Return the values of a command's first argument, which typer does not know."""
    argument = completion.Position(TABLE, path).argument()
    known = argument is not None and argument.form in {"profile", "namespace"}
    return {*profile_names(), *words(" ".join([*path, ""]))} if known else set()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(path) or "valkeyctl")
def test_choices_are_those_that_typer_offers(path: list[str]) -> None:
    """Each option with a fixed set of values, by each of its names."""
    for param in TABLE.params(" ".join(path)):
        if param.is_option and param.form.startswith("one of"):
            for name in param.names:
                line = " ".join([*path, name, ""])
                assert words(line) == typers(line) == param.form.split()[2:]


@pytest.mark.parametrize(
    "line",
    [
        "-o json keys ",
        "keys -q ls --limit 3 --",
        "keys ls --namespace x --na",
        "keys nonsense ",
        "keys flush -- --y",
        "-q --verbose ",
        "deploy --runtime=pod",
        "keys flush response ",
        "bench --arm a=url:b --ar",
        "keys ls -o jso",
    ],
)
def test_a_line_is_understood_as_typer_does(line: str) -> None:
    """Options that take a value, flags, what was given before, and what ends the options."""
    ours = [word.partition("=")[2] or word for word in words(line)]

    assert sorted(ours) == sorted(typers(line))


def test_values_that_are_known_are_offered() -> None:
    """Output forms, impacts and profiles; where files belong, the shell offers them."""
    assert bash("keys", "stats", "--output", "j") == ["json", "jsonl"]
    assert bash("keys", "stats", "-o", "") == [form.value for form in Output]
    assert {"ci", "default", "dev"} <= set(bash("status", "-p", ""))
    assert bash("keys", "warm", "") == []
    assert bash("status", "--profile", "./pro") == []


def test_words_that_bash_broke_are_whole_again() -> None:
    """A URL, and an option with its value behind =."""
    url = ("redis", ":", "//127.0.0.1", ":", "7000/0")

    assert bash("--url", *url, "keys", "fl") == ["flush"]
    assert bash("--url", "=", *url, "keys", "fl") == ["flush"]
    assert bash("keys", "ls", "--output", "=", "na") == ["name"]
    assert "--gate" in bash("bench", "--arm", "a", "=", "url", ":", "b", "--g")
    assert bash("keys", "ls", "a", "=", "b", "--fi") == ["--fields"]
    assert bash("keys", "ls", "--output", "=") == [form.value for form in Output]


def test_zsh_and_fish_replace_the_whole_word() -> None:
    """So that --output=na becomes --output=name."""
    line = {"_TYPER_COMPLETE_ARGS": "valkeyctl keys ls --output=na"}

    zsh = answer({"_VALKEYCTL_COMPLETE": "complete_zsh", **line})
    fish = answer({"_VALKEYCTL_COMPLETE": "complete_fish", **line})

    assert zsh == ("_arguments '*: :((\"--output=name\"))'\n", 0)
    assert fish == ("--output=name\n", 0)


def test_zsh_and_fish_are_told_what_a_word_does() -> None:
    """The help beside each word, harmless in zsh's eval."""
    line = {"_TYPER_COMPLETE_ARGS": "valkeyctl keys fl"}

    zsh = answer({"_VALKEYCTL_COMPLETE": "complete_zsh", **line})
    fish = answer({"_VALKEYCTL_COMPLETE": "complete_fish", **line})

    assert zsh is not None
    assert zsh[0].startswith('_arguments \'*: :(("flush":"')
    assert fish is not None
    assert fish[0].startswith("flush\t")


def test_where_nothing_is_known_the_shell_offers_files() -> None:
    """Bash by an empty answer, zsh by _files, fish by a status."""
    line = {"_TYPER_COMPLETE_ARGS": "valkeyctl keys warm "}
    fish = {"_VALKEYCTL_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "is-args"}

    assert answer({"_VALKEYCTL_COMPLETE": "complete_zsh", **line}) == ("_files\n", 0)
    assert answer({**fish, **line}) == ("", 1)
    assert answer({**fish, "_TYPER_COMPLETE_ARGS": "valkeyctl k"}) == ("", 0)


@pytest.mark.parametrize(
    "environ",
    [
        {"_VALKEYCTL_COMPLETE": "complete_bash"},
        {"_VALKEYCTL_COMPLETE": "complete_bash", "COMP_WORDS": "", "COMP_CWORD": "0"},
        {"_VALKEYCTL_COMPLETE": "complete_bash", "COMP_WORDS": "valkeyctl", "COMP_CWORD": "x"},
        {"_VALKEYCTL_COMPLETE": "complete_bash", "COMP_WORDS": "valkeyctl 'a", "COMP_CWORD": "1"},
    ],
)
def test_what_makes_no_sense_is_answered_with_nothing(environ: dict[str, str]) -> None:
    """Never an error in somebody's prompt."""
    assert answer(environ) == ("", 0)


@pytest.mark.parametrize("instruction", ["", "source_bash", "complete_powershell", "nonsense"])
def test_other_questions_are_left_to_typer(instruction: str) -> None:
    """The scripts, and the shells that we do not answer ourselves."""
    assert answer({"_VALKEYCTL_COMPLETE": instruction}) is None


def test_namespaces_are_those_that_were_seen_on_the_server(tmp_path: Path) -> None:
    """By stats and its like; of the application that is asked about."""
    environ = {"VALKEYCTL_STATE_DIR": str(tmp_path), "VALKEYCTL_URL": "redis://h:1/0"}
    remember(Selected(), None, ["shop:response", "shop:metadata", "other:context"], environ)

    assert bash("keys", "flush", "", environ=environ) == ["context", "metadata", "response"]
    assert bash("keys", "flush", "--app", "shop", "r", environ=environ) == ["response"]
    assert bash("keys", "ls", "-n", "c", environ=environ) == ["context"]


def test_stats_teaches_the_namespaces(ctl: Run, endpoint: Endpoint, home: Path) -> None:
    """What an operator has just seen is what TAB knows."""
    from valkeyctl.caching.wire import Wire

    with Wire(endpoint) as wire:
        wire.call("SET", "shop:basket:1", "x")
    ctl("keys", "stats", "--url", endpoint.url())
    with Wire(endpoint) as wire:
        wire.call("DEL", "shop:basket:1")

    environ = {"VALKEYCTL_STATE_DIR": str(home.parent / "state"), "VALKEYCTL_URL": endpoint.url()}
    assert bash("keys", "flush", "b", environ=environ) == ["basket"]


def test_an_answer_imports_nothing_heavy(tmp_path: Path) -> None:
    """In a process of its own, as the shell asks."""
    code = (
        "import sys\nfrom valkeyctl.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'typer', 'rich', 'pydantic', 'yaml', 'asyncio', 'json', 'dataclasses'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    asked = {
        "_VALKEYCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "valkeyctl keys flush ",
        "COMP_CWORD": "3",
        "VALKEYCTL_STATE_DIR": str(tmp_path),
    }
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.strip() == "[]"
    assert done.stdout == ""
