//! Declared communication of a batch: the messages in the order in which the client sees them.

use si_api::{Cost, CostLine, Phase};
use si_wire::FRAME_HEADER_BYTES;

use crate::checks::{CHALLENGE_BYTES, proof_bytes};
use crate::columns::Set;
use crate::network::Step;
use crate::party::labels;
use crate::session::{MODEL_SETS, Plan, Setting};

/// Counts as a channel does.
struct Count<'a> {
    setting: &'a Setting,
    plan: &'a Plan,
    spoke: bool,
    cost: Cost,
    lines: Vec<CostLine>,
}

impl Count<'_> {
    fn up(&mut self, messages: usize, bytes: usize) {
        self.cost.up_bytes += (messages * (bytes + FRAME_HEADER_BYTES)) as u64;
        self.spoke |= messages > 0;
    }

    fn down(&mut self, messages: usize, bytes: usize) {
        self.cost.down_bytes += (messages * (bytes + FRAME_HEADER_BYTES)) as u64;
        if messages > 0 {
            self.cost.rounds += u64::from(std::mem::take(&mut self.spoke));
        }
    }

    /// Messages and bytes of each of a commitment.
    fn commitment(&self, set: Set) -> (usize, usize) {
        let count = set.count(&self.setting.network, &self.plan.geometry);
        (if count == 0 { 0 } else { self.plan.servers() }, 8 * count)
    }

    fn commit_up(&mut self, set: Set) {
        let (messages, bytes) = self.commitment(set);
        self.up(messages, bytes);
    }

    fn commit_down(&mut self, set: Set) {
        let (messages, bytes) = self.commitment(set);
        self.down(messages, bytes);
    }

    /// What was counted since the last line, under a label that may come again.
    fn line(&mut self, phase: Phase, label: &str) {
        let cost = std::mem::take(&mut self.cost);
        match self.lines.iter_mut().find(|l| l.phase == phase && l.label == label) {
            Some(line) => line.cost = line.cost.plus(cost),
            None => self.lines.push(CostLine::new(phase, label, cost)),
        }
    }
}

/// Everything from the input to the checked answer.
pub(crate) fn declare(setting: &Setting, plan: &Plan) -> Vec<CostLine> {
    let (network, geometry) = (&setting.network, &plan.geometry);
    let proof = proof_bytes(&plan.code);
    let blocks = 8 * geometry.slots() * geometry.groups;
    let mut c = Count { setting, plan, spoke: false, cost: Cost::default(), lines: Vec::new() };
    c.up(1, 32);
    c.up(plan.servers(), setting.ole.query_bytes(plan.layout.ciphertexts));
    c.commit_up(Set::QueryBits);
    c.commit_up(Set::Masks(0));
    c.line(Phase::Online, labels::EVALUATIONS);
    c.down(1, CHALLENGE_BYTES);
    c.up(1, proof);
    c.line(Phase::Verify, labels::INPUTS);
    MODEL_SETS.into_iter().for_each(|set| c.commit_down(set));
    c.down(plan.servers(), setting.ole.answer_bytes());
    c.up(1, 32);
    c.line(Phase::Online, labels::EVALUATIONS);
    let mut due = Vec::new();
    for (step, name) in &network.steps {
        match *step {
            Step::Fc(0) => {}
            Step::Fc(l) => {
                c.up(1, blocks);
                due.push(Set::Inputs(l));
            }
            Step::Square(_) => {
                c.up(1, blocks);
                due.drain(..).for_each(|set| c.commit_down(set));
                c.down(1, blocks);
            }
            Step::Rescale(t) => {
                c.commit_up(Set::Bits(t));
                due.push(Set::Bits(t));
            }
        }
        c.line(Phase::Online, name);
    }
    c.commit_up(Set::Masks(1));
    due.into_iter().for_each(|set| c.commit_down(set));
    c.down(1, CHALLENGE_BYTES);
    c.up(1, proof);
    c.line(Phase::Verify, labels::VALUES);
    c.down(1, blocks);
    c.line(Phase::Online, labels::ANSWER);
    c.commit_down(Set::Masks(0));
    c.up(1, CHALLENGE_BYTES);
    c.down(1, proof);
    c.line(Phase::Verify, labels::SERVER);
    c.lines
}
