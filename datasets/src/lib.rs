//! Labelled images, by name: `load("mnist")` works at once from a sample embedded in the program, larger sets from
//! files that `make fetch` brings. Every file and every finished data set is pinned by its SHA-256.
//!
//! ```
//! let split = si_datasets::load("mnist")?.split(64, 30)?;
//! assert_eq!(split.queries.images.shape(), [64, 1, 28, 28]);
//! assert_eq!(split.public.labels.len(), 30);
//! # Ok::<(), si_datasets::Error>(())
//! ```

mod dataset;
mod error;
mod formats;
mod index;
mod photographs;
mod pictures;

pub use dataset::{Dataset, Split, permutation};
pub use error::{Error, Result};
pub use formats::encode_idx;
pub use index::{
    DIRECTORY_VARIABLE, Description, describe, files_directory, is_folder, load, load_for, load_from, names,
    photographs,
};
pub use photographs::Photographs;
