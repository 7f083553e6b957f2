use std::fmt;
use std::str::FromStr;

/// Who a party is. Several servers or helpers are more roles, not more traits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Holds the queries and learns the answers.
    Client,
    /// Holds the model, or a share of it.
    Server(u8),
    /// Holds neither, and helps.
    Helper(u8),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => write!(f, "client"),
            Self::Server(0) => write!(f, "server"),
            Self::Server(i) => write!(f, "server{i}"),
            Self::Helper(0) => write!(f, "helper"),
            Self::Helper(i) => write!(f, "helper{i}"),
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let index = |rest: &str| if rest.is_empty() { Some(0) } else { rest.parse().ok().filter(|i| *i > 0) };
        let role = match s {
            "client" => Some(Self::Client),
            _ => s
                .strip_prefix("server")
                .and_then(index)
                .map(Self::Server)
                .or_else(|| s.strip_prefix("helper").and_then(index).map(Self::Helper)),
        };
        role.ok_or_else(|| format!("unknown role '{s}': use client, server, server1, helper, ..."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_nonsense_is_refused() {
        for r in [Role::Client, Role::Server(0), Role::Server(3), Role::Helper(0), Role::Helper(255)] {
            assert_eq!(r.to_string().parse(), Ok(r));
        }
        for s in ["", "serv", "server0", "server256", "Client", "helper-1"] {
            assert!(s.parse::<Role>().is_err(), "{s}");
        }
    }
}
