"""The memory that a trial may take."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from valkeyctl.errors import RefusedError
from valkeyctl.ops.backup.trial import require_memory


def test_a_trial_that_would_starve_the_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a quarter more than the data, for the pages around it."""
    free = SimpleNamespace(available=125 * 2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)

    require_memory(100 * 2**20, "hint")
    with pytest.raises(
        RefusedError, match=r"would load 101\.0 MiB of data, and this machine has 125\.0 MiB"
    ) as caught:
        require_memory(101 * 2**20, "hint")

    assert caught.value.hint == "hint"
