//! Ways to cheat, for tests that see them caught.

/// How a party deviates from the protocol. *Insecure*: nobody but a test of the checks wants this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsecureDeviation {
    /// Client: an input is no codeword at so many virtual servers.
    InputCodeword(usize),
    /// Client: queries of so many servers are not what their seeds give.
    Query(usize),
    /// Client: an input differs from neuron to neuron.
    UnequalInput,
    /// Server: a weight is no codeword at so many servers.
    WeightCodeword(usize),
    /// Server: evaluations at so many servers are with another weight than committed.
    EvaluationInput(usize),
    /// Server: its shares of products are no codeword at so many servers.
    ShareCodeword(usize),
    /// Server: answers of so many servers are not what their seeds give.
    Answer(usize),
    /// Server: queries of a block meet different weights.
    UnequalWeight,
    /// Server: it gives another answer than it computed.
    OtherAnswer,
    /// Either: bits are no codeword at so many servers.
    BitCodeword(usize),
    /// Either: a bit is 2.
    NotABit,
    /// Either: bits of another number.
    OtherBits,
    /// Either: another value goes into the next layer than came out of the one before.
    ChangedBetweenLayers,
    /// Either: another value is squared.
    ChangedSquare,
    /// Either: a wrong coefficient in a proof.
    Proof,
    /// Either: it goes away in the middle.
    EarlyAbort,
}
