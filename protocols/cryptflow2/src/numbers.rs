//! What values are shared over, and the operators there.

use si_api::{Error, Graph, Op, Result};
use si_gadgets::{Engine, Field, Known, Tally};
use si_ring::Ring;

/// The ring of the OT variant, or the field of the HE variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Z_2^l.
    Ring(Ring),
    /// Z_p.
    Field(Field),
}

impl Numbers {
    /// Refuses a graph whose values do not fit: truncation compares all bits, and a maximum compares differences.
    pub(crate) fn check(self, graph: &Graph) -> Result<()> {
        // Any p of l bits is above 2^(l-1): numbers of l - 1 signed bits are below p / 2.
        let (bits, most) = match self {
            Self::Ring(r) => (r.bits().min(63), r.bits()),
            Self::Field(f) => (f.bits(), f.bits() - 1),
        };
        if graph.ring().bits() > bits {
            return Err(Error::invalid(format!(
                "{}: a ring of {} bits where shares of at most {bits} are compared",
                graph.name(),
                graph.ring().bits()
            )));
        }
        for node in graph.nodes() {
            let needed = node.signed_bits + u32::from(matches!(node.op, Op::MaxPool { .. }));
            if needed > most {
                return Err(Error::invalid(format!(
                    "node '{}' needs {needed} signed bits, its shares have {most}: use a larger ring or a smaller scale",
                    node.name
                )));
            }
        }
        Ok(())
    }

    /// 2^l or p.
    pub(crate) fn modulus(self) -> u128 {
        match self {
            Self::Ring(r) => 1 << r.bits(),
            Self::Field(f) => f.p().into(),
        }
    }

    /// The element that stands for a signed number.
    pub(crate) fn element(self, x: i64) -> u64 {
        match self {
            Self::Ring(r) => r.from_signed(x),
            Self::Field(f) => f.from_signed(x),
        }
    }

    /// The signed number that an element stands for.
    pub(crate) fn to_signed(self, x: u64) -> i64 {
        match self {
            Self::Ring(r) => r.to_signed(x),
            Self::Field(f) => f.to_signed(x),
        }
    }

    /// a + b.
    pub(crate) fn add(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Ring(r) => r.add(a, b),
            Self::Field(f) => f.add(a, b),
        }
    }

    /// A sum of elements, not reduced, times an element.
    pub(crate) fn scale_sum(self, sum: u64, factor: u64) -> u64 {
        match self {
            Self::Ring(r) => r.mul(sum, factor),
            Self::Field(f) => f.mul(f.reduce(sum.into()), factor),
        }
    }

    pub(crate) fn relu(self, e: &mut Engine, x: &[u64]) -> si_gadgets::Result<Vec<u64>> {
        match self {
            Self::Ring(r) => e.relu(x, r, r.bits()),
            Self::Field(f) => e.field_relu(x, f),
        }
    }

    pub(crate) fn truncate(self, e: &mut Engine, x: &[u64], drop: u32, known: Known) -> si_gadgets::Result<Vec<u64>> {
        match self {
            Self::Ring(r) => e.truncate(x, r, drop, known),
            Self::Field(f) => e.field_truncate(x, f, drop, known),
        }
    }

    pub(crate) fn max(self, e: &mut Engine, candidates: Vec<Vec<u64>>) -> si_gadgets::Result<Vec<u64>> {
        match self {
            Self::Ring(r) => e.max(candidates, r, r.bits() - 1),
            Self::Field(f) => e.field_max(candidates, f),
        }
    }

    pub(crate) fn argmax(self, e: &mut Engine, candidates: Vec<Vec<u64>>) -> si_gadgets::Result<Option<Vec<usize>>> {
        match self {
            Self::Ring(r) => e.argmax(candidates, r, r.bits() - 1),
            Self::Field(f) => e.field_argmax(candidates, f),
        }
    }

    pub(crate) fn open_to_client(self, e: &mut Engine, x: &[u64]) -> si_gadgets::Result<Option<Vec<u64>>> {
        match self {
            Self::Ring(r) => e.open_to_client(x, r),
            Self::Field(f) => e.field_open_to_client(x, f),
        }
    }

    pub(crate) fn declare_relu(self, t: &mut Tally, n: usize) {
        match self {
            Self::Ring(r) => t.relu(n, r.bits(), r.bits()),
            Self::Field(f) => t.field_relu(n, f),
        }
    }

    pub(crate) fn declare_truncate(self, t: &mut Tally, n: usize, drop: u32, known: Known) {
        match self {
            Self::Ring(r) => t.truncate(n, r.bits(), drop, known),
            Self::Field(f) => t.field_truncate(n, f, drop, known),
        }
    }

    pub(crate) fn declare_max(self, t: &mut Tally, n: usize, candidates: usize) {
        match self {
            Self::Ring(r) => t.max(n, candidates, r.bits(), r.bits() - 1),
            Self::Field(f) => t.field_max(n, candidates, f),
        }
    }

    pub(crate) fn declare_argmax(self, t: &mut Tally, n: usize, candidates: usize) {
        match self {
            Self::Ring(r) => t.argmax(n, candidates, r.bits(), r.bits() - 1),
            Self::Field(f) => t.field_argmax(n, candidates, f),
        }
    }

    pub(crate) fn declare_open(self, t: &mut Tally, n: usize) {
        match self {
            Self::Ring(r) => t.open_to_client(n, r.bits()),
            Self::Field(f) => t.field_open_to_client(n, f),
        }
    }
}
