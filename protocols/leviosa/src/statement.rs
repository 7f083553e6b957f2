//! What each party proves about its codewords, in terms of their shares: the prover computes it with all shares, the verifier with those
//! that it watches.

use crate::bits;
use crate::checks::{Sum, View};
use crate::columns::{Columns, Opened, Row};
use crate::network::{Network, Step};

/// Between which slots of a block elements are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Equal {
    /// Neurons of the same query.
    Neurons,
    /// Queries, for the same neuron.
    Queries,
}

/// For all k and q: value k of query q minus the element of row k for query q, in the slot of neuron 0, is the shift of k and q; or
/// minus it, if `minus`.
pub(crate) struct Link<'a> {
    pub(crate) values: Row,
    pub(crate) rows: &'a [Row],
    /// At q * width + k; zeros beyond its end.
    pub(crate) shifts: &'a [u64],
    pub(crate) minus: bool,
}

/// Claims about codewords.
#[derive(Default)]
pub(crate) struct Statement<'a> {
    /// Codewords of the narrow code.
    pub(crate) narrow: Vec<&'a Row>,
    /// Codewords of the wide code.
    pub(crate) wide: Vec<&'a Row>,
    /// Combinations of codewords, products included, whose blocks are zero.
    pub(crate) zeros: Vec<Row>,
    /// Codewords whose blocks are of zeros and ones.
    pub(crate) bits: Vec<&'a Row>,
    pub(crate) equal: Vec<(Equal, Vec<&'a Row>)>,
    pub(crate) links: Vec<Link<'a>>,
}

/// The client's first: its inputs and masks are codewords, each element is in all slots of its query, and those of queries have as many
/// bits as they may. It must hold before an evaluation is answered, for an answer at a word that is no codeword says something
/// about the server's.
pub(crate) fn client_inputs<'a>(view: &View<'_>, network: &Network, columns: &'a Columns) -> Statement<'a> {
    let inputs: Vec<&Row> = columns.inputs.iter().flatten().flatten().collect();
    let bits: Vec<&Row> = columns.query_bits.iter().flatten().collect();
    let narrow = inputs.iter().chain(&bits).copied().chain(columns.pads.iter().flatten()).collect();
    let weights = bits::signed_weights(view.code.field(), network.query_bits);
    let links = (columns.query_bits.iter().zip(&columns.inputs[0]))
        .flat_map(|(bits, inputs)| bits.chunks(network.query_bits).zip(inputs.chunks(network.width)))
        .map(|(bits, rows)| Link { values: weighted(view, bits, &weights), rows, shifts: &[], minus: false })
        .collect();
    Statement { narrow, bits, equal: vec![(Equal::Neurons, inputs)], links, ..Statement::default() }
}

/// The client's second: what it computed from its masks and the evaluations' answers, and what it sent.
pub(crate) fn client<'a>(
    view: &View<'_>,
    network: &Network,
    columns: &'a Columns,
    opened: &'a Opened,
) -> Statement<'a> {
    let field = view.code.field();
    let mut statement = Statement::default();
    with_bits(&mut statement, columns);
    for group in 0..opened.groups() {
        let mut share = Shared::default();
        for (step, _) in &network.steps {
            match *step {
                Step::Fc(l) => {
                    if l > 0 {
                        let shifts = &opened.shifts[l][group];
                        let rows = &columns.inputs[l][group];
                        statement.links.push(Link { values: share.narrow.clone(), rows, shifts, minus: false });
                    }
                    share.wide = columns.shares[l][group].clone();
                }
                Step::Square(s) => {
                    let pad = &columns.pads[s][group];
                    let (own, other) = (view.public(&opened.client[s][group]), view.public(&opened.server[s][group]));
                    statement.zeros.push(minus(view, &own, &share.narrow, pad));
                    // (own + pad) * other + what was evaluated, twice, and the square of our own.
                    let sum: Row = own.iter().zip(pad).map(|(&x, &y)| field.add(x, y)).collect();
                    let mut cross = Sum::new(view.len());
                    cross.add_products(&sum, &other);
                    cross.add(&columns.square_shares[s][group]);
                    share.square(view, cross);
                }
                Step::Rescale(t) => {
                    let offset = view.public(&opened.offsets[t][group]);
                    let bits = &columns.bits[t][group];
                    let zero = weighted(view, bits, &bits::weights(field));
                    let shifted: Row = share.wide.iter().zip(&offset).map(|(&y, &c)| field.add(y, c)).collect();
                    statement.zeros.push(zero.iter().zip(&shifted).map(|(&z, &y)| field.sub(z, y)).collect());
                    share.narrow = weighted(view, bits, &bits::high_weights(field, network.rescales[t]));
                }
            }
        }
    }
    statement
}

/// The server's: its model is a codeword and the same for all queries; what it computed and sent follows from it.
pub(crate) fn server<'a>(
    view: &View<'_>,
    network: &Network,
    columns: &'a Columns,
    opened: &'a Opened,
) -> Statement<'a> {
    let field = view.code.field();
    let mut statement = Statement::default();
    with_bits(&mut statement, columns);
    let model: Vec<&Row> = columns.weights.iter().flatten().chain(&columns.bias).collect();
    let inputs: Vec<&Row> = columns.inputs.iter().flatten().flatten().collect();
    statement.narrow.extend(model.iter().chain(&inputs));
    statement.narrow.extend(columns.pads.iter().flatten());
    statement.wide.extend(columns.shares.iter().flatten().chain(columns.square_shares.iter().flatten()));
    statement.equal = vec![(Equal::Queries, model), (Equal::Neurons, inputs)];
    for group in 0..opened.groups() {
        let mut share = Shared::default();
        for (step, _) in &network.steps {
            match *step {
                Step::Fc(l) => {
                    let mut sum = Sum::new(view.len());
                    sum.add(&columns.bias[l]);
                    sum.add_scaled(&columns.shares[l][group], field.prime() - 1);
                    if l > 0 {
                        let (rows, shifts) = (&columns.inputs[l][group], &opened.shifts[l][group]);
                        let values = share.narrow.clone();
                        statement.links.push(Link { values, rows, shifts, minus: true });
                        columns.weights[l].iter().zip(rows).for_each(|(w, x)| sum.add_products(w, x));
                    }
                    share.wide = sum.finish(field);
                }
                Step::Square(s) => {
                    let pad = &columns.pads[s][group];
                    let (own, other) = (view.public(&opened.server[s][group]), view.public(&opened.client[s][group]));
                    statement.zeros.push(minus(view, &own, &share.narrow, pad));
                    let mut cross = Sum::new(view.len());
                    cross.add_products(&other, pad);
                    cross.add_scaled(&columns.square_shares[s][group], field.prime() - 1);
                    share.square(view, cross);
                }
                Step::Rescale(t) => {
                    let f = network.rescales[t];
                    let offset = view.public(&opened.offsets[t][group]);
                    let bits = &columns.bits[t][group];
                    let sum = weighted(view, bits, &bits::weights(field));
                    // The bits are those of 2^f - 1 - (y - offset).
                    let zero = sum
                        .iter()
                        .zip(&share.wide)
                        .zip(&offset)
                        .map(|((&b, &y), &c)| field.sub(field.add(b, field.sub(y, c)), (1 << f) - 1));
                    statement.zeros.push(zero.collect());
                    let high = weighted(view, bits, &bits::high_weights(field, f));
                    share.narrow = high.iter().map(|&h| field.neg(h)).collect();
                }
            }
        }
        let answer = view.public(&opened.answer[group]);
        statement.zeros.push(answer.iter().zip(&share.narrow).map(|(&a, &z)| field.sub(a, z)).collect());
    }
    statement
}

/// One party's shares of the value that a group has come to.
#[derive(Default)]
struct Shared {
    /// Before a rescale: a polynomial of degree below w.
    wide: Row,
    /// After it: of degree below k.
    narrow: Row,
}

impl Shared {
    /// wide = narrow^2 + 2 cross.
    fn square(&mut self, view: &View<'_>, cross: Sum) {
        let field = view.code.field();
        let cross = cross.finish(field);
        self.wide = (self.narrow.iter().zip(cross)).map(|(&z, c)| field.mul_add(field.add(c, c), z, z)).collect();
    }
}

fn with_bits<'a>(statement: &mut Statement<'a>, columns: &'a Columns) {
    statement.bits = columns.bits.iter().flatten().flatten().collect();
    statement.narrow.extend(&statement.bits);
}

/// opened - (value - pad).
fn minus(view: &View<'_>, opened: &[u64], value: &[u64], pad: &[u64]) -> Row {
    let field = view.code.field();
    opened.iter().zip(value).zip(pad).map(|((&d, &z), &r)| field.add(field.sub(d, z), r)).collect()
}

fn weighted(view: &View<'_>, rows: &[Row], weights: &[u64]) -> Row {
    let mut sum = Sum::new(view.len());
    rows.iter().zip(weights).for_each(|(row, &w)| sum.add_scaled(row, w));
    sum.finish(view.code.field())
}
