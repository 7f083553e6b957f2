//! Networks whose layers repeat, written as loops: what both parties know of a model without its weights.

use serde::Deserialize;

use crate::sketch::Sketch;
use crate::{Op, ValueId, Window};

/// An architecture that is generated rather than listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Generated {
    /// SqueezeNet 1.1 (Iandola et al., arXiv 1602.07360, release 1.1) on 3x227x227: no padding but around 3x3
    /// convolutions of fire modules, ReLU after the last convolution, global average.
    Squeezenet {
        /// Number of classes.
        classes: usize,
    },
    /// ResNet50 (He et al., arXiv 1512.03385) on 3x224x224 with batch norm folded into the convolutions and strides on
    /// the first convolution of a block.
    Resnet50 {
        /// Channels of the first stage's inner convolutions: 64 in the paper; 32 is half width behind the same stem.
        width: usize,
        /// Number of classes.
        classes: usize,
    },
}

impl Generated {
    pub(crate) fn sketch(self) -> Sketch {
        match self {
            Self::Squeezenet { classes } => squeezenet(classes),
            Self::Resnet50 { width, classes } => resnet50(width, classes),
        }
    }
}

fn conv(s: &mut Sketch, name: String, x: ValueId, out_channels: usize, window: Window) -> ValueId {
    s.push(name, Op::Conv { out_channels, window, groups: 1 }, &[x])
}

fn conv_relu(s: &mut Sketch, name: &str, x: ValueId, out_channels: usize, window: Window) -> ValueId {
    let y = conv(s, name.to_owned(), x, out_channels, window);
    s.push(format!("{name}.relu"), Op::Relu, &[y])
}

fn squeezenet(classes: usize) -> Sketch {
    let mut s = Sketch::new([3, 227, 227]);
    let pool = Op::MaxPool { window: Window::square(3, 2) };
    let x = conv_relu(&mut s, "conv1", 0, 64, Window::square(3, 2));
    let mut x = s.push("pool1", pool.clone(), &[x]);
    for (i, squeezed, expanded) in
        [(2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128), (6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256)]
    {
        let squeeze = conv_relu(&mut s, &format!("fire{i}.squeeze1x1"), x, squeezed, Window::square(1, 1));
        let wide = Window::square(3, 1).padded(1);
        let a = conv_relu(&mut s, &format!("fire{i}.expand1x1"), squeeze, expanded, Window::square(1, 1));
        let b = conv_relu(&mut s, &format!("fire{i}.expand3x3"), squeeze, expanded, wide);
        x = s.push(format!("fire{i}"), Op::Concat, &[a, b]);
        if i == 3 || i == 5 {
            x = s.push(format!("pool{i}"), pool.clone(), &[x]);
        }
    }
    let x = conv_relu(&mut s, "conv10", x, classes, Window::square(1, 1));
    s.push("pool10", Op::AvgPool { window: Window::square(13, 1) }, &[x]);
    s
}

fn resnet50(width: usize, classes: usize) -> Sketch {
    let mut s = Sketch::new([3, 224, 224]);
    // Half-width networks keep the stem of 64 channels.
    let x = conv_relu(&mut s, "conv1", 0, 64, Window { padding: [3; 4], ..Window::square(7, 2) });
    let pool = Window { padding: [0, 0, 1, 1], ..Window::square(3, 2) };
    let mut x = s.push("pool1", Op::MaxPool { window: pool }, &[x]);
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let inner = width << stage;
        for block in 0..blocks {
            let name = |part: &str| format!("stage{}.block{}.{part}", stage + 1, block + 1);
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let shortcut =
                if block == 0 { conv(&mut s, name("shortcut"), x, 4 * inner, Window::square(1, stride)) } else { x };
            let y = conv_relu(&mut s, &name("conv1"), x, inner, Window::square(1, stride));
            let y = conv_relu(&mut s, &name("conv2"), y, inner, Window::square(3, 1).padded(1));
            let y = conv(&mut s, name("conv3"), y, 4 * inner, Window::square(1, 1));
            let sum = s.push(name("add"), Op::Add, &[shortcut, y]);
            x = s.push(name("relu"), Op::Relu, &[sum]);
        }
    }
    let x = s.push("pool2", Op::AvgPool { window: Window::square(7, 1) }, &[x]);
    s.push("fc", Op::Fc { out_features: classes }, &[x]);
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FixedPoint, Graph};

    fn graph(generated: Generated) -> Graph {
        generated.sketch().rewritten().build("t", FixedPoint::CHEETAH).unwrap()
    }

    fn count(g: &Graph, op: &str) -> usize {
        g.nodes().iter().filter(|n| n.op.name() == op).count()
    }

    fn relus(g: &Graph) -> usize {
        g.nodes().iter().filter(|n| n.op == Op::Relu).map(|n| n.shape.iter().product::<usize>()).sum()
    }

    fn parameters(g: &Graph) -> usize {
        let sizes = crate::weights_file::shapes(g);
        sizes.iter().map(|(_, s)| s.iter().product::<usize>() + s[0]).sum()
    }

    #[test]
    fn resnet50_has_the_published_size() {
        let g = graph(Generated::Resnet50 { width: 64, classes: 1000 });
        // He et al.: 25.5 million parameters (25,557,032 with batch norm's two vectors, which are one bias when folded).
        assert_eq!(parameters(&g), 25_557_032 - 26_560);
        assert_eq!([count(&g, "conv"), count(&g, "relu"), count(&g, "add"), g.classes()], [53, 49, 16, 1000]);
        assert_eq!(parameters(&graph(Generated::Resnet50 { width: 64, classes: 2 })), 23_485_570);
        // Stem and four stages; the pool moved ahead of the first ReLU leaves a quarter of the stem's.
        let stages = [(3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)].map(|(n, c, s)| n * 6 * c * s * s);
        assert_eq!(relus(&g), 64 * 56 * 56 + stages.into_iter().sum::<usize>());
    }

    #[test]
    fn half_a_resnet50_has_the_size_of_the_file() {
        assert_eq!(parameters(&graph(Generated::Resnet50 { width: 32, classes: 2 })), 5_891_266);
    }

    #[test]
    fn squeezenet_has_the_published_size() {
        let g = graph(Generated::Squeezenet { classes: 1000 });
        assert_eq!((parameters(&g), g.classes()), (1_235_496, 1000));
        assert_eq!([count(&g, "conv"), count(&g, "maxpool"), count(&g, "concat")], [26, 3, 8]);
        // One ReLU a layer that follows another: after conv1, 8 squeezes, 8 expansions, conv10.
        assert_eq!(count(&g, "relu"), 18);
    }
}
