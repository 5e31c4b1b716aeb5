"""What other parts of the process log, as lines of the gateway's journal."""

from __future__ import annotations

import json
import logging

import pytest

from valkeyctl.gateway.journal import JournalHandler, frames, open_journal


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_task_that_failed_is_named_without_what_it_carried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The loop shows the exception in its message, and that may quote a prompt."""
    handler = JournalHandler(open_journal("info"))
    message = "Task exception was never retrieved\nfuture: <Task exception=KeyError('topsecret')>"

    handler.handle(logging.LogRecord("asyncio", logging.ERROR, "", 0, message, None, None))

    (line,) = lines(capsys)
    assert line["event"] == "Task exception was never retrieved"
    assert (line["logger"], line["level"]) == ("asyncio", "error")


def test_a_level_of_somebodys_own_is_written_as_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Libraries invent levels; none may break the log."""
    handler = JournalHandler(open_journal("info"))

    handler.handle(logging.LogRecord("lib", 35, "", 0, "notable %s", ("thing",), None))

    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("notable thing", "warning")


def test_the_frames_of_an_error_name_every_cause_and_no_text() -> None:
    """Types and places, through the whole chain, ending where it bites its tail."""
    inner, outer = KeyError("topsecret"), ValueError("topsecret")
    outer.__cause__, inner.__cause__ = inner, outer

    told = frames(outer)

    assert [line for line in told if not line.startswith(" ")] == [
        "builtins.ValueError",
        "builtins.KeyError",
    ]
    assert "topsecret" not in "".join(told)


def test_a_reader_of_the_log_that_went_away_fails_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broken pipe on stderr must not turn answers into errors."""

    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())

    open_journal("info").info("request")
