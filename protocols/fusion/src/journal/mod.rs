//! The journal of a run: what a client needs to go on after its process died, in a file that is written as it goes.
//!
//! **What it holds.** The plan and what else identifies the run; which public samples were taken; the order of the
//! positions; the answers of every finished chunk; how the run ended. *The order and the answers are secret*: a server
//! that reads the file before the run ends can cheat unseen. The file is made readable by its owner alone (0600), is
//! refused if others may read it, and belongs on the client's own disk and in no record that is published.
//!
//! **Format.** One record a line: 16 hexadecimal digits that chain the record to all before it (BLAKE3), a space, JSON.
//! A record is on the disk (fsync) before the client acts on it: the order before the first message, the answers of a
//! chunk before the next one. The chain finds accidents, not forgers: whoever may write the client's files can do worse.
//!
//! **Going on is sound.** A chunk whose answers are recorded is never run again, so the server cannot take back what it
//! answered. A chunk that was sent and not recorded is run again, with fresh keys and sharing, and *all positions that
//! are not recorded are put into a new random order* before. Then:
//!
//! - The discarded answers of the interrupted chunk reach nobody: the client checks nothing before the end, so the server
//!   learns nothing by answering falsely there, and only the answers of the last attempt count.
//! - The server may repeat its interruption at will (it can close the connection), but what it decides by is its own
//!   view, which says nothing of the order as long as the inner protocol hides inputs and makes positions alike.
//! - The order of all recorded positions, whichever attempt they are of, is uniform given everything the server saw, and
//!   the set that it corrupts is chosen apart from it: the bound of [`crate::soundness`] holds as it is.
//! - Running the chunk again in its old order would rest on the same assumptions; a new order asks less of the inner
//!   protocol: whatever a deviating server did learn of a position is worth nothing in the next attempt.
//!
//! A record that our own disk has no room for is as a client that died before it: nothing of it stays, and with room the run
//! goes on as after a death.
//!
//! It learns at which chunk a client died, and how often. Should a message of the server be able to kill the client
//! depending on a secret, each death would tell it one bit: so a run is resumed at most [`MOST_RESUMES`] times, and an
//! error that the server's *messages* cause (anything but a lost connection) ends the run for good.

mod error;
mod records;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ndarray::Array3;
use si_api::Answer;

use crate::Plan;
use crate::mix::Mix;

pub use error::JournalError;
pub(crate) use error::Result;
pub use records::Progress;
use records::{Begin, Contents, FORMAT, Line, Record, chained, read, shown};
pub(crate) use records::{Begun, Identity};

/// Times that a run may be resumed (security: an upper limit on the bits that deaths of the client could tell).
pub const MOST_RESUMES: usize = 16;

/// A journal that is open for writing.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    chain: blake3::Hash,
    progress: Progress,
}

/// How far the journal at `path` has come; `None` if there is none, or none whose first record is whole (then nothing
/// was sent). Says nothing of the secrets, and locks nothing.
///
/// # Errors
/// If it cannot be read, or is damaged.
pub fn progress(path: &Path) -> Result<Option<Progress>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(read(path, &bytes)?.begun.map(|b| b.progress)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(JournalError::io(path, "read it")(e)),
    }
}

impl Journal {
    /// Opens the journal at `path`, or makes an empty one, and reads what was begun. A torn last record, which is what
    /// dying while writing leaves, is cut off.
    ///
    /// # Errors
    /// If it is in use, exposed, damaged, or of another run than `identity`; if the run has failed, or was resumed too
    /// often.
    pub(crate) fn open(path: &Path, identity: &Identity) -> Result<(Self, Option<Begun>)> {
        let io = |doing| JournalError::io(path, doing);
        let mut file = private().open(path).map_err(io("open it"))?;
        if file.try_lock().is_err() {
            return Err(JournalError::InUse { path: path.to_owned() });
        }
        check_mode(path, &file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read it"))?;
        let Contents { begun, chain, whole } = read(path, &bytes)?;
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(io("cut off its torn last record"))?;
        }
        file.seek(SeekFrom::End(0)).and_then(|_| file.sync_all()).map_err(io("write to it"))?;
        sync_folder(path).map_err(io("write its folder"))?;
        if let Some(begun) = &begun {
            begun.check(path, identity)?;
        }
        let progress = begun.as_ref().map_or(Progress::default(), |b| b.progress);
        Ok((Self { path: path.to_owned(), file, chain, progress }, begun))
    }

    /// How far it has come.
    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Records a new run, before anything of it is sent.
    pub(crate) fn begin(
        &mut self,
        identity: Identity,
        queries: &[Array3<i64>],
        samples: &[usize],
        mix: &Mix,
    ) -> Result<()> {
        self.append(&Record::Begin(Box::new(Begin {
            format: FORMAT.to_owned(),
            queries: queries.len(),
            queries_digest: digest(queries),
            samples: samples.to_vec(),
            order: mix.order(&identity.plan),
            identity,
        })))
    }

    /// Records that the run goes on in this order, before anything more is sent.
    pub(crate) fn resume(&mut self, plan: &Plan, mix: &Mix) -> Result<()> {
        let Progress { chunks_done, inferences_done, .. } = self.progress;
        let order = mix.order(plan)[inferences_done..].to_vec();
        self.append(&Record::Resume { chunks_done, order })?;
        self.progress.resumes += 1;
        Ok(())
    }

    /// Records the answers of the next chunk.
    pub(crate) fn chunk(&mut self, answers: &[Answer]) -> Result<()> {
        let chunk = self.progress.chunks_done;
        let line = |a: &Answer| Line { label: a.label, scores: a.scores.clone() };
        self.append(&Record::Chunk { chunk, answers: answers.iter().map(line).collect() })?;
        self.progress.chunks_done += 1;
        self.progress.inferences_done += answers.len();
        Ok(())
    }

    /// Records the end, before anybody learns of it.
    pub(crate) fn end(&mut self, accepted: bool, outcome: &str) -> Result<()> {
        self.append(&Record::End { accepted, outcome: outcome.to_owned() })
    }

    /// Appends a record whole. What a full disk took of it is cut off again, or the next record would stand behind half a one.
    fn append(&mut self, record: &Record) -> Result<()> {
        let io = JournalError::io(&self.path, "append to it");
        let json = serde_json::to_string(record).map_err(|e| io(e.into()))?;
        let chain = chained(&self.chain, &json);
        let line = format!("{} {json}\n", shown(&chain));
        let end = self.file.stream_position().map_err(&io)?;
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if written.is_err() {
            let _ = self.file.set_len(end); // opening cuts it off too; the first error is the one to tell
            self.file.seek(SeekFrom::Start(end)).map_err(&io)?;
        }
        written.map_err(&io)?;
        self.chain = chain;
        Ok(())
    }
}

/// A digest of tensors: tells runs apart, no security rests on it.
pub(crate) fn digest(tensors: &[Array3<i64>]) -> String {
    let mut hash = blake3::Hasher::new();
    for tensor in tensors {
        tensor.shape().iter().for_each(|n| {
            hash.update(&(*n as u64).to_le_bytes());
        });
        tensor.iter().for_each(|x| {
            hash.update(&x.to_le_bytes());
        });
    }
    shown(&hash.finalize())
}

/// The digest of a text.
pub(crate) fn digest_of(text: &str) -> String {
    shown(&blake3::hash(text.as_bytes()))
}

/// For its owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_err(JournalError::io(path, "see who may read it"))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(JournalError::Exposed { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _file: &File) -> Result<()> {
    Ok(())
}

/// Makes sure that the file's name outlives a crash of the machine too.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A device that has no space for anything.
    #[test]
    fn a_full_disk_is_told_and_leaves_the_journal_as_it_was() {
        let path = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let chain = blake3::hash(b"before");
        let mut journal = Journal { path: path.to_owned(), file, chain, progress: Progress::default() };
        let answer = Answer { label: 3, scores: None };
        let e = journal.chunk(&[answer]).unwrap_err();
        assert!(matches!(&e, JournalError::Io { kind: std::io::ErrorKind::StorageFull, .. }), "{e}");
        assert_eq!((journal.progress, journal.chain), (Progress::default(), chain));
        let e = si_api::Error::from(crate::FusionError::from(e));
        assert!(
            matches!(&e, si_api::Error::DiskFull { what } if what.contains("/dev/full: cannot append to it")),
            "{e}"
        );
    }
}
