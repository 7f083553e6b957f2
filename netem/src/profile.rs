//! Named link profiles: what a link is asked to be.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::inline::inline;
use crate::{Error, Result};

/// The profiles that come with the crate.
const BUILT_IN: &str = include_str!("../profiles.toml");

/// Rates that a profile may ask for, in bits per second (local: outside, the arithmetic or the waiting is pointless).
const RATES_BITS_PER_S: std::ops::RangeInclusive<u64> = 100_000..=1_000_000_000_000;

/// Longest round-trip time that a profile may ask for (local).
const MAX_RTT_US: u64 = 10_000_000;

/// First congestion window of a TCP connection, 10 segments of 1448 bytes (agreement; RFC 6928, Linux).
pub const INITIAL_WINDOW_BYTES: u64 = 10 * 1448;

/// Part of a link's rate that is left to the payload of TCP: segments of 1448 bytes in Ethernet frames of 1514
/// (agreement; IPv4, MTU 1500, timestamps).
const PAYLOAD_PER_FRAME: (u64, u64) = (1448, 1514);

/// Socket buffers of a kernel's link at least (agreement): Linux' own limit for receiving.
const LEAST_BUFFER_BYTES: u64 = 6 << 20;

/// Socket buffers of a kernel's link in bandwidth-delay products (agreement): half of a buffer is window, and a window
/// of two products keeps the link busy whatever the acknowledgements do.
const BUFFER_PRODUCTS: u64 = 4;

/// Congestion control where a profile says nothing (agreement): Linux' default of most distributions.
const DEFAULT_CONGESTION: &str = "cubic";

/// How a link is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// The first that works here, in the order netem, tun, model: see [`choose()`](crate::choose()).
    #[default]
    Auto,
    /// The connection as it is.
    None,
    /// Rate and delay by a virtual clock in the transport. Needs no privilege, works within one host.
    Model,
    /// The kernel's `sch_netem` on a veth pair between two network namespaces. Needs root and the kernel module.
    Netem,
    /// A pair of TUN devices in two network namespaces and a link in user space between them. Needs root.
    Tun,
}

impl Means {
    /// Whether the kernel's own TCP runs over an interface that is shaped.
    #[must_use]
    pub fn is_kernel(self) -> bool {
        matches!(self, Self::Netem | Self::Tun)
    }
}

impl FromStr for Means {
    type Err = String;

    fn from_str(s: &str) -> std::result::Result<Self, String> {
        let known = [Self::Auto, Self::Netem, Self::Tun, Self::Model, Self::None];
        known.into_iter().find(|m| m.to_string() == s).ok_or_else(|| {
            format!("unknown means '{s}' of making a link: write {}", known.map(|m| m.to_string()).join(", "))
        })
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Model => "model",
            Self::Netem => "netem",
            Self::Tun => "tun",
        })
    }
}

/// A link as set: the same in both directions, which do not disturb each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in experiments and records.
    pub name: String,
    /// How it is made.
    pub means: Means,
    /// Bits per second each way; 0 with [`Means::None`]. The model's are of payload, a kernel's of Ethernet frames.
    pub rate_bits_per_s: u64,
    /// Round-trip time; 0 with [`Means::None`].
    pub rtt_us: u64,
    /// The model: whether connections start with a small congestion window, and start again after they were idle. A
    /// kernel's always start so; this says whether they do it again after they were idle.
    pub tcp_slow_start: bool,
    /// The most that one connection keeps in flight, if its socket buffers cap it. The model only.
    pub tcp_window_bytes: Option<u64>,
    /// Congestion control of the sockets; a kernel's links only.
    pub tcp_congestion: String,
    /// Where the setting comes from.
    pub source: String,
}

/// A profile as written in the file, under its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    means: Means,
    rate_bits_per_s: u64,
    rtt_us: u64,
    #[serde(default)]
    tcp_slow_start: bool,
    tcp_window_bytes: Option<u64>,
    tcp_congestion: Option<String>,
    source: String,
}

impl Profile {
    /// The built-in profile of this name, or the one that the name describes, as `400mbit-40ms` does.
    ///
    /// # Errors
    /// If there is none; the error lists the names there are.
    pub fn named(name: &str) -> Result<Self> {
        inline(name).map_or_else(|| Self::find(Self::built_in()?, name), Ok)
    }

    /// Whether the name describes its link, as `400mbit-40ms` does: a point of a sweep rather than a setting of the field.
    #[must_use]
    pub fn is_inline(name: &str) -> bool {
        inline(name).is_some()
    }

    /// All built-in profiles, by name.
    ///
    /// # Errors
    /// Never, as long as this crate's tests pass.
    pub fn built_in() -> Result<Vec<Self>> {
        Self::parse(BUILT_IN)
    }

    /// The profile of this name among `profiles`.
    ///
    /// # Errors
    /// If there is none; the error lists the names there are.
    pub fn find(profiles: Vec<Self>, name: &str) -> Result<Self> {
        let known = profiles.iter().map(|p| p.name.clone()).collect();
        let found = profiles.into_iter().find(|p| p.name == name);
        found.ok_or_else(|| Error::UnknownProfile { name: name.to_owned(), known })
    }

    /// Profiles in the format of `profiles.toml`, by name.
    ///
    /// # Errors
    /// If a field is unknown, missing, of the wrong type, or has a value that makes no sense.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let entries: BTreeMap<String, Entry> =
            toml::from_str(text).map_err(|e| Error::Syntax { why: e.to_string().trim_end().to_owned() })?;
        entries.into_iter().map(|(name, entry)| Self::check(name, entry)).collect()
    }

    /// The same link by other means. One that shapes nothing stays as it is, whatever is asked for.
    #[must_use]
    pub fn by(self, means: Means) -> Self {
        if self.means == Means::None || means == Means::Auto { self } else { Self { means, ..self } }
    }

    /// One-way delay: half of the round-trip time.
    #[must_use]
    pub fn delay_ns(&self) -> u64 {
        self.rtt_us * 500
    }

    /// The most that one connection has in flight, in bytes: what fills the link for one round trip, or what its
    /// socket buffers allow; at least the initial window.
    #[must_use]
    pub fn full_window_bytes(&self) -> u64 {
        // At most 1e12 * 1e7 / 8e6, which fits.
        let bandwidth_delay = (u128::from(self.rate_bits_per_s) * u128::from(self.rtt_us) / 8_000_000) as u64;
        bandwidth_delay.min(self.tcp_window_bytes.unwrap_or(u64::MAX)).max(INITIAL_WINDOW_BYTES)
    }

    /// The most that a socket may buffer each way on a kernel's link.
    #[must_use]
    pub fn buffer_bytes(&self) -> u64 {
        let product = (u128::from(self.rate_bits_per_s) * u128::from(self.rtt_us) / 8_000_000) as u64;
        LEAST_BUFFER_BYTES.max(BUFFER_PRODUCTS * product)
    }

    /// Payload bits per second each way: the rate, less the headers where it has some.
    #[must_use]
    pub fn payload_bits_per_s(&self) -> u64 {
        let (payload, frame) = if self.means.is_kernel() { PAYLOAD_PER_FRAME } else { (1, 1) };
        self.rate_bits_per_s / frame * payload
    }

    /// Payload bits per second that one open connection reaches: the link's, unless its window is too small for it.
    #[must_use]
    pub fn connection_bits_per_s(&self) -> u64 {
        match self.tcp_window_bytes {
            Some(cap) if self.tcp_slow_start => {
                let by_window = u128::from(cap) * 8_000_000 / u128::from(self.rtt_us.max(1));
                self.payload_bits_per_s().min(u64::try_from(by_window).unwrap_or(u64::MAX))
            }
            _ => self.payload_bits_per_s(),
        }
    }

    fn check(name: String, e: Entry) -> Result<Self> {
        let bad = |field, why: String| Err(Error::Field { profile: name.clone(), field, why });
        if e.means == Means::None {
            if (e.rate_bits_per_s, e.rtt_us, e.tcp_slow_start) != (0, 0, false) {
                return bad("means", "\"none\" shapes nothing: set rate, RTT to 0 and tcp_slow_start to false".into());
            }
        } else if !RATES_BITS_PER_S.contains(&e.rate_bits_per_s) {
            let (lo, hi) = RATES_BITS_PER_S.into_inner();
            return bad("rate_bits_per_s", format!("{} is not within {lo} to {hi}", e.rate_bits_per_s));
        }
        if e.rtt_us > MAX_RTT_US {
            return bad("rtt_us", format!("{} is above {MAX_RTT_US}", e.rtt_us));
        }
        if e.tcp_slow_start && e.rtt_us == 0 {
            return bad("tcp_slow_start", "means nothing without a round-trip time".into());
        }
        match e.tcp_window_bytes {
            Some(_) if !e.tcp_slow_start => {
                return bad("tcp_window_bytes", "belongs to the TCP emulation: set tcp_slow_start = true".into());
            }
            Some(w) if w < INITIAL_WINDOW_BYTES => {
                return bad("tcp_window_bytes", format!("{w} is below the initial window of {INITIAL_WINDOW_BYTES}"));
            }
            _ => {}
        }
        if e.means.is_kernel() && e.tcp_window_bytes.is_some() {
            return bad(
                "tcp_window_bytes",
                "belongs to means = \"model\": the kernel's windows follow its own rules".into(),
            );
        }
        let congestion = e.tcp_congestion.unwrap_or_else(|| DEFAULT_CONGESTION.to_owned());
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if congestion.is_empty() || !congestion.chars().all(word) {
            return bad("tcp_congestion", format!("'{congestion}' is no name of a congestion control, such as cubic"));
        }
        if e.source.trim().is_empty() {
            return bad("source", "say where the setting comes from".into());
        }
        Ok(Self {
            name,
            means: e.means,
            rate_bits_per_s: e.rate_bits_per_s,
            rtt_us: e.rtt_us,
            tcp_slow_start: e.tcp_slow_start,
            tcp_window_bytes: e.tcp_window_bytes,
            tcp_congestion: congestion,
            source: e.source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[x]\nmeans = \"model\"\nrate_bits_per_s = 1_000_000\nrtt_us = 100\ntcp_slow_start = true\ntcp_window_bytes = 20_000\nsource = \"here\"\n";

    #[test]
    fn the_settings_of_the_field_are_there() {
        let get = |n: &str| Profile::named(n).unwrap();
        assert_eq!((get("lan").rate_bits_per_s, get("lan").rtt_us), (3_000_000_000, 300));
        assert_eq!((get("wan").rate_bits_per_s, get("wan").rtt_us), (400_000_000, 40_000));
        assert_eq!((get("wan-slow").rate_bits_per_s, get("wan-slow").rtt_us), (100_000_000, 80_000));
        assert_eq!((get("lan-cryptflow2").rate_bits_per_s, get("lan-cryptflow2").rtt_us), (3_016_000_000, 300));
        assert_eq!((get("wan-cryptflow2").rate_bits_per_s, get("wan-cryptflow2").rtt_us), (320_000_000, 80_000));
        assert_eq!((get("lan-sirnn").rate_bits_per_s, get("lan-sirnn").rtt_us), (3_016_000_000, 800));
        assert_eq!((get("network").means, get("lan").means), (Means::None, Means::Auto));
        assert_eq!(get("loopback").means, Means::None);
        assert_eq!(get("wan").delay_ns(), 20_000_000);
        assert!(get("wan-tcp").tcp_slow_start && !get("wan").tcp_slow_start);
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let e = Profile::named("lam").unwrap_err().to_string();
        let known = "lan, lan-cryptflow2, lan-sirnn, loopback, network, wan, wan-cryptflow2, wan-slow, wan-tcp";
        assert_eq!(e, format!("unknown link 'lam': known are {known}"));
    }

    #[test]
    fn a_profile_of_one_s_own_takes_five_lines_and_any_means() {
        let own = "[mine]\nrate_bits_per_s = 1_514_000_000\nrtt_us = 10_000\nsource = \"our cluster\"\n";
        let p = Profile::parse(own).unwrap().remove(0);
        assert_eq!((p.means, p.tcp_slow_start, p.tcp_congestion.as_str()), (Means::Auto, false, "cubic"));
        // The model's rate is of payload, a kernel's of frames.
        assert_eq!(p.clone().by(Means::Model).connection_bits_per_s(), 1_514_000_000);
        assert_eq!(p.clone().by(Means::Tun).connection_bits_per_s(), 1_448_000_000);
        assert_eq!((p.buffer_bytes(), Profile { rtt_us: 1, ..p.clone() }.buffer_bytes()), (7_570_000, 6 << 20));
        assert_eq!(p.by(Means::Auto).means, Means::Auto);
        assert_eq!(Profile::named("loopback").unwrap().by(Means::Netem).means, Means::None);
        for means in [Means::Auto, Means::Netem, Means::Tun, Means::Model, Means::None] {
            assert_eq!(means.to_string().parse(), Ok(means));
        }
        assert!("magic".parse::<Means>().unwrap_err().contains("auto, netem, tun, model, none"));
    }

    #[test]
    fn windows_and_rates_of_a_connection() {
        let p = Profile::parse(GOOD).unwrap().remove(0);
        // 1 Mbit/s * 0.1 ms is 12 bytes: the initial window is more, and more than the link.
        assert_eq!((p.full_window_bytes(), p.connection_bits_per_s()), (INITIAL_WINDOW_BYTES, 1_000_000));
        let p = Profile { rate_bits_per_s: 400_000_000, rtt_us: 80_000, tcp_window_bytes: Some(2_500_000), ..p };
        assert_eq!((p.full_window_bytes(), p.connection_bits_per_s()), (2_500_000, 250_000_000));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |from: &str, to: &str, expect: &str| {
            assert!(GOOD.contains(from), "{from}");
            let e = Profile::parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(e.contains(expect), "{e}");
        };
        refused("rtt_us", "rtt_ms", "unknown field `rtt_ms`");
        refused("rtt_us = 100\n", "", "missing field `rtt_us`");
        refused("\"model\"", "\"magic\"", "unknown variant `magic`");
        refused("rtt_us = 100", "rtt_us = -1", "rtt_us");
        refused("rtt_us = 100", "rtt_us = 10_000_001", "rtt_us");
        refused("rtt_us = 100", "rtt_us = 0", "tcp_slow_start");
        refused("1_000_000", "0", "rate_bits_per_s");
        refused("20_000", "14_479", "tcp_window_bytes");
        refused("tcp_slow_start = true", "tcp_slow_start = false", "tcp_window_bytes");
        refused("\"model\"", "\"none\"", "shapes nothing");
        refused("\"model\"", "\"netem\"", "tcp_window_bytes");
        refused("rtt_us", "tcp_congestion = \"a b\"\nrtt_us", "'a b' is no name");
        refused("\"here\"", "\" \"", "source");
        refused("[x]", "[x", "link profiles:");
    }
}
