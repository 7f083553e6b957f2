//! Rewrites that make a network cheaper to compute securely and change no answer, in floating or in fixed point: fewer
//! comparisons, fewer rounds.

use crate::sketch::{Sketch, SketchLayer};
use crate::{Op, ValueId};

impl Sketch {
    /// The network after every rewrite that applies:
    ///
    /// - max-pool of a ReLU: ReLU of the max-pool, for fewer numbers (max(relu(a), relu(b)) = relu(max(a, b)));
    /// - concatenation of ReLUs: one ReLU of the concatenation, in the rounds of one;
    /// - ReLU of a ReLU, flattening of a flat value, flattening before a fully connected layer: dropped.
    ///
    /// A ReLU that something else reads as well stays where it is. Layers keep their names.
    pub(crate) fn rewritten(mut self) -> Self {
        while let Some(next) = self.step() {
            self = next;
        }
        self
    }

    /// The network after one rewrite, or `None` if none applies.
    fn step(&self) -> Option<Self> {
        let uses = self.uses();
        let relu = |v: ValueId| self.layer(v).filter(|l| l.op == Op::Relu);
        let flat = |v: ValueId| self.layer(v).filter(|l| l.op == Op::Flatten);
        for (i, layer) in self.layers.iter().enumerate() {
            let first = *layer.inputs.first()?;
            match &layer.op {
                Op::MaxPool { .. } if relu(first).is_some() && uses[first] == 1 => return Some(self.after(i)),
                Op::Concat if layer.inputs.iter().all(|v| relu(*v).is_some() && uses[*v] == 1) => {
                    return Some(self.after(i));
                }
                // Max-pool, concatenation, flattening and ReLU leave a value that is not negative.
                Op::Relu if relu(first).is_some() => return Some(self.without(i)),
                Op::Flatten if flat(first).is_some() => return Some(self.without(i)),
                Op::Fc { .. } if flat(first).is_some() && uses[first] == 1 => return Some(self.without(first - 1)),
                _ => {}
            }
        }
        None
    }

    /// Layer `i`, whose inputs are all ReLUs that nothing else reads, applied to what these take, then one ReLU under
    /// the first one's name.
    fn after(&self, i: usize) -> Self {
        let moved: Vec<ValueId> = self.layers[i].inputs.clone();
        let mut map: Vec<ValueId> = vec![0];
        let mut out = Self::new(self.input);
        for (j, layer) in self.layers.iter().enumerate() {
            let inputs: Vec<_> = layer.inputs.iter().map(|v| map[*v]).collect();
            if moved.contains(&(j + 1)) {
                map.push(inputs[0]);
            } else if j == i {
                let value = out.push(&layer.name, layer.op.clone(), &inputs);
                let name = self.layer(moved[0]).map_or_else(String::new, |l| l.name.clone());
                map.push(out.push(name, Op::Relu, &[value]));
            } else {
                map.push(out.push(&layer.name, layer.op.clone(), &inputs));
            }
        }
        out
    }

    /// Without layer `i`, whose place its first input takes.
    fn without(&self, i: usize) -> Self {
        let mut map: Vec<ValueId> = vec![0];
        let mut out = Self::new(self.input);
        for (j, SketchLayer { name, op, inputs }) in self.layers.iter().enumerate() {
            let inputs: Vec<_> = inputs.iter().map(|v| map[*v]).collect();
            let value = if j == i { inputs[0] } else { out.push(name, op.clone(), &inputs) };
            map.push(value);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::Array4;

    use super::*;
    use crate::{FixedPoint, Model, Weights, Window, encode_input, run_fixed, run_float};

    fn conv(out_channels: usize, window: Window) -> Op {
        Op::Conv { out_channels, window, groups: 1 }
    }

    /// A fire module, a pool and two layers, with every rewrite applying somewhere and a ReLU that is read twice.
    fn network() -> Sketch {
        let mut s = Sketch::new([2, 6, 6]);
        let a = s.push("a", conv(3, Window::square(1, 1)), &[0]);
        let ra = s.push("ra", Op::Relu, &[a]);
        let ra = s.push("raa", Op::Relu, &[ra]);
        let b = s.push("b", conv(2, Window::square(3, 1).padded(1)), &[ra]);
        let rb = s.push("rb", Op::Relu, &[b]);
        let c = s.push("c", conv(2, Window::square(1, 1)), &[ra]);
        let rc = s.push("rc", Op::Relu, &[c]);
        let fire = s.push("fire", Op::Concat, &[rb, rc]);
        let pool = Window { kernel: [3; 2], stride: [2; 2], padding: [0, 0, 1, 1] };
        let pool = s.push("pool", Op::MaxPool { window: pool }, &[fire]);
        let twice = s.push("twice", Op::Relu, &[pool]);
        let small = s.push("small", Op::MaxPool { window: Window::square(2, 2) }, &[twice]);
        let f = s.push("flat", Op::Flatten, &[small]);
        let f = s.push("flatter", Op::Flatten, &[f]);
        s.push("fc", Op::Fc { out_features: 3 }, &[f]);
        s
    }

    #[test]
    fn answers_stay_and_comparisons_fall() {
        let (before, after) = (network(), network().rewritten());
        let ops = |s: &Sketch| s.layers.iter().map(|l| format!("{}:{}", l.name, l.op.name())).collect::<Vec<_>>();
        let expected = ["a:conv", "ra:relu", "b:conv", "c:conv", "fire:concat", "pool:maxpool", "small:maxpool"];
        assert_eq!(ops(&after)[..7], expected);
        assert_eq!(ops(&after)[7..], ["rb:relu", "fc:fc"]);
        let graph = |s: &Sketch| Arc::new(s.build("network", FixedPoint::CHEETAH).unwrap());
        let weights = Weights::random(&graph(&before), 3);
        let models = [graph(&before), graph(&after)].map(|g| Model::new(g, weights.clone()).unwrap());
        let x =
            Array4::from_shape_fn((20, 2, 6, 6), |(n, c, y, x)| ((n * 7 + c * 5 + y * 3 + x) % 13) as f32 / 4.0 - 1.5);
        let [float, float_after] = models.each_ref().map(|m| run_float(m, &x).unwrap());
        assert_eq!(float, float_after);
        let [fixed, fixed_after] = models.each_ref().map(|m| run_fixed(m, &encode_input(m.graph(), &x)).unwrap());
        assert_eq!(fixed, fixed_after);
        let comparisons = |m: &Model| -> usize {
            let relus = m.graph().nodes().iter().filter(|n| n.op == Op::Relu);
            relus.map(|n| n.shape.iter().product::<usize>()).sum()
        };
        assert!(comparisons(&models[1]) < comparisons(&models[0]));
    }

    #[test]
    fn a_relu_that_is_read_twice_stays() {
        let mut s = Sketch::new([1, 4, 4]);
        let r = s.push("r", Op::Relu, &[0]);
        let p = s.push("p", Op::MaxPool { window: Window::square(3, 1).padded(1) }, &[r]);
        s.push("sum", Op::Add, &[p, r]);
        assert_eq!(s.clone().rewritten(), s);
        // Nor does one move whose output is the answer.
        let mut s = Sketch::new([1, 4, 4]);
        let r = s.push("r", Op::Relu, &[0]);
        s.push("all", Op::Concat, &[r, 0]);
        assert_eq!(s.clone().rewritten(), s);
    }

    #[test]
    fn weights_are_adopted_whatever_the_names_and_the_order() {
        let mut a = Sketch::new([2, 4, 4]);
        let l = a.push("left", conv(2, Window::square(3, 1).padded(1)), &[0]);
        let r = a.push("right", conv(2, Window::square(1, 1)), &[0]);
        a.push("sum", Op::Add, &[l, r]);
        let mut b = Sketch::new([2, 4, 4]);
        let r = b.push("1", conv(2, Window::square(1, 1)), &[0]);
        let l = b.push("2", conv(2, Window::square(3, 1).padded(1)), &[0]);
        b.push("3", Op::Add, &[r, l]);
        let weights = Weights::random(&b.build("b", FixedPoint::CHEETAH).unwrap(), 1);
        let adopted = a.adopt(&b, weights.clone()).unwrap();
        assert_eq!((&adopted.layers["left"], &adopted.layers["right"]), (&weights.layers["2"], &weights.layers["1"]));
        let mut other = b.clone();
        other.layers[1].op = conv(2, Window { kernel: [3; 2], stride: [1; 2], padding: [2, 2, 0, 0] });
        assert!(a.adopt(&other, weights).is_none());
    }
}
