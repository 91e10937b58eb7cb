//! QR codes: read from pictures, drawn on the terminal and into files.

#[cfg(feature = "operator")]
mod drawing;

use std::io::{self, Cursor, Read};
use std::path::Path;

use console::Exit;
#[cfg(feature = "operator")]
pub(crate) use drawing::{check_name, for_terminal, of, write};
use rqrr::PreparedImage;
use rsp::activation_code::ActivationCode;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::failure::{AtPath, Failure};

/// Maximum size of a picture, in octets.
const LARGEST_FILE: u64 = 32 * 1024 * 1024;
/// Maximum side of a picture, in pixels: more than cameras produce.
const LARGEST_SIDE: usize = 16_384;
/// Memory limit for decoding a picture, in octets.
const LARGEST_PICTURE: usize = 256 * 1024 * 1024;

/// The texts of the QR codes in a picture: a PNG or JPEG file, or standard input for `-`. At least one.
pub(crate) fn scan(picture: &Path) -> Result<Vec<String>, Failure> {
    let mut octets = Vec::new();
    let read = if picture.as_os_str() == "-" {
        io::stdin().lock().take(LARGEST_FILE + 1).read_to_end(&mut octets)
    } else {
        std::fs::File::open(picture).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut octets))
    };
    read.at("read the picture", picture)?;
    if octets.len() as u64 > LARGEST_FILE {
        return Err(Failure::because(format!("{} is too large for a picture of a QR code", picture.display()))
            .with(Exit::Input));
    }
    let texts = texts(&octets).map_err(|failure| failure.while_doing(&picture.display().to_string()))?;
    if texts.is_empty() {
        let advice = "it contains no readable QR code; photograph all of it, straight and with its light margin";
        return Err(Failure::because(format!("{}: {advice}", picture.display())).with(Exit::Input));
    }
    Ok(texts)
}

/// The one activation code in a picture.
pub(crate) fn scan_activation_code(picture: &Path) -> Result<ActivationCode, Failure> {
    let texts = scan(picture)?;
    let mut why = None;
    for text in texts {
        match text.parse() {
            Ok(code) => return Ok(code),
            Err(error) => why = Some(error),
        }
    }
    let why = why.map_or_else(|| Failure::because("no QR code").with(Exit::Input), Failure::from);
    Err(why.while_doing(&format!("the QR code in {}", picture.display())))
}

/// The texts of the QR codes in a picture.
fn texts(octets: &[u8]) -> Result<Vec<String>, Failure> {
    let picture = Picture::decode(octets).map_err(|error| {
        Failure::because(format!("this is not a PNG or JPEG picture that can be read: {error}")).with(Exit::Input)
    })?;
    let found = picture.texts(false);
    // Some screens show light codes on dark.
    Ok(if found.is_empty() { picture.texts(true) } else { found })
}

/// Shades of grey, row by row; 0 is black.
struct Picture {
    width: usize,
    height: usize,
    shades: Vec<u8>,
}

impl Picture {
    fn decode(octets: &[u8]) -> Result<Self, String> {
        match octets {
            [0x89, b'P', b'N', b'G', ..] => Self::png(octets),
            [0xFF, 0xD8, ..] => Self::jpeg(octets),
            _ => Err("it is another kind of file".to_owned()),
        }
    }

    fn png(octets: &[u8]) -> Result<Self, String> {
        let limits = png::Limits { bytes: LARGEST_PICTURE };
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(octets), limits);
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let size = reader.output_buffer_size().unwrap_or(usize::MAX);
        within_limits(width, height, size)?;
        let mut pixels = vec![0; size];
        let frame = reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
        pixels.truncate(frame.buffer_size());
        Ok(Self { width, height, shades: shades(&pixels, frame.color_type.samples()) })
    }

    fn jpeg(octets: &[u8]) -> Result<Self, String> {
        let options = DecoderOptions::default().set_max_width(LARGEST_SIDE).set_max_height(LARGEST_SIDE);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(octets), options);
        decoder.decode_headers().map_err(|error| error.to_string())?;
        let colours = match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => ColorSpace::Luma,
            _ => ColorSpace::RGB,
        };
        decoder.set_options(options.jpeg_set_out_colorspace(colours));
        let (width, height) = decoder.dimensions().ok_or("it has no size")?;
        within_limits(width, height, decoder.output_buffer_size().unwrap_or(usize::MAX))?;
        let pixels = decoder.decode().map_err(|error| error.to_string())?;
        Ok(Self { width, height, shades: shades(&pixels, colours.num_components()) })
    }

    /// The texts of its QR codes, dark on light or, `inverted`, light on dark.
    fn texts(&self, inverted: bool) -> Vec<String> {
        let (width, height) = (self.width, self.height);
        if width == 0 || height == 0 {
            return Vec::new();
        }
        let shade = |x: usize, y: usize| {
            let shade = self.shades.get(y * width + x).copied().unwrap_or(u8::MAX);
            if inverted { 255 - shade } else { shade }
        };
        let mut prepared = PreparedImage::prepare_from_greyscale(width, height, shade);
        let grids = prepared.detect_grids();
        grids.iter().filter_map(|grid| grid.decode().ok()).map(|(_, text)| text).collect()
    }
}

/// A picture that fills the memory is no picture of a QR code.
fn within_limits(width: usize, height: usize, octets: usize) -> Result<(), String> {
    if width > LARGEST_SIDE || height > LARGEST_SIDE || octets > LARGEST_PICTURE {
        return Err(format!("{width} × {height} pixels are too many"));
    }
    Ok(())
}

/// Pixels of so many octets each: grey, grey and opacity, red green blue, or those and opacity.
fn shades(pixels: &[u8], octets: usize) -> Vec<u8> {
    let luma = |red: u8, green: u8, blue: u8| {
        // ITU-R BT.709
        let luma = 2126 * u32::from(red) + 7152 * u32::from(green) + 722 * u32::from(blue);
        u8::try_from(luma / 10_000).unwrap_or(u8::MAX)
    };
    // Transparent is paper.
    let on_paper = |shade: u8, opacity: u8| {
        let (shade, opacity) = (u16::from(shade), u16::from(opacity));
        u8::try_from((shade * opacity + 255 * (255 - opacity)) / 255).unwrap_or(u8::MAX)
    };
    let shade = |pixel: &[u8]| match *pixel {
        [shade] => shade,
        [shade, opacity] => on_paper(shade, opacity),
        [red, green, blue] => luma(red, green, blue),
        [red, green, blue, opacity] => on_paper(luma(red, green, blue), opacity),
        _ => u8::MAX,
    };
    pixels.chunks_exact(octets.max(1)).map(shade).collect()
}

#[cfg(all(test, feature = "operator"))]
mod tests {
    use image::DynamicImage;

    use super::*;

    const CODE: &str = "LPA:1$SMDP.GSMA.COM$04386-AGYFT-A74Y8-3F815";

    #[test]
    fn what_was_drawn_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.png");
        write(&of(CODE).unwrap(), &path).unwrap();
        assert_eq!(scan(&path).unwrap(), [CODE]);
        assert_eq!(scan_activation_code(&path).unwrap().matching_id, "04386-AGYFT-A74Y8-3F815");
        // As a camera delivers it, and upside down, and light on dark.
        let mut seen = image::open(&path).unwrap();
        seen.save(folder.path().join("code.jpg")).unwrap();
        assert_eq!(scan(&folder.path().join("code.jpg")).unwrap(), [CODE]);
        seen = seen.rotate180();
        seen.invert();
        seen.save(&path).unwrap();
        assert_eq!(scan(&path).unwrap(), [CODE]);
    }

    #[test]
    fn what_is_no_qr_code_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.png");
        let refused = |expected: &str| {
            let Err(Failure::Because(text)) = scan_activation_code(&path) else { panic!("{expected}") };
            assert!(text.contains(expected), "{text}");
        };
        refused("cannot read");
        std::fs::write(&path, "no picture").unwrap();
        refused("not a PNG or JPEG picture");
        DynamicImage::new_luma8(64, 64).save(&path).unwrap();
        refused("no readable QR code");
        write(&of("VUICC-CODE:1$81901234567$123456").unwrap(), &path).unwrap();
        refused("not an activation code");
        assert!(write(&of(CODE).unwrap(), &folder.path().join("code.gif")).is_err());
    }

    /// Grey or coloured, with or without opacity, of eight bits or sixteen, by a palette or not: one picture.
    #[test]
    fn every_form_of_a_picture_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.png");
        write(&of(CODE).unwrap(), &path).unwrap();
        let seen = image::open(&path).unwrap();
        for form in [
            DynamicImage::from(seen.to_luma8()),
            seen.to_luma_alpha8().into(),
            seen.to_rgb8().into(),
            seen.to_rgba8().into(),
            seen.to_luma16().into(),
            seen.to_rgba16().into(),
        ] {
            form.save(&path).unwrap();
            assert_eq!(scan(&path).unwrap(), [CODE], "{:?}", form.color());
        }
        for form in [DynamicImage::from(seen.to_luma8()), seen.to_rgb8().into()] {
            form.save(folder.path().join("code.jpg")).unwrap();
            assert_eq!(scan(&folder.path().join("code.jpg")).unwrap(), [CODE], "{:?}", form.color());
        }
        // Black ink on nothing.
        let mut ink = seen.to_rgba8();
        ink.pixels_mut().for_each(|pixel| pixel.0 = [0, 0, 0, 255 - pixel.0[0]]);
        ink.save(&path).unwrap();
        assert_eq!(scan(&path).unwrap(), [CODE]);
        // Cut off anywhere it is refused, or read.
        let whole = std::fs::read(folder.path().join("code.jpg")).unwrap();
        for end in (0..whole.len()).step_by(97) {
            let _ = texts(&whole[..end]);
        }
        assert_eq!(shades(&[255, 0, 0, 0, 255, 0], 3), [54, 182]);
        assert!(within_limits(16_385, 1, 1).is_err() && within_limits(1, 1, usize::MAX).is_err());
    }

    #[test]
    fn whatever_a_camera_sees_is_read_or_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.png");
        write(&of(CODE).unwrap(), &path).unwrap();
        let whole = image::open(&path).unwrap();
        let mut random = 1_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % below
        };
        for spoilt in 0..40 {
            let mut seen = whole.to_luma8();
            // From a speck of dust to noise, the rest in shadow, the edge cut off.
            for _ in 0..25 * spoilt * spoilt {
                let (x, y, shade) = (next(seen.width()), next(seen.height()), next(256));
                seen.put_pixel(x, y, image::Luma([u8::try_from(shade).unwrap()]));
            }
            let (width, height) = (seen.width() - next(40), seen.height() - next(40));
            let seen = DynamicImage::from(seen).crop_imm(next(30), next(30), width, height);
            let grey = seen.to_luma8();
            let (width, height) = (grey.width() as usize, grey.height() as usize);
            let read = Picture { width, height, shades: grey.into_raw() }.texts(spoilt % 7 == 6);
            assert!(read.iter().all(|text| text == CODE), "{read:?}");
        }
    }

    #[test]
    fn drawn_for_a_terminal() {
        let lines = for_terminal(&of(CODE).unwrap(), false);
        let lines: Vec<_> = lines.lines().collect();
        // 29 modules and a margin of four on each side, two rows per line.
        assert_eq!((lines.len(), lines[0].chars().count()), (19, 37));
        assert!(lines[0].chars().all(|module| module == '█') && lines[2].starts_with("████ ▄▄▄▄▄ █"), "{lines:#?}");
    }
}
