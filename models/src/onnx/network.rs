//! The nodes of a file in an order in which each has its inputs, and what is known of each tensor on the way.

use std::collections::BTreeMap;

use super::proto::{GraphProto, NodeProto, ValueInfoProto};
use super::tensor::{Constant, size};
use super::{Imported, Read, operators};
use crate::graph::output_shape;
use crate::sketch::Sketch;
use crate::{Layer, Op, Shape, ValueId, Weights};

/// How the numbers of a value lie in a tensor of the file. The first dimension, the batch, is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// (n, c, h, w).
    ChannelsFirst,
    /// (n, h, w, c).
    ChannelsLast,
    /// (n, features), in the order channel, row, column.
    Flat,
    /// (n, features), in the order row, column, channel.
    FlatChannelsLast,
}

/// What a name in the file stands for.
#[derive(Clone, Debug)]
pub(super) enum Tensor {
    /// A constant.
    Constant(Constant),
    /// Numbers that depend on the query.
    Value(Value),
}

/// Numbers that depend on the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) id: ValueId,
    pub(super) form: Form,
    /// Zeros that a Pad node put around it and that the next operator has to take over: top, left, bottom, right.
    pub(super) padding: [usize; 4],
}

/// The network as far as it is read.
pub(super) struct Network {
    pub(super) sketch: Sketch,
    pub(super) weights: Weights,
    shapes: Vec<Shape>,
    /// Values that more than one node reads: nothing may be folded into them.
    shared: Vec<bool>,
    /// The softmax that was dropped, after which no layer may come.
    pub(super) softmax: Option<String>,
}

impl Network {
    pub(super) fn shape(&self, value: &Value) -> Shape {
        self.shapes[value.id]
    }

    pub(super) fn is_shared(&self, value: &Value) -> bool {
        self.shared[value.id]
    }

    /// Appends a layer, under a name made unique.
    pub(super) fn push(&mut self, name: &str, op: Op, of: &[Value], layer: Option<Layer>) -> Read<Value> {
        if let Some(softmax) = &self.softmax {
            return Err(format!("it comes after '{softmax}': a softmax is supported at the end only"));
        }
        if of.iter().any(|v| v.padding != [0; 4]) {
            return Err("a Pad before something else than a convolution or a pool is not supported".to_owned());
        }
        let from: Vec<Shape> = of.iter().map(|v| self.shape(v)).collect();
        let shape = output_shape(&op, &from)?;
        size(&shape)?;
        let inputs: Vec<ValueId> = of.iter().map(|v| v.id).collect();
        // Names of nodes are free text in ONNX, empty or twice the same.
        let base = if name.is_empty() { op.name() } else { name };
        let taken = |n: &str| self.sketch.layers.iter().any(|l| l.name == n);
        let name = (1..).map(|i| if i == 1 { base.to_owned() } else { format!("{base}.{i}") }).find(|n| !taken(n));
        let name = name.unwrap_or_default();
        if let Some(layer) = layer {
            self.weights.layers.insert(name.clone(), layer);
        }
        let id = self.sketch.push(name, op, &inputs);
        self.shapes.push(shape);
        self.shared.push(false);
        let form = of.first().map_or(Form::ChannelsFirst, |v| v.form);
        Ok(Value { id, form, padding: [0; 4] })
    }
}

/// Reads the graph from its query to its answer.
pub(super) fn import(graph: &GraphProto) -> Read<Imported> {
    let mut tensors: BTreeMap<&str, Tensor> = BTreeMap::new();
    for proto in &graph.initializer {
        let constant = Constant::new(proto).map_err(|why| format!("tensor '{}': {why}", proto.name))?;
        if tensors.insert(&proto.name, Tensor::Constant(constant)).is_some() {
            return Err(format!("two tensors are named '{}'", proto.name));
        }
    }
    let mut queries = graph.input.iter().filter(|i| !tensors.contains_key(i.name.as_str()));
    let (Some(query), None) = (queries.next(), queries.next()) else {
        return Err("a network with exactly one input is needed".to_owned());
    };
    let [answer] = graph.output.as_slice() else {
        return Err(format!("a network with exactly one output is needed, this has {}", graph.output.len()));
    };

    let (shape, form) = query_shape(query, graph).map_err(|why| format!("input '{}': {why}", query.name))?;
    let mut network = Network {
        sketch: Sketch::new(shape),
        weights: Weights::default(),
        shapes: vec![shape],
        shared: vec![false],
        softmax: None,
    };
    let mut uses: BTreeMap<&str, usize> = BTreeMap::from([(answer.name.as_str(), 1)]);
    graph.node.iter().flat_map(|n| &n.input).for_each(|name| *uses.entry(name).or_default() += 1);

    tensors.insert(&query.name, Tensor::Value(Value { id: 0, form, padding: [0; 4] }));
    for node in order(graph, &answer.name, &tensors)? {
        let wrong = |why: String| format!("node '{}' ({}): {why}", shown(node), node.op_type);
        let inputs = node.input.iter().map(|name| if name.is_empty() { None } else { tensors.get(name.as_str()) });
        let output = operators::apply(node, &inputs.collect::<Vec<_>>(), &mut network).map_err(wrong)?;
        let name = node.output.first().map_or("", String::as_str);
        if let Tensor::Value(value) = &output {
            network.shared[value.id] |= uses.get(name).is_some_and(|n| *n > 1);
        }
        tensors.insert(name, output);
    }
    match tensors.get(answer.name.as_str()) {
        Some(Tensor::Value(v)) if v.id == network.sketch.layers.len() && v.padding == [0; 4] => {}
        _ => return Err(format!("output '{}' is not computed by the last layer", answer.name)),
    }
    Ok(Imported { sketch: network.sketch, weights: network.weights })
}

/// A node's name, or that of its output if it has none.
fn shown(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

/// Shape of the query, and whether its channels come last: they do if all that reads it moves them to the front.
fn query_shape(query: &ValueInfoProto, graph: &GraphProto) -> Read<(Shape, Form)> {
    let shape = query.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.shape.as_ref());
    let dims: Vec<i64> = shape.ok_or("its shape is not given")?.dim.iter().map(|d| d.dim_value).collect();
    let rest: Option<Vec<usize>> = dims.iter().skip(1).map(|d| usize::try_from(*d).ok().filter(|d| *d > 0)).collect();
    let rest = rest.ok_or_else(|| format!("of the shape {dims:?} only the first dimension may be left open"))?;
    size(&rest)?;
    let mut readers = graph.node.iter().filter(|n| n.input.contains(&query.name)).peekable();
    let to_the_front = |n: &NodeProto| {
        n.op_type == "Transpose" && super::attributes::ints(n, "perm").is_some_and(|p| p == [0, 3, 1, 2])
    };
    match rest.as_slice() {
        [features] => Ok(([*features, 1, 1], Form::Flat)),
        [h, w, c] if readers.peek().is_some() && readers.all(to_the_front) => Ok(([*c, *h, *w], Form::ChannelsLast)),
        [c, h, w] => Ok(([*c, *h, *w], Form::ChannelsFirst)),
        _ => Err(format!("shape {dims:?}: (batch, features) or (batch, channels, height, width) is supported")),
    }
}

/// The nodes that the answer needs, each after those that it needs itself.
fn order<'a>(graph: &'a GraphProto, answer: &str, given: &BTreeMap<&str, Tensor>) -> Read<Vec<&'a NodeProto>> {
    let mut makers: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            if makers.insert(output, i).is_some() || given.contains_key(output.as_str()) {
                return Err(format!("two tensors are named '{output}'"));
            }
        }
    }
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Begun,
        Done,
    }
    let mut states = vec![State::New; graph.node.len()];
    let mut ordered = Vec::new();
    let Some(&last) = makers.get(answer) else { return Err(format!("no node computes the output '{answer}'")) };
    let mut stack = vec![last];
    while let Some(&i) = stack.last() {
        let node = &graph.node[i];
        if states[i] != State::New {
            stack.pop();
            if std::mem::replace(&mut states[i], State::Done) == State::Begun {
                ordered.push(node);
            }
            continue;
        }
        states[i] = State::Begun;
        // The last pushed is visited first.
        for name in node.input.iter().rev().filter(|n| !n.is_empty() && !given.contains_key(n.as_str())) {
            let wrong = |why: &str| format!("node '{}' ({}): {why}", shown(node), node.op_type);
            let maker = makers.get(name.as_str()).ok_or_else(|| wrong(&format!("tensor '{name}' is nowhere")))?;
            match states[*maker] {
                State::New => stack.push(*maker),
                State::Begun => return Err(wrong(&format!("it needs '{name}', which needs it: a circle"))),
                State::Done => {}
            }
        }
    }
    Ok(ordered)
}
