//! The arithmetic of the modelled link: when bytes leave. No clock is read and nothing waits here.
//!
//! All times are nanoseconds on one clock; `now` never goes back between two calls on one object.

use std::collections::VecDeque;

use crate::Profile;
use crate::window::Window;

/// What one connection may hand over ahead of the link, as the send buffer of a socket (agreement).
pub(crate) const SEND_BUFFER_BYTES: u64 = 4 << 20;

/// What the smallest segment costs in the send buffer, as the kernel charges its own overhead (agreement). Also bounds
/// the number of segments on the books.
const LEAST_CHARGE_BYTES: u64 = 512;

/// From when to when something is on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first byte starts.
    pub(crate) first_ns: u64,
    /// Its last byte is through.
    pub(crate) last_ns: u64,
}

/// One direction of a link, shared by all lanes of a peer: at any moment at most one of them is sending.
///
/// Lanes may book ahead (TCP's later windows), so what is booked is a list of intervals; later bookings fill the gaps.
pub(crate) struct LinkClock {
    rate_bits_per_s: u64,
    /// Booked and not yet over: sorted, disjoint, not touching.
    busy: Vec<Span>,
    /// Rounded-off time in units of 1/rate ns, so that many small segments take as long as a large one.
    carry: u64,
}

impl LinkClock {
    pub(crate) fn new(rate_bits_per_s: u64) -> Self {
        Self { rate_bits_per_s, busy: Vec::new(), carry: 0 }
    }

    /// Books the first free time for `len` bytes that may leave at `earliest_ns`.
    pub(crate) fn book(&mut self, now_ns: u64, earliest_ns: u64, len: u64) -> Span {
        self.busy.retain(|s| s.last_ns > now_ns);
        let units = u128::from(len) * 8_000_000_000 + u128::from(self.carry);
        let rate = u128::from(self.rate_bits_per_s);
        self.carry = (units % rate) as u64; // below the rate
        let mut left = (units / rate) as u64; // at most MAX_SEGMENT_BYTES at the lowest rate

        let mut at = earliest_ns.max(now_ns);
        let mut first = None;
        for s in &self.busy {
            if s.first_ns > at {
                let gap = s.first_ns - at;
                first.get_or_insert(at);
                if gap >= left {
                    break;
                }
                left -= gap;
            }
            at = at.max(s.last_ns);
        }
        let span = Span { first_ns: first.unwrap_or(at), last_ns: at + left };
        self.insert(span);
        span
    }

    /// Marks a span busy; the gaps inside it have just been used up.
    fn insert(&mut self, span: Span) {
        let from = self.busy.partition_point(|s| s.last_ns < span.first_ns);
        let to = self.busy.partition_point(|s| s.first_ns <= span.last_ns);
        let mut merged = span;
        for s in &self.busy[from..to] {
            merged.first_ns = merged.first_ns.min(s.first_ns);
            merged.last_ns = merged.last_ns.max(s.last_ns);
        }
        self.busy.splice(from..to, [merged]);
    }
}

/// The sending side of one connection: its send buffer and, with TCP, its congestion window.
pub(crate) struct SendLane {
    window: Option<Window>,
    /// (when it has left, what it is charged), in order.
    buffered: VecDeque<(u64, u64)>,
    buffered_bytes: u64,
}

impl SendLane {
    pub(crate) fn new(profile: &Profile) -> Self {
        let window = profile.tcp_slow_start.then(|| Window::new(profile));
        Self { window, buffered: VecDeque::new(), buffered_bytes: 0 }
    }

    /// When the send buffer has room for `len` more bytes; `now_ns` if it has.
    pub(crate) fn room_at(&mut self, now_ns: u64, len: u64) -> u64 {
        while self.buffered.front().is_some_and(|(left_ns, _)| *left_ns <= now_ns) {
            if let Some((_, charge)) = self.buffered.pop_front() {
                self.buffered_bytes -= charge;
            }
        }
        let mut over = (self.buffered_bytes + charge(len)).saturating_sub(SEND_BUFFER_BYTES);
        let mut at = now_ns;
        for (left_ns, charge) in &self.buffered {
            if over == 0 {
                break;
            }
            at = *left_ns;
            over = over.saturating_sub(*charge);
        }
        at
    }

    /// Puts up to `want` bytes on the link, all of them unless TCP's window lets only some go. Returns how many.
    pub(crate) fn book(&mut self, link: &mut LinkClock, now_ns: u64, want: u64) -> (Span, u64) {
        let (span, len) = match &mut self.window {
            None => (link.book(now_ns, now_ns, want), want),
            Some(window) => window.book(link, now_ns, want),
        };
        self.buffered.push_back((span.last_ns, charge(len)));
        self.buffered_bytes += charge(len);
        (span, len)
    }
}

fn charge(len: u64) -> u64 {
    len.max(LEAST_CHARGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 byte per nanosecond.
    const RATE: u64 = 8_000_000_000;

    fn span(first_ns: u64, last_ns: u64) -> Span {
        Span { first_ns, last_ns }
    }

    #[test]
    fn an_idle_link_starts_at_once_and_a_busy_one_queues() {
        let mut c = LinkClock::new(RATE);
        assert_eq!(c.book(100, 100, 50), span(100, 150));
        assert_eq!(c.book(110, 110, 50), span(150, 200));
        assert_eq!(c.book(199, 199, 1), span(200, 201));
        assert_eq!(c.book(1000, 1000, 7), span(1000, 1007));
        assert_eq!(c.busy, [span(1000, 1007)]); // the past is forgotten
    }

    #[test]
    fn rounding_never_accumulates() {
        let mut c = LinkClock::new(3_000_000_000);
        let mut last = 0;
        for _ in 0..300_000 {
            last = c.book(0, 0, 1).last_ns; // 2.67 ns each
        }
        assert_eq!(last, 800_000);
        assert_eq!(c.busy.len(), 1);
    }

    #[test]
    fn what_is_booked_ahead_leaves_its_gaps_to_others() {
        let mut c = LinkClock::new(RATE);
        assert_eq!(c.book(0, 1000, 100), span(1000, 1100));
        assert_eq!(c.book(0, 2000, 100), span(2000, 2100));
        assert_eq!(c.book(0, 0, 500), span(0, 500));
        assert_eq!(c.book(0, 0, 600), span(500, 1200)); // 500 before the first booking, 100 after it
        assert_eq!(c.book(0, 0, 800), span(1200, 2000));
        assert_eq!(c.busy, [span(0, 2100)]);
        assert_eq!(c.book(0, 50, 10), span(2100, 2110));
    }

    #[test]
    fn bookings_are_disjoint_and_the_link_never_idles_while_something_waits() {
        let mut c = LinkClock::new(RATE);
        let (mut x, mut total) = (12345_u64, 0);
        for _ in 0..2000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (earliest, len) = ((x >> 40) % 3000, 1 + (x >> 20) % 50);
            let s = c.book(0, earliest, len);
            assert!(s.first_ns >= earliest && s.last_ns - s.first_ns >= len);
            total += len;
            let booked: u64 = c.busy.iter().map(|s| s.last_ns - s.first_ns).sum();
            assert_eq!(booked, total); // nothing counted twice
            assert!(c.busy.windows(2).all(|w| w[0].last_ns < w[1].first_ns));
        }
    }

    #[test]
    fn two_lanes_share_the_rate() {
        let profile = Profile { rate_bits_per_s: RATE, ..Profile::named("wan").unwrap() };
        let mut link = LinkClock::new(RATE);
        let (mut a, mut b) = (SendLane::new(&profile), SendLane::new(&profile));
        let mut last = (0, 0);
        for _ in 0..10 {
            last = (a.book(&mut link, 0, 1000).0.last_ns, b.book(&mut link, 0, 1000).0.last_ns);
        }
        assert_eq!(last, (19_000, 20_000));
    }

    #[test]
    fn the_send_buffer_is_bounded_and_drains() {
        let profile = Profile { rate_bits_per_s: RATE, ..Profile::named("wan").unwrap() };
        let mut link = LinkClock::new(RATE);
        let mut lane = SendLane::new(&profile);
        for i in 0..64 {
            assert_eq!(lane.room_at(0, 65536), 0, "{i}");
            lane.book(&mut link, 0, 65536);
        }
        assert_eq!(lane.room_at(0, 1), 65536);
        assert_eq!(lane.room_at(0, 65537), 2 * 65536);
        assert_eq!(lane.room_at(65536, 65536), 65536);
        assert_eq!(lane.room_at(70 * 65536, 65536), 70 * 65536);
        assert_eq!((lane.buffered.len(), lane.buffered_bytes), (0, 0));
        for _ in 0..20_000 {
            if lane.room_at(0, 1) == 0 {
                lane.book(&mut link, 0, 1);
            }
        }
        assert_eq!(lane.buffered.len() as u64, SEND_BUFFER_BYTES / LEAST_CHARGE_BYTES);
    }
}
