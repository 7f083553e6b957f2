//! The embedded font: no figure depends on what a system has installed.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, ScaleFont, point};
use anyhow::{Result, ensure};
use plotters::style::{FontStyle, register_font};

/// Its name. An SVG viewer that lacks it takes the next one.
pub(crate) const FONT: &str = "Open Sans, Arial, sans-serif";

const REGULAR: &[u8] = include_bytes!("../../../assets/OpenSans-Regular-subset.ttf");
const SEMIBOLD: &[u8] = include_bytes!("../../../assets/OpenSans-Semibold-subset.ttf");

/// Half the height of a capital, in parts of the size, which is the line's height (1.24 em).
const HALF_CAPITAL: f64 = 0.288;

/// Makes the font known to plotters, which writes it into SVG.
///
/// # Errors
/// If the embedded files are no fonts.
pub(crate) fn load() -> Result<()> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let faces = [(FontStyle::Normal, REGULAR), (FontStyle::Bold, SEMIBOLD)];
    let register = || faces.into_iter().all(|(style, bytes)| register_font(FONT, style, bytes).is_ok());
    ensure!(*LOADED.get_or_init(register), "the embedded font does not load");
    Ok(())
}

fn face(bold: bool) -> Option<&'static FontRef<'static>> {
    static FACES: OnceLock<[Option<FontRef<'static>>; 2]> = OnceLock::new();
    let parse = |bytes| FontRef::try_from_slice(bytes).ok();
    FACES.get_or_init(|| [parse(REGULAR), parse(SEMIBOLD)])[usize::from(bold)].as_ref()
}

/// The pen's position before each letter, and after the last.
fn pens(text: &str, size: f64, bold: bool) -> Vec<f32> {
    let Some(font) = face(bold).map(|f| f.as_scaled(size as f32)) else { return vec![0.0] };
    let mut pens = vec![0.0];
    let mut pen = 0.0;
    let mut previous = None;
    for c in text.chars() {
        let glyph = font.glyph_id(c);
        let kern = previous.map_or(0.0, |p| font.kern(p, glyph));
        if let Some(last) = pens.last_mut() {
            *last += kern;
        }
        pen += kern + font.h_advance(glyph);
        pens.push(pen);
        previous = Some(glyph);
    }
    pens
}

/// How wide a text is, in the unit of `size`.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    pens(text, size, bold).last().copied().map_or(0.0, f64::from)
}

/// Pixels of a text that begins at `from` (its left end, the middle of a capital's height), with how much of each is
/// covered.
pub(crate) fn rasterise(text: &str, size: f64, bold: bool, from: (f64, f64)) -> Vec<((i32, i32), f64)> {
    let Some(font) = face(bold) else { return Vec::new() };
    let baseline = (from.1 + HALF_CAPITAL * size).round() as f32;
    let mut pixels = Vec::new();
    for (c, pen) in text.chars().zip(pens(text, size, bold)) {
        let glyph = font.glyph_id(c).with_scale_and_position(size as f32, point(from.0 as f32 + pen, baseline));
        if let Some(outline) = font.outline_glyph(glyph) {
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, cover| {
                if cover > 0.0 {
                    let at = (corner.x as i32 + x as i32, corner.y as i32 + y as i32);
                    pixels.push((at, f64::from(cover.min(1.0))));
                }
            });
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_the_figures_is_in_the_font() {
        for bold in [false, true] {
            let font = face(bold).unwrap();
            let missing = font.glyph_id('\u{4e00}');
            for c in (' '..='~').chain("–−×·≤≥±µ²µαβπ".chars()) {
                assert_ne!(font.glyph_id(c), missing, "{c}");
            }
        }
        assert_eq!(face(false).unwrap().glyph_id('\u{2082}'), face(false).unwrap().glyph_id('\u{4e00}'), "not in it");
    }

    #[test]
    fn text_covers_pixels_where_it_should() {
        let drawn = rasterise("H", 40.0, false, (100.0, 50.0));
        let bounds = |of: fn(&(i32, i32)) -> i32| {
            let v: Vec<_> = drawn.iter().map(|(p, _)| of(p)).collect();
            (*v.iter().min().unwrap(), *v.iter().max().unwrap())
        };
        let ((left, right), (top, bottom)) = (bounds(|p| p.0), bounds(|p| p.1));
        assert!(left > 100 && f64::from(right) < 100.0 + width("H", 40.0, false), "{left} {right}");
        assert!((top + bottom - 100).abs() <= 2, "the middle of a capital is at 50: {top} {bottom}");
        assert!(width("HH", 40.0, false) > 1.9 * width("H", 40.0, false));
        assert!(width("H", 40.0, true) > width("H", 40.0, false));
    }
}
