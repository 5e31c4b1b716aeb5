"""What runs in the container of a topology's unit before the server: its start script.

A server of a sentinel topology and a sentinel need a configuration file that they may
write to, and the rendered one is read-only. The scripts make it anew at each start, so
that a change of the profile arrives, and carry over what the unit has learnt. They run
in the sh of any official image: Debian's dash, or busybox.
"""

from __future__ import annotations

from valkeyctl.profile.schema import Topology
from valkeyctl.render.artefacts import SENTINEL_CONF
from valkeyctl.render.conf import DATA_DIR
from valkeyctl.render.container import CONF_DIR, CONF_PATH

START_SERVER = "start-server.sh"
START_SENTINEL = "start-sentinel.sh"
# What a server of a sentinel topology is started from, and writes to.
WRITTEN_CONF = f"{DATA_DIR}/server.conf"

_FOLLOWING = f"""\
#!/bin/sh
# Usage: {START_SERVER} [ADDRESS PORT]: of the primary that it follows at first, if it does.
# Sentinel writes down with CONFIG REWRITE whom it follows later; only that line is kept.
set -eu
umask 077  # the rewritten file holds the password for the primary
main={WRITTEN_CONF}
follows=
if [ -f "$main" ]; then
    follows=$(sed -n '/^replicaof /p' "$main")
elif [ $# -eq 2 ]; then
    follows="replicaof $1 $2"
fi
printf 'include {CONF_PATH}\\n%s\\n' "$follows" > "$main.new"
mv "$main.new" "$main"
exec valkey-server "$main"
"""

_CLUSTERED = f"""\
#!/bin/sh
# Usage: {START_SERVER}
# From 9.0 on a primary that is asked to end hands over to a replica first; a server
# before that does not start with the directive.
set -eu
umask 077
case "$(valkey-server --version)" in
    *' v='[0-8].*) set -- ;;
    *) set -- --shutdown-on-sigterm failover ;;
esac
exec valkey-server {CONF_PATH} "$@"
"""

_SENTINEL = f"""\
#!/bin/sh
# Usage: {START_SENTINEL}
# Who is the primary, and who else is there, this sentinel has learnt: that is kept. All
# else is the profile's, whatever SENTINEL SET has changed since.
set -eu
umask 077  # the rewritten file holds the password for the servers
rendered={CONF_DIR}/{SENTINEL_CONF}
main={DATA_DIR}/{SENTINEL_CONF}
learnt='^sentinel (myid|monitor|[a-z]+-epoch|known-[a-z]+) '
if [ -f "$main" ] && grep -q '^sentinel monitor ' "$main"; then
    quorum=$(sed -n 's/^sentinel monitor .* //p' "$rendered")
    grep -v '^sentinel monitor ' "$rendered" > "$main.new"
    sed -n -E "/$learnt/p" "$main" |
        sed "s/^\\(sentinel monitor .*\\) .*/\\1 $quorum/" >> "$main.new"
else
    cat "$rendered" > "$main.new"
fi
mv "$main.new" "$main"
exec valkey-server "$main" --sentinel
"""


def server_script(topology: Topology) -> str:
    """Return the script of a server in *topology*, which is not standalone."""
    return _CLUSTERED if topology == "cluster" else _FOLLOWING


def sentinel_script() -> str:
    """Return the script of a sentinel."""
    return _SENTINEL
