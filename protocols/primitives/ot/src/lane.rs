//! Correlated OTs of both directions made by a thread of its own over a channel of its own (a lane), ahead of time.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rand::CryptoRng;
use si_wire::{Channel, Meter, Phase};

use crate::buffer::Buffer;
use crate::config::OtConfig;
use crate::engine::{ReceiverEngine, SenderEngine};
use crate::source::{Engine, METER_LABEL, Source};
use crate::{Error, OtReceiver, OtSender, Result};

/// Sets up the two endpoints of a party, one for each direction, with one thread and one channel for the extension of
/// both, so that it overlaps with other work: see [`OtSender::prefetch`]. Both parties must do it, and one of them
/// `sends_first`. Base OTs run over the lane in the caller's thread.
///
/// The thread does what is ordered in the order in which it is ordered, in either direction; both parties must order
/// alike. It counts its traffic and its CPU time as [`METER_LABEL`], in the phase in which the order was given. It ends
/// when both endpoints are dropped, or after an error, which the next call of either endpoint reports.
///
/// # Errors
/// If the connection fails, the peer is caught deviating, or the system refuses a thread.
pub fn setup_on_lane(
    mut lane: Channel,
    sends_first: bool,
    rng: &mut impl CryptoRng,
    config: &OtConfig,
) -> Result<(OtSender, OtReceiver)> {
    let ch = &mut lane;
    let (sender, receiver) = if sends_first {
        let sender = SenderEngine::setup(ch, rng, config)?;
        (sender, ReceiverEngine::setup(ch, rng, config)?)
    } else {
        let receiver = ReceiverEngine::setup(ch, rng, config)?;
        (SenderEngine::setup(ch, rng, config)?, receiver)
    };
    let ((sender, delta, sender_hash), (receiver, receiver_hash)) = (sender, receiver);
    let meter = lane.meter().clone();
    let (orders, incoming) = channel();
    let fault = Fault::default();
    let (out_s, from_s) = channel();
    let (out_r, from_r) = channel();
    let (spares_s, spare_s) = sync_channel(MOST_SPARES);
    let (spares_r, spare_r) = sync_channel(MOST_SPARES);
    let worker = Worker {
        sender: Line { engine: sender, deliveries: out_s, spares: spare_s },
        receiver: Line { engine: receiver, deliveries: out_r, spares: spare_r },
        config: *config,
        meter: meter.background(),
        lane,
        fault: fault.clone(),
    };
    std::thread::Builder::new()
        .name("ot-lane".to_owned())
        .spawn(move || worker.run(&incoming))
        .map_err(|source| si_wire::Error::Io { what: "starting a lane for OTs".to_owned(), source })?;
    let end = |direction, deliveries, spares| LaneEnd {
        direction,
        orders: orders.clone(),
        deliveries,
        spares,
        meter: meter.clone(),
        fault: fault.clone(),
    };
    Ok((
        OtSender::new(delta, sender_hash, Source::lane(end(Direction::Send, from_s, spares_s), *config)),
        OtReceiver::new(receiver_hash, Source::lane(end(Direction::Receive, from_r, spares_r), *config)),
    ))
}

/// Emptied buffers of a direction that wait for the next order; others are given back to the system (local).
const MOST_SPARES: usize = 4;

/// Which of a party's two endpoints.
#[derive(Clone, Copy)]
enum Direction {
    Send,
    Receive,
}

struct Order {
    direction: Direction,
    n: usize,
    phase: Phase,
}

/// What ended the thread, for whichever endpoint asks first.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<Option<Error>>>);

/// An endpoint's end of a lane.
pub(crate) struct LaneEnd {
    direction: Direction,
    orders: Sender<Order>,
    deliveries: Receiver<Buffer>,
    /// Emptied buffers go back: their memory is used again.
    spares: SyncSender<Buffer>,
    meter: Meter,
    fault: Fault,
}

impl LaneEnd {
    /// Orders `n` OTs.
    pub(crate) fn order(&self, n: usize) {
        let order = Order { direction: self.direction, n, phase: self.meter.phase() };
        // If the thread has ended, the next delivery says why.
        let _ = self.orders.send(order);
    }

    /// Waits for the next order to be done and adds it to the stock.
    pub(crate) fn collect(&self, stock: &mut Buffer) -> Result<()> {
        let Ok(mut made) = self.deliveries.recv() else {
            let fault = self.fault.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(fault.unwrap_or(Error::Ended));
        };
        stock.append(&mut made)?;
        // Where it is not wanted, it is wiped.
        let _ = self.spares.try_send(made);
        Ok(())
    }
}

struct Line<E> {
    engine: E,
    deliveries: Sender<Buffer>,
    spares: Receiver<Buffer>,
}

impl<E: Engine> Line<E> {
    fn make(&mut self, ch: &mut Channel, config: &OtConfig, n: usize) -> Result<Buffer> {
        let mut out = self.spares.try_recv().unwrap_or_default();
        self.engine.extend(ch, config, n, &mut out)?;
        Ok(out)
    }
}

struct Worker {
    sender: Line<SenderEngine>,
    receiver: Line<ReceiverEngine>,
    config: OtConfig,
    meter: Meter,
    lane: Channel,
    fault: Fault,
}

impl Worker {
    /// Until nobody orders any more, or something goes wrong: then the fault is written down before the deliveries end.
    fn run(mut self, orders: &Receiver<Order>) {
        self.lane.set_meter(self.meter.clone());
        for Order { direction, n, phase } in orders {
            let made = {
                let _scope = self.meter.enter(phase, METER_LABEL);
                match direction {
                    Direction::Send => self.sender.make(&mut self.lane, &self.config, n),
                    Direction::Receive => self.receiver.make(&mut self.lane, &self.config, n),
                }
            };
            let delivered = made.map(|made| match direction {
                Direction::Send => self.sender.deliveries.send(made).is_ok(),
                Direction::Receive => self.receiver.deliveries.send(made).is_ok(),
            });
            match delivered {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => {
                    *self.fault.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                    return;
                }
            }
        }
    }
}
