//! Where the stock of an endpoint comes from: made when it is missing, or by a thread of its own (a lane).

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use si_wire::Channel;

use crate::buffer::Buffer;
use crate::config::OtConfig;
use crate::{Error, Result};

/// A protocol that makes correlated OTs.
pub(crate) trait Engine: Send + 'static {
    /// Appends at least `n` correlated OTs.
    fn extend(&mut self, ch: &mut Channel, cfg: &OtConfig, n: usize, out: &mut Buffer) -> Result<()>;
}

/// The supply of an endpoint.
pub(crate) struct Source<E> {
    kind: Kind<E>,
    config: OtConfig,
    ended: bool,
    /// Orders that the lane has not yet delivered, in their order.
    orders: VecDeque<usize>,
}

enum Kind<E> {
    Inline(Box<E>),
    Lane { orders: Sender<usize>, deliveries: Receiver<Result<Buffer>> },
}

impl<E: Engine> Source<E> {
    /// Makes OTs in the caller's thread, over the caller's channel.
    pub(crate) fn inline(engine: E, config: OtConfig) -> Self {
        Self { kind: Kind::Inline(Box::new(engine)), config, ended: false, orders: VecDeque::new() }
    }

    /// Makes OTs in a thread of its own, over a channel of its own. The thread ends when the source is dropped, or
    /// after an error.
    pub(crate) fn lane(mut engine: E, config: OtConfig, mut ch: Channel) -> Result<Self> {
        let (orders, incoming) = channel();
        let (outgoing, deliveries) = channel();
        let work = move || {
            for n in incoming {
                let mut out = Buffer::default();
                let made = engine.extend(&mut ch, &config, n, &mut out).map(|()| out);
                let failed = made.is_err();
                if outgoing.send(made).is_err() || failed {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("ot-lane".to_owned())
            .spawn(work)
            .map_err(|source| si_wire::Error::Io { what: "starting a lane for OTs".to_owned(), source })?;
        Ok(Self { kind: Kind::Lane { orders, deliveries }, config, ended: false, orders: VecDeque::new() })
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
        match &mut self.kind {
            Kind::Inline(engine) => engine.extend(ch, &self.config, n - stock.len(), stock),
            Kind::Lane { .. } => {
                self.order(n, stock.len())?;
                // The peer must not wait for a message of ours while we wait for its lane.
                ch.flush()?;
                self.collect(n, stock)
            }
        }
    }

    /// Orders what is missing to `n`, and returns without waiting for it. Nothing happens without a lane.
    pub(crate) fn prefetch(&mut self, n: usize, stock: &Buffer) -> Result<()> {
        self.config.check(n)?;
        self.order(n, stock.len())
    }

    fn order(&mut self, n: usize, in_stock: usize) -> Result<()> {
        let Kind::Lane { orders, .. } = &self.kind else { return Ok(()) };
        let missing = n.saturating_sub(in_stock + self.orders.iter().sum::<usize>());
        if missing > 0 {
            // If the lane is gone, its last delivery says why.
            let _ = orders.send(missing);
            self.orders.push_back(missing);
        }
        Ok(())
    }

    fn collect(&mut self, n: usize, stock: &mut Buffer) -> Result<()> {
        let Kind::Lane { deliveries, .. } = &self.kind else { return Ok(()) };
        while stock.len() < n {
            let made = deliveries.recv().unwrap_or(Err(Error::Ended))?;
            self.orders.pop_front();
            stock.append(&made)?;
        }
        Ok(())
    }
}
