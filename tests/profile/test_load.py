"""From a name or a path to a profile: what is found, inherited and filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.profile.conftest import Write
from valkeyctl.errors import ProfileError
from valkeyctl.profile import Profile, load, locate, profile_names
from valkeyctl.profile.schema import NamespacePolicy

SHIPPED = Path(__file__).parents[2] / "profiles"
SHIPPED_NAMES = ["ci", "cluster", "default", "dev", "prod", "sentinel", "state"]


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_a_shipped_profile_is_found_by_name_from_anywhere(write: Write, name: str) -> None:
    """The shipped profiles need no path, and each is called what its file is."""
    write("name: other\n")

    profile = load(name)

    assert profile.name == profile.app == name
    assert locate(name).resolve() == SHIPPED / f"{name}.yaml"


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_profile_says_for_whom_it_is_and_what_it_gives_up(file: Path) -> None:
    """The opening comment helps to choose."""
    comment = [line for line in file.read_text().splitlines() if line.startswith("#")]

    assert comment[0].startswith("# For ")
    assert any(line.startswith("# Gives up: ") for line in comment)


def test_only_the_name_is_required(write: Write) -> None:
    """Everything else has a default."""
    profile = load(write("name: x\n"))

    assert profile == Profile(name="x")
    assert profile.app == "x"


def test_where_a_profile_was_read_from_makes_it_no_other_profile(write: Write) -> None:
    """Profiles compare by what they say."""
    first, second = write("name: x\n"), write("# moved\nname: x\n", "other.yaml")

    assert load(first) == load(second)


def test_a_profile_of_ones_own_wins_over_a_shipped_one(write: Write) -> None:
    """The nearest folder that knows a name is the one that counts."""
    mine = write("name: default\npublish: 7000\n", "profiles/default.yaml")

    assert load("default").port == 7000
    assert profile_names()["default"] == mine
    assert sorted(profile_names()) == SHIPPED_NAMES


def test_profiles_are_found_in_the_configuration_folder(write: Write) -> None:
    """A user's own profiles need no project."""
    write("name: mine\n", "config/valkeyctl/profiles/mine.yaml")

    assert load("mine").name == "mine"


def test_a_path_object_is_always_a_path(write: Write) -> None:
    """Only text can be a name."""
    write("name: here\n", "default")

    assert load(Path("default")).name == "here"


def test_extends_lays_sections_key_by_key_and_replaces_lists(write: Write) -> None:
    """A child changes what it writes and inherits the rest."""
    write(
        "name: base\npublish: 7000\nmemory: {limit: 1Gi, clients: 8Mi}\n"
        "persistence: {mode: rdb, save: ['60 1', '30 2']}\nnamespaces:\n  a: {ttl: 1}\n",
        "base.yaml",
    )

    profile = load(
        write(
            "extends: base\nname: x\nmemory: {limit: 2Gi}\npersistence: {save: ['9 9']}\n"
            "namespaces:\n  b: {ttl: 2}\n"
        )
    )

    assert (profile.name, profile.app, profile.port) == ("x", "x", 7000)
    assert (profile.memory.limit, profile.memory.clients) == (2 * 2**30, 8 * 2**20)
    assert (profile.persistence.mode, profile.persistence.save) == ("rdb", ("9 9",))
    assert {"a", "b"} < profile.namespaces.keys()


def test_the_name_is_not_inherited(write: Write) -> None:
    """Two profiles of one name would be one deployment, and each would undo the other."""
    write("name: base\napp: base\n", "base.yaml")

    with pytest.raises(ProfileError, match=r"^p.yaml name: this key is required$"):
        load(write("extends: base\n"))


def test_a_short_form_and_a_section_are_laid_over_one_another(write: Write) -> None:
    """`persistence: aof` below a child's section must not be lost, nor the other way round."""
    write("name: base\npersistence: aof\ntls: {ca_file: /ca.pem}\n", "base.yaml")

    profile = load(write("extends: base\nname: x\npersistence: {fsync: always}\ntls: true\n"))

    assert (profile.persistence.mode, profile.persistence.fsync) == ("aof", "always")
    assert (profile.tls.enabled, profile.tls.ca_file) == (True, Path("/ca.pem"))


def test_a_path_in_extends_is_relative_to_the_file_that_writes_it(write: Write) -> None:
    """Profiles can be moved together, and used from any folder."""
    write("name: base\npublish: 7001\n", "a/base.yaml")
    write("extends: ../a/base.yaml\nname: middle\n", "b/middle.yaml")

    assert load(write("extends: b/middle.yaml\nname: x\n")).port == 7001


def test_a_name_in_extends_means_the_neighbour_first(write: Write) -> None:
    """A folder of profiles is complete in itself."""
    write("name: default\npublish: 7002\n", "sub/default.yaml")

    assert load(write("extends: default\nname: x\n", "sub/x.yaml")).port == 7002


@pytest.mark.parametrize("folder", [".", "profiles"])
def test_a_profile_can_extend_the_shipped_one_of_its_own_name(write: Write, folder: str) -> None:
    """`extends: default` in a default.yaml is no circle."""
    path = write("extends: default\nname: default\npublish: 7003\n", f"{folder}/default.yaml")

    assert load(path).description == load(SHIPPED / "default.yaml").description


def test_a_namespace_keeps_the_defaults_that_are_not_written(write: Write) -> None:
    """Writing one key of a known namespace changes one key."""
    profile = load(
        write("name: x\nnamespaces:\n  response: {jitter: 0}\nlimits:\n  user: {rate: 5}\n")
    )

    assert profile.namespaces["response"] == NamespacePolicy(ttl=3600, jitter=0)
    assert profile.namespaces["session"].ttl == 86400
    assert (profile.limits["user"].rate, profile.limits["user"].per) == (5, 60)


def test_yaml_is_read_as_version_1_2(write: Write) -> None:
    """`no` is a word and 1:30 no number; a merge key is understood."""
    profile = load(
        write(
            "\ufeffname: 'no'\npersistence: {mode: aof, fsync: no}\npublish: 127.0.0.1:06380\n"
            "namespaces:\n  a: &a {ttl: 5m}\n  b:\n    <<: *a\n    jitter: 0\n"
        )
    )

    assert (profile.name, profile.persistence.fsync, profile.port) == ("no", "no", 6380)
    assert profile.namespaces["b"] == NamespacePolicy(ttl=300, jitter=0)


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("6380", "127.0.0.1", 6380),
        ("':6380'", "127.0.0.1", 6380),
        ("localhost:6380", "localhost", 6380),
        ("'[::1]:6380'", "::1", 6380),
        ("127.0.0.2:65535", "127.0.0.2", 65535),
    ],
)
def test_publish_takes_the_usual_spellings(
    write: Write, written: str, host: str, port: int
) -> None:
    """A bare port is on this machine only."""
    profile = load(write(f"name: x\npublish: {written}\n"))

    assert (profile.host, profile.port) == (host, port)


def test_a_secret_comes_from_the_environment_and_is_never_shown(write: Write) -> None:
    """The value is there for the server and for nobody else."""
    path = write("name: x\nauth: {password: '${CACHE_PASSWORD}'}\n")

    profile = load(path, environ={"CACHE_PASSWORD": "hunter2"})

    assert profile.auth.password is not None
    assert profile.auth.password.get_secret_value() == "hunter2"
    assert "hunter2" not in f"{profile!r}{profile}{profile.model_dump_json()}"


def test_a_later_problem_still_knows_its_line(write: Write) -> None:
    """What only the render can judge is reported where the profile says it."""
    path = write("name: x\nmemory:\n  limit: 1Gi\n")

    problem = load(path).problem("memory.limit", "too much")

    assert str(problem) == "p.yaml:3 memory.limit: too much"
    assert str(load(path).problem("tls.enabled", "no")) == "p.yaml tls.enabled: no"
    assert str(Profile(name="x").problem("tls.enabled", "no")) == "x tls.enabled: no"
