//! Frames of IPA multiplex: a length, a protocol, octets.

use crate::message::Pdu;

/// Octets of the longest frame that is taken, behind its protocol. The longest message that peers send carries a TPDU of 260.
pub const LONGEST: usize = 2048;

/// IPA's own control, by which both ends see that the other one is there.
const CONTROL: u8 = 0xFE;
/// Osmocom's protocols, of which the first octet says which one.
const OSMO: u8 = 0xEE;
const RSPRO: u8 = 0x07;
const PING: u8 = 0x00;
const PONG: u8 = 0x01;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Are you there? To be answered by [`Frame::Pong`].
    Ping,
    /// I am.
    Pong,
    /// A message, for [`Pdu::decode`].
    Rspro(Vec<u8>),
    /// Another message of IPA's control, which needs no answer here.
    Control(u8),
}

/// What is no frame of these. Nothing that follows can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It would be longer than [`LONGEST`].
    #[error("a frame of {0} octets; none has more than {LONGEST}")]
    TooLong(usize),
    /// It has a protocol that is neither control nor RSPRO.
    #[error("a frame of protocol {0:02X}, which is not RSPRO")]
    Foreign(u8),
    /// It has no octet that says which message it is.
    #[error("a frame without content")]
    Empty,
}

impl Frame {
    /// What is sent.
    pub fn octets(&self) -> Vec<u8> {
        let (protocol, head, content): (_, _, &[u8]) = match self {
            Self::Ping => (CONTROL, PING, &[]),
            Self::Pong => (CONTROL, PONG, &[]),
            Self::Control(message) => (CONTROL, *message, &[]),
            Self::Rspro(content) => (OSMO, RSPRO, content),
        };
        // A message is far shorter: its parts have limits.
        let length = u16::try_from(content.len() + 1).unwrap_or(u16::MAX);
        [&length.to_be_bytes()[..], &[protocol, head], content].concat()
    }
}

impl Pdu {
    /// The frame with this message.
    pub fn to_frame(&self) -> Vec<u8> {
        Frame::Rspro(self.encode()).octets()
    }
}

/// Cuts what arrives into frames.
#[derive(Debug, Default)]
pub struct Frames {
    received: Vec<u8>,
}

impl Frames {
    /// Takes octets as they arrive.
    pub fn push(&mut self, octets: &[u8]) {
        self.received.extend_from_slice(octets);
    }

    /// Whether the beginning of a frame is here, and its rest is not.
    pub fn is_within_frame(&self) -> bool {
        !self.received.is_empty()
    }

    /// The next frame, if it is here.
    ///
    /// # Errors
    /// A [`FrameError`] as soon as its length or its protocol says so: the rest of it is not waited for.
    #[expect(clippy::should_implement_trait, reason = "fallible: an iterator of results would invite unwraps")]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((length, rest)) = self.received.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > LONGEST {
            return Err(FrameError::TooLong(length));
        }
        let Some((protocol, rest)) = rest.split_first() else { return Ok(None) };
        if !matches!(*protocol, CONTROL | OSMO) {
            return Err(FrameError::Foreign(*protocol));
        }
        if length == 0 {
            return Err(FrameError::Empty);
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        let frame = match (*protocol, content) {
            (CONTROL, [PING, ..]) => Frame::Ping,
            (CONTROL, [PONG, ..]) => Frame::Pong,
            (CONTROL, [message, ..]) => Frame::Control(*message),
            (_, [RSPRO, message @ ..]) => Frame::Rspro(message.to_vec()),
            (_, [other, ..]) => return Err(FrameError::Foreign(*other)),
            (_, []) => return Err(FrameError::Empty),
        };
        self.received.drain(..length + 3);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn frames_are_cut_wherever_the_stream_is() {
        let wire = hex!("0001FE00 0001FE01 0010EE07300D800102810100A205A5030A0100 0001FE04");
        let expected = [
            Frame::Ping,
            Frame::Pong,
            Frame::Rspro(hex!("300D800102810100A205A5030A0100").to_vec()),
            Frame::Control(4),
        ];
        assert_eq!(expected.iter().flat_map(Frame::octets).collect::<Vec<_>>(), wire);
        for piece in 1..=wire.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for part in wire.chunks(piece) {
                frames.push(part);
                while let Some(frame) = frames.next().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, expected);
            assert!(!frames.is_within_frame());
        }
    }

    /// A length that lies is found out from the length, other protocols from their first octet.
    #[test]
    fn what_is_no_frame_is_refused_before_it_is_whole() {
        for (wire, error) in [
            (&hex!("FFFF")[..], FrameError::TooLong(0xFFFF)),
            (&hex!("0801EE07"), FrameError::TooLong(0x0801)),
            (b"GET / HTTP/1.1\r\n", FrameError::TooLong(0x4745)),
            (&hex!("000500"), FrameError::Foreign(0)),
            (&hex!("0002EE05"), FrameError::Foreign(0)),
            (&hex!("0000FE"), FrameError::Empty),
            (&hex!("0000EE"), FrameError::Empty),
        ] {
            let mut frames = Frames::default();
            frames.push(wire);
            let told = frames.next();
            if wire == hex!("0002EE05") {
                assert_eq!(told, Ok(None), "half of it");
                frames.push(&[0]);
                assert_eq!(frames.next(), Err(FrameError::Foreign(5)));
            } else {
                assert_eq!(told, Err(error), "{wire:02X?}");
            }
        }
    }
}
