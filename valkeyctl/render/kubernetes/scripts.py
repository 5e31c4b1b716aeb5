"""The scripts that run in the pods of a topology: start, stop, and form a Cluster.

A pod that is made anew keeps its name and its volume and gets another address, so
servers and sentinels know each other by name. The scripts run in any POSIX shell; what
they need beside it (awk, getent, sed, timeout) is in the Debian and in the Alpine image.
None of them handles a secret.
"""

from __future__ import annotations

from string import Template

from valkeyctl.profile.schema import Profile
from valkeyctl.render.conf import DATA_DIR, SENTINEL_PORT, SERVER_PORT
from valkeyctl.render.container import CONF_DIR, CONF_PATH

START, STOP, FORM = "start.sh", "stop.sh", "form.sh"
SENTINEL_CONF = "sentinel.conf"
# How long a planned stop waits until another server is the primary, in seconds.
HANDOVER = 20

_HOST = """\
#!/bin/sh
set -eu
# Short of the cluster's own domain, which may be another than cluster.local: the search
# list of every pod completes it.
domain="$nodes.$$POD_NAMESPACE.svc"
host="$$POD_NAME.$$domain"
first="$server-0.$$domain"
"""

_START_SERVER = Template(
    _HOST
    + """\
main=$data/server.conf

ask() { # who the sentinels say is the primary; nothing while none of them knows
    timeout 3 valkey-cli -h $sentinel -p $sentinel_port sentinel get-master-addr-by-name $name \\
        2>/dev/null | sed -n 1p | grep -E '^[A-Za-z0-9.:-]+$$' || true
}

follow() { # the line of valkey.conf that follows $$1
    echo "replicaof $$1 $port"
}

primary=$$(ask)
line=
if [ -n "$$primary" ] && [ "$$primary" != "$$host" ]; then
    line=$$(follow "$$primary")
elif [ -s "$$main" ] && [ -z "$$primary" ]; then
    # Sentinel made the server write down whom it follows; that is kept over a restart.
    line=$$(grep '^replicaof ' "$$main" || true)
elif [ ! -s "$$main" ] && [ -n "$$primary" ]; then
    # The sentinels expect this very server, and its volume is empty. To start as their
    # primary would empty the replicas too: wait until they have chosen another one.
    waited=0
    while [ "$$primary" = "$$host" ] && [ "$$waited" -lt $patience ]; do
        sleep 1
        waited=$$((waited + 1))
        primary=$$(ask)
    done
    if [ "$$primary" = "$$host" ] || [ -z "$$primary" ]; then
        echo "the volume is empty, and no replica took over in $patience s" >&2
        exit 1
    fi
    line=$$(follow "$$primary")
elif [ ! -s "$$main" ] && [ "$$host" != "$$first" ]; then
    line=$$(follow "$$first")
fi
{
    echo "include $conf"
    echo "replica-announce-ip $$host"
    echo "$$line"
} >"$$main.new"
mv "$$main.new" "$$main"
exec valkey-server "$$main"
"""
)

_STOP_SERVER = Template("""\
#!/bin/sh
# A primary hands over before it ends: writers wait for a moment, not for down-after.
set -eu
role() {
    timeout 3 valkey-cli -p $port role | sed -n 1p
}
[ "$$(role)" = master ] || exit 0
timeout 5 valkey-cli -e -h $sentinel -p $sentinel_port sentinel failover $name >/dev/null || exit 0
waited=0
while [ "$$(role)" = master ] && [ "$$waited" -lt $handover ]; do
    sleep 1
    waited=$$((waited + 1))
done
""")

_START_SENTINEL = Template(
    _HOST
    + """\
main=$data/sentinel.conf
monitor="sentinel monitor $name $$first $port $quorum"
learnt=
if [ -s "$$main" ]; then
    # What it learnt is kept: who is the primary, who else there is, which vote this is.
    # All else comes from the profile, also after a change.
    primary=$$(sed -n 's/^sentinel monitor $name \\([^ ]*\\) .*/\\1/p' "$$main")
    [ -z "$$primary" ] || monitor="sentinel monitor $name $$primary $port $quorum"
    learnt=$$(grep -E '^sentinel (myid|[a-z]+-epoch|known-[a-z]+) ' "$$main" || true)
else
    until timeout 3 valkey-cli -h "$$first" -p $port ping >/dev/null 2>&1; do
        sleep 1
    done
fi
{
    grep -v '^sentinel [a-z-]* $name ' $rendered
    echo "sentinel announce-ip $$host"
    echo "sentinel announce-port $sentinel_port"
    echo "$$monitor"
    grep '^sentinel [a-z-]* $name ' $rendered
    echo "$$learnt"
} >"$$main.new"
mv "$$main.new" "$$main"
exec valkey-server "$$main" --sentinel
"""
)

_START_NODE = Template(
    _HOST
    + """\
table=$data/nodes.conf
if [ -s "$$table" ]; then
    # A node finds the others by the addresses that it wrote down. When all pods were made
    # anew, none of these is right, and nobody could tell anybody: look the names up.
    waited=0
    for peer in $$(sed -n 's/.*@[0-9]*,\\([A-Za-z0-9.-]\\{1,\\}\\).*/\\1/p' "$$table" | sort -u); do
        address=
        while [ -z "$$address" ] && [ "$$waited" -lt $patience ]; do
            address=$$(getent hosts "$$peer" | awk '{ print $$1; exit }')
            [ -n "$$address" ] || { sleep 1; waited=$$((waited + 1)); }
        done
        [ -n "$$address" ] || continue
        name=$$(echo "$$peer" | sed 's/\\./\\\\./g')
        sed -E "s/^([0-9a-f]+ )[^ @]*:([0-9]+@[0-9]+,$$name[ ,])/\\1$$address:\\2/" \\
            "$$table" >"$$table.new"
        mv "$$table.new" "$$table"
    done
fi
exec valkey-server $conf --cluster-announce-hostname "$$host" --cluster-announce-ip "$$POD_IP"
"""
)

_STOP_NODE = Template("""\
#!/bin/sh
# A primary hands its slots to a replica before it ends: writers wait for a moment, not for
# cluster-node-timeout.
set -eu
role() {
    timeout 3 valkey-cli -p $port role | sed -n 1p
}
[ "$$(role)" = master ] || exit 0
me=$$(timeout 3 valkey-cli -p $port cluster myid)
replica=$$(timeout 3 valkey-cli -p $port cluster nodes | awk -v me="$$me" \\
    '$$4 == me && $$3 ~ /slave/ && $$3 !~ /fail/ && $$8 == "connected" { print $$2; exit }')
[ -n "$$replica" ] || exit 0
replica=$${replica%%@*}
host=$${replica%:*}
timeout 5 valkey-cli -e -h "$$host" -p $port cluster failover >/dev/null || exit 0
waited=0
while [ "$$(role)" = master ] && [ "$$waited" -lt $handover ]; do
    sleep 1
    waited=$$((waited + 1))
done
""")

_FORM = Template("""\
#!/bin/sh
# Makes one Cluster of the nodes; on one that is formed already it tells each node where the
# others are now, and changes nothing else.
set -eu
domain="$nodes.$$POD_NAMESPACE.svc"
addresses= formed=
number=0
while [ "$$number" -lt $count ]; do
    host="$server-$$number.$$domain"
    until [ "$$(timeout 3 valkey-cli -h "$$host" -p $port ping 2>/dev/null)" = PONG ] ||
        timeout 3 valkey-cli -h "$$host" -p $port cluster info 2>/dev/null |
        grep -q cluster_known_nodes; do
        sleep 1
    done
    addresses="$$addresses $$(getent hosts "$$host" | awk '{ print $$1; exit }'):$port"
    assigned=$$(timeout 3 valkey-cli -h "$$host" -p $port cluster info |
        tr -d '\\r' | sed -n 's/^cluster_slots_assigned://p')
    [ "$$assigned" = 0 ] || formed=$$host
    number=$$((number + 1))
done
if [ -n "$$formed" ]; then
    for address in $$addresses; do
        valkey-cli -e -h "$$formed" -p $port cluster meet "$${address%:*}" $port
    done
else
    # Word by word: each is an argument.
    # shellcheck disable=SC2086
    valkey-cli --cluster create $$addresses --cluster-replicas $replicas --cluster-yes
fi
waited=0
until timeout 3 valkey-cli -h "$server-0.$$domain" -p $port cluster info |
    grep -q cluster_state:ok; do
    [ "$$waited" -lt 60 ] || { echo "the Cluster is not whole after 60 s" >&2; exit 1; }
    sleep 1
    waited=$$((waited + 1))
done
""")


def sentinel_topology_scripts(
    profile: Profile, *, server: str, nodes: str, sentinel: str
) -> dict[str, str]:
    """Return the scripts of a server that Sentinel watches.

    Args:
        profile: What to deploy.
        server: Name of the StatefulSet of the servers.
        nodes: Name of their headless Service.
        sentinel: Name of the Service of the sentinels.
    """
    words = _words(profile, server=server, nodes=nodes, sentinel=sentinel)
    return {START: _START_SERVER.substitute(words), STOP: _STOP_SERVER.substitute(words)}


def sentinel_scripts(
    profile: Profile, *, server: str, nodes: str, sentinel: str, sentinel_nodes: str
) -> dict[str, str]:
    """Return the script of a sentinel, which announces itself in *sentinel_nodes*."""
    words = _words(profile, server=server, nodes=nodes, sentinel=sentinel)
    text = _START_SENTINEL.substitute(words)
    own = f'host="$POD_NAME.{sentinel_nodes}.$POD_NAMESPACE.svc"'
    return {START: text.replace('host="$POD_NAME.$domain"', own)}


def cluster_scripts(profile: Profile, *, server: str, nodes: str) -> dict[str, str]:
    """Return the scripts of a Cluster node, and the one that forms the Cluster."""
    count = profile.cluster.primaries * (1 + profile.replication.replicas)
    words = _words(profile, server=server, nodes=nodes, sentinel="")
    words |= {"count": str(count), "replicas": str(profile.replication.replicas), "patience": "15"}
    return {
        START: _START_NODE.substitute(words),
        STOP: _STOP_NODE.substitute(words),
        FORM: _FORM.substitute(words),
    }


def _words(profile: Profile, *, server: str, nodes: str, sentinel: str) -> dict[str, str]:
    # Until the sentinels have agreed, chosen and told: twice what each step may take.
    patience = 2 * (profile.sentinel.down_after + profile.sentinel.failover_timeout)
    return {
        "conf": CONF_PATH,
        "data": DATA_DIR,
        "handover": str(HANDOVER),
        "name": profile.name,
        "nodes": nodes,
        "patience": str(round(patience) + 10),
        "port": str(SERVER_PORT),
        "quorum": str(profile.sentinel.quorum),
        "rendered": f"{CONF_DIR}/{SENTINEL_CONF}",
        "sentinel": sentinel,
        "sentinel_port": str(SENTINEL_PORT),
        "server": server,
    }
