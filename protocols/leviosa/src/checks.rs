//! The interleaved checks of Ligero on one party's committed codewords, prover and verifier: that they are codewords, that relations
//! among them hold slot by slot, and that linear relations across slots hold. The prover combines all shares, the verifier only
//! those that it watches, by the same code; the combined polynomials are masked and sent.

use rand::CryptoRng;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::field::Field;

use crate::code::Code;
use crate::columns::Row;
use crate::network::Geometry;
use crate::parameters::REPETITIONS;
use crate::statement::{Equal, Statement};

/// Bytes of a challenge.
pub(crate) const CHALLENGE_BYTES: usize = 32;

/// Codewords that hide the combinations of one repetition of one check.
pub(crate) struct Masks {
    /// Narrow, random.
    degree: Row,
    /// Wide, random.
    wide: Row,
    /// Wide, of a block of zeros.
    slots: Row,
    /// Wide, of a block that adds up to zero.
    linear: Row,
}

impl Masks {
    pub(crate) const ROWS: usize = 4;

    pub(crate) fn new(code: &Code, rng: &mut impl CryptoRng) -> Self {
        let (narrow, wide) = (code.parameters().threshold, code.parameters().wide());
        let (field, slots) = (code.field(), code.parameters().slots);
        let mut block: Vec<u64> = (0..slots).map(|_| field.random(rng)).collect();
        let sum = block[1..].iter().fold(0, |sum, &x| field.add(sum, x));
        block[0] = field.neg(sum);
        Self {
            degree: code.random(narrow, rng),
            wide: code.random(wide, rng),
            slots: code.encode(&vec![0; slots], wide, rng),
            linear: code.encode(&block, wide, rng),
        }
    }

    pub(crate) fn rows(&self) -> [&[u64]; Self::ROWS] {
        [&self.degree, &self.wide, &self.slots, &self.linear]
    }

    pub(crate) fn take(rows: &mut impl Iterator<Item = Row>) -> Self {
        let mut next = || rows.next().unwrap_or_default();
        Self { degree: next(), wide: next(), slots: next(), linear: next() }
    }
}

/// All virtual servers, or those watched.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) code: &'a Code,
    pub(crate) watched: Option<&'a [usize]>,
}

impl View<'_> {
    /// Number of virtual servers seen.
    pub(crate) fn len(&self) -> usize {
        self.watched.map_or(self.code.parameters().servers, <[usize]>::len)
    }

    fn select(&self, values: Row) -> Row {
        match self.watched {
            None => values,
            Some(servers) => servers.iter().map(|&i| values[i]).collect(),
        }
    }

    /// Shares of a public block.
    pub(crate) fn public(&self, block: &[u64]) -> Row {
        self.select(self.code.public(block))
    }

    /// Values of a polynomial.
    fn values(&self, coefficients: &[u64]) -> Row {
        self.select(self.code.values(coefficients))
    }
}

/// A sum of products that is reduced once: of fewer than 2^28 products of elements below 2^50.
pub(crate) struct Sum(Vec<u128>);

impl Sum {
    pub(crate) fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    /// += row.
    pub(crate) fn add(&mut self, row: &[u64]) {
        self.0.iter_mut().zip(row).for_each(|(sum, &x)| *sum += u128::from(x));
    }

    /// += factor * row.
    pub(crate) fn add_scaled(&mut self, row: &[u64], factor: u64) {
        self.0.iter_mut().zip(row).for_each(|(sum, &x)| *sum += u128::from(x) * u128::from(factor));
    }

    /// += x * y, element by element.
    pub(crate) fn add_products(&mut self, x: &[u64], y: &[u64]) {
        self.0.iter_mut().zip(x).zip(y).for_each(|((sum, &x), &y)| *sum += u128::from(x) * u128::from(y));
    }

    pub(crate) fn finish(self, field: Field) -> Row {
        self.0.into_iter().map(|sum| field.reduce(sum)).collect()
    }
}

/// The combined shares of one repetition, and what the slots of the last add up to.
struct Combined {
    /// Degree (narrow), degree (wide), slots, linear.
    rows: [Row; 4],
    total: u64,
}

fn combine(
    view: &View<'_>,
    geometry: &Geometry,
    statement: &Statement<'_>,
    masks: &Masks,
    rng: &mut ChaCha20Rng,
) -> Combined {
    let field = view.code.field();
    let mut sums: [Sum; 4] = std::array::from_fn(|_| Sum::new(view.len()));
    let [degree, wide, slots, linear] = &mut sums;
    degree.add(&masks.degree);
    wide.add(&masks.wide);
    slots.add(&masks.slots);
    linear.add(&masks.linear);
    wide.add_scaled(&masks.slots, field.random(rng));
    wide.add_scaled(&masks.linear, field.random(rng));
    statement.narrow.iter().for_each(|row| degree.add_scaled(row, field.random(rng)));
    statement.wide.iter().for_each(|row| wide.add_scaled(row, field.random(rng)));
    statement.zeros.iter().for_each(|row| slots.add_scaled(row, field.random(rng)));
    for row in &statement.bits {
        let factor = field.random(rng);
        let products: Row = row.iter().map(|&b| field.mul(b, field.sub(b, 1))).collect();
        slots.add_scaled(&products, factor);
    }
    for (equal, rows) in &statement.equal {
        // Factors that cancel out where elements are equal, the same for all rows but for a factor a row.
        let random: Vec<u64> = (0..geometry.slots()).map(|_| field.random(rng)).collect();
        let at = |j: usize, q: usize| random[q * geometry.width + j];
        let sum = |values: &mut dyn Iterator<Item = u64>| field.neg(values.fold(0, |s, x| field.add(s, x)));
        let block = geometry.block(|j, q| match equal {
            Equal::Neurons if j == 0 => sum(&mut (1..geometry.width).map(|j| at(j, q))),
            Equal::Queries if q == 0 => sum(&mut (1..geometry.queries).map(|q| at(j, q))),
            _ => at(j, q),
        });
        let mut all = Sum::new(view.len());
        rows.iter().for_each(|row| all.add_scaled(row, field.random(rng)));
        linear.add_products(&all.finish(field), &view.public(&block));
    }
    let mut total = 0;
    for link in &statement.links {
        let of_rows: Vec<u64> = link.rows.iter().map(|_| field.random(rng)).collect();
        let of_queries: Vec<u64> = (0..geometry.queries).map(|_| field.random(rng)).collect();
        let sign = |x: u64| if link.minus { field.neg(x) } else { x };
        let values = geometry.block(|j, q| of_rows.get(j).map_or(0, |&a| sign(field.mul(a, of_queries[q]))));
        let firsts = geometry.block(|j, q| if j == 0 { field.neg(sign(of_queries[q])) } else { 0 });
        linear.add_products(&link.values, &view.public(&values));
        let mut all = Sum::new(view.len());
        link.rows.iter().zip(&of_rows).for_each(|(row, &a)| all.add_scaled(row, a));
        linear.add_products(&all.finish(field), &view.public(&firsts));
        for (q, &b) in of_queries.iter().enumerate() {
            for (k, &a) in of_rows.iter().enumerate() {
                total = field.mul_add(total, field.mul(a, b), link.shifts[q * geometry.width + k]);
            }
        }
    }
    Combined { rows: sums.map(|sum| sum.finish(field)), total }
}

/// Degree bounds of the four combined polynomials.
fn bounds(code: &Code) -> [usize; 4] {
    let (narrow, wide) = (code.parameters().threshold, code.parameters().wide());
    [narrow, wide, wide, wide]
}

/// Bytes of a proof.
pub(crate) fn proof_bytes(code: &Code) -> usize {
    REPETITIONS * 8 * bounds(code).iter().sum::<usize>()
}

/// The prover's message: the combined polynomials of each repetition, 8 bytes a coefficient.
///
/// Zero knowledge for any challenge: masks are uniform among the polynomials that pass.
pub(crate) fn prove(
    code: &Code,
    geometry: &Geometry,
    statement: &Statement<'_>,
    masks: &[Masks],
    challenge: &[u8; CHALLENGE_BYTES],
) -> Vec<u8> {
    let view = View { code, watched: None };
    let mut rng = ChaCha20Rng::from_seed(*challenge);
    let mut message = Vec::with_capacity(proof_bytes(code));
    for masks in masks {
        let combined = combine(&view, geometry, statement, masks, &mut rng);
        for (row, bound) in combined.rows.iter().zip(bounds(code)) {
            // A prover whose words are no codewords drops what is beyond the bound, and must hope.
            code.coefficients(row)[..bound].iter().for_each(|c| message.extend(c.to_le_bytes()));
        }
    }
    message
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a coefficient is not below the prime")]
    Range,
    #[error("shares at a watched virtual server are not those of codewords of the narrow code")]
    Degree,
    #[error("shares at a watched virtual server are not those of codewords of the wide code")]
    WideDegree,
    #[error("the combined product relations do not fit the shares at a watched virtual server")]
    SlotsAtServer,
    #[error("a relation between values does not hold")]
    Slots,
    #[error("the combined linear relations do not fit the shares at a watched virtual server")]
    LinearAtServer,
    #[error("a linear relation between values does not hold")]
    Linear,
}

/// The verifier's side of [`prove`], for the shares that it watches; a proof of [`proof_bytes`].
pub(crate) fn verify(
    view: &View<'_>,
    geometry: &Geometry,
    statement: &Statement<'_>,
    masks: &[Masks],
    challenge: &[u8; CHALLENGE_BYTES],
    proof: &[u8],
) -> Result<(), Refused> {
    let (code, field) = (view.code, view.code.field());
    let words: Vec<u64> =
        (proof.chunks_exact(8)).map(|bytes| bytes.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b))).collect();
    if words.iter().any(|&c| c >= field.prime()) {
        return Err(Refused::Range);
    }
    let mut rng = ChaCha20Rng::from_seed(*challenge);
    let mut rest = &words[..];
    for masks in masks {
        let combined = combine(view, geometry, statement, masks, &mut rng);
        let why = [Refused::Degree, Refused::WideDegree, Refused::SlotsAtServer, Refused::LinearAtServer];
        let mut polynomials = [&rest[..0]; 4];
        for (((row, bound), why), polynomial) in combined.rows.iter().zip(bounds(code)).zip(why).zip(&mut polynomials) {
            (*polynomial, rest) = rest.split_at(bound);
            if view.values(polynomial) != *row {
                return Err(why);
            }
        }
        if code.block(polynomials[2]).iter().any(|&x| x != 0) {
            return Err(Refused::Slots);
        }
        if code.block(polynomials[3]).iter().fold(0, |sum, &x| field.add(sum, x)) != combined.total {
            return Err(Refused::Linear);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::{Parameters, log2_missed};
    use crate::statement::Link;
    use rand::RngExt;
    use si_rlwe::ole::PRIME;

    const TRIALS: u32 = 2000;

    /// A small code and blocks of 3 neurons and 2 queries.
    fn small() -> (Code, Geometry) {
        let field = Field::new(PRIME).unwrap();
        let geometry = Geometry::new(2, 3, 2);
        let parameters = Parameters { servers: 96, watched: 6, ..Parameters::unchecked(96, geometry.slots(), 14) };
        (Code::new(field, parameters).unwrap(), geometry)
    }

    fn watched(code: &Code, rng: &mut ChaCha20Rng) -> Vec<usize> {
        let n = code.parameters().servers;
        let mut order: Vec<usize> = (0..n).collect();
        (0..code.parameters().watched).for_each(|i| order.swap(i, rng.random_range(i..n)));
        order.truncate(code.parameters().watched);
        order
    }

    /// How often a proof about `rows` goes through, with the masks and the watchlist anew each time.
    fn passes(code: &Code, geometry: &Geometry, rows: &[Row], claim: impl Fn(&[Row]) -> Statement<'_>) -> u32 {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        // Masks and their combination are the honest ones: one proof serves all watchlists.
        let masks: Vec<Masks> = (0..REPETITIONS).map(|_| Masks::new(code, &mut rng)).collect();
        let challenge = [7; CHALLENGE_BYTES];
        let proof = prove(code, geometry, &claim(rows), &masks, &challenge);
        assert_eq!(proof.len(), proof_bytes(code));
        (0..TRIALS)
            .filter(|_| {
                let servers = watched(code, &mut rng);
                let view = View { code, watched: Some(&servers) };
                let seen: Vec<Row> = rows.iter().map(|row| view.select(row.clone())).collect();
                let masks: Vec<Masks> = (masks.iter())
                    .map(|m| Masks::take(&mut m.rows().map(|row| view.select(row.to_vec())).into_iter()))
                    .collect();
                verify(&view, geometry, &claim(&seen), &masks, &challenge, &proof).is_ok()
            })
            .count() as u32
    }

    fn codewords(code: &Code, blocks: &[Vec<u64>]) -> Vec<Row> {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        blocks.iter().map(|block| code.encode(block, code.parameters().threshold, &mut rng)).collect()
    }

    fn words(rows: &[Row]) -> Statement<'_> {
        Statement { narrow: rows.iter().collect(), ..Statement::default() }
    }

    /// Five standard deviations.
    fn close(passed: u32, log2_expected: f64) -> bool {
        let p = log2_expected.exp2();
        let trials = f64::from(TRIALS);
        (f64::from(passed) - p * trials).abs() <= 5.0 * (trials * p * (1.0 - p)).sqrt() + 1e-9
    }

    #[test]
    fn bad_columns_go_unnoticed_as_often_as_nobody_watches_them() {
        let (code, geometry) = small();
        for bad in [0, 1, 5, 12, 30, 96] {
            let mut rows = codewords(&code, &vec![vec![5; 6]; 4]);
            // Proven are the codewords; the shares at some servers are others.
            let field = code.field();
            let honest = rows.clone();
            for (i, x) in rows.iter_mut().map(|row| &mut row[..bad]).enumerate() {
                x.iter_mut().for_each(|x| *x = field.add(*x, i as u64 + 1));
            }
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let masks: Vec<Masks> = (0..REPETITIONS).map(|_| Masks::new(&code, &mut rng)).collect();
            let challenge = [3; CHALLENGE_BYTES];
            let proof = prove(&code, &geometry, &words(&honest), &masks, &challenge);
            let passed = (0..TRIALS)
                .filter(|_| {
                    let servers = watched(&code, &mut rng);
                    let view = View { code: &code, watched: Some(&servers) };
                    let seen: Vec<Row> = rows.iter().map(|row| view.select(row.clone())).collect();
                    let masks: Vec<Masks> = (masks.iter())
                        .map(|m| Masks::take(&mut m.rows().map(|row| view.select(row.to_vec())).into_iter()))
                        .collect();
                    verify(&view, &geometry, &words(&seen), &masks, &challenge, &proof).is_ok()
                })
                .count() as u32;
            let expected = log2_missed(96, bad, code.parameters().watched);
            assert!(close(passed, expected), "{bad} bad columns: {passed} of {TRIALS}, expected 2^{expected:.2}");
        }
    }

    #[test]
    fn words_far_from_the_code_are_found() {
        let (code, geometry) = small();
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let mut rows = codewords(&code, &vec![vec![5; 6]; 3]);
        rows[1] = code.random(code.parameters().threshold + 1, &mut rng);
        // The polynomial without its highest coefficient agrees with the word almost nowhere.
        assert!(passes(&code, &geometry, &rows, words) <= 1);
        let honest = codewords(&code, &vec![vec![5; 6]; 3]);
        assert_eq!(passes(&code, &geometry, &honest, words), TRIALS);
    }

    #[test]
    fn relations_that_do_not_hold_are_found() {
        let (code, geometry) = small();
        let field = code.field();
        let product = |rows: &[Row]| -> Row {
            rows[0].iter().zip(&rows[1]).zip(&rows[2]).map(|((&x, &y), &z)| field.sub(field.mul(x, y), z)).collect()
        };
        let slots = move |rows: &[Row]| Statement { zeros: vec![product(rows)], ..Statement::default() };
        let mut blocks = vec![vec![3, 1, 4, 1, 5, 9], vec![2, 6, 5, 3, 5, 8], vec![6, 6, 20, 3, 25, 72]];
        let claim = |rows: &[Row]| -> bool {
            let statement = slots(rows);
            prove_and_verify_all(&code, &geometry, &statement).is_ok()
        };
        assert!(claim(&codewords(&code, &blocks)));
        blocks[2][5] += 1;
        assert!(!claim(&codewords(&code, &blocks)));

        let bits = |block: Vec<u64>| {
            let rows = codewords(&code, &[block]);
            let statement = Statement { bits: rows.iter().collect(), ..Statement::default() };
            prove_and_verify_all(&code, &geometry, &statement)
        };
        assert_eq!(bits(vec![0, 1, 1, 0, 0, 1]), Ok(()));
        assert_eq!(bits(vec![0, 1, 1, 0, 2, 1]), Err(Refused::Slots));

        let equal = |how: Equal, block: Vec<u64>| {
            let rows = codewords(&code, &[block, vec![8; 6]]);
            let statement = Statement { equal: vec![(how, rows.iter().collect())], ..Statement::default() };
            prove_and_verify_all(&code, &geometry, &statement)
        };
        assert_eq!(equal(Equal::Neurons, vec![4, 4, 4, 7, 7, 7]), Ok(()));
        assert_eq!(equal(Equal::Neurons, vec![4, 4, 5, 7, 7, 7]), Err(Refused::Linear));
        assert_eq!(equal(Equal::Queries, vec![1, 2, 3, 1, 2, 3]), Ok(()));
        assert_eq!(equal(Equal::Queries, vec![1, 2, 3, 1, 2, 4]), Err(Refused::Linear));

        // Values 10, 20 of query 0 and 30, 40 of query 1 minus masks 1, 2 and 3, 4.
        let link = |minus: bool, shifts: [u64; 6]| {
            let rows = codewords(&code, &[vec![10, 20, 0, 30, 40, 0], vec![1, 1, 1, 3, 3, 3], vec![2, 2, 2, 4, 4, 4]]);
            let link = Link { values: rows[0].clone(), rows: &rows[1..], shifts: &shifts, minus };
            prove_and_verify_all(&code, &geometry, &Statement { links: vec![link], ..Statement::default() })
        };
        let negative = |x: u64| field.neg(x);
        assert_eq!(link(false, [9, 18, 0, 27, 36, 0]), Ok(()));
        assert_eq!(link(false, [9, 18, 0, 27, 37, 0]), Err(Refused::Linear));
        assert_eq!(link(true, [negative(9), negative(18), 0, negative(27), negative(36), 0]), Ok(()));
        assert_eq!(link(true, [9, 18, 0, 27, 36, 0]), Err(Refused::Linear));
    }

    /// A verifier that watches all servers.
    fn prove_and_verify_all(code: &Code, geometry: &Geometry, statement: &Statement<'_>) -> Result<(), Refused> {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let masks: Vec<Masks> = (0..REPETITIONS).map(|_| Masks::new(code, &mut rng)).collect();
        let challenge = [5; CHALLENGE_BYTES];
        let proof = prove(code, geometry, statement, &masks, &challenge);
        let view = View { code, watched: None };
        verify(&view, geometry, statement, &masks, &challenge, &proof)
    }
}
