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
    /// How many of the messages came before each of the barriers that end set-up and the offline phase.
    pub(crate) before_barriers: [u64; 2],
}

impl LaneTurns {
    /// From a connection's own log.
    pub(crate) fn new(turns: &Turns, before_barriers: [u64; 2]) -> Self {
        Self { runs: turns.runs(), before_barriers }
    }
}

/// One-way trips, one after the other, from the end of set-up until the client has its last message. Connections work side
/// by side; at a barrier, each waits for all of both parties. Nothing if the two sides do not fit together, as when a party
/// was not to its end.
pub(crate) fn one_way_trips(client: &[LaneTurns], server: &[LaneTurns]) -> Option<u64> {
    if client.is_empty() || client.len() != server.len() {
        return None;
    }
    let mut lanes: Vec<_> = client.iter().zip(server).map(|(c, s)| (Side::new(c), Side::new(s))).collect();
    let mut after_setup = 0;
    for barrier in 0..2 {
        for (client, server) in &mut lanes {
            converse(client, server, Some(barrier))?;
        }
        let latest = lanes.iter().map(|(c, s)| c.trips.max(s.trips)).max()?;
        lanes.iter_mut().for_each(|(c, s)| (c.trips, s.trips) = (latest, latest));
        if barrier == 0 {
            after_setup = latest;
        }
    }
    for (client, server) in &mut lanes {
        converse(client, server, None)?;
    }
    Some(lanes.iter().map(|(client, _)| client.trips).max()? - after_setup)
}

/// Both go on to the barrier, or to the end. Nothing if each waits for a message that the other never sent. That can't be told
/// before the end: a connection that works ahead by itself may have sent a message just after one party came to its
/// barrier and just before the other did; such a one is counted after it.
fn converse(client: &mut Side<'_>, server: &mut Side<'_>, barrier: Option<usize>) -> Option<()> {
    let end = |side: &Side<'_>| barrier.map_or(u64::MAX, |i| side.turns.before_barriers[i]);
    let (client_end, server_end) = (end(client), end(server));
    while !(client.is_at(client_end) && server.is_at(server_end)) {
        let before = (client.seen, server.seen);
        client.go(&mut server.inbox, client_end);
        server.go(&mut client.inbox, server_end);
        if before == (client.seen, server.seen) {
            return barrier.map(|_| ());
        }
    }
    Some(())
}

/// A party on its way through the log of one connection.
struct Side<'a> {
    turns: &'a LaneTurns,
    run: usize,
    left: u32,
    /// Messages so far.
    seen: u64,
    /// Trips, one after the other, behind what it knows by now.
    trips: u64,
    /// What is on its way: trips behind it, and how many such messages.
    inbox: VecDeque<(u64, u32)>,
}

impl<'a> Side<'a> {
    fn new(turns: &'a LaneTurns) -> Self {
        let mut side = Self { turns, run: 0, left: 0, seen: 0, trips: 0, inbox: VecDeque::new() };
        side.left = turns.runs.first().copied().unwrap_or(0);
        side.skip_empty_runs();
        side
    }

    fn skip_empty_runs(&mut self) {
        while self.left == 0 && self.run < self.turns.runs.len() {
            self.run += 1;
            self.left = self.turns.runs.get(self.run).copied().unwrap_or(0);
        }
    }

    /// Whether it has come to its end, or to the barrier before which it has `end` messages.
    fn is_at(&self, end: u64) -> bool {
        self.seen >= end || self.run >= self.turns.runs.len()
    }

    /// Goes on until a message is missing or `end` messages are done.
    fn go(&mut self, to: &mut VecDeque<(u64, u32)>, end: u64) {
        while !self.is_at(end) {
            // A barrier may stand between two messages of a run.
            let most = self.left.min((end - self.seen).try_into().unwrap_or(u32::MAX));
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
            self.skip_empty_runs();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log without an offline phase.
    fn lane(runs: &[u32], setup_messages: u64) -> LaneTurns {
        LaneTurns { runs: runs.to_vec(), before_barriers: [setup_messages; 2] }
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
        // Set-up that ends within a run: the last message leaves after it.
        assert_eq!(one_way_trips(&[lane(&[1, 3], 2)], &[lane(&[0, 1, 3], 3)]), Some(1));
        let quick = [lane(&[1, 1], 0), lane(&[0, 1, 1], 0)];
        let both = (vec![client, quick[0].clone()], vec![server, quick[1].clone()]);
        assert_eq!(one_way_trips(&both.0, &both.1), Some(2));
    }

    #[test]
    fn barriers_wait_for_both_parties_and_all_connections() {
        let of = |runs: &[u32], setup, offline| LaneTurns { runs: runs.to_vec(), before_barriers: [setup, offline] };
        // The server has the last message of set-up, one trip after the client's own last; then it asks and is answered.
        let (client, server) = (of(&[1, 1, 1], 1, 1), of(&[0, 1, 1, 1], 1, 1));
        assert_eq!(one_way_trips(&[client], &[server]), Some(1));
        // Offline, one trip on the second connection; online, two on the first: three in all, though neither has three.
        let client = [of(&[1, 1], 0, 0), of(&[1], 0, 1)];
        let server = [of(&[0, 1, 1], 0, 0), of(&[0, 1], 0, 1)];
        assert_eq!(one_way_trips(&client, &server), Some(3));
        // Sent before the barrier, read after it: on its way meanwhile.
        assert_eq!(one_way_trips(&[of(&[1], 0, 1)], &[of(&[0, 1, 0], 0, 0)]), Some(0));
        // Sent by one after its barrier, read by the other before its own.
        assert_eq!(one_way_trips(&[of(&[0, 1], 0, 1)], &[of(&[1], 0, 0)]), Some(1));
        assert_eq!(one_way_trips(&[of(&[0, 1], 0, 1)], &[of(&[], 0, 0)]), None);
    }

    #[test]
    fn logs_that_do_not_fit_give_nothing() {
        assert_eq!(trips(&[0, 1], &[0, 1]), None);
        assert_eq!(trips(&[1, 2], &[0, 1, 1]), None);
        assert_eq!(one_way_trips(&[lane(&[1], 0)], &[]), None);
        assert_eq!(one_way_trips(&[], &[]), None, "no connection, no count");
    }
}
