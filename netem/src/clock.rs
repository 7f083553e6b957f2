//! The clock that all processes of a host share.
//!
//! `std::time::Instant` cannot be sent to another process; CLOCK_MONOTONIC, on which it is built, can: it counts from
//! the same origin in all processes of a host that are in the same time namespace.

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// How long before the moment sleeping gives way to spinning (local): a sleep is late by the kernel's default timer
/// slack of 50 us, which is meant to be used up here, and by the wake-up. Some 60 us are left to spin at most.
const SPIN_NS: u64 = 110_000;

/// How long before the moment a long sleep is broken (local): a processor that slept for milliseconds wakes up 0.1 to
/// 0.3 ms late, one that slept for less does not.
const LIGHT_SLEEP_NS: u64 = 500_000;

/// Nanoseconds on CLOCK_MONOTONIC.
pub(crate) fn now_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    // The clock counts from the start of the machine: never negative, and 584 years fit.
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Sleeps until about `at_ns`, never less.
pub(crate) fn sleep_until(at_ns: u64) {
    while now_ns() < at_ns {
        let at = Timespec { tv_sec: (at_ns / 1_000_000_000) as i64, tv_nsec: (at_ns % 1_000_000_000) as _ };
        // Interrupted by a signal: the loop sleeps on.
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &at);
    }
}

/// Sleeps until exactly `at_ns`, spinning at the end. Returns for how long it spun.
pub(crate) fn wait_until(at_ns: u64) -> u64 {
    sleep_until(at_ns.saturating_sub(LIGHT_SLEEP_NS));
    sleep_until(at_ns.saturating_sub(SPIN_NS));
    let woken_ns = now_ns();
    let mut now = woken_ns;
    while now < at_ns {
        std::hint::spin_loop();
        now = now_ns();
    }
    now - woken_ns
}

/// A number that differs, but for accident, between processes that do not share the clock: other host, other boot,
/// other time namespace.
pub(crate) fn clock_id() -> u32 {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    fingerprint(&[&boot, namespace.as_os_str().as_encoded_bytes()])
}

/// FNV-1a (32 bits) of some fields, told apart by their lengths. Finds accidents, not adversaries.
pub(crate) fn fingerprint(fields: &[&[u8]]) -> u32 {
    let mut h = 0x811c_9dc5_u32;
    for f in fields {
        for b in (f.len() as u64).to_le_bytes().iter().chain(*f) {
            h = (h ^ u32::from(*b)).wrapping_mul(0x0100_0193);
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_never_ends_early() {
        for ns in [0, 1_000, 100_000, 3_000_000] {
            let at = now_ns() + ns;
            sleep_until(at);
            assert!(now_ns() >= at);
            let at = now_ns() + ns;
            let spun = wait_until(at);
            assert!(now_ns() >= at);
            assert!(spun <= now_ns() + ns - at);
        }
        assert_eq!(wait_until(0), 0); // long past
    }

    #[test]
    fn fingerprints_tell_fields_apart() {
        assert_eq!(clock_id(), clock_id());
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_ne!(fingerprint(&[b"ab"]), fingerprint(&[b"ac"]));
    }
}
