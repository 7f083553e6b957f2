//! Where the stock of an endpoint comes from: made when it is missing, or by a thread of its own (a lane).

use std::collections::VecDeque;

use si_wire::Channel;

use crate::buffer::Buffer;
use crate::config::OtConfig;
use crate::lane::LaneEnd;
use crate::{Error, Result};

/// The meter's label for making correlated OTs, with a lane or without.
pub const METER_LABEL: &str = "OT extension";

/// A protocol that makes correlated OTs.
pub(crate) trait Engine: Send + 'static {
    /// Appends at least `n` correlated OTs. Flushes.
    fn extend(&mut self, ch: &mut Channel, cfg: &OtConfig, n: usize, out: &mut Buffer) -> Result<()>;
}

/// The supply of an endpoint.
pub(crate) struct Source<E> {
    kind: Kind<E>,
    config: OtConfig,
    ended: bool,
}

enum Kind<E> {
    Inline(Box<E>),
    Lane {
        lane: LaneEnd,
        /// Orders that are not yet collected, in their order.
        orders: VecDeque<usize>,
    },
}

impl<E: Engine> Source<E> {
    /// Makes OTs in the caller's thread, over the caller's channel.
    pub(crate) fn inline(engine: E, config: OtConfig) -> Self {
        Self { kind: Kind::Inline(Box::new(engine)), config, ended: false }
    }

    /// Has OTs made by a lane.
    pub(crate) fn lane(lane: LaneEnd, config: OtConfig) -> Self {
        Self { kind: Kind::Lane { lane, orders: VecDeque::new() }, config, ended: false }
    }

    /// Brings the stock to at least `n`. After an error there is no stock, and no more is made.
    pub(crate) fn reserve(&mut self, ch: &mut Channel, n: usize, stock: &mut Buffer) -> Result<()> {
        if n <= stock.len() {
            return Ok(());
        }
        self.config.check(n)?;
        if self.ended {
            return Err(Error::Ended);
        }
        let made = self.make(ch, n, stock);
        if made.is_err() {
            // What is in stock may not have passed its check.
            self.ended = true;
            stock.take(stock.len());
        }
        made
    }

    fn make(&mut self, ch: &mut Channel, n: usize, stock: &mut Buffer) -> Result<()> {
        self.order(n, stock.len());
        match &mut self.kind {
            Kind::Inline(engine) => {
                let _scope = ch.meter().enter_label(METER_LABEL);
                engine.extend(ch, &self.config, n - stock.len(), stock)
            }
            Kind::Lane { lane, orders } => {
                // The peer must not wait for a message of ours while we wait for its lane.
                ch.flush()?;
                while stock.len() < n {
                    lane.collect(stock)?;
                    orders.pop_front();
                }
                Ok(())
            }
        }
    }

    /// Orders what is missing to a stock of `n`, and returns without waiting for it. Nothing happens without a lane.
    pub(crate) fn prefetch(&mut self, n: usize, stock: &Buffer) -> Result<()> {
        self.config.check(n)?;
        self.order(n, stock.len());
        Ok(())
    }

    fn order(&mut self, n: usize, in_stock: usize) {
        let Kind::Lane { lane, orders } = &mut self.kind else { return };
        let missing = n.saturating_sub(in_stock + orders.iter().sum::<usize>());
        if missing > 0 {
            lane.order(missing);
            orders.push_back(missing);
        }
    }

    /// What is in stock or ordered; `None` without a lane.
    pub(crate) fn coming(&self, in_stock: usize) -> Option<usize> {
        match &self.kind {
            Kind::Inline(_) => None,
            Kind::Lane { orders, .. } => Some(in_stock + orders.iter().sum::<usize>()),
        }
    }
}
