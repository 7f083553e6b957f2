//! The records of a journal, and what they add up to.

use std::path::Path;

use ndarray::Array3;
use serde::{Deserialize, Serialize};
use si_api::Answer;

use super::{JournalError, MOST_RESUMES, Result, digest};
use crate::Plan;
use crate::check::Agreement;
use crate::mix::Mix;

/// First words of every journal (agreement).
pub(super) const FORMAT: &str = "si-fusion-journal/1";

/// Hexadecimal digits of a record's check.
const CHECK_DIGITS: usize = 16;

/// What must be the same when a run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// What the caller says: code, model, options.
    pub(crate) context: String,
    pub(crate) plan: Plan,
    pub(crate) agreement: Agreement,
    /// Digest of graph and public samples.
    pub(crate) graph: String,
    pub(crate) public: String,
}

/// How far a journal has come: public, both parties need it to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks whose answers are recorded.
    pub chunks_done: usize,
    /// Inferences in them.
    pub inferences_done: usize,
    /// How often the run was resumed.
    pub resumes: usize,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(super) enum Record {
    Begin(Box<Begin>),
    Chunk { chunk: usize, answers: Vec<Line> },
    Resume { chunks_done: usize, order: Vec<usize> },
    End { accepted: bool, outcome: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) format: String,
    pub(super) identity: Identity,
    pub(super) queries: usize,
    pub(super) queries_digest: String,
    /// Which public samples were taken.
    pub(super) samples: Vec<usize>,
    /// What stands at each position, see [`Mix::order`].
    pub(super) order: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) label: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scores: Option<Vec<i64>>,
}

/// What a journal says of a run that was begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    identity: Identity,
    queries: (usize, String),
    pub(crate) samples: Vec<usize>,
    pub(crate) mix: Mix,
    /// Of the finished chunks, in the order of the positions.
    pub(crate) answers: Vec<Answer>,
    pub(super) progress: Progress,
    end: Option<(bool, String)>,
}

impl Begun {
    /// Whether it is the run that is asked for, and may go on.
    pub(super) fn check(&self, path: &Path, now: &Identity) -> Result<()> {
        let was = &self.identity;
        let other = |what, journal: &dyn std::fmt::Display, now: &dyn std::fmt::Display| {
            Err(JournalError::OtherRun {
                path: path.to_owned(),
                what,
                journal: journal.to_string(),
                now: now.to_string(),
            })
        };
        if was.plan != now.plan {
            let chunks = |p: &Plan| format!("{p}, {} chunks", p.chunks().len());
            return other("plan", &chunks(&was.plan), &chunks(&now.plan));
        }
        if was.graph != now.graph {
            return other("graph", &was.graph, &now.graph);
        }
        if was.context != now.context {
            return other("context (code, model or options)", &was.context, &now.context);
        }
        if was.public != now.public {
            return other("set of public samples", &was.public, &now.public);
        }
        if was.agreement != now.agreement {
            return other("rule for equal copies", &format!("{:?}", was.agreement), &format!("{:?}", now.agreement));
        }
        match &self.end {
            Some((false, outcome)) => Err(JournalError::Ended { path: path.to_owned(), outcome: outcome.clone() }),
            None if self.progress.resumes >= MOST_RESUMES => {
                Err(JournalError::TooManyResumes { path: path.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Whether these are the queries that the run was begun with.
    pub(crate) fn check_queries(&self, path: &Path, queries: &[Array3<i64>]) -> Result<()> {
        let now = (queries.len(), digest(queries));
        if self.queries == now {
            return Ok(());
        }
        let text = |(n, digest): &(usize, String)| format!("{n} of digest {digest}");
        let (journal, now) = (text(&self.queries), text(&now));
        Err(JournalError::OtherRun { path: path.to_owned(), what: "set of queries", journal, now })
    }

    /// Whether the run is over: every answer is there, and was accepted.
    pub(crate) fn is_accepted(&self) -> bool {
        self.end.as_ref().is_some_and(|(accepted, _)| *accepted)
    }
}

/// What a file holds.
pub(super) struct Contents {
    pub(super) begun: Option<Begun>,
    pub(super) chain: blake3::Hash,
    /// Bytes up to the end of the last whole record.
    pub(super) whole: usize,
}

pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Contents> {
    let mut contents = Contents { begun: None, chain: blake3::hash(FORMAT.as_bytes()), whole: 0 };
    for (i, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let corrupt = |why: String| JournalError::Corrupt { path: path.to_owned(), line: i + 1, why };
        let text = std::str::from_utf8(line).map_err(|_| corrupt("not text".to_owned()))?;
        let damaged = || corrupt("its check does not match: the file was damaged or changed".to_owned());
        let (check, json) = text.split_at_checked(CHECK_DIGITS).ok_or_else(damaged)?;
        let json = json.strip_prefix(' ').ok_or_else(damaged)?;
        contents.chain = chained(&contents.chain, json);
        if check != shown(&contents.chain) {
            return Err(damaged());
        }
        let record = serde_json::from_str(json).map_err(|e| corrupt(format!("it makes no sense: {e}")))?;
        contents.begun = Some(take(contents.begun, record).map_err(|why| corrupt(why.to_owned()))?);
        contents.whole += line.len() + 1;
    }
    Ok(contents)
}

/// Adds a record to what is known of the run.
fn take(begun: Option<Begun>, record: Record) -> std::result::Result<Begun, &'static str> {
    let Some(mut begun) = begun else {
        let Record::Begin(begin) = record else { return Err("a run that was not begun") };
        let plan = &begin.identity.plan;
        let distinct: std::collections::HashSet<_> = begin.samples.iter().collect();
        if begin.format != FORMAT {
            return Err("a format of another version of this program");
        }
        if distinct.len() != plan.public() || begin.samples.len() != plan.public() || begin.queries > plan.queries() {
            return Err("public samples or queries that do not fit the plan");
        }
        return Ok(Begun {
            mix: Mix::of_order(plan, &begin.order).ok_or("an order that does not fit the plan")?,
            queries: (begin.queries, begin.queries_digest),
            samples: begin.samples,
            answers: Vec::new(),
            progress: Progress::default(),
            end: None,
            identity: begin.identity,
        });
    };
    if begun.end.is_some() {
        return Err("a record after the end");
    }
    let plan = begun.identity.plan;
    let done = &mut begun.progress;
    match record {
        Record::Begin(_) => return Err("a second beginning"),
        Record::Chunk { chunk, answers } => {
            if chunk != done.chunks_done || plan.chunks().get(chunk) != Some(&answers.len()) {
                return Err("a chunk that is not the next one of the plan");
            }
            done.chunks_done += 1;
            done.inferences_done += answers.len();
            begun.answers.extend(answers.into_iter().map(|l| Answer { label: l.label, scores: l.scores }));
        }
        Record::Resume { chunks_done, order } => {
            if chunks_done != done.chunks_done {
                return Err("a resumption at another chunk");
            }
            let mut whole = begun.mix.order(&plan);
            whole.truncate(done.inferences_done);
            whole.extend(order);
            begun.mix = Mix::of_order(&plan, &whole).ok_or("a new order that does not fit the plan")?;
            done.resumes += 1;
        }
        Record::End { accepted, outcome } => {
            if accepted && done.chunks_done != plan.chunks().len() {
                return Err("accepted before all answers were there");
            }
            begun.end = Some((accepted, outcome));
        }
    }
    Ok(begun)
}

pub(super) fn chained(chain: &blake3::Hash, json: &str) -> blake3::Hash {
    blake3::Hasher::new().update(chain.as_bytes()).update(json.as_bytes()).finalize()
}

pub(super) fn shown(hash: &blake3::Hash) -> String {
    hash.to_hex()[..CHECK_DIGITS].to_owned()
}
