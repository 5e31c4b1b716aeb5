"""What an application is told about its cache."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from valkeyctl.errors import FolderError, UsageError
from valkeyctl.fastapi import CacheSettings, lifespan


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CACHE_* variable of whoever runs the tests."""
    for name in CacheSettings.model_fields:
        monkeypatch.delenv(f"CACHE_{name.upper()}", raising=False)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """CACHE_URL and its siblings; an argument wins."""
    monkeypatch.setenv("CACHE_URL", "redis://:hunter2@10.0.0.1:7000/2")
    monkeypatch.setenv("CACHE_APP", "shop")
    monkeypatch.setenv("CACHE_POOL_SIZE", "8")

    settings = CacheSettings(budget=0.1)

    assert (settings.app, settings.budget, settings.pool_size) == ("shop", 0.1, 8)
    assert settings.url == "redis://:hunter2@10.0.0.1:7000/2"
    assert "hunter2" not in repr(settings)
    assert CacheSettings(url="redis://h").url == "redis://h"


def test_without_an_environment_the_cache_is_on_this_machine() -> None:
    """The default that every Valkey starts with."""
    assert CacheSettings().endpoint().url() == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("CACHE_BUDGET", "0", "CACHE_BUDGET cannot be used: input should be greater than 0"),
        ("CACHE_BUDGET", "nan", "CACHE_BUDGET cannot be used"),
        ("CACHE_BUDGET", "25ms", "CACHE_BUDGET cannot be used: input should be a valid number"),
        ("CACHE_DEADLINE", "inf", "CACHE_DEADLINE cannot be used"),
        ("CACHE_POOL_SIZE", "0", "CACHE_POOL_SIZE cannot be used"),
        ("CACHE_POOL_SIZE", "1.5", "CACHE_POOL_SIZE cannot be used: input should be a valid int"),
        ("CACHE_MAX_VALUE_BYTES", "-1", "CACHE_MAX_VALUE_BYTES cannot be used"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    """It names the variable and says what is allowed."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(UsageError) as caught:
        CacheSettings()

    assert str(caught.value).startswith(told)
    assert "environment variable" in (caught.value.hint or "")


def test_several_mistakes_are_one_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first, and how many more."""
    monkeypatch.setenv("CACHE_BUDGET", "0")
    monkeypatch.setenv("CACHE_POOL_SIZE", "0")

    with pytest.raises(UsageError, match=r"CACHE_BUDGET .* \(and 1 more\)"):
        CacheSettings()


def test_no_secret_is_in_what_an_error_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in the traceback of its cause."""
    monkeypatch.setenv("CACHE_URL", "ftp://:hunter2@host")
    monkeypatch.setenv("CACHE_BUDGET", "0")

    with pytest.raises(UsageError) as settings_caught:
        CacheSettings()
    with pytest.raises(UsageError) as url_caught:
        CacheSettings(budget=1).endpoint()
    with pytest.raises(UsageError) as type_caught:
        CacheSettings(url=["hunter2"])

    for caught in (settings_caught, url_caught, type_caught):
        told = "".join(traceback.format_exception(caught.value))
        assert "hunter2" not in told.replace('url=["hunter2"]', "")


def test_a_password_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As orchestrators mount secrets; a line's end does not belong to it, a space does."""
    file = tmp_path / "password"
    file.write_bytes("s3cr3t pässword \r\nsecond line\n".encode())
    monkeypatch.setenv("CACHE_URL", "redis://app@10.0.0.1/1")
    monkeypatch.setenv("CACHE_PASSWORD_FILE", str(file))

    settings = CacheSettings()
    endpoint = settings.endpoint()

    assert (endpoint.username, endpoint.password, endpoint.db) == ("app", "s3cr3t pässword ", 1)
    assert "s3cr3t" not in repr(settings) + repr(endpoint)


def test_a_password_file_that_cannot_be_used_is_told_before_anything_starts(
    tmp_path: Path,
) -> None:
    """Missing, empty, not text, or beside another password."""
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(FolderError, match="absent"):
        lifespan(CacheSettings(password_file=tmp_path / "absent"))
    with pytest.raises(UsageError, match="empty"):
        lifespan(CacheSettings(password_file=empty))
    with pytest.raises(FolderError, match="UTF-8"):
        lifespan(CacheSettings(password_file=binary))
    with pytest.raises(UsageError, match="CACHE_PASSWORD_FILE"):
        lifespan(CacheSettings(url="redis://:p@h", password_file=binary))


def test_a_ca_file_goes_into_the_endpoint(tmp_path: Path) -> None:
    """For a server whose certificate the system does not know."""
    settings = CacheSettings(url="rediss://h", ca_file=tmp_path / "ca.pem")

    assert settings.endpoint().ca_file == tmp_path / "ca.pem"


def test_a_client_certificate_goes_into_the_endpoint(tmp_path: Path) -> None:
    """A server that asks for a certificate is shown the one that is named."""
    settings = CacheSettings(
        url="rediss://h", cert_file=tmp_path / "client.crt", key_file=tmp_path / "client.key"
    )

    endpoint = settings.endpoint()

    assert (endpoint.cert_file, endpoint.key_file) == (
        tmp_path / "client.crt",
        tmp_path / "client.key",
    )
