//! Weights transformed ahead of their use by one more thread, while the server waits for the network or its peer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::mac::Weights;
use crate::plan::LinearPlan;
use crate::weights::{ChunkPlace, EncodedWeights};

/// A layer whose deferred weights are to be transformed ahead.
pub struct LayerAhead {
    /// Its plan.
    pub plan: LinearPlan,
    /// Its weights: the same object that the layer is answered with.
    pub weights: Arc<EncodedWeights>,
    /// As many queries are answered together, and the weights are transformed once for them.
    pub together: usize,
}

/// A thread that transforms the weights of layers in the order of their use, within a bound of memory.
///
/// Whoever answers takes what is ready, waits for what is in the making, and transforms itself what the thread has not begun,
/// so the thread is never waited for longer than one chunk takes (64 polynomials, up to 512 short ones). An answer does not depend on who
/// transformed the weights. If layers are used in another order, the thread ends and everything is transformed at its use.
///
/// Dropping it ends the thread after the chunk at hand.
pub struct WeightsAhead {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    layers: Vec<LayerAhead>,
    /// Chunks that may wait to be used.
    most_ready: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// A chunk of one of the layers.
type Place = (usize, ChunkPlace);

#[derive(Default)]
struct State {
    /// Layers whose places have been listed.
    listed: usize,
    /// What nobody has begun, of the layer listed last.
    places: VecDeque<Place>,
    making: Option<Place>,
    ready: VecDeque<(Place, Weights)>,
    /// Memory of chunks that were used.
    free: Vec<Weights>,
    stopped: bool,
}

impl State {
    /// The place that is due next.
    fn peek(&mut self, layers: &[LayerAhead]) -> Option<Place> {
        while self.places.is_empty() {
            let (index, layer) = (self.listed, layers.get(self.listed)?);
            self.places.extend(layer.plan.chunk_places(layer.together).into_iter().map(|place| (index, place)));
            self.listed += 1;
        }
        self.places.front().copied()
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.making = None;
        self.ready.clear();
        self.free.clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.lock().stop();
        self.changed.notify_all();
    }

    /// The thread.
    fn work(&self) {
        // Also if it panics: nobody may wait for it then.
        let _stop = StopOnPanic(self);
        loop {
            let mut state = self.lock();
            let (index, place) = loop {
                if state.stopped {
                    return;
                }
                let Some(next) = state.peek(&self.layers) else { return };
                if state.ready.len() < self.most_ready {
                    break next;
                }
                state = self.wait(state);
            };
            state.places.pop_front();
            state.making = Some((index, place));
            let memory = state.free.pop();
            drop(state);

            let LayerAhead { plan, weights, .. } = &self.layers[index];
            let mut chunk = memory.unwrap_or_else(|| Weights::new(plan.params(), 1, 0, 0));
            plan.transform_chunk(weights, place, &mut chunk);

            let mut state = self.lock();
            if state.stopped {
                return;
            }
            state.making = None;
            state.ready.push_back(((index, place), chunk));
            self.changed.notify_all();
        }
    }
}

struct StopOnPanic<'a>(&'a Shared);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl WeightsAhead {
    /// Starts the thread; at most `most_bytes` of transformed weights wait for their use (and two chunks of 4 or 16 MiB each).
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub fn spawn(layers: Vec<LayerAhead>, most_bytes: usize) -> std::io::Result<Self> {
        let chunk_bytes = layers.iter().map(|l| l.plan.chunk_bytes(l.together)).max().unwrap_or(1);
        let most_ready = (most_bytes / chunk_bytes).max(1);
        let shared = Arc::new(Shared { layers, most_ready, state: Mutex::default(), changed: Condvar::new() });
        let thread = std::thread::Builder::new().name("weights-ahead".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.work()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Whether the next chunk is one of these weights.
    #[must_use]
    pub fn expects(&self, weights: &EncodedWeights) -> bool {
        let mut state = self.shared.lock();
        let next = state.ready.front().map(|(place, _)| *place).or(state.making);
        let next = next.or_else(|| state.peek(&self.shared.layers));
        !state.stopped && next.is_some_and(|(index, _)| std::ptr::eq(&*self.shared.layers[index].weights, weights))
    }

    /// The next chunk, which must be this one; nothing if the caller had better transform it itself.
    pub(crate) fn take(&self, weights: &EncodedWeights, place: ChunkPlace) -> Option<Weights> {
        let layers = &self.shared.layers;
        let wanted = |p: Place| p.1 == place && std::ptr::eq(&*layers[p.0].weights, weights);
        let mut state = self.shared.lock();
        while !state.stopped {
            let next = state.ready.front().map(|(place, _)| *place).or(state.making);
            match next.or_else(|| state.peek(layers)) {
                Some(next) if wanted(next) => {}
                _ => {
                    state.stop();
                    break;
                }
            }
            if let Some((_, chunk)) = state.ready.pop_front() {
                self.shared.changed.notify_all();
                return Some(chunk);
            }
            if state.making.is_none() {
                state.places.pop_front();
                return None;
            }
            state = self.shared.wait(state);
        }
        self.shared.changed.notify_all();
        None
    }

    /// The memory of a chunk that was taken and used.
    pub(crate) fn give_back(&self, chunk: Weights) {
        let mut state = self.shared.lock();
        if !state.stopped {
            state.free.push(chunk);
        }
    }
}

impl Drop for WeightsAhead {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // It only fails if the thread panicked, which was reported then.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Layer;
    use crate::params::Params;
    use crate::plan::CostWeights;

    fn layers(count: usize) -> Vec<LayerAhead> {
        let params = Params::for_ring(37).unwrap();
        // Two chunks of answers, two of ciphertexts.
        let layer = Layer::fully_connected(1, 40_000, 10);
        let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
        let weights = |k| (0..plan.weight_len() as i64).map(|i| (i * i + k) % 100).collect::<Vec<_>>();
        let one = |k| {
            let weights = Arc::new(plan.defer_weights(&weights(k)).unwrap());
            LayerAhead { plan: plan.clone(), weights, together: 1 }
        };
        (0..count as i64).map(one).collect()
    }

    /// Takes everything of a layer; how many chunks came from the thread, and whether they are right.
    fn use_layer(ahead: &WeightsAhead, layer: &LayerAhead) -> (usize, bool) {
        let (mut taken, mut right) = (0, true);
        for place in layer.plan.chunk_places(layer.together) {
            let Some(chunk) = ahead.take(&layer.weights, place) else { continue };
            let mut expected = Weights::new(layer.plan.params(), 1, 0, 0);
            layer.plan.transform_chunk(&layer.weights, place, &mut expected);
            right &= chunk == expected;
            taken += 1;
            ahead.give_back(chunk);
        }
        (taken, right)
    }

    #[test]
    fn chunks_come_in_order_and_only_for_their_layer() {
        let all = layers(3);
        let [first, second, third] = [0, 1, 2].map(|i| LayerAhead {
            plan: all[i].plan.clone(),
            weights: Arc::clone(&all[i].weights),
            together: 1,
        });
        assert!(first.plan.chunk_places(1).len() > 1);
        let ahead = WeightsAhead::spawn(all, usize::MAX).unwrap();
        assert!(ahead.expects(&first.weights) && !ahead.expects(&second.weights));
        assert!(use_layer(&ahead, &first).1);
        assert!(ahead.expects(&second.weights));
        // The same shape, other weights: the thread ends, and what it has made for the second layer is not used.
        assert_eq!(use_layer(&ahead, &third), (0, true));
        assert!(!ahead.expects(&second.weights) && !ahead.expects(&third.weights));
        assert_eq!(use_layer(&ahead, &second), (0, true));
    }

    #[test]
    fn the_bound_holds_and_a_thread_that_waits_ends_when_dropped() {
        let all = layers(3);
        let first = Arc::clone(&all[0].weights);
        let ahead = WeightsAhead::spawn(all, 0).unwrap();
        // One chunk is the least there can be.
        let mut state = ahead.shared.lock();
        while state.ready.is_empty() {
            state = ahead.shared.wait(state);
        }
        drop(state);
        assert!(ahead.expects(&first));
        assert_eq!(ahead.shared.lock().ready.len(), 1);
        drop(ahead);
    }
}
