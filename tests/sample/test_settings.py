"""Options and variables of the sample application."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.sample.settings import SampleSettings, settings_from

PREFIX = "VALKEYCTL_SAMPLE_"


def read(environ: dict[str, str], **options: object) -> SampleSettings:
    usual: dict[str, object] = {
        "host": "127.0.0.1",
        "port": 0,
        "url": None,
        "app": "a",
        "ttl": "1h",
        "cache_budget": "25ms",
        "seed": 1,
        "speedup": 1.0,
        "parent": None,
        "log_level": "info",
    }
    return settings_from(argparse.Namespace(**{**usual, **options}), environ)


def test_variables_win_over_options() -> None:
    """The run gives options to all arms, and an arm's variables are about it alone."""
    found = read({f"{PREFIX}TTL": "2s", f"{PREFIX}ORIGIN": "5ms"}, ttl="900")

    assert (found.ttl, found.jitter, found.origin) == (2.0, 0.0, 0.005)
    assert read({}, ttl="900").ttl == 900
    assert read({}).jitter > 0


def test_switches_are_on_or_off() -> None:
    """Also as YAML writes what a scenario has as a bare on and off."""
    off = read({f"{PREFIX}SINGLE_FLIGHT": "off", f"{PREFIX}NEAR": "on"})
    as_yaml = read({f"{PREFIX}SINGLE_FLIGHT": "false", f"{PREFIX}NEAR": "true"})

    assert (off.single_flight, off.near) == (as_yaml.single_flight, as_yaml.near) == (False, True)
    assert (read({}).single_flight, read({}).near) == (True, False)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TTL", "soon", "VALKEYCTL_SAMPLE_TTL"),
        ("TTL", "0", "ttl is 0"),
        ("SINGLE_FLIGHT", "maybe", "'maybe'"),
        ("ORIGIN_AT_ONCE", "-1", "'-1'"),
        ("TTLL", "1s", "no variable VALKEYCTL_SAMPLE_TTLL"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(name: str, value: str, words: str) -> None:
    """A typo would compare two arms that are the same."""
    with pytest.raises(UsageError, match=words):
        read({PREFIX + name: value})


def test_staleness_needs_somebody_who_renews() -> None:
    """Without single-flight nobody would."""
    with pytest.raises(UsageError, match="nobody renews"):
        read({f"{PREFIX}STALE": "1s", f"{PREFIX}SINGLE_FLIGHT": "off"})


def test_certificates_are_for_a_cache_that_speaks_tls(tmp_path: Path) -> None:
    """As the gateway has them: files, named by variables."""
    ca = tmp_path / "ca.crt"
    environ = {"VALKEYCTL_CACERT": str(ca), "VALKEYCTL_URL": "rediss://elsewhere"}

    assert read(environ).cache == Endpoint(host="elsewhere", tls=True, ca_file=ca)
    assert read(environ, url="redis://given").cache == Endpoint(host="given")
