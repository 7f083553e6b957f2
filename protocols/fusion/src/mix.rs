//! The order of the positions: the client's secret.

use rand::CryptoRng;
use rand::seq::SliceRandom;
use si_api::Answer;

use crate::Plan;

/// What stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// A copy of a query, by its index below R.
    Copy(usize),
    /// A public sample, by its index below T.
    Public(usize),
}

/// The slots of one run in uniformly random order.
///
/// Uniform up to the generator: its 256-bit seed gives fewer orders than N! there are, but no server can tell
/// (computationally). Filling a batch reads memory in the secret order; a server at the other end of a link sees only
/// when the whole batch is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix(Vec<Slot>);

impl Mix {
    /// Draws an order for a plan.
    pub(crate) fn draw(plan: &Plan, rng: &mut impl CryptoRng) -> Self {
        let mut slots = slots(plan);
        slots.shuffle(rng);
        Self(slots)
    }

    /// Puts the positions from `done` on into a new random order.
    pub(crate) fn redraw(&mut self, done: usize, rng: &mut impl CryptoRng) {
        self.0[done..].shuffle(rng);
    }

    /// The order as numbers: query q is q, public sample s is R + s.
    pub(crate) fn order(&self, plan: &Plan) -> Vec<usize> {
        let number = |slot: &Slot| match *slot {
            Slot::Copy(query) => query,
            Slot::Public(sample) => plan.queries() + sample,
        };
        self.0.iter().map(number).collect()
    }

    /// The order that [`Self::order`] gave. `None` if it is not one of this plan's.
    pub(crate) fn of_order(plan: &Plan, order: &[usize]) -> Option<Self> {
        let slot = |n: &usize| if *n < plan.queries() { Slot::Copy(*n) } else { Slot::Public(*n - plan.queries()) };
        let mix = Self(order.iter().map(slot).collect());
        let mut sorted = mix.0.clone();
        sorted.sort_unstable();
        (sorted == slots(plan)).then_some(mix)
    }

    /// What stands at each position.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.0
    }

    /// Sorts the answers, given in the order of the positions: those to the copies of each query, and that to each
    /// public sample.
    pub(crate) fn unmix(&self, plan: &Plan, answers: Vec<Answer>) -> (Vec<Vec<Answer>>, Vec<Answer>) {
        let mut copies = vec![Vec::with_capacity(plan.copies()); plan.queries()];
        let mut public: Vec<(usize, Answer)> = Vec::with_capacity(plan.public());
        for (slot, answer) in self.0.iter().zip(answers) {
            match *slot {
                Slot::Copy(query) => copies[query].push(answer),
                Slot::Public(sample) => public.push((sample, answer)),
            }
        }
        public.sort_by_key(|(sample, _)| *sample);
        (copies, public.into_iter().map(|(_, answer)| answer).collect())
    }
}

/// What a plan has to place, in order.
fn slots(plan: &Plan) -> Vec<Slot> {
    let copies = (0..plan.queries()).flat_map(|query| std::iter::repeat_n(Slot::Copy(query), plan.copies()));
    copies.chain((0..plan.public()).map(Slot::Public)).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn plan() -> Plan {
        Plan::new(2, 2, 1, 0).unwrap()
    }

    #[test]
    fn every_order_is_equally_likely() {
        // 5! / (2! 2!) = 30 distinguishable orders. Chi-squared with 29 degrees of freedom exceeds 70.3 with
        // probability 3e-5; the seed is fixed.
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut seen = std::collections::BTreeMap::new();
        let draws = 30_000;
        for _ in 0..draws {
            *seen.entry(Mix::draw(&plan(), &mut rng).0).or_insert(0u32) += 1;
        }
        assert_eq!(seen.len(), 30);
        let expected = f64::from(draws) / 30.0;
        let chi: f64 = seen.values().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi < 70.3, "{chi}");
    }

    #[test]
    fn a_new_order_keeps_what_is_done_and_is_uniform_in_the_rest() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let first = Mix::draw(&plan(), &mut rng);
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            let mut mix = first.clone();
            mix.redraw(2, &mut rng);
            assert_eq!((&mix.0[..2], Mix::of_order(&plan(), &mix.order(&plan()))), (&first.0[..2], Some(mix.clone())));
            *seen.entry(mix.0[2..].to_vec()).or_insert(0u32) += 1;
        }
        let orders = if first.0[2..].iter().collect::<std::collections::BTreeSet<_>>().len() == 3 { 6 } else { 3 };
        assert_eq!(seen.len(), orders);
        let expected = 6000.0 / orders as f64;
        // Five degrees of freedom or fewer: above 27 with probability below 6e-5; the seed is fixed.
        let chi: f64 = seen.values().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi < 27.0, "{chi}");
    }

    #[test]
    fn an_order_that_is_not_of_the_plan_is_refused() {
        assert!(Mix::of_order(&plan(), &[0, 2, 1, 1, 0]).is_some());
        for bad in [vec![], vec![0, 1, 1, 0], vec![0, 2, 1, 1, 1], vec![0, 3, 1, 1, 0], vec![0, 0, 2, 1, 1, 2]] {
            assert_eq!(Mix::of_order(&plan(), &bad), None, "{bad:?}");
        }
    }

    #[test]
    fn answers_come_back_to_their_queries() {
        let plan = Plan::new(3, 4, 5, 0).unwrap();
        let mix = Mix::draw(&plan, &mut ChaCha20Rng::seed_from_u64(2));
        let answer = |slot: &Slot| match *slot {
            Slot::Copy(query) => Answer { label: query, scores: None },
            Slot::Public(sample) => Answer { label: 100 + sample, scores: None },
        };
        let (copies, public) = mix.unmix(&plan, mix.slots().iter().map(answer).collect());
        for (query, copies) in copies.iter().enumerate() {
            assert_eq!(copies.iter().map(|a| a.label).collect::<Vec<_>>(), vec![query; 4]);
        }
        assert_eq!(public.iter().map(|a| a.label).collect::<Vec<_>>(), (100..105).collect::<Vec<_>>());
    }
}
