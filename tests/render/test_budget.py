"""The memory budget: it adds up, fits, and refuses with the numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.errors import BudgetError
from valkeyctl.profile import Profile, load, profile_names
from valkeyctl.render.budget import MemoryBudget, plan_memory

MIB = 2**20
LIMITS = st.integers(min_value=8 * MIB, max_value=2**42)


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, object]:
    """Fields that the budget depends on, but for the limit."""
    share = st.floats(min_value=0, max_value=1)
    return {
        "name": "x",
        "memory": {
            "clients": draw(st.integers(min_value=MIB, max_value=64 * MIB)),
            "fragmentation": draw(share),
            "copy_on_write": draw(share),
        },
        "persistence": draw(st.sampled_from(["none", "rdb", "aof", "rdb+aof"])),
    }


def solve(fields: dict[str, object], limit: int) -> MemoryBudget | None:
    """Return the budget within *limit*; None when it is refused."""
    memory = fields["memory"]
    assert isinstance(memory, dict)
    profile = Profile.model_validate({**fields, "memory": {**memory, "limit": limit}})
    try:
        return plan_memory(profile)
    except BudgetError:
        return None


@given(fields=profiles(), limit=LIMITS)
def test_auto_never_takes_more_than_the_limit(fields: dict[str, object], limit: int) -> None:
    """What maxmemory: auto gives always fits, and never to the byte that warns."""
    budget = solve(fields, limit)

    if budget is not None:
        assert 2 * MIB <= budget.maxmemory < budget.total <= limit
        assert not budget.tight


@given(fields=profiles(), limit=LIMITS, more=st.integers(min_value=0, max_value=2**40))
def test_auto_grows_with_the_limit(fields: dict[str, object], limit: int, more: int) -> None:
    """More memory for the container is never less for the data, and never a new refusal."""
    small, large = solve(fields, limit), solve(fields, limit + more)

    if small is not None:
        assert large is not None
        assert large.maxmemory >= small.maxmemory


@given(fields=profiles())
def test_the_least_limit_that_is_named_is_enough(fields: dict[str, object]) -> None:
    """Whoever writes what the message says is not refused again."""
    memory = fields["memory"]
    assert isinstance(memory, dict)
    with pytest.raises(BudgetError) as caught:
        plan_memory(Profile.model_validate({**fields, "memory": {**memory, "limit": MIB}}))

    named = re.search(r"write at least (\d+)Mi$", str(caught.value))

    assert named
    assert solve(fields, int(named[1]) * MIB) is not None


@given(fields=profiles(), limit=LIMITS)
def test_the_lines_say_the_whole_sum(fields: dict[str, object], limit: int) -> None:
    """The arithmetic in the comment ends with the limit."""
    budget = solve(fields, limit)

    if budget is not None:
        assert budget.lines()[-1].startswith("sum ")
        assert f"({budget.share:.0%})" in budget.lines()[-1]


def refusal(tmp_path: Path, text: str) -> str:
    """Return the message with which the budget of this profile is refused."""
    path = tmp_path / "p.yaml"
    path.write_text(f"name: x\n{text}")
    with pytest.raises(BudgetError) as caught:
        plan_memory(load(path))
    return str(caught.value).removeprefix(str(path))


def test_a_limit_without_room_is_refused_with_what_would_do(tmp_path: Path) -> None:
    """The number that it names is accepted."""
    message = refusal(tmp_path, "memory:\n  limit: 24Mi\n")

    assert message == (
        ":3 memory.limit: 24.0 MiB leaves no room for data: 32.0 MiB go to the server and its "
        "buffers; write at least 41Mi"
    )
    assert plan_memory(Profile.model_validate({"name": "x", "memory": {"limit": "41Mi"}}))


def test_data_that_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    """Both numbers that it names are accepted."""
    text = "persistence: rdb\nmemory:\n  limit: 256Mi\n  maxmemory: 200Mi\n"

    message = refusal(tmp_path, text)

    assert message == (
        ":5 memory.maxmemory: 200.0 MiB of data may take 452.0 MiB in all, more than memory.limit "
        "256.0 MiB; write auto, or 106Mi at most, or raise memory.limit to 452Mi"
    )
    for limit, maxmemory in (("256Mi", "106Mi"), ("452Mi", "200Mi")):
        memory = {"limit": limit, "maxmemory": maxmemory}
        fields = {"name": "x", "persistence": "rdb", "memory": memory}
        assert plan_memory(Profile.model_validate(fields)).tight


def test_a_maxmemory_of_nothing_is_refused(tmp_path: Path) -> None:
    """0 would mean no limit to the server."""
    message = refusal(tmp_path, "memory: {maxmemory: 0}\n")

    assert message == (
        ":2 memory.maxmemory: 0 B is too little to hold data; write auto, or 2Mi or more"
    )


def test_a_budget_refusal_has_its_own_code(tmp_path: Path) -> None:
    """A program tells it from other faults in a profile."""
    path = tmp_path / "p.yaml"
    path.write_text("name: x\nmemory: {limit: 1Mi}\n")

    with pytest.raises(BudgetError) as caught:
        plan_memory(load(path))

    assert (caught.value.code, caught.value.exit_code) == ("memory_budget", 2)


@pytest.mark.parametrize("name", sorted(profile_names()))
def test_a_shipped_profile_gives_no_warning(name: str) -> None:
    """A newcomer's first render says nothing that has to be explained away."""
    assert not plan_memory(load(name)).tight


def test_the_page_shows_the_budget_of_the_default_profile() -> None:
    """The arithmetic in the explanation is that of a profile one can deploy."""
    page = Path(__file__).parents[2] / "docs" / "explanation" / "memory-budget.md"

    block = page.read_text().split("```text\n")[1].split("```")[0]

    assert block.splitlines() == plan_memory(load("default")).lines()
