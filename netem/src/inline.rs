//! Links that are named by what they are: `400mbit-40ms`. For sweeps, whose points deserve no entry of their own.

use crate::Profile;

/// The profile that a name such as `50mbit-0.1ms` or `10gbit-150ms` describes: rate each way and round-trip time,
/// everything else as a profile has it that says no more. `None` if the name is not of that form or names what no profile may ask for.
pub(crate) fn inline(name: &str) -> Option<Profile> {
    let (rate, rtt) = name.split_once('-')?;
    let (rate, unit) = match (rate.strip_suffix("mbit"), rate.strip_suffix("gbit")) {
        (Some(rate), _) => (rate, 1_000_000),
        (_, Some(rate)) => (rate, 1_000_000_000),
        _ => return None,
    };
    let rate_bits_per_s = scaled(rate, unit)?;
    let rtt_us = scaled(rtt.strip_suffix("ms")?, 1_000)?;
    let source = format!("as its name says: {rate_bits_per_s} bit/s each way, {rtt_us} us");
    let entry = format!("['{name}']\nrate_bits_per_s = {rate_bits_per_s}\nrtt_us = {rtt_us}\nsource = \"{source}\"\n");
    Profile::parse(&entry).ok()?.pop()
}

/// A decimal number without needless zeros times `unit`, if that is whole.
fn scaled(text: &str, unit: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || !digits(whole)
        || !digits(part)
        || (text.contains('.') && (part.is_empty() || part.ends_with('0')))
    {
        return None;
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    let places = 10u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let all: u64 = format!("{whole}{part}").parse().ok()?;
    let value = all.checked_mul(unit)?;
    value.is_multiple_of(places).then_some(value / places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_rate_and_round_trip_time() {
        let p = |name| inline(name).map(|p| (p.rate_bits_per_s, p.rtt_us));
        assert_eq!(p("50mbit-0.1ms"), Some((50_000_000, 100)));
        assert_eq!(p("10gbit-150ms"), Some((10_000_000_000, 150_000)));
        assert_eq!(p("2.5gbit-0ms"), Some((2_500_000_000, 0)));
        for other in [
            "lan",
            "wan-slow",
            "50mbit",
            "50mbit-",
            "50-1ms",
            "50mbit-1s",
            "-50mbit-1ms",
            "50 mbit-1ms",
            "5e1mbit-1ms",
            "50mbit-1.ms",
            "50mbit-1.0ms",
            "050mbit-1ms",
            "50mbit-0.0001ms",
            "0mbit-1ms",
            "50mbit-99999ms",
            "99999999999999999999mbit-1ms",
            "0.05mbit-1ms",
        ] {
            assert_eq!(p(other), None, "{other}");
        }
    }
}
