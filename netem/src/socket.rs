//! The kernel's TCP of one connection: what is set, and what it says of itself.

use std::net::TcpStream;

use rustix::net::sockopt;

use crate::{Error, Profile, Result};

/// What the kernel's TCP does on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpSeen {
    /// Congestion control; empty if the system does not tell.
    pub congestion: String,
    /// Whether the connection starts slowly again after it was idle.
    pub restarts_after_idle: Option<bool>,
    /// The most that the system lets a socket buffer for receiving.
    pub buffer_bytes: Option<u64>,
}

/// Prepares a connection over a link of this profile: on a kernel's link, congestion control as the profile says. Buffers
/// and what happens after idleness are set for the whole namespace.
///
/// # Errors
/// If the system does not have that congestion control.
pub fn set_tcp(stream: &TcpStream, profile: &Profile) -> Result<()> {
    if !profile.means.is_kernel() {
        return Ok(());
    }
    sockopt::set_tcp_congestion(stream, &profile.tcp_congestion).map_err(|e| Error::Field {
        profile: profile.name.clone(),
        field: "tcp_congestion",
        why: format!(
            "this kernel does not give a socket '{}' ({e}); it has {}",
            profile.tcp_congestion,
            read("tcp_available_congestion_control").unwrap_or_default()
        ),
    })
}

/// What the kernel says of a connection of the calling thread's namespace.
#[must_use]
pub fn tcp_seen(stream: &TcpStream) -> TcpSeen {
    TcpSeen {
        congestion: sockopt::tcp_congestion(stream).unwrap_or_default(),
        restarts_after_idle: read("tcp_slow_start_after_idle").map(|v| v != "0"),
        buffer_bytes: read("tcp_rmem").and_then(|v| v.split_whitespace().nth(2)?.parse().ok()),
    }
}

/// TCP segments that were sent again so far, in the calling thread's namespace.
#[must_use]
pub fn retransmits() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").ok()?;
    retransmits_in(&text)
}

fn retransmits_in(snmp: &str) -> Option<u64> {
    let mut tcp = snmp.lines().filter_map(|l| l.strip_prefix("Tcp: "));
    let at = tcp.next()?.split_whitespace().position(|name| name == "RetransSegs")?;
    tcp.next()?.split_whitespace().nth(at)?.parse().ok()
}

fn read(sysctl: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{sysctl}")).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::Means;

    #[test]
    fn counters_are_found_by_name() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: RtoMin InSegs RetransSegs InErrs\nTcp: 200 9 7 0\nUdp: a\nUdp: 1\n";
        assert_eq!(retransmits_in(text), Some(7));
        assert_eq!(retransmits_in("Tcp: RtoMin\nTcp: 200\n"), None);
        assert!(retransmits().is_some());
    }

    #[test]
    fn congestion_control_is_per_socket_and_an_unknown_one_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let wan = |congestion: &str| Profile {
            tcp_congestion: congestion.to_owned(),
            ..Profile::named("wan").unwrap().by(Means::Tun)
        };
        set_tcp(&socket, &wan("reno")).unwrap(); // every Linux has it
        assert_eq!(tcp_seen(&socket).congestion, "reno");
        let e = set_tcp(&socket, &wan("vegan")).unwrap_err().to_string();
        assert!(e.contains("'vegan'") && e.contains("it has") && e.contains("reno"), "{e}");
        set_tcp(&socket, &wan("vegan").by(Means::Model)).unwrap();
        assert_eq!(tcp_seen(&socket).congestion, "reno", "the model leaves the socket alone");
    }
}
