"""Scenarios read from files, and what is said of a wrong one."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from valkeyctl.bench.traffic import fields
from valkeyctl.bench.traffic.scenario import Fault
from valkeyctl.bench.traffic.scenariofile import describe, load_scenario, parse, shipped
from valkeyctl.bench.traffic.templates import OF_THE_KEY
from valkeyctl.errors import FolderError, UsageError

GOOD = """\
name: mine
about: One request
keys: {count: 5}
requests:
  - name: item
    path: /items/{key}
    weight: 3
    headers:
      X-Size: "{size}"
    expect:
      status: [200, 203]
      json: {key: "{key}"}
sizes:
  size: 2KiB
load:
  rate: 50
  block: 500ms
arms:
  - name: a
    env: {MODE: on}
  - name: b
    server: {maxmemory: 4mb}
during: {kind: hang, at: 0.25}
"""


def written(folder: Path, text: str) -> str:
    """Write *text* as mine.yaml and return its path."""
    path = folder / "mine.yaml"
    path.write_text(textwrap.dedent(text))
    return str(path)


def test_a_scenario_without_a_name_is_called_as_its_file(tmp_path: Path) -> None:
    """What it asks, and of how many keys, is all that has to be said."""
    short = load_scenario(
        written(tmp_path, "keys: {count: 5}\nrequests: [{name: item, path: /items}]\n")
    )

    assert (short.name, short.about) == ("mine", "")


def test_a_scenario_of_the_users_is_read_from_a_file(tmp_path: Path) -> None:
    """A new scenario is a YAML file; words such as on are texts there."""
    one = load_scenario(written(tmp_path, GOOD))

    assert (one.name, one.rate, one.during.at if one.during else None) == ("mine", 50, 0.25)
    assert one.block == 0.5
    assert one.requests[0].expect.status == (200, 203)
    assert one.sizes["size"].median == one.sizes["size"].most == 2048
    assert one.arms[0].env == (("MODE", "on"),)
    assert one.arms[1].server == (("maxmemory", "4mb"),)
    assert parse(one.to_json(show_secrets=True), "x") == one


def test_a_scenario_is_described_with_its_own_text(tmp_path: Path) -> None:
    """Comments included, to copy and change."""
    assert describe(written(tmp_path, GOOD)).source == GOOD
    for name in shipped():
        found = describe(name)

        assert found.scenario.name == name
        assert found.source.startswith("# ")


def change(old: str, new: str) -> str:
    """Return the good scenario with one line changed."""
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (change("name: mine", "name: ''"), r"mine\.yaml:1: name must be text"),
        (change("name: mine", "name: a b"), r":1: name 'a b' must be letters"),
        (change("rate: 50", "rate: 50\n  users: 4"), r":17: load\.users is of a closed loop"),
        (change("about:", "abuot:"), r":2: abuot is unknown; did you mean about\?"),
        ("about: x\n", r"yaml:1: requests is missing, and so is keys"),
        (change("keys: {count: 5}", "keys: {}"), r":3: keys\.count is missing"),
        (change("count: 5", "count: 0"), r":3: keys\.count must be a whole number from 1"),
        (change("count: 5", "count: 9000000000"), r"from 1 to 1,000,000,000"),
        (change("count: 5", "count: true"), r"keys\.count must be .*, and is true"),
        (change("count: 5", "count: 1.5"), r"keys\.count must be .*, and is 1\.5"),
        (change("count: 5", "count: 5, popularity: zip"), r"did you mean zipf\?"),
        (change("count: 5", "count: 5, trace: t"), r"keys\.trace is unknown"),
        (change("count: 5", "popularity: trace"), r"keys\.trace is missing"),
        (change("count: 5", "count: 5, once: 2"), r"once must be a number from 0 to 1"),
        (change("keys: {count: 5}", "keys: 5"), r":3: keys must be a mapping"),
        (change("path: /", "path: "), r":6: requests\[1\]\.path must begin with /"),
        (change("/items/{key}", "/a b"), r":6: .*without blanks"),
        (change("{key}\n", "{kye}\n"), r":6: requests\[1\]\.path of request 'item': .*\{kye\}"),
        (change("{key}\n", "{env:X}\n"), r"must not stand in a path"),
        (change("weight: 3", "weight: -1"), r":7: .*weight must be"),
        (change("weight: 3", "weight: 0"), r"must have a weight above 0"),
        (change("weight: 3", "method: G T"), r"is no HTTP method"),
        (change("weight: 3", "wight: 3"), r"did you mean weight\?"),
        (change('"{size}"', '"{siez}"'), r":9: .*headers\.X-Size .*did you mean \{size\}\?"),
        (change('"{size}"', '"a\\nb"'), r"headers\.X-Size cannot be sent"),
        (change('"{size}"', "[1]"), r"must be text, a number or a boolean"),
        (change("[200, 203]", "[200, 999]"), r":11: .*status must be an HTTP status"),
        (change('json: {key: "{key}"}', "json: 5"), r":12: .*json must be a mapping"),
        (change('json: {key: "{key}"}', "matches: '('"), r"is no regular expression"),
        (change('json: {key: "{key}"}', "same_for_key: 1"), r"must be true or false"),
        (change('json: {key: "{key}"}', "{min_bytes: 9, max_bytes: 1}"), r"is no YAML"),
        (change('json: {key: "{key}"}', "contains: '{env:A}'"), r"shown in messages"),
        (change('json: {key: "{key}"}', "json: {k: '{env:A}'}"), r"shown in messages"),
        (change("size: 2KiB", "size: 2Zi"), r":14: sizes\.size .*is not a size"),
        (change("size: 2KiB", "size: {most: 5}"), r"sizes\.size\.median is missing"),
        (change("size: 2KiB", "Size: 5"), r"cannot be the name of a size"),
        (change("size: 2KiB", "size: 5\n  prompt: 5"), r"sizes\.prompt cannot be the name"),
        (change("rate: 50", "rate: 0"), r":16: load\.rate must be"),
        (change("rate: 50", "users: 0"), r":16: load\.users must be"),
        (change("block: 500ms", "block: 2x"), r":17: load\.block '2x' is not a duration"),
        (change("block: 500ms", "block: 0"), r"block must be 0\.01 to 3600 seconds, and is 0"),
        (change("name: b", "name: a"), r"arms\[2\]\.name 'a' is there twice"),
        (change("name: b", "name: 'b '"), r"arms\[2\]\.name"),
        (change("{MODE: on}", "{1MODE: x}"), r"arms\[1\]\.env\.1MODE is no variable"),
        (change("{maxmemory: 4mb}", "{Max: 1}"), r"is no setting of valkey\.conf"),
        (change("hang", "hnag"), r":23: during\.kind is 'hnag'; did you mean hang\?"),
        (change("at: 0.25", "at: 2"), r"during\.at must be a number from 0 to 1"),
        (change("sizes:\n", "name: again\nsizes:\n"), r":13: name stands there twice"),
        ("", r"mine\.yaml: is empty"),
        ("- a\n", r"mine\.yaml:1: must be a mapping"),
        ("name: x\n  about: [", r"mine\.yaml:2: is no YAML"),
        ("name:\tx\n\t- 5", r"not with tabs"),
        ("name: !!int 5", r"tags such as"),
        ("5: x", r":1: the name of a field must be text"),
        ("a: &a {b: *a}", r"an alias"),
        ("a: &a {x: 1}\nb: {<<: *a}", r":2: << is not read"),
        ("a: " + "[" * 50, r"nested deeper than 32"),
        ("a: \x00", r"is no YAML"),
    ],
)  # fmt: skip
def test_a_wrong_file_names_its_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    """The message says where it stands, what is allowed and, if it can, what was meant."""
    path = written(tmp_path, text)

    with pytest.raises(UsageError, match=said):
        load_scenario(path)


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """By its length, or by aliases that name aliases."""
    bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [" + "*a," * 99 + "]\nc: [" + "*b," * 99 + "]"

    with pytest.raises(UsageError, match="more than 20,000 values"):
        load_scenario(written(tmp_path, bomb))
    with pytest.raises(UsageError, match="is larger than the 1,048,576"):
        load_scenario(written(tmp_path, "#" + "x" * 2**20))


def test_two_requests_of_one_name_are_refused() -> None:
    """The report could not tell them apart."""
    tree = {"name": "x", "about": "x", "keys": {"count": 1}, "requests": [{"name": "a"}] * 2}

    with pytest.raises(UsageError, match=r"requests\[2\]\.name 'a' is there twice"):
        parse(tree, "x")  # type: ignore[arg-type]


def test_bounds_of_a_body_must_leave_room() -> None:
    """Fewest bytes above the most would make every answer wrong."""
    expect = {"min_bytes": "4KiB", "max_bytes": 100}
    tree = {"name": "x", "about": "x", "keys": {"count": 1}}

    with pytest.raises(UsageError, match="less than min_bytes, 4,096"):
        parse({**tree, "requests": [{"name": "a", "expect": expect}]}, "x")  # type: ignore[dict-item]


def test_256_kinds_of_requests_are_the_most() -> None:
    """A sample has one byte for the kind."""
    requests = [{"name": f"r{number}"} for number in range(257)]
    tree = {"name": "x", "about": "x", "keys": {"count": 1}, "requests": requests}

    with pytest.raises(UsageError, match="at most 256, and are 257"):
        parse(tree, "x")  # type: ignore[arg-type]


def test_the_file_of_a_trace_lies_beside_the_scenario(tmp_path: Path) -> None:
    """Wherever the command is run."""
    path = written(tmp_path, change("count: 5", "popularity: trace, trace: t.csv"))

    assert load_scenario(path).keys.trace == str(tmp_path / "t.csv")


def test_a_missing_file_and_an_unknown_name_differ(tmp_path: Path) -> None:
    """A path that cannot be read is a matter of the folder, a wrong name of usage."""
    with pytest.raises(FolderError, match="No such file"):
        load_scenario(str(tmp_path / "none.yaml"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FolderError, match="cannot be read"):
        load_scenario(str(binary))
    with pytest.raises(UsageError, match="did you mean llm-chat"):
        load_scenario("llm-chta")


DOCS = Path(__file__).parents[3] / "docs"


def test_the_example_of_the_guide_is_a_scenario(tmp_path: Path) -> None:
    """As it stands there, with its first arm as the one that others are compared with."""
    guide = (DOCS / "how-to/scenarios.md").read_text()
    example = next(b for b in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "name:" in b)

    one = load_scenario(written(tmp_path, example))

    assert (one.name, one.application, one.fresh) == ("shop", "none", False)
    assert [arm.name for arm in one.arms] == ["uncached", "cached"]


def test_every_field_is_in_the_reference() -> None:
    """Each name in a row, and each placeholder, scenario and fault."""
    text = (DOCS / "reference/scenario.md").read_text()
    groups = (fields.TOP_NEEDED, fields.TOP, fields.LOAD, fields.KEYS, fields.REQUEST, fields.ARM)

    names = {"name", *fields.EXPECT, *shipped(), *get_args(Fault)}.union(*groups)
    for name in names:
        assert f"`{name}`" in text, name
    for name in (*OF_THE_KEY, "text:SIZE", "env:NAME"):
        assert f"`{{{name}}}`" in text, name
