//! `ProfileElement`: the CHOICE of everything a package is made of.

use crate::Error;
use crate::aka::AkaParameter;
use crate::application::Application;
use crate::cdma::CdmaParameter;
use crate::codec::{Cursor, Value, put, sequence};
use crate::end::End;
use crate::file_management::GenericFileManagement;
use crate::files::{FileElement, FileElementKind};
use crate::header::ProfileHeader;
use crate::non_standard::NonStandard;
use crate::pin::{PinCodes, PukCodes};
use crate::rfm::Rfm;
use crate::security_domain::SecurityDomain;

sequence! {
    /// `PEHeader`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct PeHeader {
        /// If the card can not process the element, it gives up the whole profile.
        0x80 mandated: bool,
        /// Number of the element, named in [`PeStatus`](crate::PeStatus); at most 32767 and unique in the package.
        0x81 identification: u16,
    }
}

impl PeHeader {
    /// A header of an element that has to be processed.
    pub const fn mandated(identification: u16) -> Self {
        Self { mandated: true, identification }
    }
}

/// One element of a profile package.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProfileElement {
    /// A0, the first.
    Header(Box<ProfileHeader>),
    /// A1, files outside the templates.
    GenericFileManagement(GenericFileManagement),
    /// A2.
    PinCodes(PinCodes),
    /// A3.
    PukCodes(PukCodes),
    /// A4.
    AkaParameter(Box<AkaParameter>),
    /// A5.
    CdmaParameter(Box<CdmaParameter>),
    /// A6.
    SecurityDomain(Box<SecurityDomain>),
    /// A7.
    Rfm(Rfm),
    /// A8.
    Application(Application),
    /// A9.
    NonStandard(NonStandard),
    /// AA, the last.
    End(End),
    /// B0 to BF22, files from a template.
    Files(FileElement),
    /// An element this version does not know.
    Unknown {
        /// The tag.
        tag: u32,
        /// Its header, if it has one where all the others have it.
        header: Option<PeHeader>,
        /// Its content.
        content: Vec<u8>,
    },
}

impl ProfileElement {
    /// Reads one element: exactly one TLV.
    pub fn decode(input: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(input);
        let element = Self::next(&mut cursor)?.ok_or(Error::Truncated)?;
        match cursor.peek()? {
            None => Ok(element),
            Some(tag) => Err(Error::Unexpected { within: "ProfileElement", tag }),
        }
    }

    fn next(cursor: &mut Cursor<'_>) -> Result<Option<Self>, Error> {
        let Some((tag, content)) = cursor.next()? else { return Ok(None) };
        Ok(Some(match tag {
            0xA0 => Self::Header(Box::new(Value::try_decode(content, "ProfileHeader")?)),
            0xA1 => Self::GenericFileManagement(Value::try_decode(content, "PE-GenericFileManagement")?),
            0xA2 => Self::PinCodes(Value::try_decode(content, "PE-PINCodes")?),
            0xA3 => Self::PukCodes(Value::try_decode(content, "PE-PUKCodes")?),
            0xA4 => Self::AkaParameter(Box::new(Value::try_decode(content, "PE-AKAParameter")?)),
            0xA5 => Self::CdmaParameter(Box::new(Value::try_decode(content, "PE-CDMAParameter")?)),
            0xA6 => Self::SecurityDomain(Box::new(Value::try_decode(content, "PE-SecurityDomain")?)),
            0xA7 => Self::Rfm(Value::try_decode(content, "PE-RFM")?),
            0xA8 => Self::Application(Value::try_decode(content, "PE-Application")?),
            0xA9 => Self::NonStandard(Value::try_decode(content, "PE-NonStandard")?),
            0xAA => Self::End(Value::try_decode(content, "PE-End")?),
            tag => match FileElementKind::from_tag(tag) {
                Some(kind) => Self::Files(FileElement::decode(kind, content)?),
                None => Self::Unknown { tag, header: leading_header(content), content: content.to_vec() },
            },
        }))
    }

    /// Appends the element as DER.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.tag(), |out| match self {
            Self::Header(element) => element.encode(out),
            Self::GenericFileManagement(element) => element.encode(out),
            Self::PinCodes(element) => element.encode(out),
            Self::PukCodes(element) => element.encode(out),
            Self::AkaParameter(element) => element.encode(out),
            Self::CdmaParameter(element) => element.encode(out),
            Self::SecurityDomain(element) => element.encode(out),
            Self::Rfm(element) => element.encode(out),
            Self::Application(element) => element.encode(out),
            Self::NonStandard(element) => element.encode(out),
            Self::End(element) => element.encode(out),
            Self::Files(element) => element.encode(out),
            Self::Unknown { content, .. } => out.extend_from_slice(content),
        });
    }

    /// The tag in the CHOICE.
    pub fn tag(&self) -> u32 {
        match self {
            Self::Header(_) => 0xA0,
            Self::GenericFileManagement(_) => 0xA1,
            Self::PinCodes(_) => 0xA2,
            Self::PukCodes(_) => 0xA3,
            Self::AkaParameter(_) => 0xA4,
            Self::CdmaParameter(_) => 0xA5,
            Self::SecurityDomain(_) => 0xA6,
            Self::Rfm(_) => 0xA7,
            Self::Application(_) => 0xA8,
            Self::NonStandard(_) => 0xA9,
            Self::End(_) => 0xAA,
            Self::Files(element) => element.kind.tag(),
            Self::Unknown { tag, .. } => *tag,
        }
    }

    /// The name in the CHOICE of an element with this tag; `None` for one this version does not know.
    pub fn name_of(tag: u32) -> Option<&'static str> {
        const NAMES: &[(u32, &str)] = &[
            (0xA0, "header"),
            (0xA1, "genericFileManagement"),
            (0xA2, "pinCodes"),
            (0xA3, "pukCodes"),
            (0xA4, "akaParameter"),
            (0xA5, "cdmaParameter"),
            (0xA6, "securityDomain"),
            (0xA7, "rfm"),
            (0xA8, "application"),
            (0xA9, "nonStandard"),
            (0xAA, "end"),
            (0xB0, "mf"),
            (0xB1, "cd"),
            (0xB2, "telecom"),
            (0xB3, "usim"),
            (0xB4, "opt-usim"),
            (0xB5, "isim"),
            (0xB6, "opt-isim"),
            (0xB7, "phonebook"),
            (0xB8, "gsm-access"),
            (0xB9, "csim"),
            (0xBA, "opt-csim"),
            (0xBB, "eap"),
            (0xBC, "df-5gs"),
            (0xBD, "df-saip"),
            (0xBE, "df-snpn"),
            (0xBF1F, "df-5gprose"),
            (0xBF20, "iot"),
            (0xBF21, "opt-iot"),
            (0xBF22, "ssim"),
        ];
        NAMES.iter().find(|(known, _)| *known == tag).map(|(_, name)| *name)
    }

    /// The header; none in [`ProfileElement::Header`], and perhaps in one unknown.
    pub fn header(&self) -> Option<PeHeader> {
        match self {
            Self::Header(_) => None,
            Self::GenericFileManagement(element) => Some(element.header),
            Self::PinCodes(element) => Some(element.header),
            Self::PukCodes(element) => Some(element.header),
            Self::AkaParameter(element) => Some(element.header),
            Self::CdmaParameter(element) => Some(element.header),
            Self::SecurityDomain(element) => Some(element.header),
            Self::Rfm(element) => Some(element.header),
            Self::Application(element) => Some(element.header),
            Self::NonStandard(element) => Some(element.header),
            Self::End(element) => Some(element.header),
            Self::Files(element) => Some(element.header),
            Self::Unknown { header, .. } => *header,
        }
    }

    /// The header of an element that can not be decoded as a whole, so that its failure can be named all the same.
    pub fn header_of(input: &[u8]) -> Option<PeHeader> {
        match Cursor::new(input).next().ok()?? {
            (0xA0, _) => None,
            (_, content) => leading_header(content),
        }
    }
}

fn leading_header(content: &[u8]) -> Option<PeHeader> {
    match Cursor::new(content).next().ok()?? {
        (0xA0, header) => PeHeader::decode(header),
        _ => None,
    }
}

/// Reads a whole package that is already in memory; a card uses [`Splitter`](crate::Splitter) instead.
pub fn decode_package(input: &[u8]) -> Result<Vec<ProfileElement>, Error> {
    let mut cursor = Cursor::new(input);
    let mut elements = Vec::new();
    while let Some(element) = ProfileElement::next(&mut cursor)? {
        elements.push(element);
    }
    Ok(elements)
}

/// Writes a whole package.
pub fn encode_package<'a>(elements: impl IntoIterator<Item = &'a ProfileElement>) -> Vec<u8> {
    let mut out = Vec::new();
    for element in elements {
        element.encode(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_elements_are_kept() {
        let der = [0xBF, 0x40, 0x09, 0xA0, 0x05, 0x80, 0x00, 0x81, 0x01, 0x07, 0xFF];
        let element = ProfileElement::decode(&der).unwrap_err();
        assert_eq!(element, Error::Truncated);
        let der = [0xBF, 0x40, 0x09, 0xA0, 0x05, 0x80, 0x00, 0x81, 0x01, 0x07, 0x04, 0x00];
        let element = ProfileElement::decode(&der).unwrap();
        assert_eq!(element.header(), Some(PeHeader::mandated(7)));
        assert_eq!(encode_package([&element]), der);
    }

    #[test]
    fn header_of_a_broken_element() {
        // PE-PUKCodes whose list is empty.
        let der = [0xA3, 0x09, 0xA0, 0x05, 0x80, 0x00, 0x81, 0x01, 0x05, 0xA1, 0x00];
        assert!(ProfileElement::decode(&der).is_err());
        assert_eq!(ProfileElement::header_of(&der), Some(PeHeader::mandated(5)));
    }
}
