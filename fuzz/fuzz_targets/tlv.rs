//! BER-TLV and COMPREHENSION-TLV, from anywhere.

#![no_main]

use apdu::tlv::{Header, Reader, Tlv, Writer, check_depth, comprehension};

/// Reads everything, and counts the octets seen at the top.
fn walk(octets: &[u8], depth: usize) -> usize {
    let (mut reader, mut seen) = (Reader::new(octets), 0);
    while let Ok(Some(tlv)) = reader.next() {
        seen += tlv.raw.len();
        assert!(tlv.value.len() < tlv.raw.len());
        if depth > 0 {
            assert!(walk(tlv.value, depth - 1) <= tlv.value.len());
        }
        // What is written from it reads back as it was, with the shortest length.
        let mut writer = Writer::new();
        writer.primitive(tlv.tag, tlv.value);
        let again = writer.into_bytes();
        let read = Tlv::parse(&again).expect("what was written can be read");
        assert_eq!((read.tag, read.value), (tlv.tag, tlv.value));
    }
    seen
}

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    assert!(walk(octets, 8) <= octets.len());
    if let Ok(Some(header)) = Header::parse(octets) {
        assert!(header.total_length() >= 2);
    }
    // Whatever the depth allowed, the answer comes; more depth allows no less.
    assert!(check_depth(octets, 4).is_err() || check_depth(octets, 64).is_ok());
    let mut reader = comprehension::Reader::new(octets);
    while let Ok(Some(tlv)) = reader.next() {
        assert!(tlv.value.len() < octets.len());
    }
});
