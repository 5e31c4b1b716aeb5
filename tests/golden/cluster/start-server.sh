#!/bin/sh
# Usage: start-server.sh
# From 9.0 on a primary that is asked to end hands over to a replica first; a server
# before that does not start with the directive.
set -eu
umask 077
case "$(valkey-server --version)" in
    *' v='[0-8].*) set -- ;;
    *) set -- --shutdown-on-sigterm failover ;;
esac
exec valkey-server /etc/valkeyctl/valkey.conf "$@"
