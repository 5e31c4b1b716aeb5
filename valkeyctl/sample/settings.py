"""What a sample application is started with: options, and variables that win over them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.units import parse_duration

_PREFIX = "VALKEYCTL_SAMPLE_"
_SWITCHES = ("SINGLE_FLIGHT", "NEAR")
_DURATIONS = ("TTL", "STALE", "ORIGIN")
_NAMES = (*_SWITCHES, *_DURATIONS, "ORIGIN_AT_ONCE")
JITTER = 0.1


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """Everything that decides how a sample application behaves; times in seconds.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        cache: The server that holds items; it may evict and may be away.
        app: First part of every key.
        ttl: How long an item may be served from the cache.
        jitter: Share of the ttl that is taken off at random; 0 where the ttl was set by
            VALKEYCTL_SAMPLE_TTL, so that a hot item expires at a known time.
        stale: How long after its ttl an item is still served while one caller renews it.
        cache_budget: Longest wait for the cache in one call; then it is a miss.
        single_flight: Whether those who miss one item together share one origin call.
        near: Whether items are kept in this process, too.
        seed: Decides the latencies of the origin.
        speedup: Divides them.
        origin: Median time of one origin call.
        origin_at_once: Calls that the origin serves at one time, further ones wait; 0 is
            no bound.
        parent: Process id to live with: when it is no longer our parent, the application
            stops; None lives on.
        log_level: Least severe line that is written to stderr.

    Raises:
        UsageError: A value, or a combination of them, that cannot be meant.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    cache: Endpoint = field(default_factory=Endpoint)
    app: str = "sample"
    ttl: float = 3600.0
    jitter: float = JITTER
    stale: float = 0.0
    cache_budget: float = 0.025
    single_flight: bool = True
    near: bool = False
    seed: int = 1
    speedup: float = 1.0
    origin: float = 0.020
    origin_at_once: int = 0
    parent: int | None = None
    log_level: str = "info"

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("port", self.port, 0, 65535),
            ("ttl", self.ttl, 1e-3, 1e9),
            ("stale", self.stale, 0, 1e9),
            ("cache budget", self.cache_budget, 1e-4, 60),
            ("speedup", self.speedup, 1e-3, 1e6),
            ("time of an origin call", self.origin, 0, 3600),
            ("number of origin calls at once", self.origin_at_once, 0, 1_000_000),
        ):
            # Written so that NaN, which compares false with everything, is refused too.
            if not least <= value <= most:
                raise UsageError(f"the {name} is {value}", hint=f"Give {least:g} to {most:g}")
        if self.stale and not self.single_flight:
            raise UsageError(
                "without single-flight nobody renews a stale item",
                hint=f"Leave out {_PREFIX}STALE or {_PREFIX}SINGLE_FLIGHT",
            )


def settings_from(options: argparse.Namespace, environ: Mapping[str, str]) -> SampleSettings:
    """Return the settings that *options* and the variables in *environ* say together.

    VALKEYCTL_SAMPLE_* win over options: the benchmark gives the options of all arms, and a
    scenario or an arm the variables.

    Raises:
        UsageError: An option or a variable that cannot be meant; names it.
    """
    unknown = [
        name
        for name in environ
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in _NAMES
    ]
    if unknown:
        # A typo would otherwise compare two arms that are the same.
        raise UsageError(
            f"there is no variable {unknown[0]}",
            hint=f"Set one of {', '.join(_PREFIX + name for name in _NAMES)}",
        )
    durations = {name: _duration(environ, name) for name in _DURATIONS}
    single_flight, near = (_switch(environ, name) for name in _SWITCHES)
    ttl, stale, origin = (durations[name] for name in _DURATIONS)
    return SampleSettings(
        host=options.host,
        port=options.port,
        cache=_cache(options.url or environ.get("VALKEYCTL_URL") or Endpoint().url(), environ),
        app=options.app,
        ttl=_option("--ttl", options.ttl) if ttl is None else ttl,
        jitter=JITTER if ttl is None else 0.0,
        stale=stale or 0.0,
        cache_budget=_option("--cache-budget", options.cache_budget),
        single_flight=single_flight is not False,
        near=near is True,
        seed=options.seed,
        speedup=options.speedup,
        origin=SampleSettings.origin if origin is None else origin,
        origin_at_once=_number(environ, "ORIGIN_AT_ONCE"),
        parent=options.parent,
        log_level=options.log_level,
    )


def _cache(url: str, environ: Mapping[str, str]) -> Endpoint:
    """Return the cache at *url*, with the certificates that the variables name."""
    found = Endpoint.parse(url)
    if not found.tls:
        return found

    def file(variable: str) -> Path | None:
        named = environ.get(variable)
        return Path(named) if named else None

    return replace(
        found,
        ca_file=file("VALKEYCTL_CACERT"),
        cert_file=file("VALKEYCTL_CLIENT_CERT"),
        key_file=file("VALKEYCTL_CLIENT_KEY"),
    )


def _option(name: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error


def _duration(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(_PREFIX + name)
    return None if text is None else _option(_PREFIX + name, text)


def _switch(environ: Mapping[str, str], name: str) -> bool | None:
    text = environ.get(_PREFIX + name)
    if text is None:
        return None
    # "true" and "false" are what YAML makes of a bare on and off.
    known = {"on": True, "off": False, "true": True, "false": False}
    if text.lower() not in known:
        raise UsageError(f"{_PREFIX}{name} is {text!r}", hint="Set it to on or off")
    return known[text.lower()]


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(_PREFIX + name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise UsageError(f"{_PREFIX}{name} is {text!r}", hint="Set it to a whole number")
    return int(text)
