//! Pictures in files: decoding, and what models for photographs make of them.

use std::path::Path;

use image::imageops::{FilterType, crop_imm, resize};
use image::{DynamicImage, RgbImage};
use ndarray::{Array3, Array4, Axis, concatenate};
use si_models::zoo::{ChannelOrder, Photograph};

use crate::index::{File, fetched};
use crate::{Error, Result};

/// *Local*: greater heights and widths of photographs are refused before their pixels are decoded.
const GREATEST_SIDE: u32 = 1 << 14;

/// Most pixels of a photograph after it was resized (local): a narrow one becomes long.
const MOST_PIXELS: u64 = 1 << 28;

type Decoded<T> = std::result::Result<T, String>;

/// The tensors of these files, and the labels in their names.
pub(crate) fn read(
    files: &[File],
    directory: &Path,
    tensor: &dyn Fn(&DynamicImage) -> Decoded<Array3<f32>>,
) -> Result<(Array4<f32>, Vec<usize>)> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for file in files {
        images.push(fetched(directory, file, |bytes| tensor(&decode(bytes)?))?);
        let index = |why: &str| Error::Index { why: format!("{}: {why}", file.path) };
        labels.push(label(Path::new(&file.path)).ok_or_else(|| index("its name does not end in a label"))?);
    }
    let images = stacked(&images).map_err(|why| Error::Index { why })?;
    Ok((images, labels))
}

/// The number after the last underscore of a file's name.
pub(crate) fn label(path: &Path) -> Option<usize> {
    path.file_stem()?.to_str()?.rsplit_once('_')?.1.parse().ok()
}

pub(crate) fn decode(bytes: &[u8]) -> Decoded<DynamicImage> {
    let none = |e: image::ImageError| format!("not a JPEG or PNG image: {e}");
    let mut reader = image::ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| format!("not a JPEG or PNG image: {e}"))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(GREATEST_SIDE);
    limits.max_image_height = Some(GREATEST_SIDE);
    reader.limits(limits);
    reader.decode().map_err(none)
}

pub(crate) fn stacked(images: &[Array3<f32>]) -> Decoded<Array4<f32>> {
    let views: Vec<_> = images.iter().map(|i| i.view().insert_axis(Axis(0))).collect();
    concatenate(Axis(0), &views).map_err(|_| "pictures of different sizes".to_owned())
}

/// (channels, h, w) of the file's own size and channels, in [0, 1].
pub(crate) fn pixels(image: &DynamicImage) -> Decoded<Array3<f32>> {
    let (h, w) = (image.height() as usize, image.width() as usize);
    let (channels, bytes) = match image {
        DynamicImage::ImageLuma8(i) => (1, i.as_raw()),
        DynamicImage::ImageRgb8(i) => (3, i.as_raw()),
        other => return Err(format!("pixels of {:?}: 8 bits of grey or of red, green, blue are read", other.color())),
    };
    Ok(Array3::from_shape_fn((channels, h, w), |(c, y, x)| f32::from(bytes[(y * w + x) * channels + c]) / 255.0))
}

/// What a model makes of a photograph: (3, crop, crop).
///
/// # Errors
/// If the photograph is so narrow that, resized, it has too many pixels.
pub(crate) fn query(image: &DynamicImage, p: &Photograph) -> Decoded<Array3<f32>> {
    let image: RgbImage = image.to_rgb8();
    let (w, h) = image.dimensions();
    let shorter = u64::from(w.min(h)).max(1);
    // To the nearest, and never below the cut.
    let side = |s: u32| ((u64::from(s) * u64::from(p.resize) + shorter / 2) / shorter).max(u64::from(p.crop));
    let resized = if p.stretch { [u64::from(p.resize); 2] } else { [side(w), side(h)] };
    if resized[0].saturating_mul(resized[1]) > MOST_PIXELS {
        return Err(format!("{w} x {h} pixels would become {} x {}: cut it, or stretch it", resized[0], resized[1]));
    }
    let [w, h] = resized.map(|side| side as u32); // both are at most the product
    let image = resize(&image, w, h, FilterType::Triangle);
    let (left, top) = (w.saturating_sub(p.crop) / 2, h.saturating_sub(p.crop) / 2);
    let image = crop_imm(&image, left, top, p.crop, p.crop).to_image();
    let (crop_w, crop_h) = image.dimensions();
    Ok(Array3::from_shape_fn((3, crop_h as usize, crop_w as usize), |(c, y, x)| {
        let colour = if p.order == ChannelOrder::Bgr { 2 - c } else { c };
        (f32::from(image.get_pixel(x as u32, y as u32)[colour]) - p.mean[c]) / p.deviation[c]
    }))
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb};

    use super::*;

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn colours(w: u32, h: u32) -> DynamicImage {
        RgbImage::from_fn(w, h, |x, _| if x < w / 2 { Rgb([10, 20, 30]) } else { Rgb([110, 120, 130]) }).into()
    }

    fn photograph() -> Photograph {
        Photograph {
            resize: 8,
            stretch: false,
            crop: 4,
            order: ChannelOrder::Bgr,
            mean: [30.0, 20.0, 0.0],
            deviation: [1.0, 1.0, 10.0],
        }
    }

    #[test]
    fn a_photograph_is_resized_cut_and_put_in_order() {
        for (w, h, stretch) in [(16, 16, false), (32, 16, false), (64, 16, true)] {
            let q = query(&colours(w, h), &Photograph { stretch, ..photograph() }).unwrap();
            assert_eq!(q.shape(), [3, 4, 4]);
            assert_eq!([q[[0, 0, 0]], q[[1, 0, 0]], q[[2, 0, 0]]], [0.0, 0.0, 1.0], "{w}x{h}");
            assert_eq!([q[[0, 3, 3]], q[[1, 3, 3]], q[[2, 3, 3]]], [100.0, 100.0, 11.0], "{w}x{h}");
        }
        // Small ones are enlarged.
        assert_eq!(query(&colours(2, 1), &photograph()).unwrap().shape(), [3, 4, 4]);
        let large = Photograph { resize: 1 << 14, ..photograph() };
        let e = query(&colours(1 << 14, 1), &large).unwrap_err();
        assert!(e.contains("16384 x 1 pixels would become 268435456 x 16384"), "{e}");
    }

    #[test]
    fn pictures_keep_their_size_and_channels() {
        let p = pixels(&decode(&png(&colours(4, 2))).unwrap()).unwrap();
        assert_eq!((p.shape(), p[[2, 1, 3]]), (&[3, 2, 4][..], 130.0 / 255.0));
        let grey = DynamicImage::ImageLuma8(image::GrayImage::from_pixel(3, 2, image::Luma([255])));
        assert_eq!(pixels(&decode(&png(&grey)).unwrap()).unwrap(), Array3::<f32>::ones((1, 2, 3)));
        assert!(pixels(&DynamicImage::new_rgba8(1, 1)).is_err());
    }
}
