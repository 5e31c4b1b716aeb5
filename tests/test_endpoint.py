"""Where a server is: URLs read and written, secrets kept, nonsense refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError

SECRET = "hunter2!@/:,?#%&+="
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LABELS = st.from_regex(r"\A[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?\Z")
HOSTS = st.one_of(LABELS, st.ip_addresses().map(str))
NODES = st.tuples(HOSTS, st.integers(1, 65535))
LOGINS = st.tuples(st.none() | WORDS, st.none() | WORDS)


@st.composite
def endpoints(draw: st.DrawFn) -> Endpoint:
    """Every kind of endpoint that a URL can say."""
    nodes = tuple(draw(st.lists(NODES, min_size=1, max_size=4)))
    host, port = nodes[0]
    user, password = draw(LOGINS)
    db = draw(st.integers(0, 99))
    server = Endpoint(host, port, user, password, db, tls=draw(st.booleans()))
    match draw(st.sampled_from(["standalone", "sentinel", "cluster"])):
        case "cluster":
            return replace(server, db=0, topology="cluster", nodes=nodes)
        case "sentinel":
            sentinel_user, sentinel_password = draw(LOGINS)
            return replace(
                server,
                topology="sentinel",
                nodes=nodes,
                primary_name=draw(WORDS),
                sentinel_username=sentinel_user,
                sentinel_password=sentinel_password,
            )
        case _:
            return server


@given(endpoints())
def test_a_url_says_all_that_an_endpoint_knows(endpoint: Endpoint) -> None:
    """Written and read again it is the same, whatever is in names and passwords."""
    assert Endpoint.parse(endpoint.url(show_secret=True)) == endpoint


@given(endpoints())
def test_a_url_without_secrets_leads_to_the_same_place(endpoint: Endpoint) -> None:
    """Only the passwords are not what they were."""
    masked = Endpoint.parse(str(endpoint))

    assert (masked.address, masked.username, masked.db, masked.tls) == (
        endpoint.address,
        endpoint.username,
        endpoint.db,
        endpoint.tls,
    )
    assert masked.password == ("***" if endpoint.password else None)


@given(st.text(max_size=60))
def test_no_text_is_more_than_refused(text: str) -> None:
    """Whatever is given as a URL, the answer is an endpoint or one sentence."""
    for url in (text, f"redis://{text}", f"redis+sentinel://{text}", f"valkeys+cluster://{text}"):
        try:
            Endpoint.parse(url)
        except UsageError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("redis://localhost", Endpoint("localhost")),
        ("valkeys://u:p%40@h:1/2", Endpoint("h", 1, "u", "p@", 2, tls=True)),
        ("redis://:p@[::1]:7000", Endpoint("::1", 7000, password="p")),
        (
            "redis+sentinel://a,b:1,[::1]/cache/3",
            Endpoint(
                db=3,
                topology="sentinel",
                nodes=(("a", 26379), ("b", 1), ("::1", 26379)),
                primary_name="cache",
            ),
        ),
        (
            "rediss+sentinel://u:p@a/cache?sentinel_password=q%26&sentinel_username=s",
            Endpoint(
                username="u",
                password="p",
                tls=True,
                topology="sentinel",
                nodes=(("a", 26379),),
                primary_name="cache",
                sentinel_username="s",
                sentinel_password="q&",
            ),
        ),
        (
            "VALKEY+CLUSTER://A:7000,b/",
            Endpoint(topology="cluster", nodes=(("a", 7000), ("b", 6379))),
        ),
    ],
)
def test_urls_are_read(url: str, endpoint: Endpoint) -> None:
    """The forms that the manual names."""
    assert Endpoint.parse(url) == endpoint


def test_several_nodes_have_one_address() -> None:
    """It names all of them, and what sentinels watch; the first is the host and port."""
    sentinel = Endpoint.parse("redis+sentinel://a:1,[::2]:3/cache")
    cluster = Endpoint.parse("redis+cluster://a:1,b:2")

    assert sentinel.address == "a:1,[::2]:3/cache"
    assert cluster.address == "a:1,b:2"
    assert (sentinel.host, sentinel.port) == (cluster.host, cluster.port) == ("a", 1)


def test_one_server_of_a_deployment_has_the_servers_login() -> None:
    """And nothing of what only the sentinels need."""
    sentinel = Endpoint.parse("rediss+sentinel://u:p@a:1/cache/4?sentinel_password=q")

    server = sentinel.server("b", 2)

    assert server == Endpoint("b", 2, "u", "p", 4, tls=True)


@pytest.mark.parametrize(
    "url",
    [
        "redis://{0}@h",
        "redis://u:{0}@h",
        "redis+sentinel://u:{0}@h/n?sentinel_password={0}",
        "redis+cluster://u:{0}@h,i",
    ],
)
def test_no_password_is_ever_shown(url: str) -> None:
    """Neither by `repr`, which a traceback prints, nor by `str`, which a log does."""
    quoted = "".join(f"%{byte:02X}" for byte in SECRET.encode())
    endpoint = Endpoint.parse(url.format(quoted if "u:" in url else f":{quoted}"))

    shown = f"{endpoint!r} {endpoint} {endpoint.address} {endpoint.url()}"

    assert endpoint.password == SECRET
    assert SECRET not in shown
    assert "hunter2" not in shown
    assert Endpoint.parse(endpoint.url(show_secret=True)) == endpoint


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "unknown scheme"),
        ("localhost:6379", "unknown scheme"),
        ("http://h", "unknown scheme 'http'"),
        ("redis+raft://h", r"unknown scheme 'redis\+raft'"),
        ("redis://", "names no host"),
        ("redis://:6379", "names no host"),
        ("redis://h:0", "port"),
        ("redis://h:65536", "port"),
        ("redis://h:six", "port"),
        ("redis://h:", "port"),
        ("redis://::1", "names no host"),
        ("redis://[::1", "host"),
        ("redis://h,i:1", "host"),
        ("redis://h/x", "database"),
        ("redis://h/1/2", "database"),
        ("redis://h?timeout=1", "options"),
        ("redis://h#x", "options"),
        ("redis+sentinel://h", "names no primary"),
        ("redis+sentinel://h//0", "names no primary"),
        ("redis+sentinel://h/cache/x", "database"),
        ("redis+sentinel://h,/cache", "lacks a host"),
        ("redis+sentinel://h/cache?timeout=1", "options"),
        ("redis+sentinel://h/cache?sentinel_username=a&sentinel_username=b", "options"),
        ("redis+cluster://a:1,b:x", "port"),
        ("redis+cluster://a:1, b:2", "host"),
        ("redis+cluster://a?sentinel_password=x", "options"),
        ("redis+cluster://a/1", "no database 1"),
    ],
)
def test_what_is_no_url_of_ours_is_refused(url: str, why: str) -> None:
    """In one sentence that says what is wrong, with the form as the hint."""
    with pytest.raises(UsageError, match=why) as caught:
        Endpoint.parse(url)

    assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["redis://u:{}/x@h:1", "redis://{}:h", "redis+sentinel://:{}/x@h/n", "redis://h/{}"]
)
def test_a_refusal_repeats_no_password(url: str) -> None:
    """A slash in a password moves its parts to where a port or a path is expected."""
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(url.format("hunter2"))

    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "fields",
    [
        {"nodes": (("a", 1),)},
        {"primary_name": "cache"},
        {"topology": "sentinel"},
        {"topology": "cluster", "primary_name": "cache"},
        {"topology": "cluster", "db": 1},
        {"topology": "cluster", "sentinel_password": "x"},
        {"sentinel_username": "x"},
    ],
)
def test_fields_that_do_not_fit_the_topology_are_refused(fields: dict[str, object]) -> None:
    """An endpoint that was built by hand makes sense, too."""
    with pytest.raises(UsageError):
        Endpoint(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "what"), [("redis+sentinel://h/n", "is Sentinel"), ("redis+cluster://h", "a Cluster")]
)
def test_what_works_on_one_server_says_so(url: str, what: str) -> None:
    """The sentence is the same wherever a program knows one server only."""
    with pytest.raises(UsageError, match=f"{what}.*one server") as caught:
        Endpoint.parse(url).require_one_server()

    assert "redis://host:port" in str(caught.value.hint)


@pytest.mark.parametrize("url", ["redis+sentinel://h/n", "redis+cluster://h"])
def test_bulk_work_is_for_one_server(url: str) -> None:
    """It says so before it connects anywhere."""
    with pytest.raises(UsageError, match="one server"):
        Wire(Endpoint.parse(url)).open()
