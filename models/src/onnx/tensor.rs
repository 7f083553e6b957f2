//! Constant tensors: weights, shapes, axes.

use super::Read;
use super::proto::TensorProto;

/// *Local*: more numbers than any tensor here has; products of dimensions below it cannot overflow.
const GREATEST: usize = 1 << 31;

/// A constant in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) data: Numbers,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numbers {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

/// The number of elements of a shape, if it is one that can be computed with.
pub(super) fn size(dims: &[usize]) -> Read<usize> {
    let product = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d).filter(|n| *n <= GREATEST));
    product.ok_or_else(|| format!("a tensor of {dims:?} is too large"))
}

impl Constant {
    pub(super) fn floats(data: Vec<f32>) -> Self {
        Self { dims: vec![data.len()], data: Numbers::Floats(data) }
    }

    pub(super) fn ints(data: Vec<i64>) -> Self {
        Self { dims: vec![data.len()], data: Numbers::Ints(data) }
    }

    pub(super) fn new(proto: &TensorProto) -> Read<Self> {
        if proto.data_location != 0 {
            return Err("its data is in another file, which is not supported: save the model as one file".to_owned());
        }
        let dims = proto.dims.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<Vec<_>>>();
        let dims = dims.ok_or_else(|| format!("negative dimensions {:?}", proto.dims))?;
        let raw = &proto.raw_data;
        let data = match proto.data_type {
            1 if raw.is_empty() => Numbers::Floats(proto.float_data.clone()),
            1 => Numbers::Floats(words(raw, f32::from_le_bytes)?),
            6 if raw.is_empty() => Numbers::Ints(proto.int32_data.iter().map(|v| i64::from(*v)).collect()),
            6 => Numbers::Ints(words(raw, |b| i64::from(i32::from_le_bytes(b)))?),
            7 if raw.is_empty() => Numbers::Ints(proto.int64_data.clone()),
            7 => Numbers::Ints(words(raw, i64::from_le_bytes)?),
            11 if raw.is_empty() => Numbers::Floats(proto.double_data.iter().map(|v| *v as f32).collect()),
            11 => Numbers::Floats(words(raw, |b| f64::from_le_bytes(b) as f32)?),
            other => {
                return Err(format!("data type {other}: float (1), double (11), int32 (6) and int64 (7) are read"));
            }
        };
        let (expected, have) = (size(&dims)?, data.len());
        if have != expected {
            return Err(format!("{have} numbers for the shape {dims:?}"));
        }
        Ok(Self { dims, data })
    }

    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Its numbers, none of which may be infinite or not a number.
    pub(super) fn numbers(&self) -> Read<Vec<f32>> {
        match &self.data {
            Numbers::Floats(v) if v.iter().all(|x| x.is_finite()) => Ok(v.clone()),
            Numbers::Floats(_) => Err("a constant that is not a finite number".to_owned()),
            Numbers::Ints(v) => Ok(v.iter().map(|x| *x as f32).collect()),
        }
    }

    pub(super) fn integers(&self) -> Read<&[i64]> {
        match &self.data {
            Numbers::Ints(v) => Ok(v),
            Numbers::Floats(_) => Err("integers expected, floating-point numbers found".to_owned()),
        }
    }

    /// With its axes in another order.
    pub(super) fn transposed(&self, order: &[usize]) -> Read<Self> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.dims.len()) {
            return Err(format!("{order:?} is no order of the axes of {:?}", self.dims));
        }
        let axes = ndarray::IxDyn(order);
        let move_axes = |e: ndarray::ShapeError| e.to_string();
        let data = match &self.data {
            Numbers::Floats(v) => {
                let a = ndarray::ArrayD::from_shape_vec(self.dims.clone(), v.clone()).map_err(move_axes)?;
                Numbers::Floats(a.permuted_axes(axes).iter().copied().collect())
            }
            Numbers::Ints(v) => {
                let a = ndarray::ArrayD::from_shape_vec(self.dims.clone(), v.clone()).map_err(move_axes)?;
                Numbers::Ints(a.permuted_axes(axes).iter().copied().collect())
            }
        };
        Ok(Self { dims: order.iter().map(|i| self.dims[*i]).collect(), data })
    }

    /// The same numbers in another shape, in which -1 stands for what is left and 0 for the size of old.
    pub(super) fn reshaped(&self, shape: &[i64]) -> Read<Self> {
        let old = |i: usize| self.dims.get(i).copied().unwrap_or(0);
        let mut dims: Vec<usize> = shape
            .iter()
            .enumerate()
            .map(|(i, d)| if *d == 0 { old(i) } else { usize::try_from(*d).unwrap_or(1) })
            .collect();
        if let Some(free) = shape.iter().position(|d| *d == -1) {
            let rest = size(&dims)?;
            dims[free] = self.len().checked_div(rest).unwrap_or(0);
        }
        if shape.iter().any(|d| *d < -1) || shape.iter().filter(|d| **d == -1).count() > 1 || size(&dims)? != self.len()
        {
            return Err(format!("{:?} cannot have the shape {shape:?}", self.dims));
        }
        Ok(Self { dims, data: self.data.clone() })
    }
}

impl Numbers {
    fn len(&self) -> usize {
        match self {
            Self::Floats(v) => v.len(),
            Self::Ints(v) => v.len(),
        }
    }
}

fn words<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Read<Vec<T>> {
    let (words, rest) = raw.as_chunks::<N>();
    if rest.is_empty() { Ok(words.iter().map(|b| read(*b)).collect()) } else { Err("a broken last number".to_owned()) }
}
