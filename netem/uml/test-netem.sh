#!/bin/sh
# The netem scripts and `bench probe` on a kernel that has sch_netem, which many have not: user-mode Linux boots as an
# ordinary process, with this system's files to read. It needs Debian's packages user-mode-linux and kmod, and installs them if it may.
#
#   sh netem/uml/test-netem.sh target/debug/bench
#
# Where it cannot be had, or does not boot, the check is skipped and says so. Not for times: see README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bench=$(readlink -f "$1")
marker="test-netem:"

skip() {
    echo "test-netem: SKIPPED, not passed: $*"
    exit 0
}

if ! { command -v linux.uml && command -v insmod; } >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "test-netem: installing user-mode-linux"
    install="apt-get install -y -qq --no-install-recommends user-mode-linux kmod"
    export DEBIAN_FRONTEND=noninteractive
    $install >/dev/null 2>&1 || { apt-get update -qq && $install; } >/dev/null 2>&1 || true
fi
command -v linux.uml >/dev/null || skip "no user-mode Linux (Debian: apt-get install user-mode-linux kmod)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
# Its own exit status says nothing of the check, so that is printed. It ends by itself; the limit is for a kernel that hangs.
boot() {
    timeout 300 linux.uml mem=1G root=/dev/root rootfstype=hostfs rootflags=/ ro init="$here/init.sh" BENCH="$bench" \
        con=null con0=null,fd:1 quiet >"$log" 2>&1 </dev/null || true
}
boot
if grep -q "ptrace set fp regs failed" "$log" && cc -O1 -shared -fPIC -o "$work/xstate.so" "$here/xstate.c" 2>/dev/null; then
    export LD_PRELOAD="$work/xstate.so" # this processor has more registers than that kernel knows
    boot
    unset LD_PRELOAD
fi

tr -d '\r' <"$log" | sed -n "s/^$marker //p"
if ! grep -q "^$marker booted" "$log"; then
    tail -5 "$log"
    skip "user-mode Linux does not boot here"
fi
if ! tr -d '\r' <"$log" | grep -qx "$marker exit 0"; then
    echo "test-netem: FAILED; its last words:" >&2
    tail -20 "$log" >&2
    exit 1
fi
