//! How a host speaks to a card: requests in blocks, and commands in a row as a file.
//!
//! `fuzz/` takes this file in as it is.

/// STORE DATA in blocks.
///
/// # Panics
/// If there are more than 256 blocks.
pub fn store_data(class: u8, request: &[u8], block: usize) -> Vec<Vec<u8>> {
    let blocks = request.chunks(block).count();
    let commands = request.chunks(block).enumerate().map(|(number, block)| {
        let p1 = if number + 1 == blocks { 0x91 } else { 0x11 };
        let (number, length) = (u8::try_from(number), u8::try_from(block.len()));
        [&[class, 0xE2, p1, number.expect("256 blocks"), length.expect("255 bytes")][..], block].concat()
    });
    commands.collect()
}

/// Commands, or whatever else is octets, one after the other: each with two octets of length before it.
///
/// # Panics
/// If one is longer than 65,535 octets.
pub fn pack<'a>(frames: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let frames = frames.into_iter().map(|frame| {
        let length = u16::try_from(frame.len()).expect("a short frame");
        [&length.to_be_bytes()[..], frame].concat()
    });
    frames.collect::<Vec<_>>().concat()
}

/// What [`pack`] made, taken apart; a last frame that is cut short is as long as it is.
pub fn unpack(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = octets.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (frame, rest) = rest.split_at(length);
        frames.push(frame);
        octets = rest;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_as_they_were_joined() {
        let frames = vec![vec![1, 2, 3], vec![], vec![0xFF; 300]];
        assert_eq!(unpack(&pack(&frames)), frames);
        assert_eq!(unpack(&[0, 9, 1, 2]), [&[1, 2][..]]);
        assert!(unpack(&[0]).is_empty());
    }

    #[test]
    fn blocks_are_numbered_and_the_last_is_marked() {
        assert_eq!(
            store_data(0x81, &[1, 2, 3], 2),
            [vec![0x81, 0xE2, 0x11, 0, 2, 1, 2], vec![0x81, 0xE2, 0x91, 1, 1, 3]]
        );
    }
}
