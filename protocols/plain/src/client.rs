//! The client's side: it sends the queries, then waits for the answers. Its shares are zeros.

use ndarray::{Array2, Array3, Array4};
use si_api::{Channel, Error, Graph, Kernels, Result, Role, Share};
use si_ring::{pack, packed_len, unpack};

use crate::protocol::LABEL_BYTES;

/// The client's operators.
pub(crate) struct PlainClient {
    channel: Channel,
}

impl PlainClient {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }
}

/// A share of zeros with the shape of a value. The allocator hands out untouched pages, so this costs next to nothing.
fn zeros(graph: &Graph, value: usize, n: usize) -> Share {
    let [c, h, w] = graph.shape(value);
    Share(Array4::zeros((n, c, h, w)))
}

fn malformed(what: &str, why: String) -> Error {
    Error::Malformed { peer: Role::Server(0), what: what.to_owned(), why }
}

impl Kernels for PlainClient {
    fn offline(&mut self, _graph: &Graph, _n: usize) -> Result<()> {
        Ok(())
    }

    /// One message a query: its numbers as ring elements, l bits each, packed.
    fn input(&mut self, graph: &Graph, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        let ring = graph.ring();
        let queries = queries.ok_or_else(|| Error::invalid("the client has no queries"))?;
        let mut bytes = Vec::new();
        for query in queries {
            let words: Vec<u64> = query.iter().map(|x| ring.from_signed(*x)).collect();
            bytes.clear();
            pack(&words, ring.bits(), &mut bytes);
            self.channel.send(&bytes)?;
        }
        self.channel.flush()?;
        Ok(zeros(graph, 0, n))
    }

    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        Ok(zeros(graph, index + 1, x.batch()))
    }

    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        Ok(zeros(graph, index + 1, x.batch()))
    }

    fn relu(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        Ok(zeros(graph, index + 1, x.batch()))
    }

    fn square(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        Ok(zeros(graph, index + 1, x.batch()))
    }

    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        Ok(zeros(graph, index + 1, x.batch()))
    }

    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        Ok(zeros(graph, index + 1, x.batch()))
    }

    fn add(&mut self, graph: &Graph, index: usize, x: &Share, _y: &Share) -> Result<Share> {
        Ok(zeros(graph, index + 1, x.batch()))
    }

    fn concat(&mut self, graph: &Graph, index: usize, parts: &[&Share]) -> Result<Share> {
        let n = parts.first().map_or(0, |p| p.batch());
        Ok(zeros(graph, index + 1, n))
    }

    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>> {
        let (n, classes, ring) = (scores.batch(), graph.classes(), graph.ring());
        let mut opened = Vec::with_capacity(n * classes);
        for _ in 0..n {
            let bytes = self.channel.recv_exact("scores", packed_len(classes, ring.bits()))?;
            let words = unpack(&bytes, classes, ring.bits()).map_err(|e| malformed("scores", e.to_string()))?;
            opened.extend(words.into_iter().map(|w| ring.to_signed(w)));
        }
        Array2::from_shape_vec((n, classes), opened).map(Some).map_err(|e| Error::invalid(format!("scores: {e}")))
    }

    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>> {
        let classes = graph.classes();
        let mut labels = Vec::with_capacity(scores.batch());
        for _ in 0..scores.batch() {
            let bytes = self.channel.recv_exact("label", LABEL_BYTES)?;
            let label = bytes.iter().rev().fold(0, |label, byte| label << 8 | usize::from(*byte));
            if label >= classes {
                return Err(malformed("label", format!("{label}, where there are {classes} classes")));
            }
            labels.push(label);
        }
        Ok(Some(labels))
    }
}
