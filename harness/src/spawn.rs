//! One repetition: party processes are started, watched and, if need be, killed. Nothing here waits without a limit.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use si_netem::Namespaces;
use si_wire::Role;

use crate::job::{Event, Failure, Job, PartyReport};
use crate::machine;
use crate::record::Status;

/// How often the clock, the processes and the user's wish to stop are looked at (local).
const POLL: Duration = Duration::from_millis(50);

/// How long the other parties may take to say why, once one has failed (local).
const GRACE: Duration = Duration::from_secs(3);

/// How much of a party's messages is kept (local).
const KEPT_STDERR_BYTES: u64 = 64 << 10;

/// Longest line of a party's report (local): scores of a batch of queries.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// How a repetition ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `Ok` means that all parties reported; the answers are not checked yet.
    pub(crate) status: Status,
    /// One line for every status but `Ok`.
    pub(crate) reason: String,
    /// The role that an abort blames.
    pub(crate) accused: String,
    /// What the parties reported, as far as they did.
    pub(crate) reports: Vec<PartyReport>,
    /// What the parties wrote for people.
    pub(crate) stderr: String,
}

impl Outcome {
    /// The client's report, if it came so far.
    pub(crate) fn client(&self) -> Option<&PartyReport> {
        self.reports.iter().find(|r| r.role == Role::Client.to_string())
    }
}

/// One party's process.
struct Proc {
    child: Child,
    seen: Seen,
}

/// What is known of a party.
struct Seen {
    role: Role,
    stage: String,
    ended: Option<ExitStatus>,
    failed: Option<(Failure, String)>,
    report: Option<PartyReport>,
    stderr: String,
}

enum News {
    Said(Event),
    Garbled(String),
    Stderr(String),
}

/// Where the server listens in a namespace of its own (agreement: nobody else is there).
const NAMESPACE_PORT: u16 = 7001;

/// Runs a job with one process a role, each in its namespace of the link `net` if there is one. `None` if the user wants
/// to stop.
///
/// # Errors
/// If a process or its job file cannot be made, which is no fault of the protocol.
pub(crate) fn run(
    job: &Job,
    timeout: Duration,
    stop: &AtomicBool,
    net: Option<&Namespaces>,
) -> Result<Option<Outcome>> {
    let folder = tempfile::Builder::new().prefix("bench-job-").tempdir().context("a folder for the job file")?;
    let file = folder.path().join("job.json");
    std::fs::write(&file, serde_json::to_vec_pretty(job)?).with_context(|| file.display().to_string())?;

    let (tell, news) = channel();
    let kills_before = machine::oom_kills();
    let server = match net {
        None => Vec::new(),
        Some(n) => vec!["--netns".into(), n.server(), "--listen".into(), format!("0.0.0.0:{NAMESPACE_PORT}")],
    };
    let mut run = Run {
        procs: vec![start(Role::Server(0), &file, &server, &tell)?],
        news,
        net,
        deadline: Instant::now() + timeout,
        timeout,
        kills_before,
        lost_since: None,
    };
    let result = run.watch(&file, &tell, stop);
    run.kill();
    result
}

struct Run<'a> {
    procs: Vec<Proc>,
    news: Receiver<(Role, News)>,
    net: Option<&'a Namespaces>,
    deadline: Instant,
    timeout: Duration,
    kills_before: Option<u64>,
    lost_since: Option<Instant>,
}

impl Run<'_> {
    fn watch(&mut self, file: &Path, tell: &Sender<(Role, News)>, stop: &AtomicBool) -> Result<Option<Outcome>> {
        loop {
            let mut news = self.news.recv_timeout(POLL).ok();
            while let Some((role, said)) = news {
                if let Some(address) = self.hear(role, said) {
                    let at = |host| format!("{host}:{NAMESPACE_PORT}");
                    let mut args = vec!["--connect".into(), self.net.map_or(address, |_| at(Namespaces::SERVER))];
                    if let Some(net) = self.net {
                        let control = at(Namespaces::SERVER_CONTROL);
                        args.extend(["--control".into(), control, "--netns".into(), net.client()]);
                    }
                    self.procs.push(start(Role::Client, file, &args, tell)?);
                }
                news = self.news.try_recv().ok();
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            for p in &mut self.procs {
                if p.seen.ended.is_none() {
                    p.seen.ended = p.child.try_wait().with_context(|| format!("waiting for the {}", p.seen.role))?;
                }
            }
            let all = self.procs.len() == 2;
            if all && self.procs.iter().all(|p| p.seen.report.is_some()) {
                return Ok(Some(self.outcome()));
            }
            if self.procs.iter().any(|p| p.seen.is_lost()) {
                let since = *self.lost_since.get_or_insert_with(Instant::now);
                if self.procs.iter().all(|p| p.seen.ended.is_some()) || since.elapsed() > GRACE {
                    return Ok(Some(self.outcome()));
                }
            }
            if self.net.is_some_and(|n| n.broken().is_some()) {
                return Ok(Some(self.outcome()));
            }
            if Instant::now() >= self.deadline {
                return Ok(Some(self.outcome_of_timeout()));
            }
        }
    }

    /// Takes in what a party said; an address is where the client must connect.
    fn hear(&mut self, role: Role, news: News) -> Option<String> {
        let started = self.procs.len();
        let p = self.procs.iter_mut().find(|p| p.seen.role == role)?;
        match news {
            News::Said(Event::Listening { address }) => return (started == 1).then_some(address),
            News::Said(Event::Stage { stage }) => p.seen.stage = stage,
            News::Said(Event::Done(report)) => p.seen.report = Some(*report),
            News::Said(Event::Failed { failure, message }) => p.seen.failed = Some((failure, message)),
            News::Garbled(why) => p.seen.failed = Some((Failure::Other, why)),
            News::Stderr(text) => p.seen.stderr = text,
        }
        None
    }

    fn outcome(&mut self) -> Outcome {
        // The parties' last words may still be on their way from the reading threads.
        let until = Instant::now() + Duration::from_millis(200);
        while let Ok((role, news)) = self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.hear(role, news);
        }
        if self.procs.len() == 2 && self.procs.iter().all(|p| p.seen.report.is_some()) {
            return self.finish(Status::Ok, String::new(), String::new());
        }
        if let Some(why) = self.net.and_then(Namespaces::broken) {
            return self.finish(Status::Error, why, String::new()); // whatever the parties say follows from that
        }
        let oom = matches!((self.kills_before, machine::oom_kills()), (Some(a), Some(b)) if b > a);
        let worst = self.procs.iter().filter_map(|p| p.seen.verdict(oom)).min_by_key(|v| v.0);
        match worst {
            Some((_, status, reason, accused)) => self.finish(status, reason, accused),
            None => self.finish(Status::Error, "a party ended without a report".to_owned(), String::new()),
        }
    }

    fn outcome_of_timeout(&mut self) -> Outcome {
        let mut stages: Vec<_> =
            self.procs.iter().map(|p| format!("the {} was in {}", p.seen.role, p.seen.stage)).collect();
        if self.procs.len() == 1 {
            stages.push("the client was not started".to_owned());
        }
        let reason = format!(
            "no end within {} s: {}; raise timeout_s if that is too short",
            self.timeout.as_secs(),
            stages.join(", ")
        );
        self.finish(Status::Timeout, reason, String::new())
    }

    fn finish(&mut self, status: Status, reason: String, accused: String) -> Outcome {
        let reports = self.procs.iter_mut().filter_map(|p| p.seen.report.take()).collect();
        let said = self.procs.iter().filter(|p| !p.seen.stderr.trim().is_empty());
        let stderr = said.map(|p| format!("{}: {}\n", p.seen.role, p.seen.stderr.trim())).collect();
        Outcome { status, reason: reason.replace('\n', " "), accused, reports, stderr }
    }

    fn kill(&mut self) {
        for p in &mut self.procs {
            // Both fail only if the process has ended already.
            let _ = p.child.kill();
            let _ = p.child.wait();
        }
    }
}

impl Seen {
    fn new(role: Role) -> Self {
        Self { role, stage: "start".to_owned(), ended: None, failed: None, report: None, stderr: String::new() }
    }

    /// Whether it ended without a report.
    fn is_lost(&self) -> bool {
        self.failed.is_some() || (self.ended.is_some() && self.report.is_none())
    }

    /// (weight, status, reason, accused) if it failed; the least weight tells the most about the cause.
    fn verdict(&self, oom: bool) -> Option<(u32, Status, String, String)> {
        let role = self.role;
        let plain = |weight, status, reason| Some((weight, status, reason, String::new()));
        if let Some((failure, message)) = &self.failed {
            let reason = format!("the {role} in {}: {message}", self.stage);
            return match failure {
                Failure::Abort { accused } => Some((0, Status::Abort, message.clone(), accused.clone())),
                Failure::DiskFull => plain(1, Status::Disk, reason),
                Failure::Unsupported => plain(3, Status::Skipped, message.clone()),
                Failure::Other => plain(4, Status::Error, reason),
                Failure::Timeout => plain(5, Status::Timeout, reason),
                Failure::PeerLost => plain(6, Status::Error, reason),
            };
        }
        let ended = self.ended.filter(|_| self.report.is_none())?;
        if self.stderr.contains("memory allocation of") {
            return plain(1, Status::Memory, format!("the {role} ran out of memory in {}", self.stage));
        }
        match signal(ended) {
            Some(9) if oom => {
                plain(1, Status::Memory, format!("the system killed the {role} in {} for want of memory", self.stage))
            }
            Some(s) => plain(2, Status::Error, format!("the {role} was killed by signal {s} in {}", self.stage)),
            None => {
                let last = self.stderr.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no message");
                plain(2, Status::Error, format!("the {role} ended in {} with {ended}: {last}", self.stage))
            }
        }
    }
}

fn start(role: Role, job: &Path, args: &[String], tell: &Sender<(Role, News)>) -> Result<Proc> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(&program);
    command.arg("party").arg("--job").arg(job).arg("--role").arg(role.to_string()).args(args);
    let (name, value) = crate::machine::HUGE_PAGES;
    if std::env::var_os(name).is_none() {
        command.env(name, value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for the orchestrator alone, which then ends the parties in order.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().with_context(|| format!("cannot start the {role} ({})", program.display()))?;

    let threads = child.stdout.take().zip(child.stderr.take());
    let Some((stdout, stderr)) = threads else { anyhow::bail!("the {role} has no output") };
    let told = tell.clone();
    std::thread::spawn(move || listen(stdout, |news| told.send((role, news)).is_ok()));
    let told = tell.clone();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut rest = stderr;
        let _ = rest.by_ref().take(KEPT_STDERR_BYTES).read_to_end(&mut text);
        let _ = told.send((role, News::Stderr(String::from_utf8_lossy(&text).into_owned())));
        let _ = std::io::copy(&mut rest, &mut std::io::sink()); // or the party would block
    });
    Ok(Proc { child, seen: Seen::new(role) })
}

/// Passes on each line of a party until it ends or nobody listens.
fn listen(stdout: impl Read, mut tell: impl FnMut(News) -> bool) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        let news = match read {
            Ok(0) | Err(_) => return,
            Ok(_) => match serde_json::from_slice(&line) {
                Ok(event) => News::Said(event),
                Err(e) => News::Garbled(format!("its report makes no sense: {e}")),
            },
        };
        if !tell(news) {
            return;
        }
    }
}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// A party that ended in `online` with this raw status.
    fn ended(raw: i32) -> Seen {
        Seen { ended: Some(ExitStatus::from_raw(raw)), stage: "online".to_owned(), ..Seen::new(Role::Server(0)) }
    }

    fn failed(failure: Failure) -> Seen {
        Seen { failed: Some((failure, "why".to_owned())), ..ended(256) }
    }

    #[test]
    fn every_ending_has_its_status() {
        let is = |seen: &Seen, oom: bool, status: Status, part: &str| {
            let (_, s, reason, _) = seen.verdict(oom).unwrap();
            assert!(s == status && reason.contains(part), "{s}: {reason}");
        };
        is(&ended(9), false, Status::Error, "the server was killed by signal 9 in online");
        is(&ended(9), true, Status::Memory, "for want of memory");
        let abort = Seen { stderr: "memory allocation of 99 bytes failed\n".to_owned(), ..ended(6) };
        is(&abort, false, Status::Memory, "ran out of memory in online");
        is(&Seen { stderr: "x\nlast words\n".to_owned(), ..ended(256) }, false, Status::Error, "last words");
        is(&ended(0), false, Status::Error, "no message");
        is(&failed(Failure::Timeout), false, Status::Timeout, "the server in online: why");
        is(&failed(Failure::DiskFull), false, Status::Disk, "the server in online: why");
        is(&failed(Failure::Unsupported), false, Status::Skipped, "why");
        is(&failed(Failure::Other), false, Status::Error, "why");
        let accused = failed(Failure::Abort { accused: "server".to_owned() }).verdict(false).unwrap();
        assert_eq!((accused.1, accused.3.as_str()), (Status::Abort, "server"));
        let good = Seen { report: Some(PartyReport::default()), ..ended(0) };
        assert!(good.verdict(false).is_none() && !good.is_lost());
        assert!(Seen::new(Role::Client).verdict(false).is_none() && !Seen::new(Role::Client).is_lost());
    }

    #[test]
    fn the_cause_outweighs_its_consequences() {
        let weight = |seen: Seen| seen.verdict(false).unwrap().0;
        let lost = || weight(failed(Failure::PeerLost));
        assert!(weight(ended(9)) < lost() && weight(failed(Failure::Other)) < lost());
        assert!(weight(failed(Failure::Timeout)) < lost());
        assert!(weight(failed(Failure::Abort { accused: "server".to_owned() })) < weight(ended(9)));
    }

    #[test]
    fn garbled_reports_are_told_from_events() {
        let mut heard = Vec::new();
        let bytes = b"{\"event\":\"stage\",\"stage\":\"load\"}\nnonsense\n{\"event\":\"listening\"}";
        listen(&bytes[..], |news| {
            heard.push(matches!(news, News::Said(_)));
            true
        });
        assert_eq!(heard, [true, false, false]);
    }
}
