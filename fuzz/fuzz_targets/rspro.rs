//! A stream of RSPRO: frames, and the messages in them.

#![no_main]

use rspro::{Frame, FrameError, Frames, Pdu};

fn read(parts: &[&[u8]]) -> (Vec<Frame>, Option<FrameError>) {
    let (mut frames, mut read) = (Frames::default(), Vec::new());
    for part in parts {
        frames.push(part);
        loop {
            match frames.next() {
                Ok(Some(frame)) => read.push(frame),
                Ok(None) => break,
                Err(error) => return (read, Some(error)),
            }
        }
    }
    (read, None)
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    let whole = read(&[octets]);
    let (front, back) = octets.split_at(octets.len() / 2);
    assert_eq!(whole, read(&[front, back]));
    for frame in &whole.0 {
        if let Frame::Rspro(octets) = frame
            && let Ok(pdu) = Pdu::decode(octets)
        {
            assert_eq!(Pdu::decode(&pdu.encode()), Ok(pdu));
        }
    }
});
