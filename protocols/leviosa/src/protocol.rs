//! The protocol as the harness sees it, and what it costs.

use std::sync::Arc;

use si_api::{Card, Client, CostLine, Graph, Model, Options, Party as ApiParty, Protocol, Result, Role, Server};

use crate::card::card;
use crate::client::LeviOsaClient;
use crate::cost;
use crate::deviation::InsecureDeviation;
use crate::parameters::Parameters;
use crate::party::Party;
use crate::server::LeviOsaServer;
use crate::session::Setting;

/// *Security*: a deviating party goes unnoticed with probability at most 2^-40.
pub const STATISTICAL_BITS: u32 = 40;

/// LevioSA (Hazay, Ishai, Marcedone, Venkitasubramaniam, CCS 2019): maliciously secure inference from passive oblivious linear
/// evaluation. The README says what differs.
pub struct LevioSA {
    card: Card,
    security_bits: u32,
    queries: Option<usize>,
    deviation: Option<InsecureDeviation>,
}

impl Default for LevioSA {
    fn default() -> Self {
        Self::insecure_with_bits(STATISTICAL_BITS)
    }
}

/// What a batch is computed with: for reports and READMEs.
#[derive(Clone, Debug)]
pub struct BatchPlan {
    /// The outer protocol's parameters.
    pub parameters: Parameters,
    /// log2 of the bound on a cheating party's probability to win.
    pub log2_soundness: f64,
    /// The same with its formula and terms.
    pub soundness: String,
    /// Inferences in a block.
    pub queries: usize,
    /// Blocks' groups.
    pub groups: usize,
    /// Ciphertexts from the client at each virtual server; one comes back.
    pub ciphertexts: usize,
    /// Bytes of all messages at virtual servers, which the search minimises.
    pub bytes: u64,
    /// For each layer and square: its name, field products of the plain computation of the batch, and passive evaluations.
    pub products: Vec<(String, usize, usize)>,
}

impl LevioSA {
    /// With another statistical parameter: *insecure* below 40, for tests.
    #[must_use]
    pub fn insecure_with_bits(security_bits: u32) -> Self {
        Self { card: card(security_bits), security_bits, queries: None, deviation: None }
    }

    /// With so many inferences in a block, in place of the number that takes the fewest bytes. *Agreement.*
    #[must_use]
    pub fn with_queries_in_a_block(self, queries: usize) -> Self {
        Self { queries: Some(queries.max(1)), ..self }
    }

    /// With a party that cheats: the party that the deviation is of, or both.
    #[must_use]
    pub fn insecure_deviating(self, deviation: InsecureDeviation) -> Self {
        Self { deviation: Some(deviation), ..self }
    }

    fn setting(&self, graph: &Graph) -> Result<Setting> {
        Setting::new(graph, self.security_bits, self.queries)
    }

    /// What a batch of `n` inferences is computed with.
    ///
    /// # Errors
    /// If the graph is not supported or the batch too large.
    pub fn plan(&self, graph: &Graph, n: usize) -> Result<BatchPlan> {
        let setting = self.setting(graph)?;
        let plan = setting.plan(n)?;
        let parameters = plan.code.parameters().clone();
        let per_block = parameters.servers * plan.geometry.groups;
        let mut layers = setting.network.layers.iter();
        let products = (setting.network.products().into_iter())
            .map(|(name, products, is_layer)| {
                let inputs = if is_layer { layers.next().map_or(0, |l| l.inputs) } else { 1 };
                (name, products * n, per_block * inputs)
            })
            .collect();
        Ok(BatchPlan {
            log2_soundness: parameters.log2_soundness(setting.field),
            soundness: parameters.explain(setting.field),
            queries: plan.geometry.queries,
            groups: plan.geometry.groups,
            ciphertexts: plan.layout.ciphertexts,
            bytes: plan.bytes,
            products,
            parameters,
        })
    }
}

impl Protocol for LevioSA {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, me: ApiParty, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        let party = Party::new(me, Role::Server(0), self.setting(&graph)?, self.deviation)?;
        Ok(Box::new(LeviOsaClient { party, graph }))
    }

    fn server(&self, me: ApiParty, model: Arc<Model>) -> Result<Box<dyn Server>> {
        let party = Party::new(me, Role::Client, self.setting(model.graph())?, self.deviation)?;
        Ok(Box::new(LeviOsaServer { party, model }))
    }

    /// Declares the online phase and the checks; base OTs, OT extension and the watchlists made from them are metered.
    fn cost(&self, graph: &Graph, n: usize, _options: Options) -> Result<Vec<CostLine>> {
        let setting = self.setting(graph)?;
        Ok(cost::declare(&setting, &setting.plan(n)?))
    }

    /// Parameters, the bound on cheating and passive evaluations a product.
    fn notes(&self, graph: &Graph, n: usize, _options: Options) -> Result<Vec<String>> {
        let plan = self.plan(graph, n)?;
        let BatchPlan { parameters, queries, groups, ciphertexts, bytes, .. } = &plan;
        let up = if *ciphertexts == 1 { "ciphertext" } else { "ciphertexts" };
        let first = format!(
            "{parameters}; {queries} of {n} inferences a block, {groups} blocks an input; {ciphertexts} {up} up and one down at each \
             virtual server; {bytes} bytes there"
        );
        let ratios = plan.products.iter().map(|(name, products, evaluations)| {
            let ratio = *evaluations as f64 / *products as f64;
            format!("{name}: {evaluations} passive OLEs for {products} products, {ratio:.2} a product")
        });
        Ok([first, plan.soundness.clone()].into_iter().chain(ratios).collect())
    }
}
