//! What each operator of a file becomes.

use super::Read;
use super::attributes::{attribute, average, float, int, ints, rounded_up, text, window};
use super::network::{Form, Network, Tensor, Value};
use super::proto::NodeProto;
use super::tensor::Constant;
use crate::{Layer, Op, Shape, Window};

type Inputs<'a> = [Option<&'a Tensor>];

/// Applies a node to its inputs.
pub(super) fn apply(node: &NodeProto, inputs: &Inputs<'_>, network: &mut Network) -> Read<Tensor> {
    let value = |i: usize| match inputs.get(i).copied().flatten() {
        Some(Tensor::Value(v)) => Ok(*v),
        Some(Tensor::Constant(_)) => Err(format!("input {i} is a constant")),
        None => Err(format!("input {i} is missing")),
    };
    let constant = |i: usize| match inputs.get(i).copied().flatten() {
        Some(Tensor::Constant(c)) => Ok(Some(c)),
        Some(Tensor::Value(_)) => Err(format!("input {i} depends on the query")),
        None => Ok(None),
    };
    let needed = |i: usize| constant(i)?.ok_or_else(|| format!("input {i} is missing"));
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    let all_constant = inputs.iter().flatten().all(|t| matches!(t, Tensor::Constant(_)));

    let output = match node.op_type.as_str() {
        "Constant" => return literal(node).map(Tensor::Constant),
        "Identity" | "Dropout" | "Cast" => match inputs.first().copied().flatten() {
            Some(tensor) => return Ok(tensor.clone()),
            None => return Err("input 0 is missing".to_owned()),
        },
        "Transpose" if all_constant => {
            let c = needed(0)?;
            let reversed: Vec<i64> = (0..c.dims.len() as i64).rev().collect();
            return c.transposed(&axes(ints(node, "perm").unwrap_or(&reversed), c.dims.len())?).map(Tensor::Constant);
        }
        "Reshape" if all_constant => return needed(0)?.reshaped(needed(1)?.integers()?).map(Tensor::Constant),
        "Conv" => conv(node, name, value(0)?, needed(1)?, constant(2)?, network)?,
        "Gemm" => {
            let zero = |key| int(node, key, 0) == 0;
            if !zero("transA") {
                return Err("a transposed query (transA) is not supported".to_owned());
            }
            let weights = needed(1)?;
            let weights = if zero("transB") { weights.transposed(&[1, 0])? } else { weights.clone() };
            let scale = [float(node, "alpha", 1.0), float(node, "beta", 1.0)];
            fc(name, value(0)?, &weights, constant(2)?, scale, network)?
        }
        "MatMul" => fc(name, value(0)?, &needed(1)?.transposed(&[1, 0])?, None, [1.0; 2], network)?,
        "Relu" => network.push(name, Op::Relu, &[value(0)?], None)?,
        "MaxPool" => {
            let x = image(value(0)?)?;
            let [_, h, w] = network.shape(&x);
            // Zeros of a Pad node could win where the padding of a pool cannot.
            let window = rounded_up(node, window(node, None, [h, w])?, [h, w]);
            network.push(name, Op::MaxPool { window }, &[x], None)?
        }
        "AveragePool" => {
            let (x, padding) = unpadded(image(value(0)?)?);
            let [_, h, w] = network.shape(&x);
            let size = [h + padding[0] + padding[2], w + padding[1] + padding[3]];
            let Op::AvgPool { window } = average(node, window(node, None, size)?, size)? else { unreachable!() };
            network.push(name, Op::AvgPool { window: padded(window, padding) }, &[x], None)?
        }
        "GlobalAveragePool" | "GlobalMaxPool" => {
            let window = whole(network.shape(&image(value(0)?)?));
            let average = node.op_type == "GlobalAveragePool";
            let op = if average { Op::AvgPool { window } } else { Op::MaxPool { window } };
            network.push(name, op, &[value(0)?], None)?
        }
        "ReduceMean" => {
            let x = value(0)?;
            let given = match constant(1)? {
                Some(c) => c.integers()?.to_vec(),
                None => ints(node, "axes").unwrap_or_default().to_vec(),
            };
            let mut given = axes(&given, 4)?;
            given.sort_unstable();
            let plane = match x.form {
                Form::ChannelsFirst => [2, 3],
                Form::ChannelsLast => [1, 2],
                Form::Flat | Form::FlatChannelsLast => return Err("a mean of a vector is not supported".to_owned()),
            };
            if given != plane {
                return Err(format!("a mean over the axes {given:?}, not over height and width"));
            }
            let mean = network.push(name, Op::AvgPool { window: whole(network.shape(&x)) }, &[x], None)?;
            if int(node, "keepdims", 1) == 0 { Value { form: Form::Flat, ..mean } } else { mean }
        }
        "Add" | "Sum" | "Sub" | "Mul" | "Div" => arithmetic(node, name, inputs, network)?,
        "BatchNormalization" => {
            let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| needed(i).and_then(Constant::numbers));
            let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
            let epsilon = f64::from(float(node, "epsilon", 1e-5));
            let x = value(0)?;
            let channels = network.shape(&x)[0];
            if [&gamma, &beta, &mean, &variance].iter().any(|v| v.len() != channels) {
                return Err(format!("its parameters are not those of {channels} channels"));
            }
            let factors: Vec<f64> =
                gamma.iter().zip(&variance).map(|(g, v)| f64::from(*g) / (f64::from(*v) + epsilon).sqrt()).collect();
            let terms = beta.iter().zip(&mean).zip(&factors).map(|((b, m), f)| f64::from(*b) - f64::from(*m) * f);
            let terms = terms.collect();
            affine(name, x, factors, terms, network)?
        }
        "Concat" => {
            let parts = (0..inputs.len()).map(value).collect::<Read<Vec<_>>>()?;
            let form = parts.first().ok_or("nothing to put together")?.form;
            let rank = if matches!(form, Form::Flat | Form::FlatChannelsLast) { 2 } else { 4 };
            let channels = if form == Form::ChannelsLast { 3 } else { 1 };
            // Vectors in the order row, column, channel would interleave.
            let apart = form == Form::FlatChannelsLast && parts.iter().any(|p| network.shape(p)[1..] != [1, 1]);
            if parts.iter().any(|p| p.form != form) || axes(&[int(node, "axis", 1)], rank)? != [channels] || apart {
                return Err("only channels of tensors of one layout can be put together".to_owned());
            }
            match parts.as_slice() {
                [one] => *one,
                _ if matches!(form, Form::Flat) => {
                    let flat = parts.iter().map(|p| flattened(name, *p, network)).collect::<Read<Vec<_>>>()?;
                    network.push(name, Op::Concat, &flat, None)?
                }
                _ => network.push(name, Op::Concat, &parts, None)?,
            }
        }
        "Flatten" => {
            let x = value(0)?;
            if int(node, "axis", 1) != 1 {
                return Err("axis 1 is supported".to_owned());
            }
            flat(x)?
        }
        "Reshape" => reshape(value(0)?, needed(1)?.integers()?, network)?,
        "Squeeze" | "Unsqueeze" => squeeze(node, value(0)?, constant(1)?, network)?,
        "Transpose" => {
            let x = value(0)?;
            match (x.form, ints(node, "perm").unwrap_or_default()) {
                (_, [0, 1, 2, 3] | [0, 1]) => x,
                (Form::ChannelsLast, [0, 3, 1, 2]) => Value { form: Form::ChannelsFirst, ..x },
                (Form::ChannelsFirst, [0, 2, 3, 1]) => Value { form: Form::ChannelsLast, ..x },
                (form, order) => return Err(format!("the order {order:?} of axes of {form:?} is not supported")),
            }
        }
        "Pad" => pad(node, image(value(0)?)?, constant(1)?, constant(2)?)?,
        "Softmax" | "LogSoftmax" => {
            network.softmax = Some(name.to_owned());
            value(0)?
        }
        _ => return Err("this operator is not supported".to_owned()),
    };
    Ok(Tensor::Value(output))
}

fn literal(node: &NodeProto) -> Read<Constant> {
    if let Some(a) = attribute(node, "value") {
        return Constant::new(a.t.as_ref().ok_or("its value is no tensor")?);
    }
    let scalar = |c: Constant| Constant { dims: Vec::new(), ..c };
    let found = [
        attribute(node, "value_float").map(|a| scalar(Constant::floats(vec![a.f]))),
        attribute(node, "value_int").map(|a| scalar(Constant::ints(vec![a.i]))),
        attribute(node, "value_floats").map(|a| Constant::floats(a.floats.clone())),
        attribute(node, "value_ints").map(|a| Constant::ints(a.ints.clone())),
    ];
    found.into_iter().flatten().next().ok_or_else(|| "it has no value of numbers".to_owned())
}

/// Axes counted from the end if negative.
fn axes(given: &[i64], rank: usize) -> Read<Vec<usize>> {
    let axis =
        |a: &i64| usize::try_from(if *a < 0 { a.checked_add(rank as i64)? } else { *a }).ok().filter(|a| *a < rank);
    given.iter().map(axis).collect::<Option<_>>().ok_or_else(|| format!("axes {given:?} of a tensor of {rank}"))
}

/// A value with height and width.
fn image(x: Value) -> Read<Value> {
    match x.form {
        Form::ChannelsFirst => Ok(x),
        form => Err(format!("it needs (batch, channels, height, width), its input is {form:?}")),
    }
}

/// The window that is the whole of a plane.
fn whole([_, h, w]: Shape) -> Window {
    Window { kernel: [h, w], stride: [1, 1], padding: [0; 4] }
}

/// A value without the zeros around it, and these.
fn unpadded(x: Value) -> (Value, [usize; 4]) {
    (Value { padding: [0; 4], ..x }, x.padding)
}

fn padded(window: Window, more: [usize; 4]) -> Window {
    Window { padding: std::array::from_fn(|i| window.padding[i] + more[i]), ..window }
}

fn conv(
    node: &NodeProto,
    name: &str,
    x: Value,
    weights: &Constant,
    bias: Option<&Constant>,
    network: &mut Network,
) -> Read<Value> {
    let (x, padding) = unpadded(image(x)?);
    let [c, h, w] = network.shape(&x);
    let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
    let &[out_channels, per_group, kh, kw] = weights.dims.as_slice() else {
        return Err(format!(
            "weights of the shape {:?}: convolutions over height and width are supported",
            weights.dims
        ));
    };
    if per_group.checked_mul(groups) != Some(c) {
        return Err(format!("weights for {groups} groups of {per_group} channels, its input has {c}"));
    }
    let size = [h + padding[0] + padding[2], w + padding[1] + padding[3]];
    let window = padded(window(node, Some([kh, kw]), size)?, padding);
    let bias = bias.map_or_else(|| Ok(vec![0.0; out_channels]), Constant::numbers)?;
    if bias.len() != out_channels {
        return Err(format!("{} biases for {out_channels} channels", bias.len()));
    }
    let layer = Layer { weights: weights.numbers()?, bias };
    network.push(name, Op::Conv { out_channels, window, groups }, &[x], Some(layer))
}

/// Weights (out, in) in the order of the features as they lie in the file.
fn fc(
    name: &str,
    x: Value,
    weights: &Constant,
    bias: Option<&Constant>,
    [alpha, beta]: [f32; 2],
    network: &mut Network,
) -> Read<Value> {
    let [c, h, w] = network.shape(&x);
    let features = c * h * w;
    let &[out_features, inputs] = weights.dims.as_slice() else {
        return Err(format!("weights of the shape {:?}, which are no matrix", weights.dims));
    };
    if !matches!(x.form, Form::Flat | Form::FlatChannelsLast) || inputs != features {
        return Err(format!("a matrix for vectors of {inputs}, its input is {:?} of {features} numbers", x.form));
    }
    let mut weights = weights.numbers()?;
    if x.form == Form::FlatChannelsLast {
        let reordered = weights.chunks_exact(features).flat_map(|row| {
            (0..c).flat_map(move |channel| (0..h * w).map(move |position| row[position * c + channel]))
        });
        weights = reordered.collect();
    }
    weights.iter_mut().for_each(|v| *v *= alpha);
    let bias = match bias.map(Constant::numbers).transpose()? {
        None => vec![0.0; out_features],
        Some(b) if b.len() == 1 => vec![b[0] * beta; out_features],
        Some(b) if b.len() == out_features => b.into_iter().map(|v| v * beta).collect(),
        Some(b) => return Err(format!("{} biases for {out_features} features", b.len())),
    };
    let y = network.push(name, Op::Fc { out_features }, &[x], Some(Layer { weights, bias }))?;
    Ok(Value { form: Form::Flat, ..y })
}

/// Addition of values, and what adds or multiplies constants channel by channel.
fn arithmetic(node: &NodeProto, name: &str, inputs: &Inputs<'_>, network: &mut Network) -> Read<Value> {
    let op = node.op_type.as_str();
    let plus = matches!(op, "Add" | "Sum");
    match inputs {
        [Some(Tensor::Value(a)), Some(Tensor::Value(b))] if plus => {
            if a.form != b.form {
                return Err(format!("{:?} and {:?} cannot be added", a.form, b.form));
            }
            if a.form == Form::Flat && network.shape(a) != network.shape(b) {
                let (a, b) = (flattened(name, *a, network)?, flattened(name, *b, network)?);
                return network.push(name, Op::Add, &[a, b], None);
            }
            network.push(name, Op::Add, &[*a, *b], None)
        }
        [Some(Tensor::Value(x)), Some(Tensor::Constant(c))] => {
            let channels = by_channel(c, x, network)?;
            let n = channels.len();
            let (factors, terms) = match op {
                "Mul" => (channels, vec![0.0; n]),
                "Div" if channels.contains(&0.0) => return Err("a division by zero".to_owned()),
                "Div" => (channels.iter().map(|v| 1.0 / v).collect(), vec![0.0; n]),
                "Sub" => (vec![1.0; n], channels.iter().map(|v| -v).collect()),
                _ => (vec![1.0; n], channels),
            };
            affine(name, *x, factors, terms, network)
        }
        [Some(Tensor::Constant(c)), Some(Tensor::Value(x))] if plus || op == "Mul" => {
            let channels = by_channel(c, x, network)?;
            let n = channels.len();
            let (factors, terms) = if plus { (vec![1.0; n], channels) } else { (channels, vec![0.0; n]) };
            affine(name, *x, factors, terms, network)
        }
        _ => Err("of two values only a sum, of a value and a constant only what is affine is supported".to_owned()),
    }
}

/// A constant that is added or multiplied, as one number a channel.
fn by_channel(c: &Constant, x: &Value, network: &Network) -> Read<Vec<f64>> {
    let shape = network.shape(x);
    let channels = shape[0];
    let numbers: Vec<f64> = c.numbers()?.into_iter().map(f64::from).collect();
    if let [one] = numbers.as_slice() {
        return Ok(vec![*one; channels]);
    }
    // From the last axis on; what is left out in front is 1.
    let rank = if matches!(x.form, Form::Flat | Form::FlatChannelsLast) { 2 } else { 4 };
    let axis = match x.form {
        Form::ChannelsFirst => 1,
        Form::ChannelsLast => 3,
        Form::Flat | Form::FlatChannelsLast => 1,
    };
    let missing = rank - c.dims.len().min(rank);
    let others = c.dims.iter().enumerate().any(|(i, d)| i + missing != axis && *d != 1);
    let flat_image = rank == 2 && shape[1..] != [1, 1];
    if c.dims.len() > rank || others || flat_image || numbers.len() != channels {
        return Err(format!("a constant of the shape {:?} is not one number for each of {channels} channels", c.dims));
    }
    Ok(numbers)
}

/// x * factor + term, channel by channel: folded into the layer that computes x, if nothing else reads x, else a layer of
/// its own, a depthwise 1x1 convolution.
fn affine(name: &str, x: Value, factors: Vec<f64>, terms: Vec<f64>, network: &mut Network) -> Read<Value> {
    if factors.iter().chain(&terms).any(|v| !(*v as f32).is_finite()) {
        return Err("its constants give numbers that are not finite".to_owned());
    }
    let channels = factors.len();
    let before = network.sketch.layer(x.id).filter(|l| l.op.has_weights()).map(|l| l.name.clone());
    let foldable = network.softmax.is_none() && x.padding == [0; 4] && !network.is_shared(&x);
    if let Some(layer) = before.filter(|_| foldable).and_then(|name| network.weights.layers.get_mut(&name)) {
        let row = layer.weights.len() / channels;
        for (weights, f) in layer.weights.chunks_exact_mut(row.max(1)).zip(&factors) {
            weights.iter_mut().for_each(|w| *w = (f64::from(*w) * f) as f32);
        }
        for ((b, f), t) in layer.bias.iter_mut().zip(&factors).zip(&terms) {
            *b = (f64::from(*b) * f + t) as f32;
        }
        return Ok(x);
    }
    let layer =
        Layer { weights: factors.iter().map(|f| *f as f32).collect(), bias: terms.iter().map(|t| *t as f32).collect() };
    let op = Op::Conv { out_channels: channels, window: Window::square(1, 1), groups: channels };
    network.push(name, op, &[x], Some(layer))
}

/// As a vector, in the order of the tensor's own axes.
fn flat(x: Value) -> Read<Value> {
    if x.padding != [0; 4] {
        return Err("a Pad before it is not supported".to_owned());
    }
    let form = match x.form {
        Form::ChannelsFirst | Form::Flat => Form::Flat,
        Form::ChannelsLast | Form::FlatChannelsLast => Form::FlatChannelsLast,
    };
    Ok(Value { form, ..x })
}

/// A vector as (features, 1, 1) in our own shape too.
fn flattened(name: &str, x: Value, network: &mut Network) -> Read<Value> {
    if network.shape(&x)[1..] == [1, 1] {
        return Ok(x);
    }
    network.push(&format!("{name}.flatten"), Op::Flatten, &[x], None)
}

fn reshape(x: Value, shape: &[i64], network: &Network) -> Read<Value> {
    let [c, h, w] = network.shape(&x).map(|d| d as i64);
    let features = c * h * w;
    let refused = || Err(format!("{:?} of {:?} cannot have the shape {shape:?}", x.form, [c, h, w]));
    match (x.form, shape) {
        (_, [_, f]) if *f == features || *f == -1 && shape[0] != -1 => flat(x),
        (Form::ChannelsFirst, [_, rest @ ..]) if rest == [c, h, w] => Ok(x),
        (Form::ChannelsLast, [_, rest @ ..]) if rest == [h, w, c] => Ok(x),
        (_, [_, rest @ ..]) if rest == [features, 1, 1] && h * w == 1 => Ok(Value { form: Form::ChannelsFirst, ..x }),
        (_, [_, rest @ ..]) if rest == [1, 1, features] && h * w == 1 => Ok(Value { form: Form::ChannelsLast, ..x }),
        _ => refused(),
    }
}

/// Axes of length 1 dropped from a plane, or put back.
fn squeeze(node: &NodeProto, x: Value, given: Option<&Constant>, network: &Network) -> Read<Value> {
    let squeeze = node.op_type == "Squeeze";
    let given = match given {
        Some(c) => c.integers()?.to_vec(),
        None => ints(node, "axes").unwrap_or_default().to_vec(),
    };
    let mut given = axes(&given, 4)?;
    given.sort_unstable();
    let point = network.shape(&x)[1..] == [1, 1] && x.padding == [0; 4];
    match (squeeze, x.form, given.as_slice()) {
        (true, Form::ChannelsFirst, [2, 3]) | (true, Form::ChannelsLast, [1, 2]) if point => {
            Ok(Value { form: Form::Flat, ..x })
        }
        (false, Form::Flat | Form::FlatChannelsLast, [2, 3]) if point => Ok(Value { form: Form::ChannelsFirst, ..x }),
        (false, Form::Flat | Form::FlatChannelsLast, [1, 2]) if point => Ok(Value { form: Form::ChannelsLast, ..x }),
        _ => Err(format!("axes {given:?} of {:?} of {:?} are not supported", x.form, network.shape(&x))),
    }
}

/// Zeros around height and width, taken over by the convolution or average pool that follows.
fn pad(node: &NodeProto, x: Value, pads: Option<&Constant>, fill: Option<&Constant>) -> Read<Value> {
    if !matches!(text(node, "mode").unwrap_or(b"constant"), b"constant" | b"") {
        return Err("only padding with zeros is supported".to_owned());
    }
    let fill = fill.map(Constant::numbers).transpose()?;
    if fill.is_some_and(|f| f != [0.0]) || float(node, "value", 0.0) != 0.0 {
        return Err("only padding with zeros is supported".to_owned());
    }
    let pads = match pads {
        Some(c) => c.integers()?,
        None => ints(node, "pads").unwrap_or_default(),
    };
    let &[0, 0, top, left, 0, 0, bottom, right] = pads else {
        return Err(format!("pads {pads:?}: padding of height and width is supported"));
    };
    let more = [top, left, bottom, right];
    let small = |v: i64| usize::try_from(v).ok().filter(|v| *v <= 1 << 16);
    let mut padding = x.padding;
    for (sum, v) in padding.iter_mut().zip(more) {
        *sum += small(v).ok_or_else(|| format!("pads {pads:?}"))?;
        small(*sum as i64).ok_or_else(|| format!("pads {pads:?}"))?;
    }
    Ok(Value { padding, ..x })
}
