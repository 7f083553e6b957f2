//! The congestion window of one emulated TCP connection, as far as it delays what is sent: slow start and restart.
//!
//! A link that never drops has no congestion avoidance to model. What is left is that a connection may have only a
//! window's worth of bytes on the way, that the window starts at 10 segments and doubles each round trip in which it
//! was used, until it covers the link, and that it shrinks again while the connection is idle (RFC 5681 section 4.1,
//! RFC 6928; Linux with `tcp_slow_start_after_idle = 1`).

use std::time::Duration;

use crate::Profile;
use crate::profile::INITIAL_WINDOW_BYTES;
use crate::schedule::{LinkClock, Span};

/// Idle time beyond one RTT after which the window halves: Linux' least retransmission timeout (agreement).
const RTO_ABOVE_RTT_NS: u64 = 200_000_000;

/// One connection's window.
pub(crate) struct Window {
    rtt_ns: u64,
    /// The window at which slow start ends.
    full_bytes: u64,
    /// Rate of the open connection, if the window caps it below the link's.
    cap_bits_per_s: Option<u64>,
    window_bytes: u64,
    /// The round trip that began when the current window was first sent from; it may lie ahead of now.
    round_ns: u64,
    sent_in_round_bytes: u64,
    /// When the open, capped connection may send next.
    paced_ns: u64,
    last_sent_ns: Option<u64>,
}

impl Window {
    pub(crate) fn new(profile: &Profile) -> Self {
        let link = profile.rate_bits_per_s;
        let connection = profile.connection_bits_per_s();
        Self {
            rtt_ns: profile.rtt_us * 1000,
            full_bytes: profile.full_window_bytes(),
            cap_bits_per_s: (connection < link).then_some(connection),
            window_bytes: INITIAL_WINDOW_BYTES,
            round_ns: 0,
            sent_in_round_bytes: 0,
            paced_ns: 0,
            last_sent_ns: None,
        }
    }

    /// Puts up to `want` bytes on the link: as many as the window lets go at once, at least one. Returns how many.
    pub(crate) fn book(&mut self, link: &mut LinkClock, now_ns: u64, want: u64) -> (Span, u64) {
        self.after_idle(now_ns);
        let (earliest_ns, len) = self.take(now_ns, want);
        let mut span = link.book(now_ns, earliest_ns, len);
        span.last_ns = span.last_ns.max(self.paced_ns);
        self.last_sent_ns = Some(span.last_ns);
        (span, len)
    }

    /// How much of `want` bytes may be sent next, and from when.
    fn take(&mut self, now_ns: u64, want: u64) -> (u64, u64) {
        loop {
            let at = now_ns.max(self.round_ns);
            if self.window_bytes >= self.full_bytes {
                let at = at.max(self.paced_ns);
                if let Some(rate) = self.cap_bits_per_s {
                    self.paced_ns = at + (u128::from(want) * 8_000_000_000 / u128::from(rate)) as u64;
                }
                return (at, want);
            }
            let left = self.window_bytes - self.sent_in_round_bytes;
            if at < self.round_ns + self.rtt_ns && left > 0 {
                let piece = left.min(want);
                self.sent_in_round_bytes += piece;
                return (at, piece);
            }
            // The acknowledgements of the round are back. They widen the window by what was sent, if enough of it was
            // used to show that it was in the way.
            if 2 * self.sent_in_round_bytes > self.window_bytes {
                self.window_bytes = self.full_bytes.min(self.window_bytes + self.sent_in_round_bytes);
            }
            self.sent_in_round_bytes = 0;
            self.round_ns = at.max(self.round_ns + self.rtt_ns);
        }
    }

    /// Halves the window for each timeout that passed since it was last used.
    fn after_idle(&mut self, now_ns: u64) {
        match self.last_sent_ns {
            None => self.round_ns = now_ns,
            Some(last) => {
                let idle = now_ns.saturating_sub(last);
                let halvings = idle.saturating_sub(1) / (self.rtt_ns + RTO_ABOVE_RTT_NS);
                if halvings > 0 {
                    let shift = halvings.min(63) as u32;
                    self.window_bytes = (self.window_bytes >> shift).max(INITIAL_WINDOW_BYTES);
                    self.round_ns = now_ns;
                    self.sent_in_round_bytes = 0;
                }
            }
        }
    }
}

/// How long a fresh connection takes to bring `bytes` over and an answer of one byte back, on a link with slow start:
/// the closed form that the emulation follows.
///
/// `k` is the number of round trips in which the window was the limit: the smallest with `w0*2^k >= W` (the window
/// covers the link) or `w0*(2^(k+1)-1) >= bytes` (it covers the rest), with `w0` the initial and `W` the full window.
/// Then `k*RTT + (bytes - w0*(2^k-1))/rate + RTT`, where rate is the link's or, if a full window of
/// `tcp_window_bytes` allows less and is reached, that. Zero with a profile that shapes nothing; without `tcp_slow_start`,
/// `bytes/rate + RTT`.
#[must_use]
pub fn fresh_transfer(bytes: u64, profile: &Profile) -> Duration {
    if profile.rate_bits_per_s == 0 {
        return Duration::ZERO;
    }
    let (w0, full) = (INITIAL_WINDOW_BYTES, profile.full_window_bytes());
    let (mut k, mut window, mut before) = (0, w0, 0);
    // A kernel's connections start slowly, whatever they do after they were idle.
    let starts_slowly = profile.tcp_slow_start || profile.means.is_kernel();
    while starts_slowly && window < full && before + window < bytes {
        before += window;
        window *= 2;
        k += 1;
    }
    let rate = if window < full { profile.payload_bits_per_s() } else { profile.connection_bits_per_s() };
    let rest_ns = u128::from(bytes - before) * 8_000_000_000 / u128::from(rate);
    Duration::from_nanos((k + 1) * profile.rtt_us * 1000) + Duration::from_nanos(rest_ns as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(rate_bits_per_s: u64, rtt_us: u64, tcp_window_bytes: Option<u64>) -> Profile {
        Profile {
            rate_bits_per_s,
            rtt_us,
            tcp_window_bytes,
            ..Profile::named("wan-tcp").unwrap().by(crate::Means::Model)
        }
    }

    /// Puts all of `len` bytes on the link; when the last has left.
    fn send(w: &mut Window, link: &mut LinkClock, now_ns: u64, len: u64) -> u64 {
        let (span, taken) = w.book(link, now_ns, len);
        assert!(0 < taken && taken <= len);
        if taken < len { send(w, link, now_ns, len - taken) } else { span.last_ns }
    }

    /// Time to bring `bytes` over, and one RTT, sent in segments of `step` bytes.
    fn emulated_ns(w: &mut Window, link: &mut LinkClock, start_ns: u64, bytes: u64, step: u64) -> u64 {
        let (mut left, mut last) = (bytes, 0);
        while left > 0 {
            let n = left.min(step);
            last = send(w, link, start_ns, n);
            left -= n;
        }
        last + w.rtt_ns - start_ns
    }

    #[test]
    fn the_emulation_follows_the_closed_form() {
        let links =
            [profile(400_000_000, 80_000, None), profile(3_000_000_000, 300, None), profile(100_000_000, 80_000, None)];
        for p in links.into_iter().chain([profile(400_000_000, 80_000, Some(2_500_000))]) {
            for bytes in [1, 14_480, 14_481, 50_000, 100_000, 1_000_000, 3_333_333, 20_000_000] {
                for step in [65_536, 1_000] {
                    let mut link = LinkClock::new(p.rate_bits_per_s);
                    let seen = emulated_ns(&mut Window::new(&p), &mut link, 5_000, bytes, step);
                    let form = fresh_transfer(bytes, &p).as_nanos() as u64;
                    // Each piece is rounded down to a nanosecond.
                    let slack = bytes / step + 30;
                    assert!(seen.abs_diff(form) <= slack, "{bytes} by {step}: {seen} against {form} on {p:?}");
                }
            }
        }
    }

    #[test]
    fn a_fresh_megabyte_takes_what_real_tcp_takes() {
        // Measured over the kernel's own TCP: 562 to 577 ms fresh, 569 after 3 s of idleness, 109 warm.
        let p = profile(400_000_000, 80_000, None);
        let ms = |ns: u64| ns / 1_000_000;
        let (mut w, mut link) = (Window::new(&p), LinkClock::new(p.rate_bits_per_s));
        let fresh = emulated_ns(&mut w, &mut link, 0, 1_000_000, 65_536);
        assert!((550..590).contains(&ms(fresh)), "{fresh}");
        emulated_ns(&mut w, &mut link, 1_000_000_000, 20_000_000, 65_536);
        let warm = emulated_ns(&mut w, &mut link, 2_000_000_000, 1_000_000, 65_536);
        assert_eq!(ms(warm), 100);
        let idle = emulated_ns(&mut w, &mut link, 5_000_000_000, 1_000_000, 65_536);
        assert_eq!(idle.abs_diff(fresh) / 1000, 0);
    }

    #[test]
    fn a_connection_that_sends_little_keeps_its_small_window() {
        let p = profile(400_000_000, 80_000, None);
        let (mut w, mut link) = (Window::new(&p), LinkClock::new(p.rate_bits_per_s));
        for i in 0..100 {
            send(&mut w, &mut link, i * 81_000_000, 100);
        }
        assert_eq!(w.window_bytes, INITIAL_WINDOW_BYTES);
        // Two round trips at the full window double it twice.
        send(&mut w, &mut link, 100 * 81_000_000, INITIAL_WINDOW_BYTES);
        send(&mut w, &mut link, 101 * 81_000_000, 2 * INITIAL_WINDOW_BYTES);
        send(&mut w, &mut link, 102 * 81_000_000, 1);
        assert_eq!(w.window_bytes, 4 * INITIAL_WINDOW_BYTES);
        // A short pause halves it once, a long one brings it back to the start.
        send(&mut w, &mut link, 102 * 81_000_000 + 400_000_000, 1);
        assert_eq!(w.window_bytes, 2 * INITIAL_WINDOW_BYTES);
        send(&mut w, &mut link, 102 * 81_000_000 + 4_000_000_000, 1);
        assert_eq!(w.window_bytes, INITIAL_WINDOW_BYTES);
    }

    #[test]
    fn a_capped_window_caps_the_rate_of_one_connection_but_not_of_two() {
        let p = profile(400_000_000, 80_000, Some(2_000_000)); // 200 Mbit/s each
        let mut link = LinkClock::new(p.rate_bits_per_s);
        let (mut a, mut b) = (Window::new(&p), Window::new(&p));
        (a.window_bytes, b.window_bytes) = (a.full_bytes, b.full_bytes);
        let (mut last_a, mut last_b) = (0, 0);
        for _ in 0..250 {
            last_a = send(&mut a, &mut link, 0, 40_000);
            last_b = send(&mut b, &mut link, 0, 40_000);
        }
        assert!(
            last_a.abs_diff(400_000_000) < 2_000_000 && last_b.abs_diff(400_000_000) < 2_000_000,
            "{last_a} {last_b}"
        );
    }

    #[test]
    fn without_slow_start_the_form_is_size_over_rate_and_a_round_trip() {
        let wan = Profile::named("wan").unwrap().by(crate::Means::Model);
        assert_eq!(fresh_transfer(1_000_000, &wan), Duration::from_millis(60));
        assert_eq!(fresh_transfer(1_000_000, &Profile::named("loopback").unwrap()), Duration::ZERO);
        let kernel = fresh_transfer(1_000_000, &wan.by(crate::Means::Netem));
        assert!((250..300).contains(&kernel.as_millis()), "{kernel:?}"); // 6 round trips more
    }
}
