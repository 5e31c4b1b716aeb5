#!/bin/sh
# Usage: start-sentinel.sh
# Who is the primary, and who else is there, this sentinel has learnt: that is kept. All
# else is the profile's, whatever SENTINEL SET has changed since.
set -eu
umask 077  # the rewritten file holds the password for the servers
rendered=/etc/valkeyctl/sentinel.conf
main=/data/sentinel.conf
learnt='^sentinel (myid|monitor|[a-z]+-epoch|known-[a-z]+) '
if [ -f "$main" ] && grep -q '^sentinel monitor ' "$main"; then
    quorum=$(sed -n 's/^sentinel monitor .* //p' "$rendered")
    grep -v '^sentinel monitor ' "$rendered" > "$main.new"
    sed -n -E "/$learnt/p" "$main" |
        sed "s/^\(sentinel monitor .*\) .*/\1 $quorum/" >> "$main.new"
else
    cat "$rendered" > "$main.new"
fi
mv "$main.new" "$main"
exec valkey-server "$main" --sentinel
