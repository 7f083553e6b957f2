//! Photographs in files, of any size: what a query is depends on the model that is asked.

use std::path::{Path, PathBuf};

use ndarray::Array4;
use si_models::sha256_hex;
use si_models::zoo::Photograph;

use crate::index::{self, File};
use crate::pictures::{decode, label, query, stacked};
use crate::{Dataset, Error, Result};

/// Labelled photographs that are decoded when they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photographs {
    /// The name or folder they were opened by.
    pub name: String,
    /// The class of each.
    pub labels: Vec<usize>,
    /// Number of classes, if it is known: of a user's folder it is not.
    pub classes: Option<usize>,
    /// Where they come from.
    pub provenance: String,
    /// SHA-256 of the files' SHA-256 and labels.
    pub sha256: String,
    files: Vec<PathBuf>,
}

impl Photographs {
    /// Fetched photographs, each compared with its pinned hash.
    pub(crate) fn fetched(description: &index::Description, files: &[File], directory: &Path) -> Result<Self> {
        let mut opened = Vec::with_capacity(files.len());
        for file in files {
            opened.push((directory.join(&file.path), index::fetched(directory, file, |bytes| Ok(sha256_hex(bytes)))?));
        }
        Self::new(&description.name, opened, Some(description.classes), description.provenance.trim().to_owned())
    }

    /// The JPEG and PNG files of a folder whose names end in `_CLASS`, in the order of their names.
    ///
    /// # Errors
    /// If there is none, one cannot be read, or its name has no class.
    pub fn folder(path: &Path) -> Result<Self> {
        let readable = |e: std::io::Error| wrong(path, e.to_string(), "name a folder of JPEG or PNG files");
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).map_err(readable)? {
            files.push(entry.map_err(readable)?.path());
        }
        files.sort();
        files.retain(|f| {
            let extension = f.extension().map(|e| e.to_string_lossy().to_lowercase());
            extension.is_some_and(|e| ["jpg", "jpeg", "png"].contains(&e.as_str()))
        });
        if files.is_empty() {
            return Err(wrong(path, "no .jpg, .jpeg or .png file in it".to_owned(), "name another folder"));
        }
        let hashed = files.into_iter().map(|f| read(&f).map(|bytes| (f, sha256_hex(&bytes))));
        let shown = path.display().to_string();
        let provenance = format!("the user's own folder {shown}");
        Self::new(&shown, hashed.collect::<Result<Vec<_>>>()?, None, provenance)
    }

    fn new(name: &str, files: Vec<(PathBuf, String)>, classes: Option<usize>, provenance: String) -> Result<Self> {
        let (mut labels, mut hashes) = (Vec::new(), String::new());
        for (path, hash) in &files {
            let unlabelled = || {
                let why = "its name does not end in a label".to_owned();
                wrong(path, why, "end it in _CLASS, as cat_285.jpg")
            };
            labels.push(label(path).ok_or_else(unlabelled)?);
            hashes.push_str(&format!("{hash} {}\n", labels.last().copied().unwrap_or_default()));
        }
        if let Some(l) = labels.iter().find(|l| classes.is_some_and(|c| **l >= c)) {
            return Err(Error::Index { why: format!("'{name}' has the label {l}, which is beyond its classes") });
        }
        let sha256 = sha256_hex(hashes.as_bytes());
        let files = files.into_iter().map(|(path, _)| path).collect();
        Ok(Self { name: name.to_owned(), labels, classes, provenance, sha256, files })
    }

    /// Number of photographs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// What a model makes of the photographs at these positions: (n, 3, h, w).
    ///
    /// # Errors
    /// If a position is beyond the end, or a file is no image.
    pub fn queries(&self, positions: &[usize], photograph: &Photograph) -> Result<Array4<f32>> {
        let mut images = Vec::with_capacity(positions.len());
        for position in positions {
            let file = self.files.get(*position).ok_or_else(|| Error::TooFew {
                name: self.name.clone(),
                have: self.len(),
                need: position + 1,
                purpose: format!("image {position} was asked for"),
            })?;
            let image = decode(&read(file)?).map_err(|why| wrong(file, why, "remove it or replace it"))?;
            images.push(query(&image, photograph).map_err(|why| wrong(file, why, "remove it or replace it"))?);
        }
        if images.is_empty() {
            return Ok(Array4::zeros((0, 3, photograph.crop as usize, photograph.crop as usize)));
        }
        stacked(&images).map_err(|why| Error::Index { why })
    }

    /// All of them as a data set of this model's queries.
    ///
    /// # Errors
    /// As [`Self::queries`].
    pub fn dataset(&self, photograph: &Photograph) -> Result<Dataset> {
        let all: Vec<usize> = (0..self.len()).collect();
        let dataset = Dataset {
            name: self.name.clone(),
            images: self.queries(&all, photograph)?,
            labels: self.labels.clone(),
            classes: self.classes.unwrap_or_else(|| self.labels.iter().max().map_or(0, |l| l.saturating_add(1))),
            provenance: self.provenance.clone(),
            sha256: String::new(),
        };
        Ok(dataset.hashed())
    }
}

fn wrong(path: &Path, why: String, remedy: &str) -> Error {
    Error::File { path: path.display().to_string(), why, remedy: remedy.to_owned() }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| wrong(path, e.to_string(), "make it readable"))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};
    use si_models::zoo::ChannelOrder;

    use super::*;

    fn png(w: u32, h: u32) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = RgbImage::from_pixel(w, h, Rgb([1, 2, 3]));
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_folder_is_read_in_order_and_what_is_no_image_is_named() {
        let photograph = Photograph {
            resize: 8,
            stretch: false,
            crop: 4,
            order: ChannelOrder::Rgb,
            mean: [0.0; 3],
            deviation: [1.0; 3],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(Photographs::folder(path).unwrap_err().to_string().contains("no .jpg"));
        std::fs::write(path.join("b_7.png"), png(9, 9)).unwrap();
        std::fs::write(path.join("a_3.PNG"), png(9, 12)).unwrap();
        std::fs::write(path.join("notes.txt"), "not looked at").unwrap();
        let opened = Photographs::folder(path).unwrap();
        let set = opened.dataset(&photograph).unwrap();
        assert_eq!((set.labels.as_slice(), set.classes, set.images.shape()), (&[3, 7][..], 8, &[2, 3, 4, 4][..]));
        assert_eq!(opened.queries(&[1], &photograph).unwrap().shape(), [1, 3, 4, 4]);
        assert!(opened.queries(&[2], &photograph).is_err());
        let whole = png(9, 9);
        for bytes in [&b"text"[..], &whole[..40], &[]] {
            std::fs::write(path.join("c_1.jpg"), bytes).unwrap();
            let e = Photographs::folder(path).unwrap().dataset(&photograph).unwrap_err().to_string();
            assert!(e.contains("c_1.jpg: not a JPEG or PNG image") && !e.contains('\n'), "{e}");
        }
        assert_ne!(Photographs::folder(path).unwrap().sha256, opened.sha256);
        std::fs::write(path.join("unlabelled.png"), whole).unwrap();
        let e = Photographs::folder(path).unwrap_err().to_string();
        assert!(e.contains("unlabelled.png") && e.contains("cat_285.jpg"), "{e}");
        assert!(Photographs::folder(Path::new("no/such/folder")).is_err());
    }
}
