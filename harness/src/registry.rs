//! The only place that names protocols. A protocol is one line of [`PROTOCOLS`]; wrappers compose as `fusion(cheetah)`.

use std::sync::Arc;

use anyhow::{Result, bail};
use ndarray::Array3;
use si_api::{Card, Protocol};

use crate::experiment::FusionPlan;

type Make = fn() -> Arc<dyn Protocol>;

/// Protocols that stand by themselves.
const PROTOCOLS: &[(&str, Make)] = &[("plain", || Arc::new(si_plain::PlainInsecure::new()))];

pub(crate) fn is_planned(name: &str) -> bool {
    name.starts_with("fusion(")
}
pub(crate) fn check(name: &str) -> Result<()> {
    if PROTOCOLS.iter().any(|p| p.0 == name) { Ok(()) } else { bail!("unknown protocol '{name}': choose one of") }
}
pub(crate) fn card(name: &str) -> Result<Card> {
    Ok(for_server(name, None)?.card().clone())
}
pub(crate) fn inner(name: &str) -> Result<&str> {
    bail!("{name}")
}
pub(crate) fn plan(_plan: &FusionPlan) -> Result<()> {
    Ok(())
}
pub(crate) fn for_server(name: &str, _plan: Option<&FusionPlan>) -> Result<Arc<dyn Protocol>> {
    check(name)?;
    Ok(PROTOCOLS[0].1())
}
pub(crate) fn for_client(
    name: &str,
    plan: Option<&FusionPlan>,
    _public: Vec<(Array3<i64>, usize)>,
) -> Result<Arc<dyn Protocol>> {
    for_server(name, plan)
}
pub(crate) fn cards() -> Result<Vec<Card>> {
    PROTOCOLS.iter().map(|(n, _)| card(n)).collect()
}
pub(crate) fn standalone(name: &str) -> Result<Arc<dyn Protocol>> {
    for_server(name, None)
}
