"""What is wrong in a profile is said with file, line, key and the allowed values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.profile.conftest import Write
from valkeyctl.errors import ProfileError
from valkeyctl.profile import load

SHIPPED = ", ".join(sorted(p.stem for p in (Path(__file__).parents[2] / "profiles").glob("*.yaml")))
LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{own}: &{own} [{','.join([f'*{last}'] * 9)}]\n"
    for last, own in zip("abcdefgh", "bcdefghi", strict=True)
)
EVICTIONS = (
    "allkeys-lru, allkeys-lfu, allkeys-random, volatile-lru, volatile-lfu, volatile-random, "
    "volatile-ttl or noeviction"
)
NO_PORT = "has no port between 1 and 65535; write host:port, such as 127.0.0.1:6379"

# (what stands in p.yaml, every problem as it is shown)
ONE_FILE = {
    "unknown key": (
        "name: x\nmemory:\n  limt: 1Gi\n",
        [
            "p.yaml:3 memory.limt: there is no such key; did you mean limit? "
            "allowed: clients, copy_on_write, fragmentation, limit, maxmemory"
        ],
    ),
    "unknown key in a section with free names": (
        "name: x\nnamespaces:\n  foo: {ttl: 3, jiter: 0}\n",
        [
            "p.yaml:3 namespaces.foo.jiter: there is no such key; did you mean jitter? "
            "allowed: jitter, ttl"
        ],
    ),
    "wrong types": (
        "name: x\ntuning:\n  databases: many\n  io_threads: true\n  maxclients: 1.5\n"
        "  lazyfree: 5\n  timeout: true\n",
        [
            "p.yaml:3 tuning.databases: 'many' is not allowed; write a whole number",
            "p.yaml:4 tuning.io_threads: true is not a number",
            "p.yaml:5 tuning.maxclients: 1.5 is not allowed; write a whole number",
            "p.yaml:6 tuning.lazyfree: 5 is not allowed; write true or false",
            "p.yaml:7 tuning.timeout: true is not a number",
        ],
    ),
    "bad sizes": (
        "name: x\nmemory:\n  limit: lots\n  maxmemory: nope\n  clients: 1Ki\n",
        [
            "p.yaml:3 memory.limit: 'lots' is not a size; write a size such as 512Mi, 64mb or 1G",
            "p.yaml:4 memory.maxmemory: 'nope' is not allowed; write auto, or a size such as 512Mi",
            "p.yaml:5 memory.clients: 1024 is not allowed; write 1Mi or more",
        ],
    ),
    "numbers too large for any server": (
        f"name: x\nmemory:\n  limit: {'9' * 400}Gi\n  clients: {'9' * 35}\n",
        [
            "p.yaml:3 memory.limit: this is not allowed; write a size such as 512Mi, 64mb or 1G",
            f"p.yaml:4 memory.clients: {'9' * 35} is more than 1 PiB; "
            "write a size such as 512Mi, 64mb or 1G",
        ],
    ),
    "bad durations": (
        "name: x\nstop: {grace: forever}\ntuning:\n  timeout: -1s\nprobes:\n  interval: 0\n",
        [
            "p.yaml:2 stop.grace: 'forever' is not a duration; "
            "write a duration such as 250ms, 30s, 5m, 2h or 1d",
            "p.yaml:4 tuning.timeout: '-1s' is not a duration; "
            "write a duration such as 250ms, 30s, 5m, 2h or 1d",
            "p.yaml:6 probes.interval: 0.0 is not allowed; write 1 or more",
        ],
    ),
    "not one of the words": (
        "name: x\neviction: lru\n",
        [f"p.yaml:2 eviction: 'lru' is not allowed; write {EVICTIONS}"],
    ),
    "a value that would fill the screen": (
        f"name: x\neviction: {'z' * 3000}\n",
        [f"p.yaml:2 eviction: '{'z' * 59}... is not allowed; write {EVICTIONS}"],
    ),
    "an empty section": (
        "name: x\nstop:\n",
        ["p.yaml:2 stop: there is no value; write a section with keys below it: grace"],
    ),
    "a section that is no section": (
        "name: x\npersistence: [rdb]\ntls: maybe\n",
        [
            "p.yaml:2 persistence: this is not allowed; write none, rdb, aof, rdb+aof, or "
            "a section with keys below it: fsync, mode, save",
            "p.yaml:3 tls: 'maybe' is not allowed; write true, false, or a section with keys "
            "below it: auth_clients, ca_file, cert_file, enabled, key_file",
        ],
    ),
    "items of a list": (
        "name: x\npersistence:\n  mode: rdb\n  save:\n    - '0 5'\n    - 60 100\n",
        [
            "p.yaml:5 persistence.save.0: '0 5' is not allowed; "
            "write '<seconds> <changes>', such as '300 100'"
        ],
    ),
    "names": (
        "name: Bad Name\napp: a:b\nnamespaces:\n  BAD: {ttl: 1}\n",
        [
            "p.yaml:1 name: 'Bad Name' is not allowed; "
            "write lower-case letters, digits and inner hyphens, 40 at most",
            "p.yaml:2 app: 'a:b' is not allowed; "
            "write lower-case letters, digits and inner hyphens, 40 at most",
            "p.yaml:4 namespaces.BAD: 'BAD' is not allowed; "
            "write a lower-case letter, then letters, digits, _ or -, 40 at most",
        ],
    ),
    "a name that is a number": (
        "name: 12\n",
        [
            "p.yaml:1 name: 12 is not allowed; write text, in quotes if it looks like a number",
        ],
    ),
    "no name": ("publish: 6380\n", ["p.yaml name: this key is required"]),
    "port zero": (
        "name: x\npublish: 127.0.0.1:0\n",
        [f"p.yaml:2 publish: '127.0.0.1:0' {NO_PORT}"],
    ),
    "port 70000": ("name: x\npublish: 70000\n", [f"p.yaml:2 publish: '70000' {NO_PORT}"]),
    "an IPv6 address without a port": (
        "name: x\npublish: ::1\n",
        [
            "p.yaml:2 publish: ':' is not an IP address or localhost; "
            "write host:port, such as 127.0.0.1:6379"
        ],
    ),
    "a host name": (
        "name: x\npublish: example.com:6379\n",
        [
            "p.yaml:2 publish: 'example.com' is not an IP address or localhost; "
            "write host:port, such as 127.0.0.1:6379"
        ],
    ),
    "beyond this machine without a password": (
        "name: x\npublish: 0.0.0.0:6379\n",
        [
            "p.yaml:2 publish: 0.0.0.0:6379 reaches beyond this machine without authentication; "
            "publish on 127.0.0.1, or set auth.enabled: true"
        ],
    ),
    "beyond this machine in clear text": (
        "name: x\npublish: '[::]:6379'\nauth: true\n",
        [
            "p.yaml:2 publish: [::]:6379 reaches beyond this machine without encryption; "
            "publish on 127.0.0.1, or set tls.enabled: true"
        ],
    ),
    "replicas of a standalone": (
        "name: x\nreplication:\n  replicas: 2\n",
        [
            "p.yaml:3 replication.replicas: a standalone has no replicas; use topology: sentinel",
        ],
    ),
    "a quorum that no vote can reach": (
        "name: x\nsentinel: {count: 3, quorum: 4}\n",
        [
            "p.yaml:2 sentinel.quorum: 4 of 3 sentinels can never agree; "
            "write sentinel.count or less"
        ],
    ),
    "a key twice": (
        "name: x\npublish: 6380\nname: y\n",
        ["p.yaml:3 name: this key stands at line 1 already"],
    ),
    "a key that is a number": (
        "name: x\nnamespaces:\n  404: {ttl: 3}\n",
        ["p.yaml:3 namespaces: '404' is no name of a key; put it in quotes if it is one"],
    ),
    "a key that is a list": (
        "name: x\n? [a, b]\n: c\n",
        ["p.yaml:2: this is no name of a key; put it in quotes if it is one"],
    ),
    "tabs": (
        "name: x\nmemory:\n\tlimit: 3\n",
        [
            "p.yaml:3: is not YAML that a profile can hold: found character '\\t' "
            "that cannot start any token; indent with blanks, not with tabs"
        ],
    ),
    "broken YAML": (
        "name: [x\n",
        [
            "p.yaml:2: is not YAML that a profile can hold: expected ',' or ']', "
            "but got '<stream end>'"
        ],
    ),
    "two documents": (
        "name: x\n---\nname: y\n",
        ["p.yaml:2: is not YAML that a profile can hold: but found another document"],
    ),
    "a tag": (
        "name: !!int ''\n",
        [
            "p.yaml:1: is not YAML that a profile can hold: "
            "tags such as !!int or !env are not understood"
        ],
    ),
    "an empty file": ("", ["p.yaml: the file is empty; it needs at least 'name: ...'"]),
    "only comments": ("# x\n", ["p.yaml: the file is empty; it needs at least 'name: ...'"]),
    "a list": ("- a\n", ["p.yaml:1: the file holds no 'key: value' lines"]),
    "a binary file": (
        b"\x7fELF\x00\x01",
        ["p.yaml: is not YAML: unacceptable character #x007f: special characters are not allowed"],
    ),
    "another encoding": (b"name: caf\xe9\n", ["p.yaml: is not UTF-8 text (byte 9)"]),
    "a huge file": (
        b"#" * 70_000,
        ["p.yaml: is larger than the 65,536 bytes that a profile may have"],
    ),
    "a billion laughs": (
        LAUGHS,
        ["p.yaml:1: the aliases (*) in this file make more than 5,000 values of it"],
    ),
    "an alias inside what it names": (
        "name: x\nmemory: &m\n  limit: *m\n",
        ["p.yaml:2 memory: an alias (*) stands inside what it names"],
    ),
    "nesting without end": (
        "name: x\nmemory: " + "[" * 60_000,
        ["p.yaml:2: is not YAML that a profile can hold: this is nested deeper than 16 levels"],
    ),
    "variables outside secrets": (
        "name: x\nimage: ${IMAGE}\ndescription: at ${HOME}\n",
        [
            f"p.yaml:{line} {key}: variables are for secrets only (auth.password); "
            "write the value here"
            for line, key in ((2, "image"), (3, "description"))
        ],
    ),
    "a secret in the file": (
        "name: x\nauth:\n  password: hunter2\n",
        [
            "p.yaml:3 auth.password: a secret never stands in a profile; "
            "write ${NAME} and export NAME"
        ],
    ),
    "a variable that is not set": (
        "name: x\nauth:\n  password: ${VALKEYCTL_TEST_NOT_SET}\n",
        [
            "p.yaml:3 auth.password: the environment variable VALKEYCTL_TEST_NOT_SET is not set, "
            "or empty"
        ],
    ),
    "extends nothing": (
        "name: x\nextends:\n",
        ["p.yaml:2 extends: write a profile's name, or a path relative to this file"],
    ),
    "extends a name that is not there": (
        "name: x\nextends: nosuch\n",
        [f"p.yaml:2 extends: there is no profile 'nosuch'; there are {SHIPPED}"],
    ),
    "extends itself by name": (
        "name: x\nextends: p\n",
        [f"p.yaml:2 extends: there is no other profile 'p'; there are {SHIPPED}"],
    ),
    "extends itself by path": (
        "name: x\nextends: ./p.yaml\n",
        ["p.yaml:2 extends: this goes round in a circle: p -> p"],
    ),
    "extends a file that is not there": (
        "name: x\nextends: ../no/such.yaml\n",
        ["p.yaml:2 extends: there is no file '../no/such.yaml' (seen from ./)"],
    ),
    "extends what no path can be": (
        'name: x\nextends: "a/\\0"\n',
        ["p.yaml:2 extends: there is no file 'a/\\x00' (seen from ./)"],
    ),
    "extends a name without end": (
        f"name: x\nextends: {'y' * 5000}\n",
        [f"p.yaml:2 extends: there is no profile '{'y' * 80}'; there are {SHIPPED}"],
    ),
}


@pytest.mark.parametrize(("text", "problems"), ONE_FILE.values(), ids=ONE_FILE.keys())
def test_a_problem_names_file_line_key_and_what_is_allowed(
    write: Write, text: str | bytes, problems: list[str]
) -> None:
    """The user sees where to look and what to write instead."""
    path = write(text)

    with pytest.raises(ProfileError) as caught:
        load(path)

    assert [str(problem) for problem in caught.value.problems] == problems


def test_the_message_is_the_first_problem_and_counts_the_others(write: Write) -> None:
    """One line says what to mend first."""
    path = write("name: x\neviction: lru\npull: maybe\nimage: '-'\n")

    with pytest.raises(ProfileError) as caught:
        load(path)

    assert str(caught.value).startswith("p.yaml:2 eviction: 'lru' is not allowed")
    assert str(caught.value).endswith("(and 2 more)")


def test_a_problem_in_a_parent_names_the_parent(write: Write) -> None:
    """What a file inherits is wrong where it was written."""
    write("name: base\nmemory:\n  limit: 1Gi\n  clients: none\n", "sub/base.yaml")
    path = write("name: x\nextends: sub/base.yaml\nmemory: {limit: 2Gi}\n")

    with pytest.raises(ProfileError, match=r"^sub/base.yaml:4 memory.clients: 'none'"):
        load(path)


def test_a_circle_of_files_is_shown(write: Write) -> None:
    """Two files that extend each other are named in order."""
    write("name: b\nextends: p\n", "b.yaml")
    path = write("name: x\nextends: b\n")

    with pytest.raises(ProfileError, match=r"^b.yaml:2 extends: .*circle: p -> b -> p$"):
        load(path)


def test_a_chain_of_files_has_an_end(write: Write) -> None:
    """A long chain is refused as what it is, not as a circle."""
    for number in range(12):
        write(f"name: x\nextends: c{number + 1}.yaml\n", f"c{number}.yaml")
    last = write("name: x\n", "c12.yaml")

    with pytest.raises(ProfileError, match="more than 8 profiles extend one another"):
        load(last.with_name("c0.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "auth: {password: hunter2}",
        "auth: {password: [hunter2]}",
        "auth: {enabled: hunter2}",
        "auth: hunter2",
        "auth: {pasword: hunter2}",
        "password: hunter2",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(write: Write, text: str) -> None:
    """Error messages end up in logs."""
    path = write(f"name: x\n{text}\n")

    with pytest.raises(ProfileError) as caught:
        load(path)

    cause = str(caught.value.__cause__)
    assert "hunter2" not in f"{caught.value.problems}{caught.value}{cause}"


def test_a_file_that_is_not_there_is_said(write: Write) -> None:
    """A path is reported as the user wrote it."""
    path = write("name: x\n")

    with pytest.raises(ProfileError, match=r"^other.yaml: there is no such file$"):
        load(path.with_name("other.yaml"))


def test_a_folder_or_a_device_is_no_profile(write: Write) -> None:
    """Reading ends, whatever the path leads to."""
    write("name: x\n", "folder.yaml/p.yaml")

    with pytest.raises(ProfileError, match=r"^folder.yaml: cannot be read: Is a directory$"):
        load("folder.yaml")
    with pytest.raises(ProfileError, match=r"^/dev/zero: is larger than the 65,536 bytes"):
        load("/dev/zero/")


def test_an_unknown_name_lists_the_known(write: Write) -> None:
    """A typing error on the command line shows what there is."""
    write("name: mine\n", "profiles/mine.yaml")

    with pytest.raises(ProfileError) as caught:
        load("defualt")

    assert str(caught.value).endswith(
        "there are " + ", ".join(sorted([*SHIPPED.split(", "), "mine"]))
    )
    assert caught.value.hint == "Write a starter: valkeyctl init defualt"


@pytest.mark.parametrize("name", ["", "two words", "-x", "Shop", "a\nb", "x" * 5000])
def test_a_next_step_is_one_that_works(name: str) -> None:
    """`init` refuses what can be no name, and a message of five screens helps nobody."""
    with pytest.raises(ProfileError) as caught:
        load(name)

    assert caught.value.hint == "List the profiles: valkeyctl profiles ls"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
