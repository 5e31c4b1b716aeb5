"""What is told of a fault that is, or was left, in force."""

from __future__ import annotations

import json
import os

import pytest

from tests.runtime.conftest import unique_profile
from valkeyctl.errors import RefusedError
from valkeyctl.ops.drill import take_aim
from valkeyctl.ops.faultmark import Mark, mark_warning, set_mark
from valkeyctl.ops.statefolder import StateFolder

MARK = Mark(drill="hang", unit="prod", run="c0ffee00", app="prod")


def test_a_drill_that_runs_is_told_as_such(state: StateFolder) -> None:
    """Undoing it would be refused: it has the lock."""
    set_mark(state, "prod", MARK)

    assert mark_warning(state, "prod").endswith(f"runs at this moment (pid {os.getpid()})")


def test_a_later_process_with_the_number_of_the_drill_is_not_it(state: StateFolder) -> None:
    """Numbers come round; the fault of a drill that was killed is to be undone."""
    set_mark(state, "prod", MARK)
    file = state.drill_mark("prod")
    file.write_text(json.dumps({**json.loads(file.read_text()), "began_at": 1.0}))

    assert "was not undone" in mark_warning(state, "prod")


def test_a_server_left_paused_is_not_told_as_one_that_does_not_answer(state: StateFolder) -> None:
    """Who drills again is told what to undo, before the server is asked at all."""
    profile = unique_profile()
    set_mark(state, profile.name, MARK)
    file = state.drill_mark(profile.name)
    file.write_text(json.dumps({**json.loads(file.read_text()), "began_at": 1.0}))

    with pytest.raises(RefusedError, match="has left a fault in force"):
        take_aim("kill", profile, state)


def test_a_damaged_mark_is_still_a_fault_to_undo(state: StateFolder) -> None:
    """Whatever stands for its process, that one is not at work."""
    set_mark(state, "prod", MARK)
    file = state.drill_mark("prod")
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": "many"}))

    assert "was not undone" in mark_warning(state, "prod")
