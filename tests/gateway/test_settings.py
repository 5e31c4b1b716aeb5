"""What a gateway can be started with."""

from __future__ import annotations

import pytest

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70000),
        ("port", -1),
        ("response_ttl", 0),
        ("cache_budget", float("nan")),
        ("speedup", 0),
        ("speedup", float("inf")),
        ("max_body_bytes", 0),
        ("grace", -1),
        ("log_level", "loud"),
        ("upstream", "example.com"),
        ("upstream", "ftp://example.com"),
        ("upstream", "http://"),
        ("upstream", "http://[::1"),
        ("upstream", "http://example.com?x=1"),
    ],
)
def test_a_value_that_cannot_be_meant_is_a_usage_error(name: str, value: object) -> None:
    """A sentence for the user, not a traceback later."""
    with pytest.raises(UsageError):
        GatewaySettings(**{name: value})  # type: ignore[arg-type]


def test_a_secret_in_the_upstream_url_is_refused_and_not_repeated() -> None:
    """A URL ends up in process lists; the key belongs into the environment."""
    with pytest.raises(UsageError) as caught:
        GatewaySettings(upstream="https://user:hunter2@example.com/v1")

    assert "hunter2" not in str(caught.value)
    assert UPSTREAM_KEY_VARIABLE in (caught.value.hint or "")


def test_the_upstream_key_comes_from_the_environment_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither an argument nor repr has it."""
    monkeypatch.setenv(UPSTREAM_KEY_VARIABLE, "sk-secret")

    settings = GatewaySettings(cache=Endpoint(password="also-secret"))

    assert settings.upstream_api_key == "sk-secret"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://api.example.com", "https://api.example.com/v1"),
        ("https://api.example.com/", "https://api.example.com/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("http://127.0.0.1:9/openai/v4", "http://127.0.0.1:9/openai/v4"),
        ("simulated", "simulated"),
    ],
)
def test_the_upstream_base_has_a_path_and_no_slash_at_its_end(given: str, base: str) -> None:
    """People write the base URL with and without /v1."""
    assert GatewaySettings(upstream=given).upstream_base == base


def test_state_is_kept_on_the_cache_server_unless_another_is_named() -> None:
    """One URL is enough to begin with."""
    cache, state = Endpoint(port=1), Endpoint(port=2)

    assert GatewaySettings(cache=cache).state_endpoint == cache
    assert GatewaySettings(cache=cache, state=state).state_endpoint == state
