//! A user's own network: an ONNX file and, beside it under the same name, a `.toml` with what the file does not say.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::Photograph;
use super::divisors::Divisors;
use crate::{Error, FixedPoint, Model, Result, onnx};

/// What may stand in `NAME.toml` beside `NAME.onnx`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    ring_bits: u32,
    scale_bits: u32,
    pub(super) photograph: Option<Photograph>,
    input_divisor: f32,
    value_divisor: f32,
}

impl Settings {
    pub(super) fn divisors(&self) -> Divisors {
        Divisors { input: self.input_divisor, values: self.value_divisor }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let FixedPoint { ring_bits, scale_bits } = FixedPoint::CHEETAH;
        Self { ring_bits, scale_bits, photograph: None, input_divisor: 1.0, value_divisor: 1.0 }
    }
}

/// Whether a model is asked for by the path of its file.
pub(super) fn is_path(name_or_path: &str) -> bool {
    Path::new(name_or_path).extension().is_some_and(|e| e == "onnx")
}

pub(super) fn settings(path: &str) -> Result<Settings> {
    let beside = Path::new(path).with_extension("toml");
    let wrong = |why: String| Error::File { path: beside.display().to_string(), why };
    match std::fs::read_to_string(&beside) {
        Ok(text) => parse(&text).map_err(wrong),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(e) => Err(wrong(e.to_string())),
    }
}

fn parse(text: &str) -> std::result::Result<Settings, String> {
    let settings: Settings = toml::from_str(text).map_err(|e| e.message().to_owned())?;
    settings.photograph.as_ref().map_or(Ok(()), Photograph::check)?;
    Ok(settings)
}

pub(super) fn load(path: &str) -> Result<Model> {
    let wrong = |why: String| Error::File { path: path.to_owned(), why };
    let settings = settings(path)?;
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let imported = onnx::read(&bytes).map_err(wrong)?;
    let (sketch, mut weights) = (imported.sketch.rewritten(), imported.weights);
    let format = FixedPoint { ring_bits: settings.ring_bits, scale_bits: settings.scale_bits };
    // Named by its path, so that whoever holds the graph finds what belongs to it.
    let graph = sketch.build(path, format)?;
    settings.divisors().apply(&sketch, &mut weights).map_err(wrong)?;
    Model::new(Arc::new(graph), weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_beside_a_model_are_read_strictly() {
        let photograph = |crop: &str, rest: &str| {
            format!("[photograph]\nresize = 256\ncrop = {crop}\norder = \"rgb\"\nmean = {rest}\n")
        };
        let mean = "[0.0, 0.0, 0.0]";
        for (text, expect) in [
            (photograph("4294967295", mean), "crop = 4294967295"),
            (photograph("0", mean), "crop = 0"),
            (photograph("257", mean), "more than resize"),
            (photograph("-1", mean), "invalid value"),
            (photograph("224", "[nan, 0.0, 0.0]"), "mean = [NaN"),
            (photograph("224", "[0.0, 0.0, 0.0]\ndeviation = [1.0, 0.0, 1.0]"), "deviation = [1.0, 0.0"),
            ("ring_bits = 9999999999".to_owned(), "invalid value"),
            ("ring_bit = 9".to_owned(), "ring_bit"),
        ] {
            let e = parse(&text).unwrap_err();
            assert!(e.contains(expect), "{expect}: {e}");
        }
        parse(&photograph("224", mean)).unwrap();
    }
}
