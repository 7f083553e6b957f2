//! Reads one kind of Python pickle and nothing else: a dictionary from names to lists of NumPy arrays of f32. Nothing is
//! executed; whatever is not needed for that is refused.

use std::collections::BTreeMap;

type Parsed<T> = std::result::Result<T, String>;

/// An array of f32 in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NumpyArray {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(String),
    Bytes(&'a [u8]),
    Global(String),
    /// A dtype or an array that its state has yet to fill.
    Dtype(String),
    Empty,
    Array(Vec<usize>, &'a [u8]),
    Tuple(Vec<Self>),
    List(Vec<Self>),
    Dict(Vec<(Self, Self)>),
}

/// The arrays of the pickle in `bytes`, by name.
///
/// # Errors
/// If it is truncated or anything but such a dictionary: one sentence with the position.
pub(crate) fn numpy_arrays(bytes: &[u8]) -> Parsed<BTreeMap<String, Vec<NumpyArray>>> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
    let value = machine.run().map_err(|why| format!("at byte {}: {why}", machine.at))?;
    let Value::Dict(items) = value else { return Err("it holds no dictionary".to_owned()) };
    let named = items.into_iter().map(|(name, arrays)| match (name, arrays) {
        (Value::Text(name), Value::List(arrays)) => {
            let arrays = arrays.into_iter().map(|a| array(a).ok_or_else(|| format!("'{name}' is no list of arrays")));
            Ok((name.clone(), arrays.collect::<Parsed<Vec<_>>>()?))
        }
        _ => Err("it holds something else than lists by name".to_owned()),
    });
    named.collect()
}

fn array(value: Value<'_>) -> Option<NumpyArray> {
    let Value::Array(shape, bytes) = value else { return None };
    let (numbers, rest) = bytes.as_chunks::<4>();
    let size = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))?;
    (rest.is_empty() && numbers.len() == size)
        .then(|| NumpyArray { shape, data: numbers.iter().map(|b| f32::from_le_bytes(*b)).collect() })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'a>>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Parsed<Value<'a>> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                0x80 => drop(self.take(1)?), // protocol version: the opcodes decide
                b'}' => self.stack.push(Value::Dict(Vec::new())),
                b']' => self.stack.push(Value::List(Vec::new())),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool(opcode == 0x88)),
                b'K' => self.int(1)?,
                b'M' => self.int(2)?,
                b'J' => self.int(4)?,
                b'X' => {
                    let length = self.unsigned(4)?;
                    let text = String::from_utf8(self.take(length)?.to_vec());
                    self.stack.push(Value::Text(text.map_err(|_| "a text that is not UTF-8".to_owned())?));
                }
                b'C' | b'B' => {
                    let length = self.unsigned(if opcode == b'C' { 1 } else { 4 })?;
                    let bytes = self.take(length)?;
                    self.stack.push(Value::Bytes(bytes));
                }
                b'c' => {
                    let global = format!("{}.{}", self.line()?, self.line()?);
                    self.stack.push(Value::Global(global));
                }
                b'q' | b'r' => {
                    let index = self.unsigned(if opcode == b'q' { 1 } else { 4 })?;
                    let value = self.stack.last().ok_or("nothing to remember")?;
                    // What can still change is not remembered, so that no reference can be seen as a copy.
                    if !matches!(value, Value::List(_) | Value::Dict(_) | Value::Empty) {
                        self.memo.insert(index as u32, value.clone());
                    }
                }
                b'h' | b'j' => {
                    let index = self.unsigned(if opcode == b'h' { 1 } else { 4 })?;
                    let value = self.memo.get(&(index as u32)).cloned();
                    self.stack.push(value.ok_or("a reference to what was not remembered, or can change")?);
                }
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let from = self.stack.len().checked_sub(count).ok_or("a tuple of too few values")?;
                    let items = self.stack.split_off(from);
                    self.stack.push(Value::Tuple(items));
                }
                b't' => {
                    let items = self.marked()?;
                    self.stack.push(Value::Tuple(items));
                }
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b'e' => {
                    let items = self.marked()?;
                    match self.stack.last_mut() {
                        Some(Value::List(list)) => list.extend(items),
                        _ => return Err("values appended to something else than a list".to_owned()),
                    }
                }
                b'u' => {
                    let mut items = self.marked()?.into_iter();
                    let Some(Value::Dict(dict)) = self.stack.last_mut() else {
                        return Err("items set in something else than a dictionary".to_owned());
                    };
                    while let Some(key) = items.next() {
                        dict.push((key, items.next().ok_or("a key without a value")?));
                    }
                }
                b'.' => return self.pop(),
                _ => return Err(format!("opcode {opcode:#04x}, which arrays do not need")),
            }
        }
    }

    /// Calls that make a dtype or an array. No other is known.
    fn reduce(&mut self) -> Parsed<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Value::Global(callee), Value::Tuple(arguments)) = (callee, arguments) else {
            return Err("a call of something that is no function".to_owned());
        };
        self.stack.push(match (callee.as_str(), arguments.first()) {
            ("numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct", _) => Value::Empty,
            ("numpy.dtype", Some(Value::Text(name))) => Value::Dtype(name.clone()),
            _ => return Err(format!("a call of '{callee}', which arrays do not need")),
        });
        Ok(())
    }

    /// The state of a dtype (its byte order) or of an array: (version, shape, dtype, in Fortran's order, bytes).
    fn build(&mut self) -> Parsed<()> {
        let (state, object) = (self.pop()?, self.pop()?);
        let Value::Tuple(state) = state else { return Err("a state that is no tuple".to_owned()) };
        self.stack.push(match (object, state.as_slice()) {
            (Value::Dtype(name), [_, Value::Text(order), ..]) if order == "<" => Value::Dtype(name),
            (Value::Empty, [_, Value::Tuple(shape), Value::Dtype(dtype), Value::Bool(false), Value::Bytes(bytes)]) => {
                if dtype != "f4" {
                    return Err(format!("an array of '{dtype}', not of f4"));
                }
                let sizes = shape.iter().map(|d| match d {
                    Value::Int(d) => usize::try_from(*d).ok(),
                    _ => None,
                });
                Value::Array(sizes.collect::<Option<_>>().ok_or("an array without a shape")?, bytes)
            }
            _ => return Err("a state of something else than an array of little-endian f4".to_owned()),
        });
        Ok(())
    }

    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or_else(|| format!("it ends where {count} more bytes should be"))?;
        self.at += count;
        Ok(taken)
    }

    fn unsigned(&mut self, bytes: usize) -> Parsed<usize> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    fn int(&mut self, bytes: usize) -> Parsed<()> {
        let n = self.unsigned(bytes)? as i64;
        // Only the four-byte form has a sign.
        self.stack.push(Value::Int(if bytes == 4 { i64::from(n as u32 as i32) } else { n }));
        Ok(())
    }

    fn line(&mut self) -> Parsed<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|b| *b == b'\n').ok_or("a name without an end")?;
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn pop(&mut self) -> Parsed<Value<'a>> {
        self.stack.pop().ok_or_else(|| "a value is missing".to_owned())
    }

    fn marked(&mut self) -> Parsed<Vec<Value<'a>>> {
        let from = self.marks.pop().filter(|m| *m <= self.stack.len()).ok_or("a mark is missing")?;
        Ok(self.stack.split_off(from))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What `pickle.dumps({"a": [numpy.array([[1.5, -2.0]], "f4")]}, protocol=3)` writes, byte by byte.
    fn sample() -> Vec<u8> {
        let mut p = b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(".to_vec();
        p.extend(
            b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05C\x01bq\x06\x87q\x07R",
        );
        p.extend(b"q\x08(K\x01K\x01K\x02\x86q\x09cnumpy\ndtype\nq\x0aX\x02\x00\x00\x00f4q\x0bK\x00K\x01\x87q\x0cR");
        p.extend(b"q\x0d(K\x03X\x01\x00\x00\x00<q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89C\x08");
        p.extend([1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()));
        p.extend(b"q\x10tq\x11beu.");
        p
    }

    #[test]
    fn arrays_are_read() {
        let arrays = numpy_arrays(&sample()).unwrap();
        assert_eq!(arrays["a"], [NumpyArray { shape: vec![1, 2], data: vec![1.5, -2.0] }]);
    }

    #[test]
    fn calls_and_truncation_are_refused() {
        let e = numpy_arrays(b"cos\nsystem\n(X\x02\x00\x00\x00lstR.").unwrap_err();
        assert!(e.contains("'os.system'"), "{e}");
        let whole = sample();
        for end in 0..whole.len() {
            assert!(numpy_arrays(&whole[..end]).is_err(), "{end}");
        }
        assert!(numpy_arrays(b"K\x01.").unwrap_err().contains("no dictionary"));
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0usize..200, byte in any::<u8>(), more in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = sample();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = numpy_arrays(&bytes);
            let _ = numpy_arrays(&more);
        }
    }
}
