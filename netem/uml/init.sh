#!/bin/sh
# The first process inside user-mode Linux: see test-netem.sh. The system's files are there to read; what is written goes
# into memory. BENCH, from the kernel's command line, is the program.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

say() {
    echo "test-netem: $*"
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir /run/tmp
export TMPDIR=/run/tmp # not over /tmp: the program may be below it
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 444 /dev/urandom c 1 9
say "booted Linux $(uname -r)"

check() {
    for module in veth sch_netem; do
        file=$(find "/usr/lib/uml/modules/$(uname -r)" -name "$module.ko*" | head -n 1)
        [ -z "$file" ] || insmod "$file" || return 1
    done
    ip link set lo up
    # Never better than set, at most 6 ms worse: what an emulated machine can promise.
    for link in lan wan wan-slow; do
        # A machine with other work to do may be late once.
        for try in 1 2; do
            "$BENCH" probe --link "$link" --means netem --gate one-sided >/run/tmp/probe 2>&1
            status=$?
            [ "$status" != 0 ] || break
        done
        while read -r line; do say "$line"; done </run/tmp/probe
        [ "$status" = 0 ] || return 1
    done
    # auto takes netem where it works, and rows say so.
    "$BENCH" run smoke --protocol plain --link wan --batch 1 --repeat 1 --records /run/tmp/records >/run/tmp/run 2>&1
    status=$?
    grep -e '^links by' -e '^error' /run/tmp/run | while read -r line; do say "$line"; done
    [ "$status" = 0 ] && grep -q '^links by netem' /run/tmp/run || return 1
    "$BENCH" check /run/tmp/records >/dev/null || return 1
    # By hand: a second pair under the same name is refused, and nothing is left of any.
    scripts=$(dirname "$0")/../scripts
    sh "$scripts/up.sh" hand netem 100000000 2000 6000000 0 || return 1
    ! sh "$scripts/up.sh" hand netem 100000000 2000 6000000 0 2>/dev/null || return 1
    sh "$scripts/down.sh" hand && [ -z "$(ip netns list)" ] || return 1
}

check
say "exit $?"
echo o >/proc/sysrq-trigger
sleep 60
