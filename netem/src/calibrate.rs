//! A link of a profile, set up by its means, measured, and removed again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use si_wire::{Channel, Meter, TcpTransport};

use crate::probe::{Effort, LinkSeen, probe_client, probe_server};
use crate::socket::{TcpSeen, retransmits, set_tcp, tcp_seen};
use crate::{Error, Link, Namespaces, Profile, Result, enter};

/// Sets up a link of this profile between two threads, measures it, and says what TCP the connection had. The means
/// decides where: over the machine's own loopback, or between two network namespaces.
///
/// Two threads of one process are as good as two processes here: while one of them spins for the last microseconds
/// before a delivery, the other has nothing to do.
///
/// # Errors
/// If the link cannot be set up, or the system refuses.
pub fn probe_profile(profile: &Profile, effort: Effort) -> Result<(LinkSeen, TcpSeen)> {
    if !profile.means.is_kernel() {
        return between_threads(profile, effort, None);
    }
    let net = Namespaces::up(profile)?;
    let seen = between_threads(profile, effort, Some(&net));
    let drops = net.drops();
    let lost = net.broken();
    net.down()?;
    match (seen, lost) {
        (Ok((seen, tcp)), _) => Ok((LinkSeen { drops, ..seen }, tcp)),
        (Err(_), Some(why)) => Err(Error::SetUp { means: profile.means, why }),
        (Err(e), None) => Err(e),
    }
}

/// How long each end of [`probe_profile`] waits for the other (local).
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

fn between_threads(profile: &Profile, effort: Effort, net: Option<&Namespaces>) -> Result<(LinkSeen, TcpSeen)> {
    let (tell, told) = channel();
    let joined = std::thread::scope(|s| {
        // Both on threads of their own, for entering a namespace is for good.
        let server = s.spawn(move || serve(profile, net, tell));
        let client = s.spawn(move || ask(profile, effort, net, &told));
        (client.join(), server.join())
    });
    let (client, server) = match joined {
        (Ok(client), Ok(server)) => (client, server),
        (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
    };
    // Without an address the server's error says why. Otherwise the client's says more: when it gives up, the server only
    // sees it go.
    let Some(client) = client else { return Err(server.err().unwrap_or(Error::NoServer)) };
    let (seen, tcp, sent_again) = client?;
    let served_again = server?;
    let retransmits = net.and(sent_again.zip(served_again).map(|(a, b)| a + b));
    Ok((LinkSeen { retransmits, ..seen }, tcp))
}

/// Serves one probe at a port that it tells. Returns how many segments it sent again.
fn serve(profile: &Profile, net: Option<&Namespaces>, tell: Sender<SocketAddr>) -> Result<Option<u64>> {
    let io = |what| move |source| Error::Io { what, source };
    net.map_or(Ok(()), |n| enter(&n.server()))?;
    let link = Link::new(profile)?;
    let host = net.map_or(Ipv4Addr::LOCALHOST, |_| Namespaces::SERVER);
    let listener = TcpListener::bind((host, 0)).map_err(io("a port for the probe"))?;
    // Nobody listens any more only if the client has failed, which says why.
    let _ = tell.send(listener.local_addr().map_err(io("the address of a port"))?);
    drop(tell);
    let before = retransmits();
    let transport = TcpTransport::accept("client", &listener, PROBE_TIMEOUT)?;
    set_tcp(transport.stream(), profile)?;
    probe_server(&mut Channel::new(link.wrap(Box::new(transport)), Meter::new()))?;
    Ok(retransmits().zip(before).map(|(after, before)| after - before))
}

/// What the client saw, its TCP, and how many segments it sent again.
type Asked = Result<(LinkSeen, TcpSeen, Option<u64>)>;

/// Measures the link to a server that tells its address; nothing if none does.
fn ask(profile: &Profile, effort: Effort, net: Option<&Namespaces>, told: &Receiver<SocketAddr>) -> Option<Asked> {
    let address = told.recv().ok()?;
    let measure = || {
        net.map_or(Ok(()), |n| enter(&n.client()))?;
        let link = Link::new(profile)?;
        let before = retransmits();
        let transport = TcpTransport::connect("server", address, PROBE_TIMEOUT)?;
        set_tcp(transport.stream(), profile)?;
        let tcp = tcp_seen(transport.stream());
        let seen = probe_client(&mut Channel::new(link.wrap(Box::new(transport)), Meter::new()), effort)?;
        Ok((seen, tcp, retransmits().zip(before).map(|(after, before)| after - before)))
    };
    Some(measure())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_never_sees_more_than_the_profile_gives() {
        let profile = Profile { rate_bits_per_s: 200_000_000, rtt_us: 3_000, ..Profile::named("wan").unwrap() };
        let (seen, tcp) = probe_profile(&profile.by(crate::Means::Model), Effort::Quick).unwrap();
        assert!(!tcp.congestion.is_empty() && seen.retransmits.is_none() && seen.drops.is_none(), "{tcp:?} {seen:?}");
        assert!(seen.rtt_us_min >= 3_000.0 && seen.rtt_us_p50 <= seen.rtt_us_p99 && seen.pings >= 10, "{seen:?}");
        // Pings that all came late would make the rate look better: loose.
        assert!((1.0..250.0).contains(&seen.up_mbps) && (1.0..250.0).contains(&seen.down_mbps), "{seen:?}");
    }
}
