//! Disks that fill up while a record is written: what is appended is appended whole or not at all, and some space is kept
//! for the last rows.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What a run may need besides the space that is left: rows, answers and messages of one repetition of the largest network are
/// some 200 KB, log and hash list less (local).
const RESERVE_BYTES: usize = 1 << 20;

/// Name of the file that keeps the space.
const RESERVE: &str = "reserve.tmp";

/// Whether an error means that a disk, or a user's share of it, has no space left.
pub(crate) fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The same of an error with its causes.
pub(crate) fn says_full(e: &anyhow::Error) -> bool {
    e.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|e| is_full(e.kind()))
}

/// Space in a record folder that is given up when the disk is full, so that what was measured still fits.
pub(super) struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// Takes the space, also in place of what a killed run held.
    ///
    /// # Errors
    /// If there is not as much.
    pub(super) fn hold(dir: &Path) -> Result<Self> {
        let reserve = Self { path: dir.join(RESERVE), held: true }; // dropped, it takes a part of a file away too
        let mut bytes = vec![0; RESERVE_BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes); // zeros would take no space on some file systems
        let written = File::create(&reserve.path).and_then(|mut f| f.write_all(&bytes).and_then(|()| f.sync_all()));
        written.with_context(|| {
            format!(
                "cannot keep {} KiB free in {} for the last rows of a run: make room there (df -h {0})",
                RESERVE_BYTES >> 10,
                dir.display()
            )
        })?;
        Ok(reserve)
    }

    /// Gives the space up. Whether there was any.
    pub(super) fn give_up(&mut self) -> bool {
        std::mem::take(&mut self.held) && fs::remove_file(&self.path).is_ok()
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Appends to several files, in their order, all of it or nothing; it is on the disk before this returns.
///
/// # Errors
/// If a file cannot be written, or not be cut back to what it was.
pub(super) fn append_all(parts: &mut [(&mut File, &[u8])]) -> io::Result<()> {
    let before = parts.iter().map(|(file, _)| Ok(file.metadata()?.len())).collect::<io::Result<Vec<_>>>()?;
    let mut parts_with_bytes = parts.iter_mut().filter(|(_, bytes)| !bytes.is_empty());
    // One call to the system for all lines of a file, so that a kill between two calls cannot leave half a row.
    let written = parts_with_bytes.try_for_each(|(file, bytes)| file.write_all(bytes).and_then(|()| file.sync_data()));
    if written.is_err() {
        for ((file, _), len) in parts.iter().zip(before) {
            if file.metadata()?.len() > len {
                file.set_len(len)?;
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn the_reserve_takes_space_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(RESERVE);
        let mut reserve = Reserve::hold(dir.path()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), RESERVE_BYTES as u64);
        assert!(reserve.give_up() && !file.exists() && !reserve.give_up());
        drop(Reserve::hold(dir.path()).unwrap());
        assert!(!file.exists());
        let e = Reserve::hold(&dir.path().join("absent")).err().unwrap();
        assert!(e.to_string().contains("cannot keep 1024 KiB free in") && !says_full(&e), "{e}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_does_not_fit_into_all_files_is_in_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows");
        fs::write(&path, "before\n").unwrap();
        let open = |path: &Path| OpenOptions::new().append(true).open(path).unwrap();
        let (mut rows, mut full) = (open(&path), open(Path::new("/dev/full")));
        let e = append_all(&mut [(&mut rows, b"more\n"), (&mut full, b"more\n")]).unwrap_err();
        assert!(is_full(e.kind()) && says_full(&anyhow::Error::from(e).context("why")));
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\n");
        append_all(&mut [(&mut rows, b"more\n"), (&mut full, b"")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\nmore\n");
    }
}
