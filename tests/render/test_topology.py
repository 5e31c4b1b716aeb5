"""Topologies: which units there are, where each one is, and what is refused."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict

import pytest
import yaml

from valkeyctl.errors import ProfileError
from valkeyctl.profile import Profile
from valkeyctl.render import CONF, POD, Artefacts, render
from valkeyctl.render.artefacts import HASH_LABEL, NODE_LABEL, PROFILE_LABEL, SENTINEL_CONF
from valkeyctl.render.topology import deployment_of


def make(topology: str, **fields: object) -> Artefacts:
    """Return what a profile of *topology* renders to."""
    return render(profile(topology, **fields))


def profile(topology: str, **fields: object) -> Profile:
    """Return a profile of *topology* that keeps its data."""
    return Profile.model_validate(
        {"name": "p", "topology": topology, "persistence": "aof", "publish": 7000, **fields}
    )


def problems(topology: str, **fields: object) -> dict[str, str]:
    """Return what is wrong with such a profile, by key."""
    with pytest.raises(ProfileError) as caught:
        make(topology, **fields)
    return {problem.key: problem.text for problem in caught.value.problems}


def test_sentinels_come_first_on_the_ports_and_one_server_is_the_primary() -> None:
    """A client is given the sentinels' ports, so they begin at the published one."""
    artefacts = make("sentinel")

    assert [(unit.name, unit.kind, unit.port, unit.primary) for unit in artefacts.units] == [
        ("p-sentinel-1", "sentinel", 7000, False),
        ("p-sentinel-2", "sentinel", 7001, False),
        ("p-sentinel-3", "sentinel", 7002, False),
        ("p-node-1", "server", 7003, True),
        ("p-node-2", "server", 7004, False),
        ("p-node-3", "server", 7005, False),
    ]


def test_a_cluster_numbers_its_primaries_before_their_replicas() -> None:
    """Three shards with a replica each are six nodes; bus ports come after the clients'."""
    artefacts = make("cluster")

    assert [unit.name for unit in artefacts.units] == [f"p-node-{n}" for n in range(1, 7)]
    assert [unit.primary for unit in artefacts.units] == [True] * 3 + [False] * 3
    assert [unit.port for unit in artefacts.units] == list(range(7000, 7006))
    assert [unit.bus_port for unit in artefacts.units] == list(range(7006, 7012))


def test_a_standalone_is_its_own_only_unit() -> None:
    """Nothing of a topology is on it."""
    artefacts = make("standalone")

    assert artefacts.units == (artefacts,)
    assert (artefacts.network, artefacts.address, artefacts.mac) == (None, "", "")


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
def test_each_unit_has_an_address_and_a_mac_of_its_own(topology: str) -> None:
    """They are within the bridge's subnet, fixed by the name, and no two are equal."""
    artefacts, again = make(topology), make(topology)
    network = artefacts.network

    assert network is not None
    subnet = ipaddress.IPv4Network(network.subnet)
    assert subnet.subnet_of(ipaddress.IPv4Network("10.128.0.0/10"))
    addresses = [ipaddress.IPv4Address(unit.address) for unit in artefacts.units]
    assert len(set(addresses)) == len({unit.mac for unit in artefacts.units}) == 6
    # The upper half is for containers that join without an address of their own.
    lower = next(iter(subnet.subnets()))
    assert all(address in lower for address in addresses)
    assert not {lower[0], lower[1]} & set(addresses)
    assert again == artefacts


def test_two_deployments_share_neither_subnet_nor_mac() -> None:
    """Both follow from the name, unless two names happen to collide."""
    first, second = make("sentinel"), make("sentinel", name="q")

    assert first.network != second.network
    assert not {unit.mac for unit in first.units} & {unit.mac for unit in second.units}


def test_more_sentinels_or_servers_leave_the_others_where_they_were() -> None:
    """What a server has written down about its peers must stay true."""
    before = {unit.name: unit.address for unit in make("sentinel").units}

    after = make("sentinel", sentinel={"count": 5}, replication={"replicas": 3})

    assert before.items() <= {unit.name: unit.address for unit in after.units}.items()


def test_the_subnet_of_the_profile_is_taken() -> None:
    """A /28 holds a primary, two replicas and three sentinels in its lower half."""
    artefacts = make("sentinel", network={"subnet": "192.168.7.16/28"})

    assert sorted(unit.address for unit in artefacts.units) == [
        f"192.168.7.{last}" for last in (18, 19, 20, 21, 22, 23)
    ]


def test_sentinels_watch_the_first_server_by_its_address() -> None:
    """Durations are milliseconds there, and the primary's name is the profile's."""
    artefacts = make("sentinel", sentinel={"down_after": "2s", "quorum": 3})
    primary = artefacts.units[3]

    conf = artefacts.units[0].files[SENTINEL_CONF]

    assert f"\nsentinel monitor p {primary.address} 6379 3\n" in conf
    assert "\nsentinel down-after-milliseconds p 2000\n" in conf
    assert artefacts.units[0].directives["down-after-milliseconds"] == "2000"
    assert {unit.start_address for unit in artefacts.units} == {primary.address}
    assert {unit.start_port for unit in artefacts.units} == {primary.port}


def test_only_replicas_are_told_whom_they_follow_at_first() -> None:
    """The rendered configuration of all servers is the same; roles are the start script's."""
    artefacts = make("sentinel")
    first, *others = artefacts.units[3:]

    def args(unit: Artefacts) -> list[str]:
        pod = list(yaml.safe_load_all(unit.files[POD]))[1]
        found: list[str] = pod["spec"]["containers"][0]["args"]
        return found

    assert args(first) == ["sh", "/etc/valkeyctl/start-server.sh"]
    assert [args(unit)[2:] for unit in others] == [[first.address, "6379"]] * 2
    assert len({unit.files[CONF] for unit in artefacts.units[3:]}) == 1


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
def test_the_pods_of_all_units_are_in_one_file(topology: str) -> None:
    """A person can play it, with the addresses that the comment on top names in that order."""
    artefacts = make(topology)

    text = artefacts.files[POD]
    pods = [found for found in yaml.safe_load_all(text) if found["kind"] == "Pod"]

    assert [pod["metadata"]["name"] for pod in pods] == [unit.pod for unit in artefacts.units]
    head = text.partition("apiVersion")[0]
    places = [
        head.index(f"--ip {unit.address} --mac-address {unit.mac} ") for unit in artefacts.units
    ]
    assert places == sorted(places)


def test_a_units_pod_carries_its_name_and_the_digest_of_its_own_files() -> None:
    """A runtime reads from a running pod what it was started from."""
    unit = make("cluster").units[2]

    labels = [found["metadata"]["labels"] for found in yaml.safe_load_all(unit.files[POD])]

    assert [(found[PROFILE_LABEL], found[NODE_LABEL]) for found in labels] == [("p", unit.name)] * 2
    assert [found[HASH_LABEL] for found in labels] == [unit.digest] * 2


def test_compose_runs_the_same_containers_at_the_same_addresses() -> None:
    """Each service has the unit's command, address, port and data."""
    artefacts = make("sentinel")

    project = yaml.safe_load(artefacts.files["podman-compose.yaml"])

    assert list(project["services"]) == sorted(unit.name for unit in artefacts.units)
    unit, service = artefacts.units[4], project["services"]["p-node-2"]
    assert service["networks"] == {"net": {"ipv4_address": unit.address}}
    assert service["ports"] == [f"127.0.0.1:{unit.port}:6379"]
    assert service["command"][2:] == [unit.start_address, "6379"]
    assert project["volumes"]["p-node-2-data"] == {"name": unit.volume}
    mounted = {mount.partition(":")[0] for mount in service["volumes"]}
    assert {f"./{name}" for name in (CONF, "start-server.sh")} < mounted
    assert {name.removeprefix("./") for name in mounted if name[0] == "."} < artefacts.files.keys()


def test_a_sentinel_takes_no_memory_for_data() -> None:
    """memory.limit is of each server; all servers have room for all replicas' buffers."""
    artefacts = make("sentinel", memory={"limit": "1Gi"})

    assert artefacts.units[0].budget.limit == 64 * 2**20
    assert artefacts.units[3].budget == artefacts.budget
    assert artefacts.budget.replicas == (2 * 64 + 16) * 2**20


def test_the_shape_of_a_unit_does_not_change_with_its_configuration() -> None:
    """What can be set live needs no new container; a script that starts it does."""
    before, after = make("sentinel"), make("sentinel", sentinel={"down_after": "2s"})

    assert [unit.pod_shape for unit in before.units] == [unit.pod_shape for unit in after.units]
    assert before.units[0].digest != after.units[0].digest
    assert before.units[3].digest == after.units[3].digest


def test_artefacts_of_a_topology_come_back_from_json() -> None:
    """The history of renders keeps them."""
    artefacts = make("cluster")

    assert Artefacts.restored(json.loads(json.dumps(asdict(artefacts)))) == artefacts


def test_cluster_directives_are_in_the_servers_own_units() -> None:
    """Timeouts in milliseconds, switches as yes and no, as CONFIG GET reports them."""
    fields = {"node_timeout": "1500ms", "full_coverage": True}
    directives = make("cluster", cluster=fields).units[0].directives

    assert directives["cluster-enabled"] == "yes"
    assert directives["cluster-node-timeout"] == "1500"
    assert directives["cluster-require-full-coverage"] == "yes"


def test_logins_of_replicas_and_sentinels_are_mounted_and_never_rendered() -> None:
    """The files that a unit includes are among its material."""
    artefacts = make("sentinel", auth=True)
    sentinel, server = artefacts.units[0], artefacts.units[3]

    assert sentinel.material == ("users.acl", "sentinel-auth.conf")
    assert server.material == ("users.acl", "replica.conf")
    assert "include /etc/valkeyctl-secrets/sentinel-auth.conf\n" in sentinel.files[SENTINEL_CONF]
    assert "include /etc/valkeyctl-secrets/replica.conf\n" in server.files[CONF]


def test_topologies_are_reached_from_this_machine_only() -> None:
    """Clients are sent to the bridge's addresses, which nobody else can reach."""
    found = problems("cluster", publish="10.1.2.3:7000", auth=True, tls=True)

    assert "is not 127.0.0.1" in found["publish"]
    assert "publish" in problems("sentinel", publish="[::1]:7000")


def test_ports_beyond_the_last_are_refused_with_the_highest_that_fits() -> None:
    """A Cluster counts twice: its nodes listen on a second port each."""
    found = problems("cluster", publish=65530)

    assert found["publish"].endswith("65535 is the last; write 65524 or less")
    assert make("cluster", publish=65524).units[-1].bus_port == 65535


def test_a_subnet_without_room_is_refused_with_the_room_that_it_has() -> None:
    """Half of a /29, without the network's own and the gateway's address, is two."""
    found = problems("sentinel", network={"subnet": "10.1.2.0/29"})

    assert "has room for 2 of 6" in found["network.subnet"]


@pytest.mark.parametrize("topology", ["sentinel", "cluster"])
def test_a_primary_that_would_come_back_empty_is_refused(topology: str) -> None:
    """Its replicas would copy the emptiness; without replicas nothing is lost by it."""
    assert "persistence.mode" in problems(topology, persistence="none")
    assert make("cluster", persistence="none", replication={"replicas": 0}).units


def test_a_name_that_a_unit_of_another_profile_has_is_refused() -> None:
    """The pods of both would be called the same."""
    assert "name" in problems("standalone", name="prod-node-1")
    assert make("standalone", name="my-node").units


def test_a_unit_tells_its_deployment_by_its_name() -> None:
    """A runtime is given the name alone when it removes something."""
    artefacts = make("sentinel", name="a-b")

    assert {deployment_of(unit.name) for unit in artefacts.units} == {"a-b"}
    assert deployment_of("a-b") == "a-b"
