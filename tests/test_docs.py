"""The documentation says what the code does."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks import policies
from valkeyctl import caching as library
from valkeyctl.caching import NamespacePolicy
from valkeyctl.caching.policy import DEFAULT_POLICIES
from valkeyctl.endpoint import Endpoint

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LIBRARY = ROOT / "docs/reference/library"
GIVEN = {"CacheStats", "Cached", "Observer", "Shelf"}
"""Names of the library that nobody calls: it makes them, or they are protocols."""


def test_the_command_reference_is_what_help_says() -> None:
    """`make docs` renews the page."""
    made = subprocess.run(
        [sys.executable, "-m", "valkeyctl.cli.reference"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert made.stdout == (ROOT / "docs/reference/cli.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """No page sends its reader to a file that is not there."""
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_docs_exists(page: Path) -> None:
    """`valkeyctl NOUN` in a page is a noun of the command line."""
    from valkeyctl.cli.commands import COMMANDS

    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for noun in re.findall(r"^\$ (?:[A-Z_]+=\S+ )?valkeyctl ([a-z]+)", block, re.MULTILINE):
            assert noun in COMMANDS, noun


def test_the_makefile_has_what_the_readme_names() -> None:
    """The two commands of the quick start."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()

    for target in re.findall(r"^\$ make ([a-z]+)", readme, re.MULTILINE):
        assert f"\n{target}:" in makefile


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_is_a_heading(page: Path) -> None:
    """A link into a page leads to a section that is there."""
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        if "://" not in link:
            target = page.parent / link if link else page
            assert anchor in _anchors(target.read_text()), f"{link}#{anchor}"


def _anchors(text: str) -> set[str]:
    """Return what the headings of a page are linked by, as GitHub makes it."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    anchors: Counter[str] = Counter()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        if anchors[anchor]:
            anchors[f"{anchor}-{anchors[anchor]}"] += 1
        anchors[anchor] += 1
    return set(anchors)


@pytest.mark.parametrize("name", library.__all__)
def test_every_public_name_of_the_library_has_a_page(name: str) -> None:
    """The index says where; the page says it in a heading, or is about nothing else."""
    page = _page_of(name)

    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    assert name in headings or page.parent != LIBRARY


@pytest.mark.parametrize("name", library.__all__)
def test_every_public_call_of_the_library_is_written_out(name: str) -> None:
    """With its arguments and their defaults, as they are; and so is every other member."""
    thing = getattr(library, name)
    page = _page_of(name)
    if page.parent != LIBRARY:
        return
    text = " ".join(page.read_text().split())

    if name not in GIVEN:
        assert f"{name}{_arguments(thing)}" in text
    fields = dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
    for field in fields:
        assert f"`{field.name}`" in text or f"## {field.name} " in text, field.name
    for member, value in inspect.getmembers_static(thing) if inspect.isclass(thing) else ():
        if member.startswith("_") or member in {field.name for field in fields}:
            continue
        if isinstance(value, property):
            of_the_library = "for the rest of the library" in (value.__doc__ or "")
            assert of_the_library or re.search(rf"`(\w+\.)*{member}`", text), member
        elif callable(value) or isinstance(value, (classmethod, staticmethod)):
            assert f"{member}{_arguments(getattr(thing, member))}" in text, member


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(NamespacePolicy)])
def test_every_field_of_a_policy_has_a_section(field: str) -> None:
    """What it does, its range, and what it costs."""
    assert f"\n## {field}\n" in (LIBRARY / "policies.md").read_text()


def test_the_default_policies_are_those_of_the_page() -> None:
    """By namespace, with their ttl."""
    text = (LIBRARY / "policies.md").read_text()

    shown = re.findall(r"^\| `(\w+)` \| (\d+) \|$", text, re.MULTILINE)

    assert {name: float(ttl) for name, ttl in shown} == {
        name: policy.ttl for name, policy in DEFAULT_POLICIES.items()
    }


@pytest.mark.parametrize("rows", policies.TABLES, ids=lambda rows: str(rows.__name__))
def test_the_tables_of_the_guide_are_what_the_rules_play(
    rows: Callable[[], Iterator[Sequence[object]]],
) -> None:
    """`python -m benchmarks.policies` prints them."""
    assert policies.table(rows) in (ROOT / "docs/explanation/choosing-a-policy.md").read_text()


def _page_of(name: str) -> Path:
    """Return the page that the library's index names for *name*."""
    index = (LIBRARY / "index.md").read_text()
    row = re.search(rf"^\| \[`{name}`\]\(([^)#]+)", index, re.MULTILINE)
    assert row is not None, f"no row for {name} in {LIBRARY / 'index.md'}"
    return (LIBRARY / row[1]).resolve()


def _arguments(call: Callable[..., object]) -> str:
    """Return what stands in a call's parentheses, without types."""
    words: list[str] = []
    stars: dict[object, str] = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not any(w.startswith("*") for w in words):
            words.append("*")
        word = stars.get(parameter.kind, "") + parameter.name
        if parameter.default is not parameter.empty:
            word += f"={_written(parameter.default)}"
        if word not in {"self", "cls"}:
            words.append(word)
    return f"({', '.join(words)})"


def _written(default: object) -> str:
    """Return a default as the pages have it."""
    if isinstance(default, enum.Enum):
        return default.name
    if dataclasses.is_dataclass(default):
        return f"{type(default).__name__}()"
    return str(getattr(default, "__name__", repr(default)))


def _examples() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        found += [(f"{page.relative_to(ROOT)}-{n}", text) for n, text in enumerate(blocks)]
    return found


# A read has 25 ms, as its pages say, and is a miss when a busy machine takes longer.
@pytest.mark.flaky(reruns=2, only_rerun="AssertionError")
@pytest.mark.parametrize("example", _examples(), ids=lambda example: str(example[0]))
async def test_every_python_example_runs(
    example: tuple[str, str], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real server; what an example leaves to the reader is stood in for."""
    monkeypatch.setenv("CACHE_URL", endpoint.url())

    async def ask_the_model() -> str:
        return "an answer"

    async def load_model(name: str) -> dict[str, str]:
        return {"name": name}

    name, text = example
    text = text.replace("redis://127.0.0.1:6379/0", endpoint.url())
    scope: dict[str, object] = {"ask_the_model": ask_the_model, "load_model": load_model}
    code = compile(text, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    running = eval(code, scope)  # noqa: S307 - our own documentation
    if inspect.iscoroutine(running):
        await running
