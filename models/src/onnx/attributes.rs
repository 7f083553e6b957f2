//! A node's attributes, and the windows they describe.

use super::Read;
use super::proto::{AttributeProto, NodeProto};
use crate::{Op, Window};

/// *Local*: larger kernels, strides and paddings are mistakes; sums and products of smaller ones cannot overflow.
const GREATEST: i64 = 1 << 16;

fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    find(node, name).map_or(default, |a| a.i)
}

pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    find(node, name).map_or(default, |a| a.f)
}

pub(super) fn ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    find(node, name).map(|a| a.ints.as_slice())
}

pub(super) fn text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [u8]> {
    find(node, name).map(|a| a.s.as_slice())
}

pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    find(node, name)
}

fn sizes<const N: usize>(node: &NodeProto, name: &str, default: [usize; N]) -> Read<[usize; N]> {
    let Some(given) = ints(node, name) else { return Ok(default) };
    let sizes = given.iter().map(|v| (0..=GREATEST).contains(v).then_some(*v as usize)).collect::<Option<Vec<_>>>();
    sizes
        .and_then(|s| s.try_into().ok())
        .ok_or_else(|| format!("{name} = {given:?}: {N} numbers of 0 to {GREATEST} are supported"))
}

/// The window of a convolution or pool over an input of height and width `hw`; `kernel` is that of the weights, if there
/// are any.
pub(super) fn window(node: &NodeProto, kernel: Option<[usize; 2]>, hw: [usize; 2]) -> Read<Window> {
    let kernel = match (kernel, sizes(node, "kernel_shape", kernel.unwrap_or_default())?) {
        (Some(kernel), given) if given != kernel => {
            return Err(format!("kernel_shape is {given:?}, the weights are for {kernel:?}"));
        }
        (_, given) => given,
    };
    let stride = sizes(node, "strides", [1, 1])?;
    if kernel.contains(&0) || stride.contains(&0) {
        return Err(format!("a kernel {kernel:?} with strides {stride:?}"));
    }
    if sizes(node, "dilations", [1, 1])? != [1, 1] {
        return Err("dilations are not supported".to_owned());
    }
    let mut window = Window { kernel, stride, padding: sizes(node, "pads", [0; 4])? };
    match text(node, "auto_pad").unwrap_or(b"NOTSET") {
        b"" | b"NOTSET" => {}
        b"VALID" => window.padding = [0; 4],
        same @ (b"SAME_UPPER" | b"SAME_LOWER") => {
            for axis in 0..2 {
                let outputs = hw[axis].div_ceil(stride[axis]);
                let total = (outputs.saturating_sub(1) * stride[axis] + kernel[axis]).saturating_sub(hw[axis]);
                let (less, more) = (total / 2, total - total / 2);
                (window.padding[axis], window.padding[axis + 2]) =
                    if same == b"SAME_UPPER" { (less, more) } else { (more, less) };
            }
        }
        other => return Err(format!("auto_pad = {}", String::from_utf8_lossy(other))),
    }
    Ok(window)
}

/// With `ceil_mode`: more padding at bottom and right, so that what is left over beyond the last stride gets a window of
/// its own. A window that would start beyond the input is left out.
pub(super) fn rounded_up(node: &NodeProto, mut window: Window, hw: [usize; 2]) -> Window {
    if int(node, "ceil_mode", 0) == 0 {
        return window;
    }
    for (axis, size) in hw.into_iter().enumerate() {
        let (kernel, stride) = (window.kernel[axis], window.stride[axis]);
        let (before, after) = (window.padding[axis], window.padding[axis + 2]);
        let mut outputs = (size + before + after).saturating_sub(kernel).div_ceil(stride) + 1;
        if (outputs - 1) * stride >= size + before {
            outputs -= 1;
        }
        let reach = (outputs.saturating_sub(1)) * stride + kernel;
        window.padding[axis + 2] = after.max(reach.saturating_sub(size + before));
    }
    window
}

/// An average pool, if it counts its padding as our own does.
pub(super) fn average(node: &NodeProto, window: Window, hw: [usize; 2]) -> Read<Op> {
    if rounded_up(node, window, hw) != window {
        return Err("ceil_mode, which averages over fewer numbers at the border, is not supported".to_owned());
    }
    if window.padding != [0; 4] && int(node, "count_include_pad", 0) == 0 {
        return Err("padding that is not counted (count_include_pad = 0) is not supported".to_owned());
    }
    Ok(Op::AvgPool { window })
}
