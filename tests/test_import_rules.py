"""The import table of the architecture, enforced."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "valkeyctl"
BASE = {"errors", "units", "endpoint"}

# Who may import whom, within valkeyctl; a part may always import itself.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "units": {"errors"},
    "endpoint": {"errors", "units"},
    "plainyaml": set(),
    "serving": {"errors"},
    "profile": {"plainyaml", *BASE},
    "render": {"profile", "units", "errors"},
    "runtime": {"render", *BASE},
    "caching": BASE,
    "ops": {"profile", "render", "runtime", "caching", *BASE},
    "fastapi": {"caching", "endpoint", "errors"},
    "gateway": {"fastapi", "caching", "ops.keyspace", "bench.report", "profile", "serving", *BASE},
    "sample": {"fastapi", "caching", "serving", *BASE},
    "bench": {"plainyaml", *BASE},
}
# Packages that only one place may import, and that place.
ONLY_IN = {
    "redis": "caching/driver/",
    "hiredis": "caching/wire.py",
    "locust": "bench/load/",
    "gevent": "bench/load/",
}


def _imports(file: Path) -> list[str]:
    """Return every module that *file* imports, anywhere in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.append(str(node.module))
            found.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_part_imports_only_what_the_table_allows(file: Path) -> None:
    """No arrow points backwards through the architecture."""
    inside = file.relative_to(PACKAGE)
    part = inside.parts[0].removesuffix(".py")
    if part in {"cli", "__init__", "__main__"}:
        return

    for module in _imports(file):
        words = module.split(".")
        if words[0] == "valkeyctl" and len(words) > 1 and words[1] != part:
            allowed = ALLOWED[part]
            named = {words[1], ".".join(words[1:3])}
            assert named & allowed or module == "valkeyctl.__version__", f"{inside}: {module}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_foreign_packages_stay_where_they_belong(file: Path) -> None:
    """The driver, the parser and the load generator are each imported in one place."""
    inside = str(file.relative_to(PACKAGE))

    for module in _imports(file):
        home = ONLY_IN.get(module.split(".")[0])
        assert home is None or inside.startswith(home), f"{inside}: {module}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_holds_one_idea(file: Path) -> None:
    """No file grows past about 400 lines, and none is called utils."""
    assert len(file.read_text().splitlines()) <= 420
    assert file.stem not in {"utils", "util", "helpers", "common", "misc"}


def test_nobody_imports_the_command_line() -> None:
    """The command line is a face, not a part."""
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] not in {"cli", "__main__.py"}:
            assert not [name for name in _imports(file) if name.startswith("valkeyctl.cli")]
