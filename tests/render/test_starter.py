"""The profile that `valkeyctl init` writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from valkeyctl.errors import UsageError
from valkeyctl.profile import load
from valkeyctl.render import render
from valkeyctl.render.starter import starter


@pytest.mark.parametrize("name", ["mycache", "a", "404", "true", "null", "no", "1e3", "z" * 40])
def test_a_starter_is_a_profile_that_renders(tmp_path: Path, name: str) -> None:
    """What init writes can be deployed as it is."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(starter(name))

    artefacts = render(load(path))

    assert (artefacts.name, artefacts.app) == (name, name)
    assert not artefacts.budget.tight


def test_a_starter_explains_itself() -> None:
    """Every key that it writes has a word beside it or above it."""
    lines = starter("mycache").splitlines()

    assert lines[0].startswith("# mycache: ")
    assert sum("#" in line for line in lines) >= 10


@pytest.mark.parametrize("name", ["", "My Cache", "../x", "-x", "x\n", "z" * 41])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    """The name becomes that of a file, a pod and a volume."""
    with pytest.raises(UsageError, match="is no name for a profile"):
        starter(name)
