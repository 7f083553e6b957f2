//! Two network namespaces with a shaped link between them: the means of the kernel's own TCP.
//!
//! The scripts in `scripts/` do it, the same that a person can run by hand. The namespaces' names say which process made
//! them and when it started, so that what a killed run left behind can be told from what is another run's.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::tun::Tun;
use crate::{Error, Means, Profile, Result};

const UP: &str = include_str!("../scripts/up.sh");
const DOWN: &str = include_str!("../scripts/down.sh");
const STALE: &str = include_str!("../scripts/stale.sh");

/// The interface of the shaped link in both namespaces (agreement with the scripts).
pub(crate) const SHAPED: &str = "shaped";

/// The client's address on the shaped link (agreement with the scripts).
pub(crate) const SHAPED_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// How often it is looked whether the link is still there (local).
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// Two namespaces and their link. Dropping it removes everything.
pub struct Namespaces {
    id: String,
    means: Means,
    tun: Option<Tun>,
    watch: Option<Watch>,
}

impl Namespaces {
    /// The server's address on the shaped link.
    pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    /// The server's address on the link beside it, which is not shaped.
    pub const SERVER_CONTROL: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);

    /// Sets up the link of a profile by netem or tun, under a name of its own. What killed runs left is removed first.
    ///
    /// # Errors
    /// If the means is another, or a step fails: no root, no iproute2, no `sch_netem`, no TUN. Nothing is left then.
    pub fn up(profile: &Profile) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let id = format!("{}.{}.{}", std::process::id(), started_ticks(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self::remove_stale();
        Self::up_as(&id, profile)
    }

    /// As [`up`](Self::up), under a given name, which must be free.
    ///
    /// # Errors
    /// As [`up`](Self::up); also if the name is taken or would not do in a file's name.
    pub fn up_as(id: &str, profile: &Profile) -> Result<Self> {
        let means = profile.means;
        let refuse = |why: String| Err(Error::SetUp { means, why });
        if !means.is_kernel() {
            return refuse("it needs no network namespaces".into());
        }
        let good = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        if id.is_empty() || id.len() > 60 || !id.chars().all(good) {
            return refuse(format!("'{id}' is no name for namespaces: use letters, digits, '.' and '_'"));
        }
        let [rate, rtt, buffer] =
            [profile.rate_bits_per_s, profile.rtt_us, profile.buffer_bytes()].map(|n| n.to_string());
        let restart = u8::from(profile.tcp_slow_start).to_string();
        script(means, UP, &[id, &means.to_string(), &rate, &rtt, &buffer, &restart])?;
        // From here on, dropping it undoes it.
        let mut up = Self { id: id.to_owned(), means, tun: None, watch: None };
        if means == Means::Tun {
            up.tun = Some(Tun::start(&up.client(), &up.server(), profile)?);
        }
        up.watch = Some(Watch::start(means, [up.client(), up.server()])?);
        Ok(up)
    }

    /// Name of the client's namespace, as in `ip netns`.
    #[must_use]
    pub fn client(&self) -> String {
        format!("si-{}-c", self.id)
    }

    /// Name of the server's namespace.
    #[must_use]
    pub fn server(&self) -> String {
        format!("si-{}-s", self.id)
    }

    /// What has become of the link, if it is no more.
    #[must_use]
    pub fn broken(&self) -> Option<String> {
        self.watch.as_ref()?.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Packets that the link has dropped so far, both ways, if that can be told.
    #[must_use]
    pub fn drops(&self) -> Option<u64> {
        match &self.tun {
            Some(tun) => Some(tun.drops()),
            None => [self.client(), self.server()].iter().map(|n| qdisc_drops(n)).sum(),
        }
    }

    /// Removes everything, and says if that failed.
    ///
    /// # Errors
    /// If a namespace could not be removed.
    pub fn down(mut self) -> Result<()> {
        self.remove()
    }

    fn remove(&mut self) -> Result<()> {
        let Some(watch) = self.watch.take() else { return self.delete() };
        watch.stop();
        self.delete()
    }

    fn delete(&mut self) -> Result<()> {
        let id = std::mem::take(&mut self.id);
        if id.is_empty() {
            return Ok(());
        }
        let deleted = script(self.means, DOWN, &[&id]).map(drop);
        self.tun = None; // its devices are gone, so its threads end
        deleted
    }

    /// Removes what runs left that were killed before they could: namespaces whose names tell of a process that is no
    /// more. Returns their names. What is not ours, and what is in use, stays.
    pub fn remove_stale() -> Vec<String> {
        // Without root there is nothing to remove, and nothing of ours that matters.
        let said = script(Means::Auto, STALE, &[]).unwrap_or_default();
        said.lines().map(str::to_owned).collect()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // A failure is seen by the next run, which removes what is stale.
        let _ = self.remove();
    }
}

/// Moves the calling thread, and all threads that it starts from now on, into a network namespace.
///
/// # Errors
/// If there is no such namespace, or the system refuses.
pub fn enter(namespace: &str) -> Result<()> {
    let file = open(namespace)?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|e| Error::Io { what: "entering a network namespace", source: e.into() })
}

/// Whether this thread is in a network namespace with our links and nothing else: no stranger can come near it.
#[must_use]
pub fn is_own_namespace() -> bool {
    let names = interfaces();
    let ours = |n: &String| ["lo", SHAPED, "control"].contains(&n.as_str());
    names.iter().any(|n| n == SHAPED) && names.iter().all(ours)
}

/// Names of the interfaces that this thread sees.
fn interfaces() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    text.lines().skip(2).filter_map(|l| Some(l.split_once(':')?.0.trim().to_owned())).collect()
}

fn open(namespace: &str) -> Result<File> {
    File::open(format!("/run/netns/{namespace}"))
        .map_err(|source| Error::Io { what: "opening a network namespace", source })
}

/// Runs a script; what it said on standard output.
fn script(means: Means, text: &str, args: &[&str]) -> Result<String> {
    let run = Command::new("sh").arg("-c").arg(text).arg("link").args(args).stdin(Stdio::null()).output();
    let output = run.map_err(|source| Error::Io { what: "running sh", source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let why = if lines.is_empty() { format!("its script ended with {}", output.status) } else { lines.join("; ") };
    Err(Error::SetUp { means, why })
}

/// Packets that the interface's queue has dropped, by `tc`.
fn qdisc_drops(namespace: &str) -> Option<u64> {
    let output = Command::new("tc").args(["-n", namespace, "-s", "qdisc", "show", "dev", SHAPED]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split("(dropped ").nth(1)?.split(',').next()?.trim().parse().ok()
}

/// When this process started, in ticks since the system's start: with its number, unique until the next start.
fn started_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().nth(19).and_then(|f| f.parse().ok()).unwrap_or(0)
}

/// A thread that looks whether the shaped interfaces are still there: an endpoint of TCP would wait for minutes.
struct Watch {
    lost: Arc<Mutex<Option<String>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn start(means: Means, namespaces: [String; 2]) -> Result<Self> {
        let files = [open(&namespaces[0])?, open(&namespaces[1])?];
        let (lost, stop) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
        let (told, ends) = (Arc::clone(&lost), Arc::clone(&stop));
        let look = move || {
            while !ends.load(Ordering::Relaxed) {
                for (name, file) in namespaces.iter().zip(&files) {
                    let entered = move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network));
                    if entered.is_err() || !interfaces().iter().any(|n| n == SHAPED) {
                        let why =
                            format!("the link by {means} is no more: interface '{SHAPED}' of {name} has vanished");
                        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                        return;
                    }
                }
                std::thread::park_timeout(WATCH_EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("watch-link".into()).spawn(look);
        let thread = thread.map_err(|source| Error::Io { what: "a thread", source })?;
        Ok(Self { lost, stop, thread })
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join(); // it holds the namespaces
    }
}
