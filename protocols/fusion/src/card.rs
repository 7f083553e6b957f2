//! What Fusion promises, and on what that rests.

use si_api::{Adversary, Card};

use crate::Plan;
use crate::soundness::Bound;

/// The card over an inner protocol: of the bound, or, without one, the insecure card that names what is missing.
pub(crate) fn card(inner: &Card, plan: &Plan, bound: Option<Bound>, missing: &[String]) -> Card {
    let id = &inner.id;
    let mut card = Card {
        id: format!("fusion({id})"),
        title: format!("Mix-and-check over {id} ({plan})"),
        paper: "Dong, Weng, Liu, Zhang, Tong, Yang, Cheng, Hu: Fusion. NDSS 2023, arXiv 2205.03040".to_owned(),
        adversary: Adversary::MaliciousServer,
        rounding: inner.rounding,
        computational_bits: inner.computational_bits,
        statistical_bits: bound.map_or(0, |b| b.bits()),
        assumptions: Vec::new(),
        leaks: inner.leaks.clone(),
        gaps: inner.gaps.iter().map(|gap| format!("{id}: {gap}")).collect(),
        offers: inner.offers,
        parallel: inner.parallel,
    };
    if let Some(bound) = bound {
        card.assumptions.push(format!(
            "statistical bits: a server that answers any chosen set of inferences with wrong labels is accepted with \
             probability at most 2^{:.2} for a run of {} inferences ({plan}; its best choice is {} of them)",
            bound.log2_probability,
            plan.inferences(),
            bound.corrupted
        ));
    }
    card.assumptions.extend([
        format!(
            "a deterministic substitute model (worse, or with a backdoor) answers all copies alike: no bound holds for it. \
             Only the public samples can see it, where it errs on them: {} of {} must come out right, a test whose power \
             AccuracyTest tells",
            plan.test().threshold,
            plan.public()
        ),
        if plan.tolerance() == 0 {
            "every public sample must come out right: an honest model has to be certain of each, not only accurate"
        } else {
            "the test's threshold is the tolerance of the bound: samples that an honest model may miss, a cheating server \
             may spoil"
        }
        .to_owned(),
        "public samples look like queries, are unknown to the server as such, and are used once: one that comes again \
         could be recognised"
            .to_owned(),
        format!(
            "the privacy of inputs and the indistinguishability of positions against a server that deviates are the \
             inner protocol's to argue (see {id}): mix-and-check proves neither"
        ),
        "the client follows the protocol; that it learns no more of the model than answers tell is the inner protocol's \
         affair"
            .to_owned(),
    ]);
    card.assumptions.extend(inner.assumptions.iter().map(|assumption| format!("{id}: {assumption}")));
    card.leaks.push("one bit to the server: whether the client accepts or aborts, and not before the end".to_owned());
    card.leaks
        .push("the plan: R, B, T, m and the chunks are public; how many of the R queries are real is not".to_owned());
    card.leaks.push(
        "with a journal: after which chunk the client died, and how often; the journal itself is secret until the run has \
         ended, for it holds the order"
            .to_owned(),
    );
    card.gaps.push(
        "chunks run one after the other: none computes while another waits for the network (larger chunks share more \
         rounds instead)"
            .to_owned(),
    );
    if bound.is_none() {
        card.title = format!("INSECURE: {}", card.title);
        card.adversary = Adversary::Insecure;
        card.computational_bits = 0;
        let lacks = if missing.is_empty() { "nothing".to_owned() } else { missing.join(", ") };
        card.gaps.push(format!(
            "set up without any check of security, for tests and costs only; what '{id}' lacks for mix-and-check: {lacks}"
        ));
    }
    card
}
