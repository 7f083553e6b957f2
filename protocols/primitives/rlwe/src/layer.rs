//! The shape of a linear layer, and its reduction to a convolution of stride 1.

use crate::{Error, Result};

/// Tensors of more elements than this are refused: sizes then never overflow.
const MOST_ELEMENTS: usize = 1 << 34;

/// A convolution over a batch of images: public, known to both parties.
///
/// Tensors are flat and row-major: inputs (batch, channel, row, column), weights (out channel, in channel / groups, row,
/// column), outputs (batch, out channel, row, column).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Images.
    pub batch: usize,
    /// Channels of each image.
    pub in_channels: usize,
    /// Height and width of each image.
    pub in_hw: [usize; 2],
    /// Filters.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Rows and columns of zeros at top, left, bottom, right.
    pub padding: [usize; 4],
    /// Groups of channels that do not mix; 1 is the plain convolution.
    pub groups: usize,
}

impl Layer {
    /// A fully connected layer: weights (outputs, inputs). With `batch` rows it is a matrix product.
    #[must_use]
    pub const fn fully_connected(batch: usize, inputs: usize, outputs: usize) -> Self {
        Self {
            batch,
            in_channels: inputs,
            in_hw: [1, 1],
            out_channels: outputs,
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0; 4],
            groups: 1,
        }
    }

    /// Height and width of the output. The layer must have been checked.
    pub(crate) fn out_hw(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.in_hw[i] + self.padding[i] + self.padding[i + 2] - self.kernel[i]) / self.stride[i] + 1)
    }

    /// Elements of the input, the weights and the output.
    pub(crate) fn lens(&self) -> [usize; 3] {
        let [oh, ow] = self.out_hw();
        [
            self.batch * self.in_channels * self.in_hw[0] * self.in_hw[1],
            self.out_channels * (self.in_channels / self.groups) * self.kernel[0] * self.kernel[1],
            self.batch * self.out_channels * oh * ow,
        ]
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |why: String| Err(Error::Layer { why });
        let dims = [
            self.batch,
            self.in_channels,
            self.in_hw[0],
            self.in_hw[1],
            self.out_channels,
            self.kernel[0],
            self.kernel[1],
            self.stride[0],
            self.stride[1],
            self.groups,
        ];
        if dims.contains(&0) {
            return wrong(format!("a dimension is zero in {self:?}"));
        }
        if dims.iter().chain(&self.padding).any(|&d| d > MOST_ELEMENTS) {
            return wrong(format!("a dimension is too large in {self:?}"));
        }
        if !self.in_channels.is_multiple_of(self.groups) || !self.out_channels.is_multiple_of(self.groups) {
            return wrong(format!(
                "{} groups do not divide {} input and {} output channels",
                self.groups, self.in_channels, self.out_channels
            ));
        }
        for i in 0..2 {
            let padded = self.in_hw[i] + self.padding[i] + self.padding[i + 2];
            if self.kernel[i] > padded {
                return wrong(format!("kernel {:?} is larger than the padded image {:?}", self.kernel, self.in_hw));
            }
        }
        let product = |dims: &[usize]| dims.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
        let [oh, ow] = self.out_hw();
        let [h, w] = self.in_hw;
        let [kh, kw] = self.kernel;
        let tensors = [
            product(&[self.batch, self.in_channels, h, w]),
            product(&[self.out_channels, self.in_channels / self.groups, kh, kw]),
            product(&[self.batch, self.out_channels, oh, ow]),
        ];
        if tensors.iter().any(|p| p.is_none_or(|p| p > MOST_ELEMENTS)) {
            return wrong(format!("a tensor has more than 2^34 elements in {self:?}"));
        }
        Ok(())
    }
}

/// One dimension of a strided convolution as a convolution of stride 1 over its phases.
///
/// A step of s splits the padded image into s interleaved images and the kernel likewise; the result is the sum of
/// their convolutions, so each phase counts as one more channel. Phases that no kernel element meets are dropped: a 1x1
/// kernel of stride 2 sends a quarter of the pixels. Every output of the reduced convolution is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    input: usize,
    before: usize,
    kernel: usize,
    stride: usize,
    /// Interleaved images.
    pub(crate) phases: usize,
    /// Kernel elements per phase.
    pub(crate) taps: usize,
    /// Outputs.
    pub(crate) outputs: usize,
    /// Padded pixels per phase that outputs meet: outputs + taps - 1.
    pub(crate) extent: usize,
    /// Zeros that the end of one row (or image) may share with the beginning of the next.
    pub(crate) shared: usize,
}

impl Axis {
    pub(crate) fn new(layer: &Layer, axis: usize) -> Self {
        let (kernel, stride, before) = (layer.kernel[axis], layer.stride[axis], layer.padding[axis]);
        let input = layer.in_hw[axis];
        let phases = stride.min(kernel);
        let taps = kernel.div_ceil(stride);
        let outputs = layer.out_hw()[axis];
        let extent = outputs + taps - 1;
        // The last phase has the fewest zeros in front, the first the fewest at the end.
        let front = before.saturating_sub(phases - 1).div_ceil(stride);
        let back = extent.saturating_sub((input + before).div_ceil(stride));
        let shared = front.min(back).min(extent / 2);
        Self { input, before, kernel, stride, phases, taps, outputs, extent, shared }
    }

    /// Which of the positions `from..from + len` of a phase hold input pixels, counted from `from`: all between two bounds.
    pub(crate) fn pixels(&self, phase: usize, from: usize, len: usize) -> std::ops::Range<usize> {
        let first = self.before.saturating_sub(phase).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(phase).div_ceil(self.stride);
        let clip = |at: usize| at.saturating_sub(from).min(len);
        clip(first)..clip(end)
    }

    /// The input pixel at position `at` of a phase; the position must not be padding.
    pub(crate) fn pixel(&self, phase: usize, at: usize) -> usize {
        at * self.stride + phase - self.before
    }

    /// Distance between the pixels of neighbouring positions.
    pub(crate) fn step(&self) -> usize {
        self.stride
    }

    /// The kernel element that is tap `tap` of a phase, unless the phase has fewer.
    pub(crate) fn tap(&self, phase: usize, tap: usize) -> Option<usize> {
        Some(tap * self.stride + phase).filter(|&k| k < self.kernel)
    }
}
