//! Axes: from values to places, and where ticks go.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spacing {
    Linear,
    /// Equal ratios have equal lengths.
    Log,
}

/// Values from `low` to `high`, laid from `start` to `end` (which may be less: upwards).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    spacing: Spacing,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    /// An axis that holds all `values`, widened to round numbers; a linear one begins at zero.
    pub(crate) fn over(values: impl IntoIterator<Item = f64>, spacing: Spacing, start: f64, end: f64) -> Self {
        let finite = |x: &f64| x.is_finite() && (spacing == Spacing::Linear || *x > 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for x in values.into_iter().filter(finite) {
            (low, high) = (low.min(x), high.max(x));
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        match spacing {
            Spacing::Linear => {
                low = low.min(0.0);
                high = if high > low { high } else { low + 1.0 };
                let step = step(high - low);
                (low, high) = ((low / step).floor() * step, (high / step - 1e-9).ceil() * step);
            }
            Spacing::Log => {
                // Down and up to the next 1, 2 or 5, and a factor of ten in all, so that noise is not blown up to fill
                // the frame.
                (low, high) = (round_log(low * 0.8), 1.0 / round_log(1.0 / (high * 1.1)));
                high = high.max(low * 10.0);
            }
        }
        Self { spacing, low, high, start, end }
    }

    /// An axis of exactly these values.
    pub(crate) fn exact(low: f64, high: f64, spacing: Spacing, start: f64, end: f64) -> Self {
        Self { spacing, low, high, start, end }
    }

    /// The place of a value; values outside are put at the ends.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let part = match self.spacing {
            Spacing::Linear => (value - self.low) / (self.high - self.low),
            Spacing::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.start + (self.end - self.start) * if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) }
    }

    /// Values with a grid line.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        let near = 1e-9 * self.low.abs().max(self.high.abs());
        let inside = |x: &f64| *x >= self.low - near && *x <= self.high + near;
        match self.spacing {
            Spacing::Linear => {
                let step = step(self.high - self.low);
                let first = (self.low / step).round() as i64;
                (first..first + 20).map(|i| i as f64 * step).filter(inside).collect()
            }
            Spacing::Log => {
                let decades = (self.high / self.low).log10();
                let within: &[f64] = if decades <= 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let (from, to) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
                (from..=to).flat_map(|e| within.iter().map(move |m| m * 10f64.powi(e))).filter(inside).collect()
            }
        }
    }
}

/// A tick's number without needless digits.
pub(crate) fn tick_label(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let decimals = usize::try_from((-x.abs().log10()).ceil() as i64 + 1).unwrap_or(0);
    let text = format!("{x:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let grouped = if x.abs() >= 1000.0 { super::super::markdown::thousands(x.round() as i64) } else { text.to_owned() };
    grouped.replace('-', "−")
}

/// 1, 2 or 5 times a power of ten, so that about five steps make up `range`.
fn step(range: f64) -> f64 {
    let rough = range / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

/// The next 1, 2 or 5 times a power of ten below.
fn round_log(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    [5.0, 2.0].into_iter().map(|f| f * power).find(|s| *s <= x * (1.0 + 1e-9)).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_begin_at_zero_and_end_round() {
        let a = Axis::over([3.1, 0.4], Spacing::Linear, 100.0, 0.0);
        assert_eq!(a.ticks(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!((a.place(0.0), a.place(4.0), a.place(2.0), a.place(9.0)), (100.0, 0.0, 50.0, 0.0));
        let below = Axis::over([-42.0, -10.0], Spacing::Linear, 0.0, 1.0);
        assert_eq!(below.ticks().first().copied(), Some(-50.0));
    }

    #[test]
    fn log_axes_span_decades() {
        let a = Axis::over([0.03, 12.0], Spacing::Log, 0.0, 300.0);
        assert_eq!(a.ticks(), [0.1, 1.0, 10.0]);
        assert!((a.place(0.2) - a.place(0.02) - (a.place(2.0) - a.place(0.2))).abs() < 1e-9);
        let narrow = Axis::over([1.1, 1.3], Spacing::Log, 0.0, 1.0);
        assert_eq!(narrow.ticks(), [0.5, 1.0, 2.0, 5.0]);
        assert_eq!(Axis::over([], Spacing::Log, 0.0, 1.0).place(f64::NAN), 0.0);
    }

    #[test]
    fn labels_have_no_needless_digits() {
        for (x, text) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (0.001, "0.001"),
            (1.0, "1"),
            (2.5, "2.5"),
            (10.0, "10"),
            (5000.0, "5,000"),
            (-40.0, "−40"),
        ] {
            assert_eq!(tick_label(x), text);
        }
    }
}
