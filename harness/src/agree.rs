//! What two parties must have in common before they run: checked item by item, so that an error can name what differs.

use anyhow::{Result, bail, ensure};
use si_wire::{Channel, Message, Reader, Role, put_bytes, put_u32};

/// Longest list of items that a party reads (agreement).
const MAX_ITEMS_BYTES: usize = 64 << 10;

/// Longest item that an error shows (local).
const SHOWN_CHARS: usize = 60;

/// Named values, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreement(Vec<(String, String)>);

impl Agreement {
    /// Adds an item.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// A hash of everything, for the records.
    pub(crate) fn hash(&self) -> String {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        short_hash(&bytes)
    }

    /// Exchanges the items with the peer and compares.
    ///
    /// # Errors
    /// If the peer is gone, sends nonsense, or has another value somewhere.
    pub(crate) fn check(&self, control: &mut Channel, me: Role, peer: Role) -> Result<()> {
        control.send_message(self)?;
        let theirs: Self = control.recv_message(MAX_ITEMS_BYTES)?;
        self.compare(&theirs, me, peer)
    }

    fn compare(&self, theirs: &Self, me: Role, peer: Role) -> Result<()> {
        for (name, mine) in &self.0 {
            let Some((_, other)) = theirs.0.iter().find(|(n, _)| n == name) else {
                bail!("the {peer} says nothing of {name}: run the same build of this program at both parties");
            };
            if other != mine {
                let advice = match name.as_str() {
                    "commit" | "code" => "run the same build of this program at both parties",
                    "graph" => "both parties need the same version of the model's files",
                    _ => "start both parties from the same job file",
                };
                bail!(
                    "the parties disagree on {name}: the {me} has '{}', the {peer} has '{}'; {advice}",
                    shown(mine),
                    shown(other)
                );
            }
        }
        ensure!(
            self.0.len() == theirs.0.len(),
            "the {peer} agrees on more than the {me} knows of: run the same build of this program at both parties"
        );
        Ok(())
    }
}

impl Message for Agreement {
    const NAME: &'static str = "agreement";

    fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.0.len() as u32);
        for (name, value) in &self.0 {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>) -> si_wire::Result<Self> {
        let items = reader.u32()?;
        let mut list = Vec::new();
        for _ in 0..items {
            let text = |reader: &mut Reader<'_>| -> si_wire::Result<String> {
                let bytes = reader.bytes()?;
                std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| reader.malformed(e.to_string()))
            };
            list.push((text(reader)?, text(reader)?));
        }
        Ok(Self(list))
    }
}

/// Waits until the peer has come to the same point.
///
/// # Errors
/// If the peer is gone, late or elsewhere.
pub(crate) fn barrier(control: &mut Channel, at: &'static str) -> Result<()> {
    control.send(at.as_bytes())?;
    let theirs = control.recv_exact("barrier", at.len())?;
    ensure!(theirs == at.as_bytes(), "the {} is not at the barrier before {at}", control.peer());
    Ok(())
}

/// 16 hexadecimal digits of a hash: names a value in records, no security rests on it.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

fn shown(value: &str) -> String {
    if value.chars().count() <= SHOWN_CHARS {
        return value.to_owned();
    }
    value.chars().take(SHOWN_CHARS).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn agreement(model: &str) -> Agreement {
        let mut a = Agreement::default();
        a.add("model", model);
        a.add("link", "lan");
        a
    }

    fn both(a: &Agreement, b: &Agreement) -> (Result<()>, Result<()>) {
        let (mut client, mut server) = Channel::memory_pair(Duration::from_secs(5));
        std::thread::scope(|s| {
            let client = s.spawn(move || a.check(&mut client, Role::Client, Role::Server(0)));
            let server = b.check(&mut server, Role::Server(0), Role::Client);
            (client.join().unwrap(), server)
        })
    }

    #[test]
    fn equal_lists_agree_and_have_one_hash() {
        let (c, s) = both(&agreement("x"), &agreement("x"));
        c.unwrap();
        s.unwrap();
        assert_eq!(agreement("x").hash(), agreement("x").hash());
        assert_ne!(agreement("x").hash(), agreement("y").hash());
    }

    #[test]
    fn what_differs_is_named_at_both_parties() {
        let (c, s) = both(&agreement("x"), &agreement("y"));
        assert_eq!(
            c.unwrap_err().to_string(),
            "the parties disagree on model: the client has 'x', the server has 'y'; start both parties from the same job file"
        );
        assert!(s.unwrap_err().to_string().contains("the server has 'y', the client has 'x'"));
        let (c, s) = both(&agreement("x"), &Agreement::default());
        assert!(c.unwrap_err().to_string().contains("says nothing of model"));
        assert!(s.unwrap_err().to_string().contains("agrees on more"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for garbage in [&[][..], &[1, 0, 0, 0], &[255; 40], &[1, 0, 0, 0, 1, 0, 0, 0, 0xff, 0, 0, 0, 0]] {
            let (mut client, mut server) = Channel::memory_pair(Duration::from_secs(5));
            client.send(garbage).unwrap();
            client.flush().unwrap();
            let e = agreement("x").check(&mut server, Role::Server(0), Role::Client).unwrap_err();
            assert!(e.to_string().contains("malformed agreement from client"), "{e}");
        }
    }

    #[test]
    fn parties_at_different_barriers_notice() {
        let (mut client, mut server) = Channel::memory_pair(Duration::from_secs(5));
        let c = std::thread::spawn(move || barrier(&mut client, "setup").is_err());
        assert!(barrier(&mut server, "later").unwrap_err().to_string().contains("not at the barrier"));
        assert!(c.join().unwrap());
    }
}
