//! In which order a connection's messages went, as one party saw it.

use std::sync::{Arc, Mutex, PoisonError};

/// The messages of one connection in the order in which a party handed them over and took them: runs of sent and of
/// received ones in turn, beginning with sent ones. With the other party's it tells which message waited for which, hence
/// how often a run waits for the link, whichever took how long.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<Vec<u32>>>);

impl Turns {
    /// How many messages were sent, then received, then sent, and so on; the first may be 0.
    #[must_use]
    pub fn runs(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Messages so far, sent and received.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.runs().into_iter().map(u64::from).sum()
    }

    pub(crate) fn sent(&self) {
        self.count(0);
    }

    pub(crate) fn received(&self) {
        self.count(1);
    }

    fn count(&self, parity: usize) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.is_empty() {
            runs.push(0);
        }
        if (runs.len() - 1) % 2 != parity {
            runs.push(0);
        }
        if let Some(last) = runs.last_mut() {
            *last = last.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_begin_with_sent_messages() {
        let of = |order: &str| {
            let turns = Turns::default();
            order.chars().for_each(|c| if c == 's' { turns.sent() } else { turns.received() });
            assert_eq!(turns.messages(), order.len() as u64);
            turns.runs()
        };
        assert_eq!(of(""), []);
        assert_eq!(of("ss"), [2]);
        assert_eq!(of("rsrr"), [0, 1, 1, 2]);
        assert_eq!(of("ssrs"), [2, 1, 1]);
    }
}
