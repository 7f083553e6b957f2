//! `bench probe` and `bench link`: links by themselves.

use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use si_netem::{Choice, Effort, Means, Namespaces, Profile};

use crate::cli::{Gates, LinkArgs, ProbeArgs};
use crate::commands::{merge, print};

/// How often a link that is held is looked after (local).
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What was chosen, aloud: whoever compares times must know.
pub(crate) fn told(choice: &Choice) -> String {
    let what = match choice.means {
        Means::Netem => "the kernel's sch_netem between network namespaces",
        Means::Tun => "the kernel's TCP over a link in user space between network namespaces",
        _ => "a virtual clock in the transport, no kernel TCP",
    };
    let without = choice.without.iter().map(|(means, why)| format!("; not by {means}: {why}")).collect::<String>();
    format!("links by {}, {what}{without}; --means chooses another", choice.means)
}

/// The profile by the means that was asked for.
fn chosen(name: &str, means: Means) -> Result<(Profile, Option<Choice>)> {
    let profile = Profile::named(name)?.by(means);
    if profile.means != Means::Auto {
        return Ok((profile, None));
    }
    let choice = si_netem::choose();
    Ok((profile.by(choice.means), Some(choice)))
}

/// `bench probe`.
///
/// # Errors
/// If there is no such link, it cannot be set up, or it fails the gates that were asked for.
pub(crate) fn probe(args: &ProbeArgs) -> Result<()> {
    let (profile, choice) = chosen(&args.link, args.means)?;
    let (seen, tcp) = si_netem::probe_profile(&profile, Effort::Full)?;
    let complaints = match args.gate {
        Some(Gates::OneSided) => si_netem::gate_one_sided(&seen, &profile),
        _ => si_netem::gate(&seen, &profile),
    };
    let complaints = complaints.err().unwrap_or_default();
    let expected_mbps = profile.connection_bits_per_s() as f64 / 1e6;
    let fresh_us = si_netem::fresh_transfer(1_000_000, &profile).as_secs_f64() * 1e6;
    if args.json {
        let mut answer = json!({
            "link": profile.name,
            "means": profile.means,
            "rtt_us": seen.rtt_us_p50,
            "mbps": seen.up_mbps.min(seen.down_mbps),
            "rtt_us_set": profile.rtt_us,
            "mbps_set": profile.rate_bits_per_s as f64 / 1e6,
            "mbps_expected": expected_mbps,
            "first_mb_us_expected": fresh_us,
            "tcp_congestion": tcp.congestion,
            "tcp_restarts_after_idle": tcp.restarts_after_idle,
            "tcp_buffer_bytes": tcp.buffer_bytes,
            "as_set": complaints.is_empty(),
            "complaints": complaints,
        });
        merge(&mut answer, serde_json::to_value(seen)?);
        print(&serde_json::to_string_pretty(&answer)?)?;
    } else {
        let shapes = profile.means != Means::None;
        let set = |text: String| if shapes { text } else { String::new() };
        let mut lines: Vec<_> = choice.iter().map(told).collect();
        lines.extend([
            format!("link {} by {}: {}", profile.name, profile.means, profile.source),
            format!(
                "  RTT       {:.1} us median, {:.1} us 99th percentile, {:.1} us of 1 KB{}",
                seen.rtt_us_p50,
                seen.rtt_us_p99,
                seen.rtt_1kb_us_p50,
                set(format!(" ({} set)", profile.rtt_us))
            ),
            format!(
                "  up, down  {:.1} and {:.1} Mbit/s of payload{}",
                seen.up_mbps,
                seen.down_mbps,
                set(format!(" ({expected_mbps:.1} expected of {} set)", profile.rate_bits_per_s / 1_000_000))
            ),
            format!("  duplex    {:.1} Mbit/s each way", seen.duplex_mbps),
            format!(
                "  fresh MB  {:.1} ms{}",
                seen.first_mb_us / 1e3,
                set(format!(" ({:.1} expected)", fresh_us / 1e3))
            ),
        ]);
        let idle =
            tcp.restarts_after_idle.map_or("", |r| if r { "; restarts after idle" } else { "; no restart after idle" });
        lines.push(format!(
            "  TCP       {}{idle}; buffers up to {} bytes",
            tcp.congestion,
            tcp.buffer_bytes.unwrap_or(0)
        ));
        if let Some((again, dropped)) = seen.retransmits.zip(seen.drops) {
            lines.push(format!("  lost      {dropped} packets dropped, {again} segments sent again"));
        }
        match shapes {
            false => {}
            true if complaints.is_empty() => lines.push(match args.gate {
                Some(Gates::OneSided) => "  never better than set, and not much later".to_owned(),
                _ => "  the link is as set".to_owned(),
            }),
            true => lines.extend(complaints.iter().map(|c| format!("  NOT AS SET: {c}"))),
        }
        print(&lines.join("\n"))?;
    }
    if args.gate.is_some() && !complaints.is_empty() {
        bail!("link {} by {} is not as set: {}", profile.name, profile.means, complaints.join("; "));
    }
    Ok(())
}

/// `bench link`.
///
/// # Errors
/// If the link cannot be set up, or vanishes.
pub(crate) fn hold(args: &LinkArgs) -> Result<()> {
    let (profile, choice) = chosen(&args.link, args.means)?;
    if !profile.means.is_kernel() {
        let why = choice.as_ref().map_or_else(String::new, |c| format!(" ({})", told(c)));
        bail!("link {} by {} needs no network namespaces: there is nothing to hold{why}", args.link, profile.means);
    }
    let (stop, stopped) = channel();
    let tell = move || {
        let _ = stop.send(()); // nobody listens any more once it is being removed
    };
    ctrlc::set_handler(tell).context("handler for Ctrl-C")?;
    let net = Namespaces::up_as(&args.id, &profile)?;
    let (client, server) = (net.client(), net.server());
    print(&format!(
        "link {} by {} between the network namespaces {client} and {server}\n  \
         server   ip netns exec {server} COMMAND, at {} (unshaped: {})\n  \
         client   ip netns exec {client} COMMAND\n\
         Ctrl-C removes them",
        profile.name,
        profile.means,
        Namespaces::SERVER,
        Namespaces::SERVER_CONTROL,
    ))?;
    while stopped.recv_timeout(LOOK_EVERY).is_err() {
        if let Some(why) = net.broken() {
            bail!("{why}");
        }
    }
    net.down()?;
    Ok(())
}
