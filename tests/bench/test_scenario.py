"""Scenarios: the shipped ones, and what is said of a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from valkeyctl.bench.scenario import load_scenario, parse, shipped
from valkeyctl.errors import FolderError, UsageError

GOOD = load_scenario("llm-chat").to_json()


def test_every_shipped_scenario_loads_and_survives_json() -> None:
    """What is packaged works, and the child reads what the parent wrote."""
    for name in shipped():
        scenario = load_scenario(name)

        assert scenario.name == name
        assert parse(scenario.to_json(), "x") == scenario


def test_a_scenario_of_the_users_is_read_from_a_file(tmp_path: Path) -> None:
    """A new scenario is a YAML file."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "name": "mine"}))

    assert load_scenario(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": ""}, "name"),
        ({"extra": 1}, "extra is unknown"),
        ({"request": {"path": "/", "model": "m"}}, "request: expect is missing"),
        ({"request": {"path": "no-slash", "model": "m", "expect": ""}}, "path"),
        ({"load": {"users": 0, "speedup": 1}}, "users is 0"),
        ({"load": {"users": 1.5, "speedup": 1}}, "users is 1.5"),
        ({"load": {"users": True, "speedup": 1}}, "users is True"),
        ({"load": "many"}, "load: must be a mapping"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], named: str) -> None:
    """The message says where the field stands and what is allowed."""
    with pytest.raises(UsageError, match=named):
        parse({**GOOD, **change}, "mine.yaml")  # type: ignore[dict-item]


def test_a_file_that_is_no_yaml_names_its_line(tmp_path: Path) -> None:
    """The parser's place is passed on."""
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\n  about: [")

    with pytest.raises(UsageError, match=r"bad\.yaml:2"):
        load_scenario(str(path))


def test_a_missing_file_and_an_unknown_name_differ(tmp_path: Path) -> None:
    """A path that cannot be read is a matter of the folder, a wrong name of usage."""
    with pytest.raises(FolderError):
        load_scenario(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError) as caught:
        load_scenario("nothing")

    assert "llm-chat" in str(caught.value.hint)
