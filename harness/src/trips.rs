//! How often a run had to wait for the link: from the order of the messages at both parties, whatever their times were.
//!
//! A message leaves when its sender has everything that it took before; so it comes one trip later than the latest of that.
//! Parties that take turns make two trips a round, parties that send at once make one: counting rounds at one party cannot
//! tell these apart, the two orders can.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use si_wire::Turns;

/// The order of one connection's messages at one party.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneTurns {
    /// As [`Turns::runs`].
    pub(crate) runs: Vec<u32>,
    /// How many of the messages were in set-up.
    pub(crate) setup_messages: u64,
}

impl LaneTurns {
    /// From a connection's own log.
    pub(crate) fn new(turns: &Turns, setup_messages: u64) -> Self {
        Self { runs: turns.runs(), setup_messages }
    }
}

/// One-way trips, one after the other, from the end of set-up until the client has its last message, on the connection with
/// the most. Nothing if the two sides do not fit together, as when a party was not to its end.
pub(crate) fn one_way_trips(client: &[LaneTurns], server: &[LaneTurns]) -> Option<u64> {
    if client.len() != server.len() {
        return None;
    }
    let lanes = client.iter().zip(server).map(|(c, s)| of_lane(c, s));
    lanes.collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn of_lane(client: &LaneTurns, server: &LaneTurns) -> Option<u64> {
    let (mut client, mut server) = (Side::new(client), Side::new(server));
    while !(client.is_done() && server.is_done()) {
        let before = (client.seen, server.seen);
        client.go(&mut server.inbox);
        server.go(&mut client.inbox);
        if before == (client.seen, server.seen) {
            return None; // each waits for a message that the other never sent
        }
    }
    Some(client.trips.saturating_sub(client.at_setup.max(server.at_setup)))
}

/// A party on its way through its log.
struct Side<'a> {
    turns: &'a LaneTurns,
    run: usize,
    left: u32,
    /// Messages so far.
    seen: u64,
    /// Trips, one after the other, behind what it knows by now.
    trips: u64,
    /// The same at the end of set-up.
    at_setup: u64,
    /// What is on its way: trips behind it, and how many such messages.
    inbox: VecDeque<(u64, u32)>,
}

impl<'a> Side<'a> {
    fn new(turns: &'a LaneTurns) -> Self {
        let left = turns.runs.first().copied().unwrap_or(0);
        Self { turns, run: 0, left, seen: 0, trips: 0, at_setup: 0, inbox: VecDeque::new() }
    }

    fn is_done(&self) -> bool {
        self.run >= self.turns.runs.len()
    }

    /// Goes on until a message is missing.
    fn go(&mut self, to: &mut VecDeque<(u64, u32)>) {
        while !self.is_done() {
            if self.left == 0 {
                self.run += 1;
                self.left = self.turns.runs.get(self.run).copied().unwrap_or(0);
                continue;
            }
            // Set-up ends between two messages of a run, perhaps.
            let in_setup = self.turns.setup_messages.saturating_sub(self.seen);
            let most = if in_setup == 0 { self.left } else { self.left.min(in_setup.try_into().unwrap_or(u32::MAX)) };
            let n = if self.run.is_multiple_of(2) {
                to.push_back((self.trips + 1, most));
                most
            } else {
                let Some((trips, there)) = self.inbox.front_mut() else { return };
                let n = most.min(*there);
                self.trips = self.trips.max(*trips);
                *there -= n;
                if *there == 0 {
                    self.inbox.pop_front();
                }
                n
            };
            self.left -= n;
            self.seen += u64::from(n);
            if self.seen <= self.turns.setup_messages {
                self.at_setup = self.trips;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(runs: &[u32], setup_messages: u64) -> LaneTurns {
        LaneTurns { runs: runs.to_vec(), setup_messages }
    }

    fn trips(client: &[u32], server: &[u32]) -> Option<u64> {
        one_way_trips(&[lane(client, 0)], &[lane(server, 0)])
    }

    #[test]
    fn turns_take_two_trips_a_round_and_exchanges_one() {
        assert_eq!(trips(&[1, 1], &[0, 1, 1]), Some(2));
        assert_eq!(trips(&[1, 1, 1, 1], &[0, 1, 1, 1, 1]), Some(4));
        assert_eq!(trips(&[1, 1], &[1, 1]), Some(1), "both send, then both receive");
        assert_eq!(trips(&[3, 3, 3, 3], &[3, 3, 3, 3]), Some(2));
        assert_eq!(trips(&[0, 5], &[5]), Some(1));
        assert_eq!(trips(&[5], &[0, 5]), Some(0), "the client waits for nothing");
        assert_eq!(trips(&[], &[]), Some(0));
        // The answer to the first of two queries was on its way already.
        assert_eq!(trips(&[2, 2], &[0, 1, 1, 1, 1]), Some(2));
    }

    #[test]
    fn set_up_does_not_count_and_connections_work_side_by_side() {
        // Two rounds, of which the first is set-up.
        let (client, server) = (lane(&[1, 1, 1, 1], 2), lane(&[0, 1, 1, 1, 1], 2));
        assert_eq!(one_way_trips(std::slice::from_ref(&client), std::slice::from_ref(&server)), Some(2));
        // Set-up that ends within a run.
        assert_eq!(one_way_trips(&[lane(&[1, 3], 2)], &[lane(&[0, 1, 3], 3)]), Some(0));
        let quick = [lane(&[1, 1], 0), lane(&[0, 1, 1], 0)];
        let both = (vec![client, quick[0].clone()], vec![server, quick[1].clone()]);
        assert_eq!(one_way_trips(&both.0, &both.1), Some(2));
    }

    #[test]
    fn logs_that_do_not_fit_give_nothing() {
        assert_eq!(trips(&[0, 1], &[0, 1]), None);
        assert_eq!(trips(&[1, 2], &[0, 1, 1]), None);
        assert_eq!(one_way_trips(&[lane(&[1], 0)], &[]), None);
        assert_eq!(one_way_trips(&[], &[]), None, "no connection, no count");
    }
}
