//! Declared costs of the operators modulo p.

use si_ring::packed_len;

use super::Field;
use super::compare::DIGIT_BITS;
use super::truncate::small_ring;
use crate::compare::{Digits, PIECE_WORDS};
use crate::tally::pieces;
use crate::{Known, Tally};

impl Tally {
    /// `Engine::field_open_to_client`.
    pub fn field_open_to_client(&mut self, n: usize, field: Field) {
        self.down(packed_len(n, field.bits()));
    }

    /// `Engine::field_signs` of n elements: as [`Tally::carry`], with answers for two thresholds.
    pub fn field_signs(&mut self, n: usize, field: Field) {
        pieces(n, PIECE_WORDS, |n| self.exceeds(n, 2, field.bits()));
    }

    /// `Engine::field_select` of n elements.
    pub fn field_select(&mut self, n: usize, field: Field) {
        pieces(n, PIECE_WORDS, |n| {
            self.client_ots += n as u64;
            self.server_ots += n as u64;
            self.up(n.div_ceil(8));
            self.down(n.div_ceil(8));
            self.up(packed_len(2 * n, field.bits()));
            self.down(packed_len(2 * n, field.bits()));
        });
    }

    /// `Engine::field_relu` of n elements.
    pub fn field_relu(&mut self, n: usize, field: Field) {
        self.field_signs(n, field);
        self.field_select(n, field);
    }

    /// `Engine::field_max` of `candidates` candidates in n columns.
    pub fn field_max(&mut self, n: usize, candidates: usize, field: Field) {
        let mut left = candidates;
        while left > 1 {
            self.field_relu(n * (left / 2), field);
            left = left.div_ceil(2);
        }
    }

    /// `Engine::field_argmax`, with the opening.
    pub fn field_argmax(&mut self, n: usize, candidates: usize, field: Field) {
        let mut left = candidates;
        while left > 1 {
            self.field_signs(n * (left / 2), field);
            self.field_select(2 * n * (left / 2), field);
            left = left.div_ceil(2);
        }
        self.field_open_to_client(n, field);
    }

    /// `Engine::field_truncate` of n elements.
    pub fn field_truncate(&mut self, n: usize, field: Field, drop: u32, known: Known) {
        let (small, thresholds) = small_ring(drop, known);
        pieces(n, PIECE_WORDS, |n| {
            match known {
                Known::NonNegative => self.field_bits(n, field, small),
                Known::Nothing => {
                    self.field_signs(n, field);
                    self.field_bits(2 * n, field, small);
                }
            }
            self.exceeds(n, thresholds.len(), small - 1);
            self.field_bits(thresholds.len() * n, field, 0);
        });
    }

    fn field_bits(&mut self, n: usize, field: Field, narrow: u32) {
        pieces(n, PIECE_WORDS, |n| {
            self.server_ots += n as u64;
            self.up(n.div_ceil(8));
            self.down(packed_len(2 * n, field.bits() + narrow));
        });
    }

    fn exceeds(&mut self, n: usize, thresholds: usize, bits: u32) {
        self.compare(n, thresholds, &Digits::of(bits, DIGIT_BITS));
    }
}
