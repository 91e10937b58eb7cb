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
const P2_RFU: u8 = 0x20;
/// What memory set aside for a file is filled with: no object begins so.
const RESERVE: u8 = 0x00;
/// Bytes of one piece.
const PIECE: usize = 256;
/// A tag of three bytes and a length of five.
const LONGEST_HEADER: usize = 8;

impl FileSession<'_, '_> {
    /// RETRIEVE DATA: the first block names the tag, the next ones continue; `62F1` while more remains.
    pub(super) fn retrieve_data(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let sfi = sfi(command)?;
        let (place, _) = self.ber_tlv(sfi, Operation::Read)?;
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
        let number = place.file;
        self.accessed(sfi, place)?;
        self.effects.transfer = TransferStep::Begin(Box::new(Transfer::Out { number, object, sent, previous: 0 }));
        Ok(response)
    }

    /// SET DATA: the object is written when its last piece is there; a zero length removes it.
    ///
    /// A block that is refused ends the transfer: what comes next is a first block. The object that was there before stays.
    /// A command that carries no block, for it has no data or a P2 that names none, is refused, and changes nothing.
    pub(super) fn set_data(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        let sfi = sfi(command)?;
        match command.p2 & BLOCK {
            FIRST | NEXT if command.data.is_empty() => return Err(StatusWord::WRONG_LENGTH),
            FIRST | NEXT => {}
            // There is nothing to send again.
            _ => return Err(StatusWord::WRONG_P1_P2),
        }
        self.refusal_ends_transfer = true;
        let (place, capacity) = self.ber_tlv(sfi, Operation::Update)?;
        let maximum = capacity.maximum;
        let received: &[u8] = match (command.p2 & BLOCK, &self.channel()?.transfer) {
            (FIRST, _) => &[],
            (_, Some(Transfer::In { number, object })) if *number == place.file => object,
            _ => return Err(StatusWord::CONDITIONS_NOT_SATISFIED),
        };
        let first = received.is_empty();
        let head: Vec<u8> = received.iter().chain(command.data).copied().take(LONGEST_HEADER).collect();
        let tag = object_tag(&head)?;
        let length = received.len() + command.data.len();
        // A bare tag removes the object, as a zero length does.
        let bare = first && command.data.len() == tag.octets();
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
                let number = place.file;
                self.accessed(sfi, place)?;
                TransferStep::Begin(Box::new(Transfer::In { number, object: piece }))
            } else {
                TransferStep::Received(piece)
            };
            return Ok(StatusWord::MORE_DATA_EXPECTED.into());
        }
        let object = [received, command.data, if bare { &[0] } else { &[] }].concat();
        let objects = self.with_object(place.file, &object)?;
        if objects.len() > maximum {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        let content = with_reserve(objects, capacity.reserved);
        let growth = content.len().saturating_sub(self.content(place.file).len());
        if growth > self.free() {
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
        let (mut old, mut replaced) = (Reader::new(self.objects(number)), false);
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
        let content = Reader::new(self.objects(number));
        if tag == [Tag::LIST_OF_TAGS] {
            let mut tags = Vec::new();
            let mut reader = content;
            while let Ok(Some(tlv)) = reader.next() {
                tags.extend_from_slice(tlv.raw.get(..tlv.tag.octets()).unwrap_or_default());
            }
            let mut list = Writer::new();
            list.primitive(Tag(u32::from(Tag::LIST_OF_TAGS)), &tags);
            return Ok(list.into_bytes());
        }
        if tag.is_empty() {
            return Err(StatusWord::WRONG_LENGTH);
        }
        let wanted = object_tag(tag)?;
        if tag.len() != wanted.octets() {
            return Err(StatusWord::WRONG_DATA);
        }
        match content.find(wanted) {
            Ok(Some(tlv)) => Ok(tlv.raw.to_vec()),
            _ => Err(StatusWord::REFERENCED_DATA_NOT_FOUND),
        }
    }

    /// What a file holds, without what is set aside behind it.
    pub(super) fn objects(&self, number: FileNumber) -> &[u8] {
        let content = self.content(number);
        let mut reader = Reader::new(content);
        while reader.rest().first().is_some_and(|first| *first != RESERVE) && matches!(reader.next(), Ok(Some(_))) {}
        content.get(..content.len() - reader.rest().len()).unwrap_or_default()
    }

    /// The file a command addresses, and how much it may hold.
    fn ber_tlv(&self, sfi: Option<u8>, operation: Operation) -> Result<(Place, Capacity), StatusWord> {
        let place = self.target(sfi)?;
        match self.tree.get(self.tree.body(place.file)).map(|file| file.kind) {
            Some(FileKind::Ef(Structure::BerTlv { reserved, maximum })) => {
                self.permitted(&place, operation)?;
                Ok((place, Capacity { reserved: reserved as usize, maximum: maximum as usize }))
            }
            _ => Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        }
    }
}

/// Bytes a file has to itself, and may come to hold.
#[derive(Clone, Copy)]
struct Capacity {
    reserved: usize,
    maximum: usize,
}

/// Objects followed by what is set aside for more: it counts as used memory, so that nothing else takes it.
pub(crate) fn with_reserve(mut objects: Vec<u8>, reserved: usize) -> Vec<u8> {
    objects.resize(objects.len().max(reserved), RESERVE);
    objects
}

/// The short file identifier in P2 of RETRIEVE DATA and SET DATA.
fn sfi(command: &Command<'_>) -> Result<Option<u8>, StatusWord> {
    if command.p1 != 0 || command.p2 & P2_RFU != 0 || command.p2 & BLOCK == BLOCK {
        return Err(StatusWord::WRONG_P1_P2);
    }
    match command.p2 & 0x1F {
        0 => Ok(None),
        0x1F => Err(StatusWord::WRONG_P1_P2),
        sfi => Ok(Some(sfi)),
    }
}

/// The tag that data begins with, if an object may have it.
fn object_tag(data: &[u8]) -> Result<Tag, StatusWord> {
    Tag::of_object(data).ok_or(StatusWord::WRONG_DATA)
}
