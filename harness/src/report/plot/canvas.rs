//! A drawing as a list of shapes, so that each figure is laid out once, can be tested, and comes out alike as SVG and PNG.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::font::{self, FONT};

/// Pixels of a PNG, and steps of the coordinates in an SVG, for one unit of a drawing.
const SCALE: f64 = 2.0;

/// Okabe and Ito's palette, told apart by colour-blind readers; without yellow, which is faint on white.
pub(crate) const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
];

pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
pub(crate) const GREY: RGBColor = RGBColor(110, 110, 110);
pub(crate) const GRID: RGBColor = RGBColor(225, 225, 225);

/// Where a text stands, relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// Size and looks of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Type {
    pub(crate) size: f64,
    pub(crate) color: RGBColor,
    pub(crate) bold: bool,
}

impl Type {
    pub(crate) const TITLE: Self = Self { size: 17.0, color: INK, bold: true };
    pub(crate) const LABEL: Self = Self { size: 13.5, color: INK, bold: false };
    pub(crate) const SMALL: Self = Self { size: 12.0, color: GREY, bold: false };
}

/// How much of a point is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Measured here.
    Solid,
    /// A ring with a dot: not measured in full.
    Ringed,
    /// Not ours, or of another kind, as the figure says.
    Hollow,
}

/// The shapes of points, so that series differ without colour too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Marker {
    /// The marker of the i-th series.
    pub(crate) fn of(i: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond][i % 4]
    }
}

/// One element. Coordinates are units from the upper left corner.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Rect { from: (f64, f64), to: (f64, f64), color: RGBColor },
    Line { points: Vec<(f64, f64)>, color: RGBColor, width: f64 },
    Polygon { points: Vec<(f64, f64)>, color: RGBColor },
    Disc { at: (f64, f64), radius: f64, color: RGBColor },
    Text(Label),
}

/// A text. `at` is the middle of its height; an upright one runs from below to above.
#[derive(Clone, Debug, PartialEq)]
struct Label {
    at: (f64, f64),
    text: String,
    style: Type,
    align: Align,
    upright: bool,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    shapes: Vec<Shape>,
}

impl Drawing {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(crate) fn rect(&mut self, from: (f64, f64), to: (f64, f64), color: RGBColor) {
        self.shapes.push(Shape::Rect { from, to, color });
    }

    pub(crate) fn line(&mut self, points: &[(f64, f64)], color: RGBColor, width: f64) {
        self.shapes.push(Shape::Line { points: points.to_vec(), color, width });
    }

    /// A line of dashes, for what was not measured in full.
    pub(crate) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), color: RGBColor, width: f64) {
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let (dash, step) = (5.0, 8.0);
        let at = |t: f64| (from.0 + (to.0 - from.0) * t / length, from.1 + (to.1 - from.1) * t / length);
        let count = (length / step).ceil().max(0.0) as usize;
        for start in (0..count).map(|i| i as f64 * step) {
            self.line(&[at(start), at((start + dash).min(length))], color, width);
        }
    }

    /// A point.
    pub(crate) fn marker(&mut self, marker: Marker, (x, y): (f64, f64), color: RGBColor, fill: Fill) {
        let mut shape = |r: f64, color: RGBColor| {
            let points = match marker {
                Marker::Circle => return self.shapes.push(Shape::Disc { at: (x, y), radius: r, color }),
                Marker::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
                Marker::Triangle => vec![(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
                Marker::Diamond => vec![(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            };
            let points = points.into_iter().map(|(u, v)| (x + r * u, y + r * v)).collect();
            self.shapes.push(Shape::Polygon { points, color });
        };
        shape(4.5, color);
        if fill != Fill::Solid {
            shape(3.0, WHITE);
        }
        if fill == Fill::Ringed {
            shape(1.5, color);
        }
    }

    pub(crate) fn text(&mut self, at: (f64, f64), text: &str, style: Type, align: Align) {
        self.shapes.push(Shape::Text(Label { at, text: text.to_owned(), style, align, upright: false }));
    }

    /// A value beside its mark; no grid line runs through its digits.
    pub(crate) fn value(&mut self, (left, y): (f64, f64), text: &str, color: RGBColor) {
        let style = Type { color, ..Type::SMALL };
        self.rect((left - 2.0, y - 7.0), (left + text_width(text, style) + 2.0, y + 7.0), WHITE);
        self.text((left, y), text, style, Align::Left);
    }

    /// A text that runs from below to above, centred at `at`.
    pub(crate) fn upright(&mut self, at: (f64, f64), text: &str, style: Type) {
        self.shapes.push(Shape::Text(Label { at, text: text.to_owned(), style, align: Align::Centre, upright: true }));
    }

    /// Writes `NAME.svg` and `NAME.png` into a folder.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> Result<()> {
        let (svg, png) = (dir.join(format!("{name}.svg")), dir.join(format!("{name}.png")));
        let size = ((self.width * SCALE).round() as u32, (self.height * SCALE).round() as u32);
        self.render(&BitMapBackend::new(&png, size).into_drawing_area(), true)
            .with_context(|| format!("cannot write {}", png.display()))?;
        std::fs::write(&svg, self.svg(size)?).with_context(|| format!("cannot write {}", svg.display()))
    }

    /// The SVG, whose coordinates are finer than its size.
    fn svg(&self, size: (u32, u32)) -> Result<String> {
        let mut text = String::new();
        self.render(&SVGBackend::with_string(&mut text, size).into_drawing_area(), false)?;
        let (fine, shown) = (
            format!("width=\"{}\" height=\"{}\"", size.0, size.1),
            format!("width=\"{}\" height=\"{}\"", self.width, self.height),
        );
        Ok(text.replacen(&fine, &shown, 1))
    }

    /// Draws on a backend. For pixels, text is drawn here: plotters puts each letter without its side bearing.
    fn render<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>, pixels: bool) -> Result<()> {
        font::load()?;
        let failed = |e: DrawingAreaErrorKind<DB::ErrorType>| anyhow!("{e}");
        let pixel = |(x, y): (f64, f64)| ((x * SCALE).round() as i32, (y * SCALE).round() as i32);
        let all = |points: &[(f64, f64)]| points.iter().map(|p| pixel(*p)).collect::<Vec<_>>();
        area.fill(&WHITE).map_err(failed)?;
        for shape in &self.shapes {
            match shape {
                Shape::Rect { from, to, color } => {
                    area.draw(&Rectangle::new([pixel(*from), pixel(*to)], color.filled()))
                }
                Shape::Line { points, color, width } => {
                    let stroke = color.stroke_width((width * SCALE).round().max(1.0) as u32);
                    area.draw(&PathElement::new(all(points), stroke))
                }
                Shape::Polygon { points, color } => area.draw(&Polygon::new(all(points), color.filled())),
                Shape::Disc { at, radius, color } => {
                    area.draw(&Circle::new(pixel(*at), (radius * SCALE).round() as i32, color.filled()))
                }
                Shape::Text(t) if pixels => {
                    t.pixels().into_iter().try_for_each(|(at, cover)| area.draw_pixel(at, &t.style.color.mix(cover)))
                }
                Shape::Text(t) => {
                    // The backend puts the middle of an x on the line; the middle of a capital is lower.
                    let sink = 0.06 * t.style.size;
                    let (x, y) = t.at;
                    let at = if t.upright { (x + sink, y) } else { (x, y + sink) };
                    area.draw(&Text::new(t.text.as_str(), pixel(at), t.plotters_style()))
                }
            }
            .map_err(failed)?;
        }
        area.present().map_err(failed)
    }
}

impl Label {
    fn plotters_style(&self) -> TextStyle<'static> {
        let font = (FONT, self.style.size * SCALE).into_font();
        let font = if self.style.bold { font.style(FontStyle::Bold) } else { font };
        let font = if self.upright { font.transform(FontTransform::Rotate270) } else { font };
        let h = match self.align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        font.color(&self.style.color).pos(Pos::new(h, VPos::Center))
    }

    /// Covered pixels and how much of each is covered.
    fn pixels(&self) -> Vec<((i32, i32), f64)> {
        let size = self.style.size * SCALE;
        let (x, y) = (self.at.0 * SCALE, self.at.1 * SCALE);
        // Along and across the text's own direction, before it is turned.
        let (along, across) = if self.upright { (-y, x) } else { (x, y) };
        let width = font::width(&self.text, size, self.style.bold);
        let begin = match self.align {
            Align::Left => along,
            Align::Centre => along - width / 2.0,
            Align::Right => along - width,
        };
        let drawn = font::rasterise(&self.text, size, self.style.bold, (begin, across));
        drawn.into_iter().map(|((u, v), c)| (if self.upright { (v, -u) } else { (u, v) }, c)).collect()
    }
}

/// How wide a text is.
pub(crate) fn text_width(text: &str, style: Type) -> f64 {
    font::width(text, style.size, style.bold)
}

#[cfg(test)]
impl Drawing {
    /// The boxes of all texts: left, top, right, bottom.
    fn text_boxes(&self) -> Vec<(String, [f64; 4])> {
        let one = |s: &Shape| {
            let Shape::Text(Label { at: (x, y), text, style, align, upright }) = s else { return None };
            let (w, h) = (text_width(text, *style), style.size);
            let left = match align {
                Align::Left => 0.0,
                Align::Centre => -w / 2.0,
                Align::Right => -w,
            };
            let bounds = if *upright {
                [x - h / 2.0, y - w / 2.0, x + h / 2.0, y + w / 2.0]
            } else {
                [x + left, y - h / 2.0, x + left + w, y + h / 2.0]
            };
            Some((text.clone(), bounds))
        };
        self.shapes.iter().filter_map(one).collect()
    }

    /// Every text lies within the drawing, and no two overlap.
    pub(crate) fn assert_legible(&self) {
        let boxes = self.text_boxes();
        for (i, (text, b)) in boxes.iter().enumerate() {
            let inside = b[0] >= 0.0 && b[1] >= 0.0 && b[2] <= self.width && b[3] <= self.height;
            assert!(inside, "'{text}' at {b:?} leaves {}x{}", self.width, self.height);
            for (other, o) in &boxes[..i] {
                // Glyphs fill about two thirds of their line.
                let apart = b[2] <= o[0] || o[2] <= b[0] || b[3] - 3.0 <= o[1] || o[3] - 3.0 <= b[1];
                assert!(apart, "'{text}' at {b:?} covers '{other}' at {o:?}");
            }
        }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.text_boxes().into_iter().map(|(t, _)| t).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Drawing {
        let mut d = Drawing::new(200.0, 100.0);
        d.rect((10.0, 10.0), (50.0, 90.0), PALETTE[0]);
        d.text((100.0, 50.0), "64 µs – a < b", Type::LABEL, Align::Centre);
        d.upright((190.0, 50.0), "up", Type::LABEL);
        d.marker(Marker::Diamond, (70.0, 70.0), PALETTE[1], Fill::Ringed);
        d.dashes((60.0, 90.0), (150.0, 90.0), INK, 1.0);
        d
    }

    #[test]
    fn both_files_are_written_without_a_system_font() {
        let dir = tempfile::tempdir().unwrap();
        sample().write(dir.path(), "x").unwrap();
        let png = std::fs::read(dir.path().join("x.png")).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let be = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((be(16), be(20)), (400, 200));
        let svg = std::fs::read_to_string(dir.path().join("x.svg")).unwrap();
        assert!(svg.contains("<svg width=\"200\" height=\"100\" viewBox=\"0 0 400 200\""), "{svg}");
        assert!(
            svg.contains("64 µs – a &lt; b") && svg.contains("font-family=\"Open Sans, Arial, sans-serif\""),
            "{svg}"
        );
        let missing = dir.path().join("missing");
        assert!(format!("{:#}", sample().write(&missing, "x").unwrap_err()).contains("cannot write"));
    }

    #[test]
    fn text_that_overlaps_or_leaves_the_drawing_is_found() {
        sample().assert_legible();
        let broken = |x: f64, text: &str| {
            let mut d = sample();
            d.text((x, 50.0), text, Type::LABEL, Align::Centre);
            std::panic::catch_unwind(|| d.assert_legible()).is_err()
        };
        assert!(broken(105.0, "over") && broken(198.0, "outside") && !broken(30.0, "fine"));
    }
}
