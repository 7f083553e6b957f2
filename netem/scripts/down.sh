#!/bin/sh
# Removes what up.sh made: sh netem/scripts/down.sh ID. What is not there is no error.
set -eu
[ $# -eq 1 ] || {
    echo "usage: down.sh ID" >&2
    exit 1
}
for namespace in "si-$1-c" "si-$1-s"; do
    [ -e "/run/netns/$namespace" ] || continue
    # A TUN device goes with its namespace only when nobody holds it open any more.
    ip -n "$namespace" link del shaped 2>/dev/null || true
    ip netns del "$namespace"
done
