#!/bin/sh
# Two network namespaces and the links between them. Needs root and iproute2. By hand:
#
#   sh netem/scripts/up.sh ID MEANS RATE_BITS_PER_S RTT_US BUFFER_BYTES RESTART
#   sh netem/scripts/up.sh demo netem 400000000 40000 8000000 0
#
#   ID            names the pair: si-ID-c is the client's namespace, si-ID-s the server's
#   MEANS         netem; or tun: all but the shaped link, whose two ends `bench link` makes
#   BUFFER_BYTES  the most that a socket may buffer each way (tcp_rmem, tcp_wmem)
#   RESTART       1: a connection starts slowly again after it was idle (tcp_slow_start_after_idle); 0: it does not
#
#             client     server
#   shaped    10.77.0.1  10.77.0.2   a veth pair; each end delays by half of the RTT and sends at the rate
#   control   10.77.1.1  10.77.1.2   a veth pair as it is, for agreement and barriers: nothing that counts
#
# `sh netem/scripts/down.sh ID` undoes it. If a step fails, what was made so far is removed.
set -eu

fail() {
    echo "$*" >&2
    exit 1
}

[ $# -eq 6 ] || fail "usage: up.sh ID netem|tun RATE_BITS_PER_S RTT_US BUFFER_BYTES RESTART"
id=$1 means=$2 rate=$3 rtt_us=$4 buffer=$5 restart=$6
client=si-$id-c
server=si-$id-s

[ "$(id -u)" = 0 ] || fail "network namespaces need root"
for tool in ip tc; do
    command -v "$tool" >/dev/null || fail "the command '$tool' is not there: install iproute2"
done
for namespace in "$client" "$server"; do
    [ ! -e "/run/netns/$namespace" ] ||
        fail "there is a network namespace $namespace already: another run's, or a killed one's (netem/scripts/down.sh $id removes it)"
done

made=
undo() {
    status=$?
    trap - EXIT
    if [ "$status" != 0 ]; then
        for namespace in $made; do ip netns del "$namespace" || true; done
    fi
    exit "$status"
}
trap undo EXIT

for namespace in "$client" "$server"; do
    ip netns add "$namespace"
    made="$made $namespace"
    ip netns exec "$namespace" sh -eu -c '
        cd /proc/sys/net
        # No chatter of IPv6 on the links; a kernel may lack it.
        [ ! -e ipv6/conf/all/disable_ipv6 ] || echo 1 >ipv6/conf/all/disable_ipv6
        echo "4096 131072 $1" >ipv4/tcp_rmem
        echo "4096 16384 $1" >ipv4/tcp_wmem
        echo "$2" >ipv4/tcp_slow_start_after_idle
        # What one connection learnt (the probe) must not speed up the next.
        echo 1 >ipv4/tcp_no_metrics_save
    ' sh "$buffer" "$restart"
    ip -n "$namespace" link set lo up
done

# pair NAME NETWORK: a veth pair between the namespaces.
pair() {
    ip link add name "$1" netns "$client" type veth peer name "$1" netns "$server"
    for end in "$client 1" "$server 2"; do
        set -- "$1" "$2" ${end}
        ip -n "$3" address add "$2.$4/24" dev "$1"
        ip -n "$3" link set "$1" up
    done
}

pair control 10.77.1
if [ "$means" = netem ]; then
    pair shaped 10.77.0
    # Room for 16 connections with full buffers, in packets: a link that drops none is what a profile promises.
    limit=$((16 * buffer / 1500 + 1000))
    one_way=$((rtt_us / 2))
    for end in "$client $one_way" "$server $((rtt_us - one_way))"; do
        set -- ${end}
        tc -n "$1" qdisc add dev shaped root netem delay "$2us" rate "${rate}bit" limit "$limit" ||
            fail "this kernel or its modules lack sch_netem"
    done
elif [ "$means" != tun ]; then
    fail "MEANS is netem or tun, not '$means'"
fi
