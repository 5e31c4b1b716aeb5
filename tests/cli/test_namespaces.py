"""What completion knows of a server's namespaces, and from where."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from valkeyctl.caching.wire import Wire
from valkeyctl.cli import namespaces
from valkeyctl.cli.namespaces import Selected, recall, remember
from valkeyctl.endpoint import Endpoint

ONE, OTHER = Selected(url="redis://a:1/0"), Selected(url="redis://b:1/0")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with a state folder of its own."""
    return {"VALKEYCTL_STATE_DIR": str(tmp_path / "state")}


def kept(environ: dict[str, str]) -> Path:
    """Return the file."""
    return Path(environ["VALKEYCTL_STATE_DIR"]) / "namespaces.tsv"


def test_each_server_has_its_own(environ: dict[str, str]) -> None:
    """A URL, a profile by name, a profile by path, and the default one."""
    by_path = Selected(profile="p/dev.yaml")
    for number, selected in enumerate((ONE, OTHER, Selected(profile="dev"), by_path, Selected())):
        remember(selected, "shop", [f"n{number}"], environ)

    assert recall(ONE, environ) == ["n0"]
    assert recall(OTHER, environ) == ["n1"]
    assert recall(Selected(profile="dev"), environ) == ["n2"]
    assert recall(Selected(profile=str(Path("p/dev.yaml").absolute())), environ) == ["n3"]
    assert recall(Selected(profile="default"), environ) == ["n4"]


def test_a_look_at_one_application_keeps_the_others(environ: dict[str, str]) -> None:
    """A look at all of them replaces what was known."""
    remember(ONE, None, ["shop:a", "blog:b"], environ)
    remember(ONE, "shop", ["c"], environ)
    after_one = recall(ONE, environ)
    remember(ONE, None, ["shop:d"], environ)

    assert after_one == ["b", "c"]
    assert recall(ONE, environ) == ["d"]


def test_a_login_is_never_written(environ: dict[str, str]) -> None:
    """The URL is what a line is found by, its password is not."""
    remember(Selected(url="redis://user:hunter2@a:1/0"), "shop", ["x"], environ)

    assert "hunter2" not in kept(environ).read_text()
    assert recall(ONE, environ) == ["x"]
    assert kept(environ).stat().st_mode & 0o777 == 0o600


def test_an_old_line_is_not_believed(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one from the future: a clock was wrong."""
    monkeypatch.setattr(namespaces, "_ask", lambda _url: ["shop:now"])
    remember(ONE, "shop", ["x"], environ)
    key, when, name = kept(environ).read_text().split("\t")

    for shift in (-31 * 86400, 86400):
        kept(environ).write_text(f"{key}\t{int(when) + shift}\t{name}")
        assert recall(ONE, environ) == ["now"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"redis://a:1/0\tyesterday\tshop:x\n",
        b"redis://a:1/0\n",
        b"redis://a:1/0\t1\n",
        b"redis://a:1/0\t9999999999\tshop:$(reboot)\n",
        b"\t" * 100_000,
    ],
)
def test_a_damaged_file_is_no_file(
    environ: dict[str, str], content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands there; above all nothing that a shell would run."""
    monkeypatch.setattr(namespaces, "_ask", lambda _url: [])
    kept(environ).parent.mkdir()
    kept(environ).write_bytes(content)

    assert recall(ONE, environ) == []


def test_the_file_stays_small(environ: dict[str, str]) -> None:
    """However many servers and namespaces there are; the latest are kept."""
    for number in range(60):
        names = [f"namespace-{number}-{name:04}-{'x' * 20}" for name in range(500)]
        remember(Selected(url=f"redis://h{number}:1/0"), "shop", names, environ)

    assert kept(environ).stat().st_size <= 64 * 1024
    assert len(recall(Selected(url="redis://h59:1/0"), environ)) == 200


def test_a_folder_that_cannot_be_made_stops_nobody(tmp_path: Path) -> None:
    """A count of keys must not fail for the sake of a TAB."""
    (tmp_path / "file").write_text("")
    environ = {"VALKEYCTL_STATE_DIR": str(tmp_path / "file" / "state")}

    remember(ONE, "shop", ["x"], environ)

    assert recall(Selected(), environ) == []


def test_an_unknown_server_is_asked_once(environ: dict[str, str], endpoint: Endpoint) -> None:
    """A few keys say what it has; the next TAB knows."""
    with Wire(endpoint) as wire:
        wire.pipeline([("SET", f"shop:basket:{n}", "x") for n in range(5)])
        wire.call("SET", "foreign", "x")
        found = recall(Selected(url=endpoint.url()), environ)
        wire.call("FLUSHDB")

    assert found == ["basket"]
    assert recall(Selected(url=endpoint.url()), environ) == ["basket"]


def test_a_server_that_says_nothing_is_not_waited_for(environ: dict[str, str]) -> None:
    """It accepts, and is silent; another does not even listen, one has no such name."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert recall(Selected(url=f"redis://127.0.0.1:{port}/0"), environ) == []

    for url in ("redis://127.0.0.1:1/0", "redis://no.such.host/0", "rediss://127.0.0.1:1", "x"):
        assert recall(Selected(url=url), environ) == []
