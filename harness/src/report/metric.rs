//! What can be read off a row.

use si_netem::Profile;

use crate::record::RunRow;

/// What can be read off a row. Values are of the whole plan: a composed row is scaled by inferences / composed_from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Barrier to checked answers, in ns.
    Wall,
    /// What the link takes for the bytes and rounds by arithmetic, in ns, whatever was measured: a reader can price the
    /// run for another link with it. Empty on a link that is not shaped.
    LinkTime,
    /// The offline part of it.
    Offline,
    /// CPU time of all parties after set-up, in ns.
    Cpu,
    /// Sent by all parties after set-up.
    Bytes,
    /// The client's rounds after set-up.
    Rounds,
    /// Set-up, in ns; happens once, so it is never scaled.
    SetupWall,
    /// Sent by all parties in set-up; never scaled.
    SetupBytes,
    /// Greatest resident memory of a party that is not the client, in bytes; never scaled.
    ServerPeak,
    /// Of the client.
    ClientPeak,
}

impl Metric {
    /// Whether the value depends on the link's being as set.
    pub(super) fn is_time(self) -> bool {
        matches!(self, Self::Wall | Self::Offline | Self::SetupWall)
    }

    fn raw(self, r: &RunRow) -> Option<f64> {
        let sum = |a: Option<u64>, b: Option<u64>| Some((a? + b?) as f64);
        match self {
            Self::Wall => r.run_wall_ns.map(|x| x as f64),
            Self::LinkTime => {
                let trips = r.one_way_trips.or(r.rounds.map(|n| 2 * n))?;
                let bytes = r.client_sent_bytes? + r.client_recv_bytes?;
                Some(si_netem::price(trips, bytes, &link(r)?).as_nanos() as f64)
            }
            Self::Offline => r.offline_wall_ns.map(|x| x as f64),
            Self::Cpu => sum(r.client_cpu_ns, r.server_cpu_ns),
            Self::Bytes => sum(r.client_sent_bytes, r.server_sent_bytes),
            Self::Rounds => r.rounds.map(|x| x as f64),
            Self::SetupWall => r.setup_wall_ns.map(|x| x as f64),
            Self::SetupBytes => sum(r.client_setup_sent_bytes, r.server_setup_sent_bytes),
            Self::ServerPeak => r.server_peak_rss_bytes.map(|x| x as f64),
            Self::ClientPeak => r.client_peak_rss_bytes.map(|x| x as f64),
        }
    }

    /// The value of the whole plan.
    pub(super) fn of(self, r: &RunRow) -> Option<f64> {
        let raw = self.raw(r)?;
        let once = matches!(self, Self::SetupWall | Self::SetupBytes | Self::ServerPeak | Self::ClientPeak);
        Some(if once { raw } else { raw * r.inferences as f64 / r.ran() as f64 })
    }
}

/// The link that was set, if one was.
fn link(r: &RunRow) -> Option<Profile> {
    Some(Profile {
        name: r.link.clone(),
        means: r.link_means.parse().ok()?,
        rate_bits_per_s: r.rate_set_bits_per_s?,
        rtt_us: r.rtt_set_us?,
        tcp_slow_start: r.tcp_slow_start_set.unwrap_or(false),
        tcp_window_bytes: None,
        tcp_congestion: r.tcp_congestion.clone(),
        source: String::new(),
    })
}
