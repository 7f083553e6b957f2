//! The only place that names protocols. A protocol is one line of [`PROTOCOLS`]; wrappers compose as `fusion(cheetah)`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use si_api::{Adversary, Card, Options, Protocol};
use si_cheetah::{Cheetah, Extension, InsecureOpened};
use si_cryptflow2::{Comparison, CrypTFlow2, LinearLayers};
use si_fusion::{Fusion, Plan, PublicSamples};
use si_leviosa::LevioSA;
use si_plain::PlainInsecure;
use si_testing::cheats::{Cheat, OpenServer, Opened, cheating_server};

use crate::experiment::FusionPlan;

type Make = fn(Options) -> Arc<dyn Protocol>;
type Open = fn(Options) -> OpenServer;

/// How a protocol's server is opened to cheats, for those whose server holds shares or values of the scores.
const OPENED: &[(&str, Open)] = &[
    ("plain", open_plain),
    ("cheetah", open_cheetah),
    ("cryptflow2", |_| open_cryptflow2(LinearLayers::He)),
    ("cryptflow2-ot", |_| open_cryptflow2(LinearLayers::Ot)),
];

/// Protocols that stand by themselves.
const PROTOCOLS: &[(&str, Make)] = &[
    ("plain", |_| Arc::new(PlainInsecure::new())),
    ("cheetah", |o| Arc::new(Cheetah::new(o.truncation))),
    ("cheetah+iknp", |o| Arc::new(Cheetah::with_ot(o.truncation, Extension::Iknp))),
    ("cheetah+softspoken", |o| Arc::new(Cheetah::with_ot(o.truncation, Extension::SoftSpoken))),
    ("leviosa", |_| Arc::new(LevioSA::default())),
    // Exact, whatever truncation is asked for.
    ("cryptflow2", |_| Arc::new(CrypTFlow2::new(LinearLayers::He, Comparison::Iknp))),
    ("cryptflow2+silent", |_| Arc::new(CrypTFlow2::new(LinearLayers::He, Comparison::Silent))),
    ("cryptflow2-ot", |_| Arc::new(CrypTFlow2::new(LinearLayers::Ot, Comparison::Iknp))),
    ("cryptflow2-ot+silent", |_| Arc::new(CrypTFlow2::new(LinearLayers::Ot, Comparison::Silent))),
];

/// What a name is made of.
enum Name<'a> {
    Alone(Make),
    Fusion(&'a str),
}

fn parse(name: &str) -> Result<Name<'_>> {
    if let Some((_, make)) = PROTOCOLS.iter().find(|(n, _)| *n == name) {
        return Ok(Name::Alone(*make));
    }
    let inner = name.strip_prefix("fusion(").and_then(|rest| rest.strip_suffix(')'));
    match inner.map(parse) {
        Some(Ok(Name::Alone(_))) => Ok(Name::Fusion(&name["fusion(".len()..name.len() - 1])),
        Some(Ok(Name::Fusion(_))) => {
            bail!("protocol '{name}': Fusion mixes queries once, there is nothing to mix twice")
        }
        Some(Err(e)) => Err(e),
        None => {
            let known: Vec<_> = PROTOCOLS.iter().map(|(n, _)| *n).collect();
            bail!("unknown protocol '{name}': choose one of {}, or fusion(...) of one of them", known.join(", "))
        }
    }
}

/// Checks a name.
///
/// # Errors
/// If it names no protocol; the error lists those that there are.
pub(crate) fn check(name: &str) -> Result<()> {
    parse(name).map(drop)
}

/// Whether a protocol of this name runs by a plan of Fusion.
pub(crate) fn is_planned(name: &str) -> bool {
    matches!(parse(name), Ok(Name::Fusion(_)))
}

/// The protocol inside of a wrapper.
///
/// # Errors
/// If there is none of this name, or it wraps nothing.
pub(crate) fn inner(name: &str) -> Result<&str> {
    match parse(name)? {
        Name::Fusion(inner) => Ok(inner),
        Name::Alone(_) => bail!("protocol '{name}' wraps no other"),
    }
}

/// A plan as Fusion takes it.
///
/// # Errors
/// If its numbers make no sense, or it is weaker than it says.
pub(crate) fn plan(plan: &FusionPlan) -> Result<Plan> {
    let whole = Plan::new(plan.queries, plan.copies, plan.public, plan.tolerance)?;
    whole.secure(plan.security_bits)?;
    Ok(plan.chunk.map_or(Ok(whole), |c| whole.in_chunks(c))?)
}

/// The protocol of this name that needs no plan.
///
/// # Errors
/// If there is none, or it needs one.
pub(crate) fn standalone(name: &str, options: Options) -> Result<Arc<dyn Protocol>> {
    match parse(name)? {
        Name::Alone(make) => Ok(make(options)),
        Name::Fusion(inner) => {
            bail!("protocol '{name}' runs by a plan: ask for '{inner}' and multiply by the plan's inferences")
        }
    }
}

/// The protocol of this name, with what the run says of Fusion if it is that.
///
/// # Errors
/// If there is none of this name, Fusion's part is missing or superfluous, or the inner protocol does not offer what
/// Fusion relies on.
pub(crate) fn protocol(name: &str, options: Options, run: Option<FusionRun<'_>>) -> Result<Arc<dyn Protocol>> {
    let (inner, run) = match (parse(name)?, run) {
        (Name::Alone(make), None) => return Ok(make(options)),
        (Name::Alone(_), Some(_)) => bail!("protocol '{name}' takes no plan"),
        (Name::Fusion(_), None) => bail!("protocol '{name}' needs a plan"),
        (Name::Fusion(inner), Some(run)) => (standalone(inner, options)?, run),
    };
    let mut fusion = over(inner, run.plan)?;
    if let Some(tolerance) = run.score_tolerance_ulp {
        fusion = fusion.with_score_tolerance(tolerance);
    }
    if let Some(Journal { path, chunks_done, context }) = run.journal {
        fusion = fusion.resumed_after(chunks_done)?;
        if run.public.is_some() {
            fusion = fusion.with_journal(path, context); // the client's alone
        }
    }
    if let Some(public) = run.public {
        fusion = fusion.with_public(public)?;
    }
    Ok(Arc::new(fusion))
}

/// **Insecure**: the protocol of this name with a server that cheats; its client is the honest one.
///
/// # Errors
/// As [`protocol`].
pub(crate) fn cheating(
    name: &str,
    options: Options,
    run: Option<FusionRun<'_>>,
    cheat: Cheat,
    seed: u64,
) -> Result<Arc<dyn Protocol>> {
    let alone = inner(name).unwrap_or(name);
    let open = OPENED.iter().find(|(n, _)| *n == alone).map(|(_, open)| open(options));
    let server = cheating_server(standalone(alone, options)?, open, cheat, seed);
    match run {
        // The server of Fusion is the inner one as it is.
        Some(run) => Ok(Arc::new(over(server, run.plan)?)),
        None => Ok(server),
    }
}

fn open_plain(_options: Options) -> OpenServer {
    Arc::new(|me, model| {
        let modulus = 1 << model.graph().ring().bits();
        let kernels = PlainInsecure::new().server_kernels(me, model)?;
        Ok(Opened { kernels, modulus, in_the_clear: true, next_model: None })
    })
}

fn open_cheetah(options: Options) -> OpenServer {
    let cheetah = Cheetah::new(options.truncation);
    Arc::new(move |me, model| {
        let InsecureOpened { kernels, score_bits, next_model } = cheetah.insecure_open_server(me, model)?;
        Ok(Opened { kernels, modulus: 1 << score_bits, in_the_clear: false, next_model: Some(next_model) })
    })
}

fn open_cryptflow2(linear: LinearLayers) -> OpenServer {
    let cryptflow2 = CrypTFlow2::new(linear, Comparison::Iknp);
    Arc::new(move |me, model| {
        let (kernels, modulus) = cryptflow2.insecure_open_server(me, model)?;
        Ok(Opened { kernels, modulus, in_the_clear: false, next_model: None })
    })
}

/// What a run says of Fusion.
pub(crate) struct FusionRun<'a> {
    /// The plan.
    pub(crate) plan: &'a FusionPlan,
    /// How far honest scores may be from the exact ones.
    pub(crate) score_tolerance_ulp: Option<u64>,
    /// The client's public samples.
    pub(crate) public: Option<PublicSamples>,
    /// The journal of the run, if it keeps one.
    pub(crate) journal: Option<Journal<'a>>,
}

/// The journal of a run of Fusion.
pub(crate) struct Journal<'a> {
    /// The client's file.
    pub(crate) path: &'a Path,
    /// Chunks that are done.
    pub(crate) chunks_done: usize,
    /// What must be the same when the run goes on.
    pub(crate) context: String,
}

/// Fusion over a protocol. Over the insecure reference it is as insecure, and its card says so.
fn over(inner: Arc<dyn Protocol>, plan: &FusionPlan) -> Result<Fusion> {
    let checked = self::plan(plan)?;
    if inner.card().adversary == Adversary::Insecure {
        return Ok(Fusion::insecure_over_anything(inner, checked));
    }
    Ok(Fusion::new(inner, checked, plan.security_bits)?)
}

/// The card of a protocol; Fusion's speaks of the plan.
///
/// # Errors
/// As [`protocol`].
pub(crate) fn card(name: &str, options: Options, plan: Option<&FusionPlan>) -> Result<Card> {
    let run = plan.map(|plan| FusionRun { plan, score_tolerance_ulp: None, public: None, journal: None });
    Ok(protocol(name, options, run)?.card().clone())
}

/// The cards of all protocols, and of Fusion with its default plan over each of them.
///
/// # Errors
/// Never, as long as the tests pass.
pub(crate) fn cards() -> Result<Vec<Card>> {
    let (options, plan) = (Options::default(), FusionPlan::default());
    let alone = PROTOCOLS.iter().map(|(n, _)| card(n, options, None));
    let wrapped = PROTOCOLS.iter().map(|(n, _)| card(&format!("fusion({n})"), options, Some(&plan)));
    alone.chain(wrapped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(result: Result<T>) -> String {
        format!("{:#}", result.err().expect("refused"))
    }

    #[test]
    fn names_are_those_of_the_cards() {
        let ids: Vec<_> = cards().unwrap().into_iter().map(|c| c.id).collect();
        let alone: Vec<_> = PROTOCOLS.iter().map(|(n, _)| (*n).to_owned()).collect();
        let wrapped = alone.iter().map(|n| format!("fusion({n})"));
        assert_eq!(ids, alone.iter().cloned().chain(wrapped).collect::<Vec<_>>());
        for id in &ids {
            check(id).unwrap();
            assert_eq!(is_planned(id), id.starts_with("fusion("));
        }
        assert_eq!(inner("fusion(cheetah)").unwrap(), "cheetah");
        assert_eq!(inner("fusion(cheetah+iknp)").unwrap(), "cheetah+iknp");
    }

    #[test]
    fn unknown_and_senseless_names_are_refused() {
        for name in ["", "Plain", "fusion", "fusion()", "fusion(plain", "fusion(x)", "plain(cheetah)"] {
            let e = refused(check(name));
            assert!(e.contains("unknown protocol") && e.contains("plain, cheetah"), "{name}: {e}");
        }
        assert!(refused(check("fusion(fusion(plain))")).contains("mix twice"));
        assert!(refused(inner("plain")).contains("wraps no other"));
        let options = Options::default();
        assert!(refused(protocol("fusion(plain)", options, None)).contains("needs a plan"));
        assert!(refused(card("plain", options, Some(&FusionPlan::default()))).contains("takes no plan"));
    }

    #[test]
    fn weak_plans_are_refused_unless_they_say_so() {
        let weak = FusionPlan { public: 4, tolerance: 1, ..FusionPlan::default() };
        assert!(refused(plan(&weak)).contains("10.61 bits short"));
        plan(&FusionPlan { security_bits: 29, ..weak.clone() }).unwrap();
        let named =
            card("fusion(cheetah)", Options::default(), Some(&FusionPlan { security_bits: 29, ..weak })).unwrap();
        assert_eq!((named.statistical_bits, named.adversary), (29, Adversary::MaliciousServer));
        let over_plain = card("fusion(plain)", Options::default(), Some(&FusionPlan::default())).unwrap();
        assert_eq!(over_plain.adversary, Adversary::Insecure);
    }
}
