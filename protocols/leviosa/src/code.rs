//! Packed Reed-Solomon secret sharing. A block of elements is the values of a random polynomial at the *slots*; its shares are the
//! values at the *positions*, one for each virtual server.
//!
//! Slots and positions are cosets of the roots of X^S = -1, S a power of two (the *stride*), so that their numbers are any
//! multiples of S: on each coset a transform of length S, across cosets interpolation in X^S.

use rand::CryptoRng;
use si_rlwe::field::{Field, Transform};

use crate::parameters::Parameters;

/// The points of several cosets, coset by coset.
struct Cosets {
    field: Field,
    cosets: Vec<Coset>,
    /// Row d, column j: the coefficient of Y^d in the Lagrange polynomial of coset j.
    lagrange: Vec<Vec<u64>>,
}

struct Coset {
    /// g^r and g^-r, r < S.
    powers: Vec<u64>,
    inverse_powers: Vec<u64>,
    /// X^S on the coset, -g^S.
    y: u64,
}

impl Cosets {
    fn new(field: Field, stride: usize, shifts: &[u64]) -> Self {
        let powers =
            |g: u64| -> Vec<u64> { std::iter::successors(Some(1), |&x| Some(field.mul(x, g))).take(stride).collect() };
        let cosets: Vec<_> = (shifts.iter())
            .map(|&g| Coset {
                powers: powers(g),
                inverse_powers: powers(field.inverse(g)),
                y: field.neg(field.pow(g, stride as u64)),
            })
            .collect();
        let mut lagrange = vec![vec![0; cosets.len()]; cosets.len()];
        for (j, own) in cosets.iter().enumerate() {
            let others = || cosets.iter().enumerate().filter(move |(i, _)| *i != j).map(|(_, c)| c.y);
            let scale = field.inverse(others().fold(1, |s, y| field.mul(s, field.sub(own.y, y))));
            for (d, c) in product(field, others()).into_iter().enumerate() {
                lagrange[d][j] = field.mul(c, scale);
            }
        }
        Self { field, cosets, lagrange }
    }

    fn len(&self) -> usize {
        self.cosets.len() * self.stride()
    }

    fn stride(&self) -> usize {
        self.cosets[0].powers.len()
    }

    /// The values of a polynomial of any degree.
    fn evaluate(&self, transform: &Transform, coefficients: &[u64]) -> Vec<u64> {
        let (field, stride) = (self.field, self.stride());
        let mut values = vec![0; self.len()];
        for (coset, values) in self.cosets.iter().zip(values.chunks_exact_mut(stride)) {
            let mut sums = vec![0u128; stride];
            let mut power = 1;
            for chunk in coefficients.chunks(stride) {
                sums.iter_mut().zip(chunk).for_each(|(sum, &c)| *sum += u128::from(c) * u128::from(power));
                power = field.mul(power, coset.y);
            }
            for ((value, sum), &g) in values.iter_mut().zip(sums).zip(&coset.powers) {
                *value = field.mul(field.reduce(sum), g);
            }
            transform.forward(values);
        }
        values
    }

    /// The coefficients of the polynomial of degree below the number of points with these values.
    fn interpolate(&self, transform: &Transform, values: &[u64]) -> Vec<u64> {
        let (field, stride) = (self.field, self.stride());
        let mut parts = values.to_vec();
        for (coset, part) in self.cosets.iter().zip(parts.chunks_exact_mut(stride)) {
            transform.inverse(part);
            part.iter_mut().zip(&coset.inverse_powers).for_each(|(x, &g)| *x = field.mul(*x, g));
        }
        let mut coefficients = Vec::with_capacity(values.len());
        for row in &self.lagrange {
            let mut sums = vec![0u128; stride];
            for (&factor, part) in row.iter().zip(parts.chunks_exact(stride)) {
                sums.iter_mut().zip(part).for_each(|(sum, &x)| *sum += u128::from(x) * u128::from(factor));
            }
            coefficients.extend(sums.into_iter().map(|sum| field.reduce(sum)));
        }
        coefficients
    }
}

/// The coefficients of the product of (Y - y).
pub(crate) fn product(field: Field, roots: impl Iterator<Item = u64>) -> Vec<u64> {
    roots.fold(vec![1], |poly, root| {
        let mut next = vec![0; poly.len() + 1];
        for (i, &c) in poly.iter().enumerate() {
            next[i + 1] = field.add(next[i + 1], c);
            next[i] = field.sub(next[i], field.mul(c, root));
        }
        next
    })
}

/// The codes of a set of parameters: polynomials of degree below k (*narrow*) and below 2k - 1 (*wide*, sums of products of two).
pub(crate) struct Code {
    parameters: Parameters,
    field: Field,
    transform: Transform,
    positions: Cosets,
    slots: Cosets,
    /// The polynomial in X^S that vanishes at all points of `slots`.
    vanishing: Vec<u64>,
}

impl Code {
    /// # Errors
    /// If the field has no transforms of the stride's length.
    pub(crate) fn new(field: Field, parameters: Parameters) -> Result<Self, si_rlwe::Error> {
        let stride = parameters.stride;
        let transform = Transform::new(field, stride)?;
        let count = parameters.servers / stride + parameters.slots.div_ceil(stride);
        // The least g whose first powers lie in different cosets.
        let distinct = |g: u64| {
            let step = field.pow(g, stride as u64);
            let mut seen: Vec<u64> =
                std::iter::successors(Some(step), |&x| Some(field.mul(x, step))).take(count).collect();
            seen.sort_unstable();
            seen.windows(2).all(|w| w[0] != w[1])
        };
        let g = (2..field.prime()).find(|&g| distinct(g)).unwrap_or(2);
        let shifts: Vec<u64> = std::iter::successors(Some(g), |&x| Some(field.mul(x, g))).take(count).collect();
        let (of_positions, of_slots) = shifts.split_at(parameters.servers / stride);
        let slots = Cosets::new(field, stride, of_slots);
        let vanishing = product(field, slots.cosets.iter().map(|c| c.y));
        Ok(Self { positions: Cosets::new(field, stride, of_positions), parameters, field, transform, slots, vanishing })
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(crate) fn field(&self) -> Field {
        self.field
    }

    /// A random codeword, of degree below `bound`, for a block of [`Parameters::slots`] elements.
    ///
    /// Any k - slots shares are uniform and independent of the block.
    pub(crate) fn encode(&self, block: &[u64], bound: usize, rng: &mut impl CryptoRng) -> Vec<u64> {
        assert!(block.len() == self.parameters.slots && bound >= self.slots.len(), "a block of another size");
        let field = self.field;
        let mut values = block.to_vec();
        values.resize_with(self.slots.len(), || field.random(rng));
        let mut coefficients = self.slots.interpolate(&self.transform, &values);
        coefficients.resize(bound, 0);
        for i in 0..bound - self.slots.len() {
            let r = field.random(rng);
            for (e, &z) in self.vanishing.iter().enumerate() {
                let c = &mut coefficients[i + e * self.parameters.stride];
                *c = field.mul_add(*c, r, z);
            }
        }
        self.values(&coefficients)
    }

    /// A random codeword for a random block.
    pub(crate) fn random(&self, bound: usize, rng: &mut impl CryptoRng) -> Vec<u64> {
        let coefficients: Vec<u64> = (0..bound).map(|_| self.field.random(rng)).collect();
        self.values(&coefficients)
    }

    /// The values at the positions of the polynomial of least degree for a public block.
    pub(crate) fn public(&self, block: &[u64]) -> Vec<u64> {
        let mut values = block.to_vec();
        values.resize(self.slots.len(), 0);
        self.values(&self.slots.interpolate(&self.transform, &values))
    }

    /// The positions: one point, not zero, for each virtual server.
    pub(crate) fn positions(&self) -> Vec<u64> {
        self.values(&[0, 1])
    }

    /// The values of a polynomial at the positions.
    pub(crate) fn values(&self, coefficients: &[u64]) -> Vec<u64> {
        self.positions.evaluate(&self.transform, coefficients)
    }

    /// The polynomial with these values at all positions.
    pub(crate) fn coefficients(&self, values: &[u64]) -> Vec<u64> {
        self.positions.interpolate(&self.transform, values)
    }

    /// The block of a polynomial.
    pub(crate) fn block(&self, coefficients: &[u64]) -> Vec<u64> {
        let mut values = self.slots.evaluate(&self.transform, coefficients);
        values.truncate(self.parameters.slots);
        values
    }

    /// The block of a codeword of degree below `bound`; `None` if it is no such codeword.
    pub(crate) fn decode(&self, values: &[u64], bound: usize) -> Option<Vec<u64>> {
        let coefficients = self.coefficients(values);
        let beyond = coefficients[bound..].iter().fold(0, |all, c| all | c);
        (beyond == 0).then(|| self.block(&coefficients[..bound]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use si_rlwe::ole::PRIME;

    fn code(servers: usize, slots: usize, threshold: usize) -> Code {
        let parameters = Parameters { stride: 16, ..Parameters::unchecked(servers, slots, threshold - slots) };
        Code::new(Field::new(PRIME).unwrap(), parameters).unwrap()
    }

    #[test]
    fn codewords_decode_and_add_and_multiply() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for (servers, slots, k) in [(64, 5, 21), (144, 33, 60), (96, 16, 48)] {
            let code = code(servers, slots, k);
            let f = code.field();
            let mut block = || (0..slots).map(|_| f.random(&mut rng)).collect::<Vec<_>>();
            let (a, b) = (block(), block());
            let (x, y) = (code.encode(&a, k, &mut rng), code.encode(&b, k, &mut rng));
            assert_eq!(code.decode(&x, k), Some(a.clone()));
            let each = |g: &dyn Fn(u64, u64) -> u64, u: &[u64], v: &[u64]| -> Vec<u64> {
                u.iter().zip(v).map(|(&u, &v)| g(u, v)).collect()
            };
            let sum = each(&|u, v| f.add(u, v), &x, &y);
            assert_eq!(code.decode(&sum, k), Some(each(&|u, v| f.add(u, v), &a, &b)));
            let product = each(&|u, v| f.mul(u, v), &x, &y);
            assert_eq!(code.decode(&product, 2 * k - 1), Some(each(&|u, v| f.mul(u, v), &a, &b)));
            assert_eq!(code.decode(&product, k), None);
            assert_eq!(code.decode(&code.public(&a), k), Some(a));
            let mut wrong = x.clone();
            wrong[servers / 2] ^= 1;
            assert_eq!(code.decode(&wrong, servers - 1), None, "one wrong share");
        }
    }

    /// Shares and slots are values of one polynomial at different points: any k of them in all determine the rest, so any k - slots
    /// shares are uniform, whatever the block.
    #[test]
    fn shares_hide_the_block() {
        let (servers, slots, k) = (32, 3, 17);
        let code = code(servers, slots, k);
        let f = code.field();
        let (mut all, blocks) = (code.positions(), code.slots.evaluate(&code.transform, &[0, 1]));
        assert!(!all.contains(&0) && !blocks.contains(&0));
        all.extend(&blocks);
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "points coincide");
        // The points are where the polynomial is evaluated.
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let poly: Vec<u64> = (0..k).map(|_| f.random(&mut rng)).collect();
        for (&x, value) in blocks.iter().zip(code.block(&poly)) {
            assert_eq!(poly.iter().rev().fold(0, |v, &c| f.mul_add(c, v, x)), value);
        }
    }
}
