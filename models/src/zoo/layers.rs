//! Layers as `zoo.toml` lists them.

use serde::Deserialize;

use super::wrong;
use crate::sketch::Sketch;
use crate::{Op, Result, ValueId, Window};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayerEntry {
    pub(super) name: String,
    op: Kind,
    pub(super) of: Option<Vec<String>>,
    out_channels: Option<usize>,
    out_features: Option<usize>,
    kernel: Option<usize>,
    stride: Option<usize>,
    /// Top, left, bottom, right.
    padding: Option<[usize; 4]>,
    groups: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Conv,
    Fc,
    Relu,
    Square,
    MaxPool,
    AvgPool,
    Add,
    Concat,
    Flatten,
}

impl LayerEntry {
    /// Appends the layer, applied to `of`; its output.
    pub(super) fn push(&self, sketch: &mut Sketch, of: &[ValueId]) -> Result<ValueId> {
        let Self { name, op, .. } = self;
        let given = [
            ("out_channels", self.out_channels.is_some(), *op == Kind::Conv),
            ("out_features", self.out_features.is_some(), *op == Kind::Fc),
            ("kernel", self.kernel.is_some(), matches!(op, Kind::Conv | Kind::MaxPool | Kind::AvgPool)),
        ];
        if let Some((key, given, _)) = given.iter().find(|(_, given, needed)| given != needed) {
            let verb = if *given { "cannot have" } else { "needs" };
            return Err(wrong(format!("layer '{name}' {verb} '{key}'")));
        }
        let sliding = self.kernel.is_some();
        if !sliding && (self.stride.is_some() || self.padding.is_some()) || *op != Kind::Conv && self.groups.is_some() {
            return Err(wrong(format!("layer '{name}' cannot have 'stride', 'padding' or 'groups'")));
        }
        let expected = match op {
            Kind::Add => of.len() == 2,
            Kind::Concat => of.len() >= 2,
            _ => of.len() == 1,
        };
        if !expected {
            return Err(wrong(format!("layer '{name}' cannot take {} inputs", of.len())));
        }
        let window = Window {
            padding: self.padding.unwrap_or_default(),
            ..Window::square(self.kernel.unwrap_or_default(), self.stride.unwrap_or(1))
        };
        let op = match op {
            Kind::Conv => Op::Conv {
                out_channels: self.out_channels.unwrap_or_default(),
                window,
                groups: self.groups.unwrap_or(1),
            },
            Kind::Fc => Op::Fc { out_features: self.out_features.unwrap_or_default() },
            Kind::Relu => Op::Relu,
            Kind::Square => Op::Square,
            Kind::MaxPool => Op::MaxPool { window },
            Kind::AvgPool => Op::AvgPool { window },
            Kind::Add => Op::Add,
            Kind::Concat => Op::Concat,
            Kind::Flatten => Op::Flatten,
        };
        Ok(sketch.push(name, op, of))
    }
}
