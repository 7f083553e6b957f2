//! What a link must give, and what it costs a protocol.

use std::time::Duration;

use crate::{LinkSeen, Means, Profile};

/// How far the seen round-trip time may be off: this part of the profile's, or [`RTT_SLACK_US`], whichever is more
/// (local).
const RTT_SLACK_PERCENT: f64 = 5.0;

/// See [`RTT_SLACK_PERCENT`].
const RTT_SLACK_US: f64 = 100.0;

/// Goodput that a link must show, in percent of what its profile promises one connection (local).
const GOODPUT_PERCENT: std::ops::RangeInclusive<f64> = 95.0..=101.0;

/// How much later than set an answer may come on a slow machine (local): [`gate_one_sided`].
const LATE_US: f64 = 6_000.0;

/// What holds of a link even on a machine too slow to drive it, such as one that is emulated itself: the median RTT is not
/// below the profile's and at most 6 ms above, and no goodput is above 101 % of what the profile promises.
///
/// # Errors
/// As [`gate`].
pub fn gate_one_sided(seen: &LinkSeen, profile: &Profile) -> Result<(), Vec<String>> {
    if profile.means == Means::None {
        return Ok(());
    }
    let mut off = Vec::new();
    let rtt = profile.rtt_us as f64;
    if !(rtt..=rtt + LATE_US).contains(&seen.rtt_us_p50) {
        off.push(format!("RTT is {:.0} us where {rtt:.0} to {:.0} is allowed", seen.rtt_us_p50, rtt + LATE_US));
    }
    let most = profile.connection_bits_per_s() as f64 / 1e6 * GOODPUT_PERCENT.end() / 100.0;
    for (which, rate) in rates(seen) {
        if !(0.0..=most).contains(&rate) {
            off.push(format!("goodput {which} is {rate:.1} Mbit/s where {most:.1} is the most"));
        }
    }
    if off.is_empty() { Ok(()) } else { Err(off) }
}

/// The goodputs that gates look at. That of both ways at once is not among them: it says as much of the machine's cores
/// as of the link, and stands beside the others for a reader to judge.
fn rates(seen: &LinkSeen) -> [(&'static str, f64); 2] {
    [("up", seen.up_mbps), ("down", seen.down_mbps)]
}

/// Whether a link as seen is the link as set. A run over a link that is not must be marked.
///
/// A profile that shapes nothing promises nothing, and every link passes.
///
/// # Errors
/// One line for each figure that is off, with what was seen and what is allowed.
pub fn gate(seen: &LinkSeen, profile: &Profile) -> Result<(), Vec<String>> {
    if profile.means == Means::None {
        return Ok(());
    }
    let mut off = Vec::new();
    let rtt = profile.rtt_us as f64;
    let slack = RTT_SLACK_US.max(rtt * RTT_SLACK_PERCENT / 100.0);
    if !(rtt - slack..=rtt + slack).contains(&seen.rtt_us_p50) {
        off.push(format!("RTT is {:.0} us where {rtt:.0} +- {slack:.0} is set", seen.rtt_us_p50));
    }
    let mbps = profile.connection_bits_per_s() as f64 / 1e6; // of payload
    let (lo, hi) = (GOODPUT_PERCENT.start() * mbps / 100.0, GOODPUT_PERCENT.end() * mbps / 100.0);
    for (which, rate) in rates(seen) {
        if !(lo..=hi).contains(&rate) {
            off.push(format!("goodput {which} is {rate:.1} Mbit/s where {lo:.1} to {hi:.1} is expected"));
        }
    }
    if let Some(drops) = seen.drops.filter(|d| *d > 0) {
        off.push(format!("it dropped {drops} packets where none should be"));
    }
    if off.is_empty() { Ok(()) } else { Err(off) }
}

/// The time that an ideal link of this profile takes for a protocol's communication: `trips*RTT/2 + 8*bytes/rate`.
///
/// A *trip* is a message, or several at once, that the next step has to wait for: two for a round of parties that take
/// turns, one for a round in which both send at once. `bytes` is what the client sent and received together.
///
/// Where both directions carry bytes at once the run is cheaper; computation comes on top where it does not overlap with
/// communication, and so does slow start ([`fresh_transfer`](crate::fresh_transfer)). Zero with a profile that shapes
/// nothing.
#[must_use]
pub fn price(trips: u64, bytes: u64, profile: &Profile) -> Duration {
    let transfer_ns = match profile.payload_bits_per_s() {
        0 => 0,
        rate => u128::from(bytes) * 8_000_000_000 / u128::from(rate),
    };
    let total_ns = u128::from(trips) * u128::from(profile.rtt_us) * 500 + transfer_ns;
    Duration::from_nanos(u64::try_from(total_ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> LinkSeen {
        LinkSeen {
            pings: 50,
            rtt_us_min: 40_001.0,
            rtt_us_p50: 40_010.0,
            rtt_us_p99: 43_000.0,
            rtt_1kb_us_p50: 40_050.0,
            up_mbps: 399.0,
            down_mbps: 398.0,
            duplex_mbps: 200.0,
            first_mb_us: 61_000.0,
            retransmits: None,
            drops: Some(0),
        }
    }

    #[test]
    fn the_link_as_set_passes_and_every_figure_that_is_off_is_named() {
        let wan = Profile::named("wan").unwrap().by(Means::Model);
        assert_eq!(gate(&seen(), &wan), Ok(()));
        let off = |s: LinkSeen, expect: &str| {
            let lines = gate(&s, &wan).unwrap_err();
            assert!(lines.len() == 1 && lines[0].contains(expect), "{lines:?}");
        };
        off(LinkSeen { rtt_us_p50: 42_001.0, ..seen() }, "RTT is 42001 us where 40000 +- 2000");
        off(LinkSeen { rtt_us_p50: 37_999.0, ..seen() }, "RTT");
        off(LinkSeen { rtt_us_p50: f64::NAN, ..seen() }, "RTT");
        off(LinkSeen { up_mbps: 379.0, ..seen() }, "goodput up is 379.0 Mbit/s where 380.0 to 404.0");
        off(LinkSeen { down_mbps: 405.0, ..seen() }, "goodput down");
        off(LinkSeen { drops: Some(3), ..seen() }, "dropped 3 packets");
        off(LinkSeen { up_mbps: f64::NAN, ..seen() }, "goodput up");
        let lan = Profile::named("lan").unwrap().by(Means::Model);
        assert_eq!(gate(&seen(), &lan).unwrap_err().len(), 3);
        let fast = LinkSeen { rtt_us_p50: 399.0, up_mbps: 2990.0, down_mbps: 3010.0, ..seen() };
        assert_eq!(gate(&fast, &lan), Ok(()));
        assert!(gate(&LinkSeen { rtt_us_p50: 401.0, ..fast }, &lan).is_err());
        assert_eq!(gate(&seen(), &Profile::named("loopback").unwrap()), Ok(()));
    }

    #[test]
    fn a_capped_connection_is_held_to_its_cap() {
        let wan = Profile::named("wan-tcp").unwrap().by(Means::Model);
        let capped = Profile { tcp_window_bytes: Some(1_000_000), ..wan }; // 200 Mbit/s
        let at_cap = LinkSeen { up_mbps: 199.0, down_mbps: 199.0, ..seen() };
        assert_eq!(gate(&at_cap, &capped), Ok(()));
        assert!(gate(&seen(), &capped).is_err());
    }

    #[test]
    fn one_sided_gates_forgive_slowness_and_nothing_else() {
        let wan = Profile::named("wan").unwrap().by(Means::Netem);
        let slow = LinkSeen { rtt_us_p50: 45_900.0, up_mbps: 30.0, down_mbps: 386.0, ..seen() };
        assert_eq!(gate_one_sided(&slow, &wan), Ok(()));
        assert_eq!(gate(&slow, &wan).unwrap_err().len(), 2);
        let off = |s: LinkSeen, expect: &str| {
            let lines = gate_one_sided(&s, &wan).unwrap_err();
            assert!(lines.len() == 1 && lines[0].contains(expect), "{lines:?}");
        };
        off(LinkSeen { rtt_us_p50: 39_999.0, ..slow }, "RTT is 39999 us where 40000 to 46000");
        off(LinkSeen { rtt_us_p50: 46_001.0, ..slow }, "RTT");
        off(LinkSeen { down_mbps: 387.0, ..slow }, "goodput down is 387.0 Mbit/s where 386.4 is the most");
        off(LinkSeen { up_mbps: f64::NAN, ..slow }, "goodput up");
    }

    #[test]
    fn prices() {
        let p = |n: &str| Profile::named(n).unwrap().by(Means::Model);
        assert_eq!(price(20, 1_000_000, &p("wan")), Duration::from_millis(420));
        assert_eq!(price(20, 1_500_000, &p("lan")), Duration::from_millis(7));
        assert_eq!(price(20, 1_000_000, &p("loopback")), Duration::ZERO);
        assert_eq!(price(u64::MAX, u64::MAX, &p("wan")), Duration::from_nanos(u64::MAX));
    }
}
