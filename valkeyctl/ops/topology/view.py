"""Looking at a whole deployment at once, from any way into it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from valkeyctl.caching.wire import Reply, Wire, Word
from valkeyctl.endpoint import Endpoint, Node, Topology
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)
from valkeyctl.ops.topology import readings
from valkeyctl.ops.topology.picture import NodeView, Role, TopologyView
from valkeyctl.ops.topology.readings import Lead

_ORDER: dict[Role, int] = {"sentinel": 0, "primary": 1, "replica": 2, "unknown": 3}


def look(endpoint: Endpoint, *, deadline: float, known: Iterable[Lead] = ()) -> TopologyView:
    """Return one picture of all nodes of the deployment at *endpoint*.

    All nodes are asked at once, each as soon as another one tells of it, so one that is
    dead or frozen costs the deadline and not a multiple of it. Nodes that do not answer
    are in the picture, with the reason.

    A replica's lag in bytes is the primary's offset less the replica's own, or less what
    it last acknowledged where that is more: the two were read a moment apart. Its lag in
    seconds is the age of its last acknowledgement by the primary's clock (``lag`` in INFO
    replication; one comes each second, so 0 and 1 are normal). That goes on growing while
    the replica is frozen, which what the replica says of itself cannot. Where the primary
    does not list it: how long its link is down, else ``master_last_io_seconds_ago``,
    which also counts up to the 10 s between two pings of an idle primary.

    Args:
        endpoint: Of any topology. The plain URL of a Cluster's node leads to the whole
            Cluster, that of any other server to those that it follows or that follow it.
        deadline: Seconds for all of it.
        known: Nodes that are asked as well, whether or not another one tells of them: so
            servers are seen while all sentinels are away.

    Raises:
        UnreachableError: Nobody answers there, or no sentinel knows the primary's name.
        AuthError, TlsError: Nobody lets us in.
    """
    return _Survey(endpoint, time.monotonic() + deadline).run(known)


def sentinel_given(address: str) -> UsageError:
    """Return the failure of a plain URL that leads to a sentinel."""
    return UsageError(
        f"{address} is a Sentinel, which holds no keys",
        hint="Write the URL as redis+sentinel://host:port/NAME, or give the primary's",
    )


@dataclass(frozen=True)
class _Answer:
    """What asking one node gave.

    Attributes:
        lead: Who was asked.
        node: What it said; None when it said nothing.
        leads: Nodes that it tells of.
        failure: Why it said nothing.
        mode: ``standalone``, ``sentinel`` or ``cluster`` by its own word.
    """

    lead: Lead
    node: NodeView | None
    leads: tuple[Lead, ...] = ()
    failure: ValkeyctlError | None = None
    mode: Topology = "standalone"


class _Survey:
    """Asks nodes, and those that they tell of, until all are known or time is up."""

    def __init__(self, endpoint: Endpoint, until: float) -> None:
        self._endpoint = endpoint
        self._until = until
        self._began = time.monotonic()
        self._leads: dict[Node, Lead] = {}
        self._answers: dict[Node, _Answer] = {}
        self._arriving: queue.SimpleQueue[_Answer] = queue.SimpleQueue()

    def run(self, known: Iterable[Lead]) -> TopologyView:
        """Ask all of them, those that are *known* too, and return the picture."""
        self._follow([*self._seeds(), *known])
        while len(self._answers) < len(self._leads):
            try:
                answer = self._arriving.get(timeout=max(self._until - time.monotonic(), 0))
            except queue.Empty:
                break  # the silent ones are in the picture as such
            self._answers[answer.lead.node] = answer
            self._follow(answer.leads)
        self._require_an_answer()
        return self._picture()

    def _seeds(self) -> list[Lead]:
        kind: Role = "sentinel" if self._endpoint.topology == "sentinel" else "unknown"
        places = self._endpoint.nodes or ((self._endpoint.host, self._endpoint.port),)
        return [Lead(host, port, kind) for host, port in dict.fromkeys(places)]

    def _follow(self, leads: Iterable[Lead]) -> None:
        for lead in leads:
            known = self._leads.get(lead.node)
            if known is None:
                self._leads[lead.node] = lead
                # A daemon: a name server that hangs must not keep the command from its end.
                threading.Thread(
                    target=self._ask, args=(lead,), name=f"look-{lead.port}", daemon=True
                ).start()
            elif (lead.identity and not known.identity) or known.role == "unknown":
                identity = known.identity or lead.identity
                self._leads[lead.node] = replace(lead, identity=identity)

    def _ask(self, lead: Lead) -> None:
        """Ask one node; runs in a thread of its own."""
        try:
            answer = self._asked(lead)
        except ValkeyctlError as error:
            answer = _Answer(lead, None, failure=error)
        except (ValueError, KeyError) as error:
            # Not a server's answer, but something in front of it made it up.
            strange = UnreachableError(f"{readings.join(*lead.node)} answers strangely: {error}")
            answer = _Answer(lead, None, failure=strange)
        self._arriving.put(answer)

    def _asked(self, lead: Lead) -> _Answer:
        server = self._endpoint.server(*lead.node)
        if lead.role != "sentinel":
            with self._wire(server) as wire:
                return self._server(lead, wire)
        sentinel = replace(
            server,
            db=0,
            username=self._endpoint.sentinel_username,
            password=self._endpoint.sentinel_password,
        )
        try:
            with self._wire(sentinel) as wire:
                return self._sentinel(lead, wire)
        except AuthError:
            if self._endpoint.sentinel_password is not None or self._endpoint.password is None:
                raise
        # Many deployments have one login for all.
        with self._wire(replace(server, db=0)) as wire:
            return self._sentinel(lead, wire)

    def _wire(self, server: Endpoint) -> Wire:
        left = self._until - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"{server.address} was not asked in time")
        return Wire(server, timeout=left)

    def _call(self, wire: Wire, *words: Word) -> Reply:
        left = self._until - time.monotonic()
        if left <= 0:
            raise DeadlineError(f"{wire.endpoint.address} answers, but too slowly for the deadline")
        wire.allow(left)
        return wire.call(*words)

    def _maybe(self, wire: Wire, *words: Word) -> Reply:
        """Return an answer, or None where the node does not give one to us."""
        try:
            return self._call(wire, *words)
        except (AuthError, ServerReplyError):
            return None

    def _server(self, lead: Lead, wire: Wire) -> _Answer:
        info = readings.info_of(self._call(wire, "INFO"))
        mode = readings.mode_of(info)
        if mode == "sentinel":
            raise sentinel_given(wire.endpoint.address)
        setting = readings.fields(self._maybe(wire, "CONFIG", "GET", "min-replicas-to-write"))
        wanted = readings.number(setting, "min-replicas-to-write")
        node = readings.server_of(lead.node, info, wanted)
        if mode == "cluster":
            nodes = self._maybe(wire, "CLUSTER", "NODES")
            said = self._maybe(wire, "CLUSTER", "INFO")
            name = readings.text(self._maybe(wire, "CLUSTER", "MYID"))
            opinion = readings.cluster_opinion(nodes, said, lead.node)
            mine = next((peer for peer in opinion.peers if peer.node_id == name), None)
            epoch = mine.config_epoch if mine else None
            node = replace(node, node_id=name, cluster=opinion, config_epoch=epoch)
            return _Answer(lead, node, tuple(readings.cluster_leads(opinion)), mode="cluster")
        follows = self._endpoint.topology == "standalone"
        return _Answer(lead, node, tuple(readings.followed_leads(node)) if follows else ())

    def _sentinel(self, lead: Lead, wire: Wire) -> _Answer:
        name = self._endpoint.primary_name or ""
        info = readings.info_of(self._call(wire, "INFO"))
        place = self._call(wire, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        if place is None:
            raise UnreachableError(
                f"sentinel {wire.endpoint.address} knows no primary called {name}",
                hint="Check the sentinels' addresses and the primary's name",
            )
        reachable, says = self._quorum(wire, name)
        opinion, leads = readings.sentinel_opinion(
            readings.SentinelReplies(
                place=place,
                facts=self._maybe(wire, "SENTINEL", "MASTER", name),
                replicas=self._maybe(wire, "SENTINEL", "REPLICAS", name),
                sentinels=self._maybe(wire, "SENTINEL", "SENTINELS", name),
                quorum_reachable=reachable,
                quorum_says=says,
                tilt=info.get("sentinel_tilt") == "1",
            )
        )
        node = NodeView(
            address=wire.endpoint.address,
            host=lead.host,
            port=lead.port,
            role="sentinel",
            reachable=True,
            version=readings.version_of(info),
            # The name that the others know it by; INFO's run id changes with each start.
            run_id=readings.text(self._maybe(wire, "SENTINEL", "MYID")) or info.get("run_id", ""),
            sentinel=opinion,
        )
        return _Answer(lead, node, tuple(leads), mode="sentinel")

    def _quorum(self, wire: Wire, name: str) -> tuple[bool | None, str]:
        try:
            return True, readings.text(self._call(wire, "SENTINEL", "CKQUORUM", name))
        except ServerReplyError as error:
            return (False if error.reply == "NOQUORUM" else None), str(error)
        except AuthError as error:
            return None, str(error)

    def _require_an_answer(self) -> None:
        """Make sure that a picture is worth anything.

        Raises:
            ValkeyctlError: The seeds' failure, of which a refusal says most.
        """
        answers = list(self._answers.values())
        if any(answer.node is not None for answer in answers):
            return
        failures = [answer.failure for answer in answers if answer.failure is not None]
        plain = [failure for failure in failures if not isinstance(failure, UnreachableError)]
        if failures:
            raise (plain or failures)[0]
        raise DeadlineError(f"no answer from {self._endpoint.address} within the deadline")

    def _picture(self) -> TopologyView:
        topology = self._endpoint.topology
        if any(answer.mode == "cluster" for answer in self._answers.values()):
            topology = "cluster"
        nodes = _with_lags(self._merged())
        opinions = [node.sentinel for node in nodes if node.sentinel is not None]
        newest = max(opinions, key=lambda opinion: opinion.config_epoch, default=None)
        return TopologyView(
            topology=topology,
            address=self._endpoint.address,
            nodes=tuple(sorted(nodes, key=lambda node: (_ORDER[node.role], node.host, node.port))),
            primary=newest.primary if newest else "",
            elapsed_ms=(time.monotonic() - self._began) * 1000,
        )

    def _merged(self) -> list[NodeView]:
        """Return every node once, whatever addresses it is known by.

        A node on a network of its own has an address there, by which the others know it,
        and a published one.
        """
        found: dict[str, NodeView] = {}
        silent: list[NodeView] = []
        for place, lead in self._leads.items():
            answer = self._answers.get(place)
            node = answer.node if answer is not None else None
            if node is None:
                silent.append(self._silent(lead, answer))
                continue
            key = node.identity or node.address
            first = found.setdefault(key, node)
            if first is not node:
                found[key] = replace(first, aliases=(*first.aliases, node.address))
        for node in silent:
            named = found.get(node.identity) if node.identity else None
            if named is None:
                found[node.address] = node
            else:  # it answers under another address
                found[node.identity] = replace(named, aliases=(*named.aliases, node.address))
        return list(found.values())

    def _silent(self, lead: Lead, answer: _Answer | None) -> NodeView:
        reason = "no answer within the deadline"
        if answer is not None and answer.failure is not None:
            reason = str(answer.failure)
        in_cluster = self._endpoint.topology != "sentinel"
        return NodeView(
            address=readings.join(*lead.node),
            host=lead.host,
            port=lead.port,
            role=lead.role,
            error=reason,
            node_id=lead.identity if in_cluster else "",
            run_id="" if in_cluster else lead.identity,
        )


def _with_lags(nodes: list[NodeView]) -> list[NodeView]:
    """Return *nodes* with the lag of each replica whose primary is known."""
    return [_lagging(node, nodes) if node.role == "replica" else node for node in nodes]


def _lagging(replica: NodeView, nodes: list[NodeView]) -> NodeView:
    def account(node: NodeView) -> bool:
        return any(replica.answers_to(one.address) for one in node.followers)

    def followed(node: NodeView) -> bool:
        return bool(replica.primary) and node.answers_to(replica.primary)

    primary = _first(nodes, account) or _first(nodes, followed)
    mine = [one for one in primary.followers if replica.answers_to(one.address)] if primary else []
    seen = mine[0] if mine else None
    offsets = [
        offset for offset in (replica.offset, seen.offset if seen else None) if offset is not None
    ]
    lag_bytes = None
    if primary is not None and primary.offset is not None and offsets:
        lag_bytes = max(primary.offset - max(offsets), 0)
    if seen is not None:
        lag_s: int | None = seen.ack_age_s
    else:
        lag_s = replica.link_down_s if replica.link_down_s is not None else replica.last_io_s
    return replace(replica, lag_bytes=lag_bytes, lag_s=lag_s)


def _first(nodes: list[NodeView], holds: Callable[[NodeView], bool]) -> NodeView | None:
    return next((node for node in nodes if holds(node)), None)
