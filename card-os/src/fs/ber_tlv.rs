//! RETRIEVE DATA and SET DATA on BER-TLV structure EFs. TS 102 221 §11.3.

use super::{FileKind, FileNumber, FileSession, Operation, Structure};
use apdu::tlv::{Header, Reader, Tag, Writer};
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
const FIRST: u8 = 0x80;
const NEXT: u8 = 0x00;
const AGAIN: u8 = 0x40;
/// The tag that asks for the list of tags.
const TAG_LIST: u8 = 0x5C;
/// Bytes of one piece.
const PIECE: usize = 256;

impl FileSession<'_, '_> {
    /// RETRIEVE DATA: the first block names the tag, the next ones continue; `62F1` while more remains.
    pub(super) fn retrieve_data(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (number, _) = self.ber_tlv(command, Operation::Read)?;
        let (object, from) = match (command.p2 & 0xC0, &self.channel.transfer) {
            (FIRST, _) => (self.object(number, command.data)?, 0),
            (NEXT, Some(Transfer::Out { number: file, object, sent, .. })) if *file == number => {
                (object.clone(), *sent)
            }
            (AGAIN, Some(Transfer::Out { number: file, object, previous, .. })) if *file == number => {
                (object.clone(), *previous)
            }
            (NEXT | AGAIN, _) => return Err(StatusWord::CONDITIONS_NOT_SATISFIED),
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        let to = object.len().min(from + PIECE);
        let data = object.get(from..to).unwrap_or_default().to_vec();
        if command.data.is_empty() && command.ne != 0 && command.ne != data.len() {
            // Before the piece counts as sent: the terminal asks for it again.
            return Err(StatusWord::exact_length(data.len()));
        }
        let sw = if to < object.len() { StatusWord::MORE_DATA } else { StatusWord::OK };
        self.channel.transfer = Some(Transfer::Out { number, object, sent: to, previous: from });
        Ok(Response { data, sw })
    }

    /// SET DATA: the object is written when its last piece is there; a zero length removes it.
    pub(super) fn set_data(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let (number, maximum) = self.ber_tlv(command, Operation::Update)?;
        let mut object = match (command.p2 & 0xC0, self.channel.transfer.take()) {
            (FIRST, _) => Vec::new(),
            (NEXT, Some(Transfer::In { number: file, object })) if file == number => object,
            (NEXT, _) => return Err(StatusWord::CONDITIONS_NOT_SATISFIED),
            _ => return Err(StatusWord::WRONG_P1_P2),
        };
        object.extend_from_slice(command.data);
        if let (FIRST, [tag]) = (command.p2 & 0xC0, command.data) {
            // A bare tag removes the object, as a zero length does.
            object = vec![*tag, 0];
        }
        let total = match Header::parse(&object).map_err(|_| StatusWord::WRONG_DATA)? {
            Some(header) if header.total_length() > maximum => return Err(StatusWord::NOT_ENOUGH_MEMORY),
            Some(header) => header.total_length(),
            None => object.len() + 1,
        };
        if object.len() > total {
            return Err(StatusWord::WRONG_DATA);
        }
        if object.len() < total {
            self.channel.transfer = Some(Transfer::In { number, object });
            return Ok(StatusWord::MORE_DATA_EXPECTED.into());
        }
        let mut reader = Reader::new(&object);
        let Ok(Some(new)) = reader.next() else { return Err(StatusWord::WRONG_DATA) };
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
        let growth = content.as_bytes().len().saturating_sub(self.content(number).len());
        if content.as_bytes().len() > maximum || growth > self.free {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        self.write_content(number, content.into_bytes());
        Ok(Response::done())
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
        let wanted = match tag {
            [] => return Err(StatusWord::WRONG_LENGTH),
            bytes if bytes.len() <= 3 => Tag(bytes.iter().fold(0, |tag, byte| tag << 8 | u32::from(*byte))),
            _ => return Err(StatusWord::WRONG_DATA),
        };
        match content.find(wanted) {
            Ok(Some(tlv)) => Ok(tlv.raw.to_vec()),
            _ => Err(StatusWord::REFERENCED_DATA_NOT_FOUND),
        }
    }

    fn ber_tlv(&mut self, command: &Command<'_>, operation: Operation) -> Result<(FileNumber, usize), StatusWord> {
        if command.p1 != 0 {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let sfi = match command.p2 & 0x1F {
            0 => None,
            sfi => Some(sfi),
        };
        let number = self.target(sfi)?;
        match self.tree.get(self.tree.body(number)).map(|file| file.kind) {
            Some(FileKind::Ef(Structure::BerTlv { maximum })) => {
                self.permitted(number, operation)?;
                self.accessed(sfi, number);
                Ok((number, maximum as usize))
            }
            _ => Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        }
    }
}

const fn tag_length(tag: Tag) -> usize {
    match tag.0 {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        _ => 3,
    }
}
