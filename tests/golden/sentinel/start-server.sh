#!/bin/sh
# Usage: start-server.sh [ADDRESS PORT]: of the primary that it follows at first, if it does.
# Sentinel writes down with CONFIG REWRITE whom it follows later; only that line is kept.
set -eu
umask 077  # the rewritten file holds the password for the primary
main=/data/server.conf
follows=
if [ -f "$main" ]; then
    follows=$(sed -n '/^replicaof /p' "$main")
elif [ $# -eq 2 ]; then
    follows="replicaof $1 $2"
fi
printf 'include /etc/valkeyctl/valkey.conf\n%s\n' "$follows" > "$main.new"
mv "$main.new" "$main"
exec valkey-server "$main"
