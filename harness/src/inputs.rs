//! Which queries and public samples a repetition uses, and the numbers behind them.
//!
//! The orchestrator draws positions in the data set and writes them into the job; the client looks the images up.

use anyhow::{Result, bail, ensure};
use ndarray::{Array3, Array4, Axis};
use rand::{RngExt, SeedableRng};
use si_api::Graph;
use si_datasets::{Dataset, Photographs, permutation};
use si_fusion::PublicSamples;

use crate::job::{Job, PublicSample};

/// Name of the source of uniformly random images, for models that have no data set.
pub(crate) const RANDOM: &str = "random";

/// How many different random images there are (agreement).
const RANDOM_IMAGES: usize = 1 << 16;

/// Where images come from.
pub(crate) enum Source {
    /// A data set with labels.
    Set(Dataset),
    /// Photographs with labels, of which each model makes its own queries.
    Photographs(Photographs),
    /// Pixels drawn uniformly from [0, 1); a position is the seed of its image. There are no labels.
    Random,
}

/// What the client of a job puts in.
pub(crate) struct Inputs {
    /// The queries, encoded.
    pub(crate) queries: Vec<Array3<i64>>,
    /// Public samples, encoded, with the labels that are known.
    pub(crate) public: PublicSamples,
}

/// The client's inputs.
///
/// # Errors
/// If the data set cannot be loaded or does not fit the model.
pub(crate) fn load(job: &Job, graph: &Graph) -> Result<Inputs> {
    let source = Source::open(&job.dataset)?;
    let queries = split(&source.encoded(graph, &job.queries)?);
    let positions: Vec<_> = job.public.iter().map(|p| p.position).collect();
    let labels = job.public.iter().map(|p| p.label).collect();
    let inputs = split(&source.encoded(graph, &positions)?);
    Ok(Inputs { queries, public: PublicSamples { inputs, labels } })
}

/// The images one by one.
pub(crate) fn split(images: &Array4<i64>) -> Vec<Array3<i64>> {
    images.outer_iter().map(|image| image.to_owned()).collect()
}

impl Source {
    /// The source of this name.
    ///
    /// # Errors
    /// If there is none, or its files are missing or not what they should be.
    pub(crate) fn open(name: &str) -> Result<Self> {
        if name == RANDOM {
            return Ok(Self::Random);
        }
        if !si_datasets::is_folder(name) && !si_datasets::names()?.contains(&name) {
            let known = si_datasets::names()?.join(", ");
            bail!("unknown data set '{name}': choose one of {RANDOM}, {known}, or ./FOLDER with photographs");
        }
        Ok(match si_datasets::photographs(name)? {
            Some(photographs) => Self::Photographs(photographs),
            None => Self::Set(si_datasets::load(name)?),
        })
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Set(set) => set.len(),
            Self::Photographs(set) => set.len(),
            Self::Random => RANDOM_IMAGES,
        }
    }

    /// The true class of an image among the classes of a model, if it has one: labels of another number of classes say
    /// nothing about the model.
    pub(crate) fn label(&self, graph: &Graph, position: usize) -> Option<usize> {
        match self {
            Self::Set(set) if set.classes == graph.classes() => set.labels.get(position).copied(),
            Self::Photographs(set) if set.classes.is_none_or(|c| c == graph.classes()) => {
                set.labels.get(position).copied().filter(|l| *l < graph.classes())
            }
            Self::Set(_) | Self::Photographs(_) | Self::Random => None,
        }
    }

    /// Hash of the images and labels, for the records.
    pub(crate) fn hash(&self) -> String {
        match self {
            Self::Set(set) => set.sha256.clone(),
            Self::Photographs(set) => set.sha256.clone(),
            Self::Random => blake3::hash(RANDOM.as_bytes()).to_hex().to_string(),
        }
    }

    /// All positions in an order that depends on the seed.
    pub(crate) fn order(&self, seed: u64) -> Vec<usize> {
        permutation(self.len(), seed)
    }

    /// Whether the images can be put into this model.
    ///
    /// # Errors
    /// If they cannot.
    pub(crate) fn fits(&self, graph: &Graph) -> Result<()> {
        self.images(graph, &[0]).map(drop)
    }

    /// Images (n, c, h, w) as the model takes them.
    ///
    /// # Errors
    /// If a position is beyond the end or the images have another shape than the model takes.
    pub(crate) fn images(&self, graph: &Graph, positions: &[usize]) -> Result<Array4<f32>> {
        let [c, h, w] = graph.input_shape();
        if let Some(p) = positions.iter().find(|p| **p >= self.len()) {
            bail!("position {p} in a data set of {} images", self.len());
        }
        let images = match self {
            Self::Set(set) => {
                let shape = &set.images.shape()[1..];
                ensure!(
                    shape == [c, h, w],
                    "data set {} has images of {shape:?}, model {} takes {:?}: choose another, or dataset = \"{RANDOM}\"",
                    set.name,
                    graph.name(),
                    [c, h, w]
                );
                set.images.select(Axis(0), positions)
            }
            Self::Photographs(set) => {
                let Some(photograph) = si_models::zoo::photograph(graph.name())? else {
                    let model = graph.name();
                    bail!(
                        "data set {} holds photographs, model {model} is not for photographs: choose another",
                        set.name
                    );
                };
                let images = set.queries(positions, &photograph)?;
                ensure!(
                    images.shape()[1..] == [c, h, w],
                    "model {} takes {:?}, but makes {:?} of photographs: correct its 'crop'",
                    graph.name(),
                    [c, h, w],
                    &images.shape()[1..]
                );
                images
            }
            Self::Random => {
                let mut images = Array4::zeros((positions.len(), c, h, w));
                for (mut image, position) in images.outer_iter_mut().zip(positions) {
                    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(*position as u64);
                    image.iter_mut().for_each(|v| *v = rng.random::<f32>());
                }
                images
            }
        };
        Ok(images)
    }

    /// The same in the model's fixed point.
    ///
    /// # Errors
    /// As [`Self::images`].
    pub(crate) fn encoded(&self, graph: &Graph, positions: &[usize]) -> Result<Array4<i64>> {
        Ok(si_models::encode_input(graph, &self.images(graph, positions)?))
    }
}

/// The queries of a repetition and, for Fusion, its public samples.
pub(crate) struct Draw {
    /// Positions of the queries.
    pub(crate) queries: Vec<usize>,
    /// Positions of the public samples, and their labels.
    pub(crate) public: Vec<PublicSample>,
}

/// Draws `queries` and, disjoint from them, `public` samples that an honest server answers as expected: `known` gives
/// the label that the client may rely on, or `None` for an image that is no good as a public sample. `draw` is the seed
/// and the repetition (from 1): repetitions of a seed take queries one after the other from one order of the images, so
/// that they have none in common until all were used.
///
/// # Errors
/// If there are not enough images, or `known` fails.
pub(crate) fn draw(
    source: &Source,
    (seed, repetition): (u64, u64),
    queries: usize,
    public: usize,
    mut known: impl FnMut(usize) -> Result<Option<usize>>,
) -> Result<Draw> {
    let mut order = source.order(seed);
    ensure!(
        queries + public <= order.len(),
        "{queries} queries and {public} public samples are more than the {} images of the data set: ask for fewer",
        order.len()
    );
    let before = u128::from(repetition.saturating_sub(1)) * queries as u128 % order.len().max(1) as u128;
    order.rotate_left(before as usize);
    let (first, rest) = order.split_at(queries);
    let mut drawn = Draw { queries: first.to_vec(), public: Vec::new() };
    for &position in rest {
        if drawn.public.len() == public {
            break;
        }
        if let Some(label) = known(position)? {
            drawn.public.push(PublicSample { position, label });
        }
    }
    ensure!(
        drawn.public.len() == public,
        "only {} images of the data set are fit as public samples, {public} are needed: take a larger data set or a smaller plan",
        drawn.public.len()
    );
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_disjoint_repeatable_and_bounded() {
        let even = |p: usize| Ok(p.is_multiple_of(2).then_some(p % 10));
        let a = draw(&Source::Random, (1, 1), 50, 20, even).unwrap();
        assert_eq!((a.queries.len(), a.public.len()), (50, 20));
        assert!(a.public.iter().all(|p| !a.queries.contains(&p.position) && p.position % 2 == 0));
        let b = draw(&Source::Random, (1, 1), 50, 20, even).unwrap();
        assert_eq!(a.queries, b.queries);
        assert_ne!(a.queries, draw(&Source::Random, (2, 1), 50, 20, even).unwrap().queries);
        let second = draw(&Source::Random, (1, 2), 50, 20, even).unwrap().queries;
        assert!(second.iter().all(|q| !a.queries.contains(q)), "the next repetition has other queries");
        let wrapped = draw(&Source::Random, (1, 3), RANDOM_IMAGES, 0, even).unwrap().queries;
        assert_eq!(wrapped, draw(&Source::Random, (1, 1), RANDOM_IMAGES, 0, even).unwrap().queries);
        draw(&Source::Random, (1, u64::MAX), RANDOM_IMAGES - 1, 0, even).unwrap();
        assert!(draw(&Source::Random, (1, 1), RANDOM_IMAGES, 1, even).is_err());
        let e = draw(&Source::Random, (1, 1), 1, 1, |_| Ok(None)).err().unwrap().to_string();
        assert!(e.contains("only 0 images"), "{e}");
    }

    #[test]
    fn unknown_sources_and_wrong_shapes_are_named() {
        let e = Source::open("minst").err().unwrap().to_string();
        assert!(e.contains("'minst'") && e.contains("mnist"), "{e}");
        let tiny = si_models::zoo::graph("tiny").unwrap();
        let e = Source::open("mnist").unwrap().images(&tiny, &[0]).unwrap_err().to_string();
        assert!(e.contains("[1, 28, 28]") && e.contains("[1, 8, 8]"), "{e}");
        let images = Source::Random.images(&tiny, &[3, 4, 3]).unwrap();
        assert_eq!(images.index_axis(Axis(0), 0), images.index_axis(Axis(0), 2));
        assert_ne!(images.index_axis(Axis(0), 0), images.index_axis(Axis(0), 1));
        assert!(Source::Random.images(&tiny, &[RANDOM_IMAGES]).is_err());
    }
}
