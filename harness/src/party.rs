//! One party of a repetition, in a process of its own: load, connect, agree, probe the link, and run.
//!
//! It takes a job file and a role, and writes events on its standard output, one JSON value a line (see
//! [`crate::job`]). Nothing else of the harness is needed, so the two commands can run on two machines.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rand::TryRng;
use si_api::{Answer, Channel, Graph, Meter, Party, Phase, Role, Seed};
use si_fusion::PublicSamples;
use si_netem::{Effort, Link, Profile, retransmits, set_tcp, tcp_seen};
use si_wire::Turns;

use crate::agree::{Agreement, barrier, short_hash};
use crate::behaviour::Behaviour;
use crate::cli::PartyArgs;
use crate::connect::{self, Connection, ensure_private};
use crate::inputs::{self, Inputs};
use crate::job::{Event, Failure, Job, LinkSeen, PartyReport, TcpLine};
use crate::machine;
use crate::registry::{self, FusionRun};
use crate::secure::Keys;
use crate::trips::LaneTurns;

/// Connections besides the protocol's lanes: one for agreement and barriers, which is not shaped, and one for the
/// probe, so that it warms up no lane (agreement).
const OWN_CONNECTIONS: u32 = 2;

/// Which of the connections is for agreement and barriers (agreement).
const CONTROL: u32 = 0;

/// Allowed on top of the job's limit, so that whoever started the parties gives up first and says why (local).
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest report of a party that the other reads (agreement): that of a server has no answers in it.
const MAX_REPORT_BYTES: usize = 16 << 20;

/// The meter's label for time at barriers, which belongs to no phase and is left out of the report.
const AT_BARRIER: &str = "barrier";

/// Plays one role of the job and reports. Returns whether all went well.
///
/// # Errors
/// If the job cannot be read or nobody listens to the report.
pub(crate) fn run(args: &PartyArgs) -> Result<bool> {
    let mut job = Job::load(&args.job)?;
    let role = args.role;
    ensure!(args.records.is_none() || role == Role::Client, "--records is for the client: it writes the rows of both");
    ensure!(
        args.records.is_none() || job.record.is_some(),
        "this job cannot be recorded: make it with `bench run EXPERIMENT --print-job`"
    );
    match (role, &args.listen, &args.connect) {
        (Role::Client, Some(_), _) => bail!("the client does not listen: say with --connect where the server is"),
        (Role::Server(_), _, Some(_)) => bail!("the server does not connect: say with --listen where it listens"),
        (_, None, None) => {}
        (_, given, other) => job.address = given.clone().or_else(|| other.clone()).unwrap_or_default(),
    }
    if let Some(namespace) = &args.netns {
        si_netem::enter(namespace)?; // before any other thread is started
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(job.threads as usize).build_global();
    pool.context("the party's threads")?;
    if job.supervised {
        end_with_supervisor();
    }
    let (event, good) = match play(&job, role, args).and_then(|report| keep(&job, report, args)) {
        Ok(report) => (Event::Done(Box::new(report)), true),
        Err(e) => {
            let message = format!("{e:#}");
            eprintln!("error: {message}");
            (Event::Failed { failure: classify(&e), message }, false)
        }
    };
    say(&event)?;
    Ok(good)
}

/// The party's report, and to the client the server's if the job is to be recorded.
fn play(job: &Job, role: Role, args: &PartyArgs) -> Result<(PartyReport, Option<PartyReport>)> {
    match role {
        Role::Client => client(job, args),
        Role::Server(0) => server(job, args),
        other => bail!("no protocol here has a party '{other}': use client or server"),
    }
}

/// The party's keys, if it was given any.
fn keys(args: &PartyArgs) -> Result<Option<Keys>> {
    match (&args.key, &args.peer) {
        (Some(own), Some(peer)) => Keys::load(own, peer).map(Some),
        (None, None) => Ok(None),
        _ => bail!("--key and --peer belong together: our own file, and the other party's certificate"),
    }
}

fn server(job: &Job, args: &PartyArgs) -> Result<(PartyReport, Option<PartyReport>)> {
    let keys = keys(args)?;
    // Bound first: who starts the client needs the port, and a port in use is known at once.
    let listener = TcpListener::bind(&job.address).with_context(|| {
        let at = &job.address;
        format!("the server cannot listen at {at}: is the port in use, or the address not this machine's? name another, or port 0 for any free one")
    })?;
    let address = listener.local_addr().context("the server's address")?;
    ensure_private(&address, keys.as_ref())?;
    say(&Event::Listening { address: address.to_string() })?;

    enter("load")?;
    let model = si_models::zoo::model(&job.model)?;
    let protocol = match &job.server {
        Behaviour::Honest => registry::protocol(&job.protocol, job.options, fusion(job, None))?,
        Behaviour::Cheat(name) => {
            let cheat = name.cheat(&model, job.inferences(), job.seed)?;
            registry::cheating(&job.protocol, job.options, fusion(job, None), cheat, job.seed)?
        }
    };
    let graph = Arc::clone(model.graph());
    let connect = Duration::from_secs(job.connect_timeout_s);
    let mut session = Session::open(job, Role::Server(0), Role::Client, &graph, |count| {
        connect::accept(&listener, count, keys.as_ref(), connect)
    })?;
    drop(listener);

    let me = session.party(job)?;
    let n = job.queries.len();
    let mut server = session.time(Phase::Setup, || protocol.server(me, model))?;
    session.time(Phase::Offline, || server.offline(n))?;
    session.time(Phase::Online, || server.online(n))?;
    drop(server);
    session.finish(job, Vec::new())
}

fn client(job: &Job, args: &PartyArgs) -> Result<(PartyReport, Option<PartyReport>)> {
    enter("load")?;
    let keys = keys(args)?;
    let graph = si_models::zoo::graph(&job.model)?;
    let Inputs { queries, public } = inputs::load(job, &graph)?;
    let protocol = registry::protocol(&job.protocol, job.options, fusion(job, Some(public)))?;
    let address = resolve(&job.address)?;
    let control = args.control.as_deref().map_or(Ok(address), resolve)?;
    let connect = Duration::from_secs(job.connect_timeout_s);
    ensure_private(&address, keys.as_ref())?;
    let mut session = Session::open(job, Role::Client, Role::Server(0), &graph, |count| {
        let to = |index| if index == CONTROL { control } else { address };
        (0..count).map(|index| connect::connect(to(index), index, keys.as_ref(), connect)).collect()
    })?;

    let me = session.party(job)?;
    let mut client = session.time(Phase::Setup, || protocol.client(me, graph))?;
    session.time(Phase::Offline, || client.offline(queries.len()))?;
    let answers = session.time(Phase::Online, || client.online(&queries))?;
    drop(client);
    session.finish(job, answers)
}

/// What the job says of Fusion, if it has a plan.
fn fusion(job: &Job, public: Option<PublicSamples>) -> Option<FusionRun<'_>> {
    let plan = job.plan.as_ref()?;
    let journal = job.journal.as_ref().map(|j| registry::Journal {
        path: &j.path,
        chunks_done: j.chunks_done,
        // Queries, public samples, plan and graph are compared anyhow.
        context: format!("{} {} {} {} {:?}", machine::COMMIT, machine::SOURCES, job.run_id, job.model, job.options),
    });
    Some(FusionRun { plan, score_tolerance_ulp: job.score_tolerance_ulp, public, journal })
}

/// A party that is connected and has agreed.
struct Session {
    control: Channel,
    lanes: Vec<Channel>,
    meter: Meter,
    peer: Role,
    started: Option<Instant>,
    retransmits_before: Option<u64>,
    /// Of each lane: the order of its messages, and how many of them came before each barrier.
    turns: Vec<(Turns, [u64; 2])>,
    report: PartyReport,
}

impl Session {
    fn open(
        job: &Job,
        me: Role,
        peer: Role,
        graph: &Graph,
        connect: impl FnOnce(u32) -> Result<Vec<Connection>>,
    ) -> Result<Self> {
        enter("connect")?;
        let profile = Profile::named(&job.link)?.by(job.means);
        let link = Link::new(&profile)?;
        // In a namespace of the link's own, all that is sent again is ours.
        let before = profile.means.is_kernel().then(retransmits).flatten();
        let mut tcp = TcpLine::default();
        let mut transports = Vec::new();
        for mut connection in connect(OWN_CONNECTIONS + job.lanes)? {
            connection.set_timeout(Duration::from_secs(job.timeout_s) + PATIENCE)?;
            set_tcp(connection.stream(), &profile)?;
            tcp = tcp_seen(connection.stream()).into();
            transports.push(connection.boxed());
        }
        let mut shaped = transports.split_off(1).into_iter();
        let Some((control, probe)) = transports.pop().zip(shaped.next()) else { bail!("no connection") };

        enter("agree")?;
        let mut control = Channel::new(control, Meter::new());
        let agreement = agreement(job, graph, &profile)?;
        agreement.check(&mut control, me, peer)?;

        enter("probe")?;
        let mut probe = Channel::new(link.wrap(probe), Meter::new());
        let link_seen = match me {
            Role::Client => Some(seen(si_netem::probe_client(&mut probe, Effort::Quick)?, &profile)),
            _ => {
                si_netem::probe_server(&mut probe)?;
                None
            }
        };
        drop(probe);
        machine::reset_peak_rss(); // the probe's buffers are not the protocol's

        let meter = Meter::new();
        let lanes: Vec<_> = shaped.map(|t| Channel::new(link.wrap(t), meter.clone())).collect();
        let turns = lanes.iter().map(|l| (l.turns(), [0; 2])).collect();
        let report = PartyReport {
            role: me.to_string(),
            agreement: agreement.hash(),
            commit: machine::COMMIT.to_owned(),
            machine: machine::describe().name,
            link_seen,
            tcp,
            ..PartyReport::default()
        };
        Ok(Self { control, lanes, meter, peer, started: None, retransmits_before: before, turns, report })
    }

    fn party(&mut self, job: &Job) -> Result<Party> {
        let mut seed = Seed::default();
        rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(|e| anyhow!("no randomness from the system: {e}"))?;
        let role = self.report.role.parse().map_err(|e: String| anyhow!(e))?;
        let party = Party::new(role, self.meter.clone(), job.options, seed);
        Ok(self.lanes.drain(..).fold(party, |party, lane| party.with_lane(self.peer, lane)))
    }

    /// Does one part of the run, from a barrier on.
    fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> si_api::Result<T>) -> Result<T> {
        let (at, barrier) = match phase {
            Phase::Setup => ("setup", None),
            Phase::Offline => ("offline", Some(0)),
            Phase::Online | Phase::Verify => ("online", Some(1)),
        };
        if let Some(i) = barrier {
            self.turns.iter_mut().for_each(|(turns, before)| before[i] = turns.messages());
        }
        self.meet(at)?;
        let _scope = self.meter.enter(phase, "other");
        let start = Instant::now();
        let result = work()?;
        let wall_ns = ns(start.elapsed());
        match phase {
            Phase::Setup => self.report.setup_wall_ns = wall_ns,
            Phase::Offline => {
                self.report.offline_wall_ns = wall_ns;
                self.started = Some(start);
            }
            Phase::Online | Phase::Verify => {
                self.report.online_wall_ns = wall_ns;
                self.report.run_wall_ns = self.started.map_or(wall_ns, |s| ns(s.elapsed()));
            }
        }
        Ok(result)
    }

    fn meet(&mut self, before: &'static str) -> Result<()> {
        enter(before)?;
        let _scope = self.meter.enter(Phase::Setup, AT_BARRIER);
        barrier(&mut self.control, before)
    }

    fn finish(mut self, job: &Job, answers: Vec<Answer>) -> Result<(PartyReport, Option<PartyReport>)> {
        let entries = self.meter.entries();
        // Nobody hangs up while the other may still be reading.
        self.meet("end")?;
        self.report.entries = entries.into_iter().filter(|e| e.label != AT_BARRIER).map(Into::into).collect();
        self.report.answers = answers.into_iter().map(Into::into).collect();
        self.report.turns = self.turns.iter().map(|(turns, before)| LaneTurns::new(turns, *before)).collect();
        self.report.peak_rss_bytes = machine::peak_rss_bytes();
        self.report.retransmits =
            self.retransmits_before.and_then(|before| Some(retransmits()?.saturating_sub(before)));
        let mut servers = None;
        if job.record.is_some() {
            // One folder has the rows of both, and the client writes it.
            if self.report.role == Role::Client.to_string() {
                let report = self.control.recv(MAX_REPORT_BYTES)?;
                servers = Some(serde_json::from_slice(&report).context("the server's report makes no sense")?);
            } else {
                self.control.send(&serde_json::to_vec(&self.report)?)?;
                self.control.flush()?;
            }
            self.meet("report")?; // nobody hangs up before it is read
        }
        Ok((self.report, servers))
    }
}

/// Writes the row of a run that is to be recorded here.
fn keep(job: &Job, (report, servers): (PartyReport, Option<PartyReport>), args: &PartyArgs) -> Result<PartyReport> {
    if let Some((records, server)) = args.records.as_ref().zip(servers) {
        let folder = crate::by_hand::record(job, [server, report.clone()], records)?;
        eprintln!("records: {}", folder.display());
    }
    Ok(report)
}

/// Everything that must be the same at both parties, except what is secret.
fn agreement(job: &Job, graph: &Graph, profile: &Profile) -> Result<Agreement> {
    let mut a = Agreement::default();
    a.add("commit", job.pretend_commit.as_deref().unwrap_or(machine::COMMIT));
    a.add("code", job.pretend_commit.as_deref().unwrap_or(machine::SOURCES));
    a.add("run", &job.run_id);
    a.add("protocol", &job.protocol);
    a.add("plan", job.plan.as_ref().map_or("none".to_owned(), ToString::to_string));
    a.add("chunks done", job.journal.as_ref().map_or(0, |j| j.chunks_done).to_string());
    a.add("model", &job.model);
    a.add("graph", short_hash(graph.canonical().as_bytes()));
    a.add("queries", job.queries.len().to_string());
    a.add("options", serde_json::to_string(&job.options)?);
    a.add("link", &job.link);
    a.add("profile of the link", short_hash(format!("{profile:?}").as_bytes()));
    a.add("lanes", job.lanes.to_string());
    a.add("threads", job.threads.to_string());
    a.add("record", job.record.as_ref().map_or("none".to_owned(), |r| short_hash(r.experiment.as_bytes())));
    Ok(a)
}

fn seen(seen: si_netem::LinkSeen, profile: &Profile) -> LinkSeen {
    LinkSeen {
        rtt_p50_us: seen.rtt_us_p50.round() as u64,
        rtt_p99_us: seen.rtt_us_p99.round() as u64,
        up_bits_per_s: (seen.up_mbps * 1e6) as u64,
        down_bits_per_s: (seen.down_mbps * 1e6) as u64,
        rtt_1kb_p50_us: seen.rtt_1kb_us_p50.round() as u64,
        duplex_bits_per_s: (seen.duplex_mbps * 1e6) as u64,
        fresh_mb_us: seen.first_mb_us.round() as u64,
        complaints: si_netem::gate(&seen, profile).err().unwrap_or_default(),
    }
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let advice = "write host:port, such as 127.0.0.1:7001";
    let found =
        address.to_socket_addrs().with_context(|| format!("the server's address '{address}': {advice}"))?.next();
    let found = found.ok_or_else(|| anyhow!("the server's address '{address}' names no host: {advice}"))?;
    if found.port() == 0 {
        bail!("the server's address '{address}' names no port: say with --connect where the server listens");
    }
    Ok(found)
}

fn classify(e: &anyhow::Error) -> Failure {
    let wire = |e: &si_wire::Error| match e {
        si_wire::Error::Timeout { .. } => Failure::Timeout,
        si_wire::Error::Closed { .. } => Failure::PeerLost,
        _ => Failure::Other,
    };
    match e.downcast_ref::<si_api::Error>() {
        Some(si_api::Error::Abort { accused, .. }) => Failure::Abort { accused: accused.to_string() },
        Some(si_api::Error::Unsupported { .. }) => Failure::Unsupported,
        Some(si_api::Error::Wire(e)) => wire(e),
        Some(si_api::Error::DiskFull { .. }) => Failure::DiskFull,
        Some(_) => Failure::Other,
        None => e.downcast_ref::<si_wire::Error>().map_or(Failure::Other, wire),
    }
}

fn enter(stage: &str) -> Result<()> {
    say(&Event::Stage { stage: stage.to_owned() })
}

fn say(event: &Event) -> Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).context("nobody reads this party's report")
}

/// Ends this process when standard input closes: whoever started us is gone, however it ended.
fn end_with_supervisor() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        std::process::exit(1);
    });
}

fn ns(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
