//! What a network for photographs expects of them.

use serde::Deserialize;

/// Order of the colours in a tensor's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// From a photograph to a query: resized, the centre cut out, channels put in order, (p - mean) / deviation for each
/// channel's pixels p in 0 to 255.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Photograph {
    /// Length of the shorter side after resizing.
    pub resize: u32,
    /// Whether the longer side becomes as long, whatever the proportions.
    #[serde(default)]
    pub stretch: bool,
    /// Height and width of the centre that is cut out.
    pub crop: u32,
    /// Order of the channels.
    pub order: ChannelOrder,
    /// What is subtracted, in the order of the channels.
    pub mean: [f32; 3],
    /// What is then divided by, in the order of the channels; 1 unless given.
    #[serde(default = "ones")]
    pub deviation: [f32; 3],
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// Longest side of a query (local): more is no photograph that a network takes.
const GREATEST_SIDE: u32 = 1 << 14;

impl Photograph {
    /// Refuses numbers that make no query.
    ///
    /// # Errors
    /// With the key and what may stand there.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, side) in [("resize", self.resize), ("crop", self.crop)] {
            if !(1..=GREATEST_SIDE).contains(&side) {
                return Err(format!("{key} = {side}: 1 to {GREATEST_SIDE} pixels are supported"));
            }
        }
        if self.crop > self.resize {
            return Err(format!("crop = {} cuts more than resize = {} leaves", self.crop, self.resize));
        }
        if self.mean.iter().any(|m| !m.is_finite()) {
            return Err(format!("mean = {:?}: finite numbers are needed", self.mean));
        }
        if self.deviation.iter().any(|d| !d.is_finite() || *d <= 0.0) {
            return Err(format!("deviation = {:?}: positive finite numbers are needed", self.deviation));
        }
        Ok(())
    }

    pub(super) fn divided_by(self, divisor: f32) -> Self {
        Self { deviation: self.deviation.map(|d| d * divisor), ..self }
    }
}
