"""A server in a compose file that somebody else wrote."""

from __future__ import annotations

from typing import cast

import pytest
import yaml

from valkeyctl.errors import UsageError
from valkeyctl.profile import Profile
from valkeyctl.render import COMPOSE, Artefacts, render
from valkeyctl.render.into import merge

Tree = dict[str, object]
APP = """\
# our stack
name: shop
x-log: &log {driver: journald}
services:
  web:          # the front
    image: "nginx:1.27"
    logging: *log
    ports:
      - "127.0.0.1:8080:80"
      - target: 443
        published: "8443"

volumes:
  uploads: {}   # kept
"""


def artefacts(**fields: object) -> Artefacts:
    """Return the render of a profile with these fields."""
    return render(Profile.model_validate({"name": "x", **fields}))


def test_the_service_is_the_rendered_one_beside_the_others() -> None:
    """Its file and its volume have names that nobody else uses."""
    own = artefacts()
    (rendered,) = yaml.safe_load(own.files[COMPOSE])["services"].values()

    merged = merge(APP, own)

    found = yaml.safe_load(merged.text)
    service = found["services"]["x-valkey"]
    assert {**service, "labels": 0, "volumes": 0} == {**rendered, "labels": 0, "volumes": 0}
    assert service["labels"] == {"valkeyctl.merged": "x"}
    assert service["volumes"] == [
        "./x-valkey.conf:/etc/valkeyctl/valkey.conf:ro",
        "x-data:/data",
    ]
    assert found["volumes"] == {"uploads": {}, "x-data": {"name": "x-data"}}
    assert merged.beside == {"x-valkey.conf": own.files["valkey.conf"]}


def test_every_line_of_the_file_is_kept_and_a_second_run_changes_nothing() -> None:
    """Only lines are added."""
    once = merge(APP, artefacts()).text

    rest = iter(once.splitlines())
    assert all(line in rest for line in APP.splitlines())
    assert merge(once, artefacts()).text == once


def test_a_later_profile_changes_the_service() -> None:
    """And a profile with secrets mounts their volume, which exists already."""
    once = merge(APP, artefacts()).text

    twice = merge(once, artefacts(auth=True, memory={"limit": "1Gi"})).text

    found = yaml.safe_load(twice)
    assert found["services"]["x-valkey"]["mem_limit"] == str(2**30)
    assert found["volumes"]["x-secrets"] == {"name": "x-secrets", "external": True}
    assert "x-secrets:/etc/valkeyctl-secrets:ro" in found["services"]["x-valkey"]["volumes"]
    assert merge(twice, artefacts()).text == once


@pytest.mark.parametrize(
    "text",
    [
        "services:\n",
        "services: {}\n",
        "services: {web: {image: i}}",
        "services:\n  web:\n    image: i\nvolumes:\nnetworks: {}\n",
        "services:\n    web: {image: !reset null}\n",
    ],
)
def test_every_layout_is_kept(text: str) -> None:
    """Empty, flow, block, and the tags that only compose knows."""
    merged = merge(text, artefacts()).text

    assert "x-valkey" in merged
    assert merge(merged, artefacts()).text == merged


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (APP.replace("web:", "x-valkey:"), "a service x-valkey that valkeyctl did not put there"),
        (APP.replace("127.0.0.1:8080:80", "6379:80"), "web publishes port 6379 too"),
        (APP.replace("127.0.0.1:8080:80", "127.0.0.1:6370-6380:80-90/tcp"), "port 6379 too"),
        (APP.replace('published: "8443"', "published: 6379"), "web publishes port 6379 too"),
        (
            APP.replace("    logging", "    container_name: x-valkey-server\n    logging"),
            "web has the container name x-valkey-server too",
        ),
        ("services: [a]\n", "services is no mapping"),
        ("base: &s {web: {image: i}}\nservices: *s\n", "services is an alias"),
    ],
)
def test_what_clashes_is_refused(text: str, says: str) -> None:
    """By the name of the service that is in the way."""
    with pytest.raises(UsageError, match=says):
        merge(text, artefacts())


def test_the_same_port_on_another_address_is_no_clash() -> None:
    """A machine has many addresses."""
    text = APP.replace("127.0.0.1:8080:80", "192.0.2.1:6379:80")

    found = cast("Tree", yaml.safe_load(merge(text, artefacts()).text))

    assert len(cast("Tree", found["services"])) == 2


def test_a_compose_file_has_no_pods() -> None:
    """--pod with it is a mistake."""
    with pytest.raises(UsageError, match="a compose file has no pods"):
        merge(APP, artefacts(), pod="shop")
