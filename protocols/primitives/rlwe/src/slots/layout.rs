//! Where pixels, channels and outputs sit in slots, and which rotations and products make a convolution of them.
//!
//! With C channels a row, pixel x of the channel at position c sits in slot x C + c of a row; pixel (i, j) is x = i pitch + j, with
//! zero padding between rows and images as in [`crate::LinearPlan`]. Output (i, j) of the filter at position m:
//!
//! ```text
//! out[x C + m] = sum over kernel taps k = u pitch + v and positions c of  w[m, c, u, v] in[(x + k) C + c]
//!              = sum over r of  W_r[m] in[x C + m + r],   r = k C + (c - m)
//! ```
//!
//! so the layer is a sum of rotations by r times plaintexts W_r that repeat with period C: polynomials in X^(N / 2C), cheap to
//! encode. (Gazelle and CrypTFlow2 give each channel a contiguous block; then plaintexts have no period and each of them takes
//! full transforms, which is most of their time. The rotations and products are theirs otherwise.) What a contiguous block does
//! not have is the carry: with d = (c - m) mod C, positions m + d >= C belong to the previous pixel's rotation, so tap v - 1 stands
//! beside tap v in front of each kernel row: `before`.
//!
//! r = b + g: input rotations b = (u pitch + v) C + (d mod B), hoisted, and output rotations g = B floor(d / B), merged in
//! a tree. B = 1 are Gazelle's output rotations, B = C its input rotations, anything between the baby-step giant-step hybrid: the
//! cost model chooses.
//!
//! The two rows hold different channels, unless one row has room for all: then both hold the same. Channels repeat within a
//! row if they are fewer than C. Outputs that need one row only are summed over both (*folds*), and, if there are fewer outputs
//! than channels, over the positions of a row.

use crate::layer::{Axis, Layer};
use crate::slots::galois::Rotation;
use crate::slots::params::N;

/// Slots of a row.
pub(crate) const ROW: usize = N / 2;

/// How a layer sits in slots. Equal for both parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) rows: Axis,
    pub(crate) cols: Axis,
    /// Outputs of a tile, and tiles.
    pub(crate) tile: [usize; 2],
    pub(crate) tiles: [usize; 2],
    /// Pixels from one image row to the next.
    pub(crate) pitch: usize,
    /// C.
    pub(crate) per_row: usize,
    /// A single pixel, copied to all places: nothing carries.
    pub(crate) single: bool,
    /// Channels of the reduced convolution and filters, in a group.
    pub(crate) channels: usize,
    pub(crate) filters: usize,
    /// Channels of a row before they repeat.
    pub(crate) repeat: usize,
    /// Rows with different channels: 1 or 2; with different filters: 1 or 2.
    pub(crate) in_rows: usize,
    pub(crate) out_rows: usize,
    /// Differences d of positions.
    pub(crate) diagonals: usize,
    /// B.
    pub(crate) baby: usize,
    /// Ciphertexts up and down.
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// A rotation of every input: by (u pitch + v) C + d, where v may be -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) row_tap: usize,
    pub(crate) col_tap: isize,
    pub(crate) difference: usize,
}

/// A partial sum of an output: gathered with the rows swapped or not, to be rotated by `giant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) swapped: bool,
    pub(crate) giant: usize,
}

/// Outputs of a tile and their tiles, the pitch and the pixels that a channel takes, for the fewest tiles of at most `room` pixels.
pub(crate) struct Tiling {
    tile: [usize; 2],
    tiles: [usize; 2],
    pitch: usize,
    pixels: usize,
}

impl Tiling {
    pub(crate) fn new(rows: &Axis, cols: &Axis, room: usize) -> Option<Self> {
        let extent = |axis: &Axis, outputs: usize| {
            // Only a tile that spans the axis has padding on both sides; outputs must not share slots.
            let shared = if outputs == axis.outputs { axis.shared.min(axis.taps - 1) } else { 0 };
            (outputs + axis.taps - 1, shared)
        };
        let pixels = |tile: [usize; 2]| {
            let ((height, shared_rows), (width, shared)) = (extent(rows, tile[0]), extent(cols, tile[1]));
            let pitch = width - shared;
            // Zeros below the image are those above it, round the end of the slots.
            (pitch, if shared_rows > 0 { (height - shared_rows) * pitch } else { (height - 1) * pitch + width })
        };
        let mut best: Option<Self> = None;
        for across in 1..=cols.outputs {
            let width = cols.outputs.div_ceil(across);
            if cols.outputs.div_ceil(width) != across {
                continue;
            }
            if best.as_ref().is_some_and(|b| b.tiles[0] * b.tiles[1] <= across) {
                break;
            }
            let height = if pixels([rows.outputs, width]).1 <= room {
                rows.outputs
            } else {
                // Without shared rows: (height + taps - 2) pitch + width of the tile with its rim <= room.
                let (pitch, least) = pixels([1, width]);
                match room.checked_sub(least) {
                    Some(rest) => (rest / pitch + 1).min(rows.outputs - 1).max(1),
                    None => continue,
                }
            };
            let down = rows.outputs.div_ceil(height);
            let tile = [rows.outputs.div_ceil(down), width];
            let tiles = [rows.outputs.div_ceil(tile[0]), across];
            let (pitch, pixels) = pixels(tile);
            if best.as_ref().is_none_or(|b| tiles[0] * tiles[1] < b.tiles[0] * b.tiles[1]) {
                best = Some(Self { tile, tiles, pitch, pixels });
            }
        }
        best
    }
}

impl Layout {
    /// All layouts worth a price.
    pub(crate) fn candidates(layer: &Layer) -> Vec<Self> {
        let (rows, cols) = (Axis::new(layer, 0), Axis::new(layer, 1));
        let channels = layer.in_channels / layer.groups * rows.phases * cols.phases;
        let filters = layer.out_channels / layer.groups;
        let mut all: Vec<Self> = Vec::new();
        for log_room in (0..=ROW.trailing_zeros()).rev() {
            let Some(tiling) = Tiling::new(&rows, &cols, 1 << log_room) else { break };
            // More room than the pixels need shortens the period, which helps only while one row has room for all.
            let tight = ROW / tiling.pixels.next_power_of_two();
            if ROW >> log_room < tight.min(channels.max(filters).next_power_of_two()) {
                continue;
            }
            let single = tiling.pixels == 1;
            let per_row = ROW >> log_room;
            let base = Self {
                rows,
                cols,
                tile: tiling.tile,
                tiles: tiling.tiles,
                pitch: tiling.pitch,
                per_row,
                single,
                channels,
                filters,
                repeat: per_row,
                in_rows: 2,
                out_rows: 2,
                diagonals: per_row,
                baby: 1,
                inputs: 1,
                outputs: 1,
            };
            base.fill(&mut all);
        }
        all
    }

    /// The candidates with these tiles and period.
    fn fill(mut self, all: &mut Vec<Self>) {
        let per_row = self.per_row;
        self.out_rows = if self.filters <= per_row { 1 } else { 2 };
        self.outputs = self.filters.div_ceil(self.out_rows * per_row);
        // Channels on both rows halve the work where the rows can be summed.
        self.in_rows = if self.channels > per_row || (self.out_rows == 1 && self.channels > 1) { 2 } else { 1 };
        self.repeat = self.channels.div_ceil(self.in_rows).next_power_of_two().min(per_row);
        self.inputs = self.channels.div_ceil(self.in_rows * self.repeat);
        self.diagonals = if self.outputs == 1 && self.out_rows == 1 {
            self.filters.next_power_of_two().min(self.repeat)
        } else {
            self.repeat
        };
        self.baby = 1;
        while self.baby <= self.diagonals {
            all.push(self);
            self.baby *= 2;
        }
    }

    /// Positions of a row at which partial sums are wanted.
    fn used(&self) -> usize {
        let filters = if self.outputs == 1 && self.out_rows == 1 { self.filters } else { self.per_row };
        if self.diagonals < self.repeat { self.repeat } else { filters }
    }

    /// Whether position m + d may lie beyond the last, for this d.
    fn carries(&self, difference: usize) -> bool {
        !self.single && self.used() + difference > self.per_row
    }

    /// Rotations of every input.
    pub(crate) fn terms(&self) -> Vec<Term> {
        let mut terms = Vec::new();
        for row_tap in 0..self.rows.taps {
            for col_tap in -1..self.cols.taps as isize {
                for difference in 0..self.baby {
                    if col_tap >= 0 || self.carries(self.diagonals - self.baby + difference) {
                        terms.push(Term { row_tap, col_tap, difference });
                    }
                }
            }
        }
        terms
    }

    /// The rotation of a term; `None` if it is the input itself.
    pub(crate) fn rotation(&self, term: &Term) -> Option<Rotation> {
        let pixels = (term.row_tap * self.pitch) as i64 + term.col_tap as i64;
        Rotation::rows(pixels * self.per_row as i64 + term.difference as i64)
    }

    /// Partial sums of every output, in the order in which [`Self::merges`] joins them.
    pub(crate) fn leaves(&self) -> Vec<Leaf> {
        let giants = (0..self.diagonals).step_by(self.baby);
        let swaps: &[bool] = if self.in_rows == 2 && self.out_rows == 2 { &[false, true] } else { &[false] };
        swaps.iter().flat_map(|&swapped| giants.clone().map(move |giant| Leaf { swapped, giant })).collect()
    }

    /// Level by level of the tree: neighbours (x, y) become x + rotated y.
    pub(crate) fn merges(&self) -> Vec<Rotation> {
        let mut merges = Vec::new();
        let mut step = self.baby;
        while step < self.diagonals {
            merges.extend(Rotation::rows(step as i64));
            step *= 2;
        }
        if self.in_rows == 2 && self.out_rows == 2 {
            merges.push(Rotation::Swap);
        }
        merges
    }

    /// Then each sum x becomes x + rotated x.
    pub(crate) fn folds(&self) -> Vec<Rotation> {
        let mut folds = Vec::new();
        let mut step = self.repeat;
        while step > self.diagonals {
            step /= 2;
            folds.extend(Rotation::rows(step as i64));
        }
        if self.in_rows == 2 && self.out_rows == 1 {
            folds.push(Rotation::Swap);
        }
        folds
    }

    /// The channel at a position of a row of input `index`, if there is one.
    pub(crate) fn channel(&self, index: usize, row: usize, position: usize) -> Option<usize> {
        let row = if self.in_rows == 2 { row } else { 0 };
        let channel = (index * self.in_rows + row) * self.repeat + position % self.repeat;
        (channel < self.channels).then_some(channel)
    }

    /// The filter at a position of a row of output `index`, if there is one.
    pub(crate) fn filter(&self, index: usize, row: usize, position: usize) -> Option<usize> {
        let row = if self.out_rows == 2 { row } else { 0 };
        let filter = (index * self.out_rows + row) * self.per_row + position;
        (filter < self.filters).then_some(filter)
    }

    /// The weights of output `output`, leaf and term of input `input`: for each position of each row the filter, channel and column tap
    /// whose weight stands there, or `None` for zero. The row tap is the term's.
    pub(crate) fn weight(
        &self,
        output: usize,
        leaf: &Leaf,
        input: usize,
        term: &Term,
        row: usize,
        position: usize,
    ) -> Option<(usize, usize, usize)> {
        let m = (position + self.per_row - leaf.giant) % self.per_row;
        if m >= self.used() {
            return None;
        }
        let out_position = if self.diagonals < self.repeat { m % self.diagonals } else { m };
        let filter = self.filter(output, row ^ usize::from(leaf.swapped), out_position)?;
        let difference = leaf.giant + term.difference;
        let carry = m + difference >= self.per_row && !self.single;
        let col_tap = usize::try_from(term.col_tap + isize::from(carry)).ok().filter(|&v| v < self.cols.taps)?;
        let channel = self.channel(input, row, (m + difference) % self.per_row)?;
        Some((filter, channel, col_tap))
    }
}
