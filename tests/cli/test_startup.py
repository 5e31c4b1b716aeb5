"""What a short command costs before it begins: the modules that it must not import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from valkeyctl.caching.wire import Wire
from valkeyctl.cli.boundary import run
from valkeyctl.cli.reference import command_paths
from valkeyctl.endpoint import Endpoint

# Each takes longer to import than a server of a thousand keys takes to answer.
HEAVY = ("redis", "pydantic", "yaml", "rich", "asyncio", "structlog", "psutil", "msgspec", "numpy")
CODE = (
    "import sys\n"
    "from valkeyctl.cli.main import main\n"
    "try:\n    main()\nexcept SystemExit as end:\n    status = end.code\n"
    f"print(status, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
)


@pytest.mark.parametrize(
    "argv",
    [
        ["keys", "ls", "--limit", "5", "--sort", "-memory_bytes", "--fields", "key,memory_bytes"],
        ["keys", "ls", "-o", "json"],
        ["keys", "stats", "--exact"],
        ["keys", "stats", "--sample", "-o", "json"],
        ["keys", "inspect", "shop:basket:1"],
        ["keys", "flush", "basket", "--yes", "--app", "shop"],
        ["keys", "flush", "basket", "--dry-run", "--app", "shop", "-o", "json"],
    ],
    ids=" ".join,
)
def test_a_verb_that_is_given_a_url_imports_nothing_heavy(
    argv: list[str], endpoint: Endpoint, tmp_path: Path
) -> None:
    """No profile, so no YAML and no pydantic; no terminal, so no bar."""
    with Wire(endpoint) as wire:
        wire.call("SET", "shop:basket:1", "x")

    done = subprocess.run(
        [sys.executable, "-c", CODE, *argv, "--url", endpoint.url()],
        env={**os.environ, "VALKEYCTL_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.splitlines()[-1] == "0 []"
    assert done.stdout


@pytest.mark.parametrize("path", command_paths(), ids=lambda path: " ".join(path) or "valkeyctl")
def test_help_fits_a_terminal_of_80_columns(
    path: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every command and verb."""
    monkeypatch.setenv("COLUMNS", "80")

    assert run([*path, "--help"]) == 0

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
