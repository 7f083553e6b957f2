//! What the tests over the insecure reference share.

#![allow(clippy::unwrap_used, dead_code)]

use std::sync::Arc;

use si_api::{Options, Protocol};
use si_fusion::{Fusion, Plan, PublicSamples};
use si_plain::PlainInsecure;
use si_testing::cheats::{OpenServer, Opened};
use si_testing::graphs::CASES;
use si_testing::mix_and_check::{MixAndCheck, Setup, Sizes};

pub(crate) fn plain() -> Arc<dyn Protocol> {
    Arc::new(PlainInsecure::new())
}

pub(crate) fn plan(sizes: Sizes) -> Plan {
    Plan::new(sizes.queries, sizes.copies, sizes.public, sizes.tolerance).unwrap()
}

/// Fusion over anything, in chunks if asked.
pub(crate) fn wrap(setup: Setup, chunk: Option<usize>) -> Arc<dyn Protocol> {
    let plan = plan(setup.sizes);
    let plan = chunk.map_or(plan, |chunk| plan.in_chunks(chunk).unwrap());
    let public = PublicSamples { inputs: setup.inputs, labels: setup.labels };
    Arc::new(Fusion::insecure_over_anything(setup.inner, plan).with_public(public).unwrap())
}

pub(crate) fn open_plain() -> OpenServer {
    Arc::new(|me, model| {
        let modulus = 1 << model.graph().ring().bits();
        let kernels = PlainInsecure::new().server_kernels(me, model)?;
        Ok(Opened { kernels, modulus, in_the_clear: true, next_model: None })
    })
}

/// The drivers over the insecure reference and a small network with ten classes.
pub(crate) fn over_plain(options: Options, chunk: Option<usize>) -> MixAndCheck {
    let case = CASES.iter().find(|c| c.name == "like-cnn4").unwrap();
    MixAndCheck {
        inner: plain(),
        open: Some(open_plain()),
        wrap: Box::new(move |setup| wrap(setup, chunk)),
        model: case.model(1),
        options,
    }
}
