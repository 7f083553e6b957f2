#!/bin/sh
# Removes the namespaces of runs that were killed before they could: those whose name, si-PID.START.N-c or -s, says that a
# process made them (its number, and when it started by the system's clock) that is no more. All others are left alone.
# Prints the names that it removed.
set -eu
for path in /run/netns/si-*-[cs]; do
    name=${path##*/}
    id=${name#si-}
    id=${id%-?}
    case $id in
    *[!0-9.]* | .* | *. | *..* | *.*.*.*) continue ;;
    *.*.*) ;;
    *) continue ;;
    esac
    pid=${id%%.*}
    start=${id#*.}
    start=${start%.*}
    # Field 22 of stat; the second, the program's name in brackets, may hold spaces.
    now=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 20) || now=
    [ "$now" != "$start" ] || continue
    ip -n "$name" link del shaped 2>/dev/null || true
    ip netns del "$name" 2>/dev/null && echo "$name" || true
done
