//! X.509 certificates: whose, from whom, until when, for what.

use apdu::Oid;
use apdu::tlv::{Reader, Writer};
use calendar::Date;
use rsp::certificate::Certificate;

use crate::field::{Base, Field, Kind, Name};

macro_rules! names {
    ($($constant:ident $name:literal $label:literal $kind:ident;)*) => {
        $(const $constant: Name = Name::new(concat!("certificate.", $name), $label, Kind::$kind);)*

        /// All of them.
        pub(crate) const NAMES: &[Name] = &[$($constant),*];
    };
}

names! {
    SUBJECT "subject" "subject" Text;
    ISSUER "issuer" "issuer" Text;
    SERIAL "serial" "serial number" Octets;
    NOT_BEFORE "not_before" "valid from" Text;
    NOT_AFTER "not_after" "valid until" Text;
    ROLE "role" "role" Text;
    KEY_ID "subject_key_identifier" "subject key identifier" Octets;
    ISSUER_KEY_ID "authority_key_identifier" "authority key identifier" Octets;
    OID "oid" "object identifier" Text;
}

/// The content of a certificate, whose outer tag may be that of the field it stands in.
pub(crate) fn fields(content: &[u8], base: Base) -> Vec<Field> {
    let mut der = Writer::new();
    der.primitive(apdu::tlv::Tag(0x30), content);
    let certificate = match Certificate::parse(der.as_bytes()) {
        Ok(certificate) => certificate,
        Err(error) => return vec![Field::malformed(content, base, error.to_string())],
    };
    let mut fields = vec![
        Field::text(SUBJECT, distinguished(certificate.subject())),
        Field::text(ISSUER, distinguished(certificate.issuer())),
        Field::octets(SERIAL, certificate.serial()),
        Field::text(NOT_BEFORE, moment(certificate.not_before())),
        Field::text(NOT_AFTER, moment(certificate.not_after())),
    ];
    fields.extend(certificate.role().map(|role| Field::text(ROLE, role.name())));
    fields.extend(certificate.subject_key_identifier().ok().map(|id| Field::octets(KEY_ID, id.octets())));
    fields.extend(certificate.authority_key_identifier().ok().map(|id| Field::octets(ISSUER_KEY_ID, id.octets())));
    fields.extend(certificate.oid().ok().map(|oid| Field::text(OID, oid.to_string())));
    fields
}

/// A name in the order of RFC 4514, but first to last: `C=ES, O=RSP Test EUM, CN=EUM Test`.
fn distinguished(name: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut sets = apdu::tlv::Tlv::parse(name).map_or(Reader::new(&[]), |name| name.children());
    while let Ok(Some(set)) = sets.next() {
        let mut pairs = set.children();
        while let Ok(Some(pair)) = pairs.next() {
            let mut pair = pair.children();
            let (Ok(Some(kind)), Ok(Some(value))) = (pair.next(), pair.next()) else { continue };
            parts.push(format!("{}={}", attribute(kind.value), String::from_utf8_lossy(value.value)));
        }
    }
    parts.join(", ")
}

/// Short names of the attributes in names. RFC 4519
fn attribute(oid: &[u8]) -> String {
    match oid {
        [0x55, 0x04, 0x03] => "CN".into(),
        [0x55, 0x04, 0x05] => "serialNumber".into(),
        [0x55, 0x04, 0x06] => "C".into(),
        [0x55, 0x04, 0x07] => "L".into(),
        [0x55, 0x04, 0x08] => "ST".into(),
        [0x55, 0x04, 0x0A] => "O".into(),
        [0x55, 0x04, 0x0B] => "OU".into(),
        _ => Oid::new(oid).and_then(|oid| oid.dotted()).unwrap_or_else(|| "?".into()),
    }
}

/// Seconds since 1970 as a day and a time of UTC.
fn moment(seconds: i64) -> String {
    const DAY: u64 = 86_400;
    let Ok(seconds) = u64::try_from(seconds) else { return format!("{seconds} s before 1970") };
    let date = Date::after_1970(seconds / DAY);
    let time = seconds % DAY;
    let Date { year, month, day } = date;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time / 3600, time / 60 % 60, time % 60)
}
