"""What is asked, of whom, and how popular each question is: a scenario, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeAlias

import yaml

from valkeyctl.errors import FolderError, UsageError

Node: TypeAlias = "bool | int | float | str | list[Node] | dict[str, Node] | None"

DEFAULT_SCENARIO = "llm-chat"


@dataclass(frozen=True)
class Sizes:
    """A log-normal distribution of token counts, cut at both ends.

    Attributes:
        median: Tokens; half of the prompts have fewer.
        sigma: Standard deviation of the logarithm; 0 gives every prompt the median.
        most: Upper cut, tokens. The lower cut is one token.
    """

    median: float
    sigma: float
    most: int


@dataclass(frozen=True)
class Scenario:
    """The requests of a load run.

    Attributes:
        name: What the report calls it.
        about: One line for a person.
        path: Where requests are posted.
        model: The ``model`` of every request body.
        expect: Text that every right answer holds; empty checks nothing but the status.
        prompts: Size of the prompt set.
        exponent: Of Zipf's law over the prompts; 0 is uniform.
        input_tokens: Prompt lengths that the simulated LLM is told.
        output_tokens: Answer lengths that the simulated LLM is told.
        users: Users of the closed loop, unless the plan says otherwise.
        speedup: Of the simulated LLM, unless the plan says otherwise.
    """

    name: str
    about: str
    path: str
    model: str
    expect: str
    prompts: int
    exponent: float
    input_tokens: Sizes
    output_tokens: Sizes
    users: int
    speedup: float

    def to_json(self) -> dict[str, Node]:
        """Return the YAML form, from which `parse` makes the same scenario."""

        def sizes(value: Sizes) -> dict[str, Node]:
            return {"median": value.median, "sigma": value.sigma, "most": value.most}

        return {
            "name": self.name,
            "about": self.about,
            "request": {"path": self.path, "model": self.model, "expect": self.expect},
            "traffic": {
                "prompts": self.prompts,
                "exponent": self.exponent,
                "input_tokens": sizes(self.input_tokens),
                "output_tokens": sizes(self.output_tokens),
            },
            "load": {"users": self.users, "speedup": self.speedup},
        }


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the package, sorted."""
    folder = resources.files("valkeyctl.bench") / "scenarios"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_scenario(name: str) -> Scenario:
    """Return the scenario called *name*: a shipped one, or a YAML file of the user's.

    Raises:
        UsageError: There is none of that name, or a field is wrong; names the field.
        FolderError: The file cannot be read.
    """
    if name in shipped():
        source = resources.files("valkeyctl.bench") / "scenarios" / f"{name}.yaml"
        return parse(_yaml(source.read_text(encoding="utf-8"), name), name)
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        raise UsageError(
            f"there is no scenario {name!r}",
            hint=f"Give one of {', '.join(shipped())}, or the path of a YAML file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(f"{path}: cannot be read: {error}") from error
    return parse(_yaml(text, name), name)


def parse(document: Node, where: str) -> Scenario:
    """Return the scenario that *document* describes; *where* names it in messages.

    Raises:
        UsageError: A field is missing, unknown or out of range.
    """
    top = _Section(document, where, ("name", "about", "request", "traffic", "load"))
    request = top.section("request", ("path", "model", "expect"))
    traffic = top.section("traffic", ("prompts", "exponent", "input_tokens", "output_tokens"))
    load = top.section("load", ("users", "speedup"))
    path = request.text("path")
    if not path.startswith("/"):
        raise request.wrong("path", "must begin with /")
    return Scenario(
        name=top.text("name"),
        about=top.text("about"),
        path=path,
        model=request.text("model"),
        expect=request.text("expect", empty=True),
        prompts=int(traffic.number("prompts", least=1, most=10_000_000, whole=True)),
        exponent=traffic.number("exponent", least=0, most=10),
        input_tokens=_sizes(traffic, "input_tokens"),
        output_tokens=_sizes(traffic, "output_tokens"),
        users=int(load.number("users", least=1, most=10_000, whole=True)),
        speedup=load.number("speedup", least=0.001, most=1e6),
    )


def _sizes(parent: _Section, key: str) -> Sizes:
    section = parent.section(key, ("median", "sigma", "most"))
    return Sizes(
        median=section.number("median", least=1, most=10_000_000),
        sigma=section.number("sigma", least=0, most=5),
        most=int(section.number("most", least=1, most=10_000_000, whole=True)),
    )


class _Section:
    """One mapping of the document, whose values are asked for by type."""

    def __init__(self, node: Node, where: str, keys: tuple[str, ...]) -> None:
        self.where = where
        if not isinstance(node, Mapping):
            raise UsageError(f"{where}: must be a mapping of {', '.join(keys)}")
        for key in node:
            if key not in keys:
                raise self.wrong(str(key), f"is unknown; allowed are {', '.join(keys)}")
        for key in keys:
            if key not in node:
                raise self.wrong(key, "is missing")
        self.node = node

    def wrong(self, key: str, text: str) -> UsageError:
        return UsageError(
            f"{self.where}: {key} {text}",
            hint="valkeyctl/bench/scenarios/llm-chat.yaml shows every field",
        )

    def section(self, key: str, keys: tuple[str, ...]) -> _Section:
        return _Section(self.node[key], f"{self.where}: {key}", keys)

    def text(self, key: str, *, empty: bool = False) -> str:
        value = self.node[key]
        if not isinstance(value, str) or not (value or empty):
            raise self.wrong(key, "must be text")
        return value

    def number(self, key: str, *, least: float, most: float, whole: bool = False) -> float:
        value = self.node[key]
        kind = "a whole number" if whole else "a number"
        # bool is an int in Python, not in YAML.
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or (whole and not isinstance(value, int)) or not least <= value <= most:  # type: ignore[operator]
            raise self.wrong(key, f"is {value!r}; it must be {kind} from {least:g} to {most:g}")
        return float(value)  # type: ignore[arg-type]


def _yaml(text: str, where: str) -> Node:
    try:
        document: Node = yaml.safe_load(text)
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = f":{place.line + 1}" if place is not None else ""
        problem = getattr(error, "problem", None) or "is no YAML"
        raise UsageError(f"{where}{line}: {problem}") from error
    return document
