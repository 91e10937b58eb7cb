//! RETRIEVE DATA and SET DATA on BER-TLV structure EFs. TS 102 221 §11.3.

use super::{FileKind, FileNumber, FileSession, Operation, Place, Structure, TransferStep};
use apdu::tlv::{Header, Reader, Tag, Tlv, Writer};
use apdu::{Command, Response, StatusWord};

/// A data object on its way in pieces. It belongs to a channel and dies with the selection of another file.
#[derive(Clone, Debug)]
pub(crate) enum Transfer {
    /// RETRIEVE DATA: the object and how much of it went out; the piece before that for a retransmission.
    Out { number: FileNumber, object: Vec<u8>, sent: usize, previous: usize },
    /// SET DATA: what came in so far.
    In { number: FileNumber, object: Vec<u8> },
}

/// Bits 8 and 7 of P2: which piece.
const BLOCK: u8 = 0xC0;
const FIRST: u8 = 0x80;
const NEXT: u8 = 0x00;
const AGAIN: u8 = 0x40;
/// Bit 6 of P2.
const RESERVED: u8 = 0x20;
/// The tag that asks for the list of tags.
const TAG_LIST: u8 = 0x5C;
/// Bytes of one piece.
const PIECE: usize = 256;
/// A tag of three bytes and a length of five.
const LONGEST_HEADER: usize = 8;

impl FileSession<'_, '_> {
    /// RETRIEVE DATA: the first block names the tag, the next ones continue; `62F1` while more remains.
    pub(super) fn retrieve_data(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (place, sfi, _) = self.ber_tlv(command, Operation::Read)?;
        let begun = match (command.p2 & BLOCK, &self.channel()?.transfer) {
            (FIRST, _) => None,
            (NEXT | AGAIN, _) if !command.data.is_empty() => return Err(StatusWord::WRONG_LENGTH),
            (NEXT, Some(Transfer::Out { number, object, sent, .. }))
                if *number == place.file && *sent < object.len() =>
            {
                Some((object, *sent))
            }
            (AGAIN, Some(Transfer::Out { number, object, previous, .. })) if *number == place.file => {
                Some((object, *previous))
            }
            _ => return Err(StatusWord::CONDITIONS_NOT_SATISFIED),
        };
        let piece = |object: &[u8], from: usize| {
            let to = object.len().min(from + PIECE);
            let sw = if to < object.len() { StatusWord::MORE_DATA } else { StatusWord::OK };
            (to, Response { data: object.get(from..to).unwrap_or_default().to_vec(), sw })
        };
        if let Some((object, previous)) = begun {
            let (sent, response) = piece(object, previous);
            self.effects.transfer = TransferStep::Sent { sent, previous };
            return Ok(response);
        }
        let object = self.object(place.file, command.data)?;
        let (sent, response) = piece(&object, 0);
        self.accessed(sfi, place)?;
        self.effects.transfer = TransferStep::Begin(Transfer::Out { number: place.file, object, sent, previous: 0 });
        Ok(response)
    }

    /// SET DATA: the object is written when its last piece is there; a zero length removes it.
    pub(super) fn set_data(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (place, sfi, maximum) = self.ber_tlv(command, Operation::Update)?;
        let received: &[u8] = match (command.p2 & BLOCK, &self.channel()?.transfer) {
            (FIRST | NEXT, _) if command.data.is_empty() => return Err(StatusWord::WRONG_LENGTH),
            (FIRST, _) => &[],
            (NEXT, Some(Transfer::In { number, object })) if *number == place.file => object,
            (NEXT, _) => return Err(StatusWord::CONDITIONS_NOT_SATISFIED),
            // There is nothing to send again.
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        let first = received.is_empty();
        let head: Vec<u8> = received.iter().chain(command.data).copied().take(LONGEST_HEADER).collect();
        let tag = tag_of(&head)?;
        let length = received.len() + command.data.len();
        // A bare tag removes the object, as a zero length does.
        let bare = first && command.data.len() == tag_length(tag);
        let total = match Header::parse(&head).map_err(|_| StatusWord::WRONG_DATA)? {
            _ if bare => length,
            Some(header) if header.total_length() > maximum => return Err(StatusWord::NOT_ENOUGH_MEMORY),
            Some(header) => header.total_length(),
            None => length + 1,
        };
        if length > total {
            return Err(StatusWord::WRONG_DATA);
        }
        if length < total {
            let piece = command.data.to_vec();
            self.effects.transfer = if first {
                self.accessed(sfi, place)?;
                TransferStep::Begin(Transfer::In { number: place.file, object: piece })
            } else {
                TransferStep::Received(piece)
            };
            return Ok(StatusWord::MORE_DATA_EXPECTED.into());
        }
        let object = [received, command.data, if bare { &[0] } else { &[] }].concat();
        let content = self.with_object(place.file, &object)?;
        let growth = content.len().saturating_sub(self.content(place.file).len());
        if content.len() > maximum || growth > self.free {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        self.write_content(place.file, content);
        if first {
            self.accessed(sfi, place)?;
        }
        self.effects.transfer = TransferStep::End;
        Ok(Response::done())
    }

    /// A file's content with this object put in, in place of the one with its tag; without that one if it has no value.
    fn with_object(&self, number: FileNumber, object: &[u8]) -> Result<Vec<u8>, StatusWord> {
        let new = Tlv::parse(object).map_err(|_| StatusWord::WRONG_DATA)?;
        let mut content = Writer::new();
        let (mut old, mut replaced) = (Reader::new(self.content(number)), false);
        while let Ok(Some(tlv)) = old.next() {
            if tlv.tag != new.tag {
                content.raw(tlv.raw);
            } else if !new.value.is_empty() {
                content.raw(new.raw);
            }
            replaced |= tlv.tag == new.tag;
        }
        match (replaced, new.value.is_empty()) {
            (false, true) => return Err(StatusWord::REFERENCED_DATA_NOT_FOUND),
            (false, false) => drop(content.raw(new.raw)),
            (true, _) => {}
        }
        Ok(content.into_bytes())
    }

    /// The data object under a tag, or the list of tags.
    fn object(&self, number: FileNumber, tag: &[u8]) -> Result<Vec<u8>, StatusWord> {
        let content = Reader::new(self.content(number));
        if tag == [TAG_LIST] {
            let mut tags = Vec::new();
            let mut reader = content;
            while let Ok(Some(tlv)) = reader.next() {
                let length = tlv.raw.len() - tlv.value.len();
                let header = Header::parse(tlv.raw).ok().flatten().map_or(length, |header| header.header_length);
                tags.extend_from_slice(tlv.raw.get(..tag_length(tlv.tag).min(header)).unwrap_or_default());
            }
            let mut list = Writer::new();
            list.primitive(Tag(u32::from(TAG_LIST)), &tags);
            return Ok(list.into_bytes());
        }
        if tag.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let wanted = tag_of(tag)?;
        if tag.len() != tag_length(wanted) {
            return Err(StatusWord::WRONG_DATA);
        }
        match content.find(wanted) {
            Ok(Some(tlv)) => Ok(tlv.raw.to_vec()),
            _ => Err(StatusWord::REFERENCED_DATA_NOT_FOUND),
        }
    }

    /// The file a command addresses, how it was named, and how much it may hold.
    fn ber_tlv(&self, command: &Command<'_>, operation: Operation) -> Result<(Place, Option<u8>, usize), StatusWord> {
        if command.p1 != 0 || command.p2 & RESERVED != 0 || command.p2 & BLOCK == BLOCK {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let sfi = match command.p2 & 0x1F {
            0 => None,
            0x1F => return Err(StatusWord::WRONG_P1_P2),
            sfi => Some(sfi),
        };
        let place = self.target(sfi)?;
        match self.tree.get(self.tree.body(place.file)).map(|file| file.kind) {
            Some(FileKind::Ef(Structure::BerTlv { maximum })) => {
                self.permitted(place, operation)?;
                Ok((place, sfi, maximum as usize))
            }
            _ => Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        }
    }
}

/// The tag that data begins with, if an object may have it. ISO/IEC 8825-1 §8.1.2: `00` and `FF` are no tags here, further
/// octets carry a number that does not fit into the first, without leading zeros; TS 102 221 §11.3: `5C` asks for the list of
/// tags, so that no object has it.
fn tag_of(data: &[u8]) -> Result<Tag, StatusWord> {
    let tag = match *data {
        [0x00 | 0xFF | TAG_LIST, ..] => None,
        [first, ..] if first & 0x1F != 0x1F => Some(Tag(first.into())),
        [first, second @ 0x1F..=0x7F, ..] => Some(Tag(u32::from_be_bytes([0, 0, first, second]))),
        [first, second @ 0x81..=0xFF, third @ 0x00..=0x7F, ..] => {
            Some(Tag(u32::from_be_bytes([0, first, second, third])))
        }
        _ => None,
    };
    tag.ok_or(StatusWord::WRONG_DATA)
}

const fn tag_length(tag: Tag) -> usize {
    match tag.0 {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        _ => 3,
    }
}
