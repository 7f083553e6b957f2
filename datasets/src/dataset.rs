//! A data set in memory.

use ndarray::{Array4, ArrayView3, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_models::sha256_hex;

use crate::{Error, Result};

/// Labelled images, in an order that is part of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The name it was loaded by.
    pub name: String,
    /// Images (n, c, h, w), pixels in [0, 1].
    pub images: Array4<f32>,
    /// The class of each image, below `classes`.
    pub labels: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Where the images come from, and what they may be used to claim.
    pub provenance: String,
    /// SHA-256 of exactly these images and labels (see [`Dataset::content_sha256`]).
    pub sha256: String,
}

/// Two samples with no image in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// What a client asks about.
    pub queries: Dataset,
    /// What a client knows the answers of and hides among its queries.
    pub public: Dataset,
}

impl Dataset {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Each image (c, h, w) with its label.
    pub fn iter(&self) -> impl Iterator<Item = (ArrayView3<'_, f32>, usize)> {
        self.images.outer_iter().zip(self.labels.iter().copied())
    }

    /// The images at these indices, in this order.
    ///
    /// # Errors
    /// If an index is beyond the end.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        if let Some(i) = indices.iter().find(|i| **i >= self.len()) {
            return Err(self.too_few(i + 1, format!("image {i} was asked for")));
        }
        let labels = indices.iter().map(|i| self.labels[*i]).collect();
        Ok(Self { images: self.images.select(Axis(0), indices), labels, ..self.without_images() }.hashed())
    }

    /// The first `n` images.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn first(&self, n: usize) -> Result<Self> {
        if n > self.len() {
            return Err(self.too_few(n, "the first of them".to_owned()));
        }
        self.select(&(0..n).collect::<Vec<_>>())
    }

    /// All images in the order of [`permutation`].
    #[must_use]
    pub fn shuffled(&self, seed: u64) -> Self {
        let order = permutation(self.len(), seed);
        self.select(&order).expect("a permutation stays within the data set")
    }

    /// Queries and, disjoint from them, public samples: the first `queries` images and the `public` ones after them.
    /// Shuffle before for another choice. Labels of the public samples may be shown to the client, those of the
    /// queries serve to measure accuracy only.
    ///
    /// # Errors
    /// If there are not enough images for both.
    pub fn split(&self, queries: usize, public: usize) -> Result<Split> {
        let need = queries.saturating_add(public);
        if need > self.len() {
            return Err(self.too_few(need, format!("{queries} queries and {public} public samples")));
        }
        let range = |from: usize, to: usize| self.select(&(from..to).collect::<Vec<_>>());
        Ok(Split { queries: range(0, queries)?, public: range(queries, need)? })
    }

    /// SHA-256 of the pixels (f32, little endian, in the order n, c, h, w) followed by the labels (u32, little endian).
    #[must_use]
    pub fn content_sha256(&self) -> String {
        let pixels = self.images.iter().flat_map(|v| v.to_le_bytes());
        let labels = self.labels.iter().flat_map(|v| (*v as u32).to_le_bytes());
        sha256_hex(&pixels.chain(labels).collect::<Vec<u8>>())
    }

    pub(crate) fn hashed(mut self) -> Self {
        self.sha256 = self.content_sha256();
        self
    }

    fn without_images(&self) -> Self {
        Self {
            name: self.name.clone(),
            images: Array4::zeros((0, 0, 0, 0)),
            labels: Vec::new(),
            classes: self.classes,
            provenance: self.provenance.clone(),
            sha256: String::new(),
        }
    }

    fn too_few(&self, need: usize, purpose: String) -> Error {
        Error::TooFew { name: self.name.clone(), have: self.len(), need, purpose }
    }
}

/// A permutation of 0..n: Fisher-Yates with ChaCha20 seeded by `seed`. Written out here, for splits and recipes depend
/// on its never changing (*agreement*: data sets are pinned by what it yields).
#[must_use]
pub fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        // The high half of a 128-bit product is below i + 1; its bias is below 2^-40 for any n in memory.
        let j = (u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64;
        order.swap(i, j as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ten() -> Dataset {
        Dataset {
            name: "ten".to_owned(),
            images: Array4::from_shape_fn((10, 1, 2, 2), |(n, _, y, x)| (4 * n + 2 * y + x) as f32 / 40.0),
            labels: (0..10).collect(),
            classes: 10,
            provenance: "made up".to_owned(),
            sha256: String::new(),
        }
        .hashed()
    }

    #[test]
    fn a_split_is_disjoint_and_refuses_with_numbers() {
        let split = ten().split(6, 4).unwrap();
        let labels: BTreeSet<_> = split.queries.labels.iter().chain(&split.public.labels).collect();
        assert_eq!(labels.len(), 10);
        assert_ne!(split.queries.sha256, split.public.sha256);
        let e = ten().split(6, 5).unwrap_err().to_string();
        assert!(e.contains("10 images") && e.contains("11 are needed") && e.contains("6 queries and 5 public"), "{e}");
        assert!(ten().split(usize::MAX, 5).is_err());
    }

    #[test]
    fn selections_keep_images_and_labels_together() {
        let shuffled = ten().shuffled(7);
        assert_ne!(shuffled.labels, ten().labels);
        for (image, label) in shuffled.iter() {
            assert_eq!(image[[0, 0, 0]], (4 * label) as f32 / 40.0);
        }
        assert_eq!(shuffled, ten().shuffled(7));
        assert_ne!(shuffled.sha256, ten().shuffled(8).sha256);
        assert_eq!(ten().first(3).unwrap().labels, [0, 1, 2]);
        assert!(ten().first(11).is_err());
        assert!(ten().select(&[10]).is_err());
        assert!(ten().first(0).unwrap().is_empty());
    }

    #[test]
    fn the_permutation_is_pinned() {
        assert_eq!(permutation(10, 1), PINNED);
        assert_eq!(permutation(0, 1), [0usize; 0]);
    }

    const PINNED: [usize; 10] = [7, 9, 0, 2, 8, 5, 3, 4, 1, 6];
}
