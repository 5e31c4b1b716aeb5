"""``bench scenarios``: what can be played."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from valkeyctl.bench.traffic.scenariofile import load_scenario, shipped


def test_every_scenario_is_listed_with_a_line(ctl: Run) -> None:
    """Its name and what it is about; the names alone with -o name."""
    lines = ctl("bench", "scenarios").out.splitlines()
    names = ctl("bench", "scenarios", "-o", "name").out.split()
    rows = ctl("bench", "scenarios", "-o", "json").data["scenarios"]

    assert isinstance(rows, list)
    assert names == list(shipped()) == [row["name"] for row in rows]
    for line, name in zip(lines, names, strict=True):
        assert line.split(maxsplit=1) == [name, load_scenario(name).about]
        assert len(line) <= 80


def test_one_scenario_is_printed_to_be_copied(ctl: Run, home: Path) -> None:
    """With its comments; what was saved is a scenario again."""
    text = ctl("bench", "scenarios", "llm-chat").out

    (home / "mine.yaml").write_text(text)
    assert "#" in text
    assert load_scenario(str(home / "mine.yaml")).requests == load_scenario("llm-chat").requests
    assert ctl("bench", "scenarios", "llm-chat", "-o", "json").data["text"] == text


def test_an_unknown_scenario_is_one_sentence(ctl: Run) -> None:
    """With what there is."""
    done = ctl("bench", "scenarios", "llm-chatt", "-o", "json")

    assert done.status == 2
    assert "llm-chatt" in done.error["message"]


def test_the_schema_for_editors_is_printed(ctl: Run) -> None:
    """Raw, or in an envelope; it is of every scenario, so it takes no name."""
    from valkeyctl.bench.traffic.schema import scenario_schema

    assert json.loads(ctl("bench", "scenarios", "--schema").out) == scenario_schema()
    assert ctl("bench", "scenarios", "--schema", "-o", "json").data["schema"] == scenario_schema()
    assert ctl("bench", "scenarios", "api", "--schema").status == 2


def test_an_option_of_a_run_before_a_verb_is_refused(ctl: Run) -> None:
    """It would be ignored in silence; the global options may stand there."""
    done = ctl("bench", "--rate", "5", "scenarios")

    assert done.status == 2
    assert "--rate before scenarios" in done.err
    assert ctl("bench", "-q", "scenarios").status == 0
