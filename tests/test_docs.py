"""The documentation says what the code does."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from valkeyctl.endpoint import Endpoint

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


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


def _examples() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
        found += [(f"{page.relative_to(ROOT)}-{n}", text) for n, text in enumerate(blocks)]
    return found


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
