//! The fourteen access rules that templates refer to by record number, for the EF.ARR of profiles made here.
//!
//! A profile brings its own EF.ARR and may number its rules as it likes; then it says so in every file.

use hex_literal::hex;

/// Records 1 to 14 of EF.ARR, TS 102 221 §9.2.4: access mode octets (01 read, 02 update, 08 deactivate, 10 activate, 40 delete;
/// `84 01 32` INCREASE), each followed by its condition (90 always, 97 never, A4 a key reference).
pub const RECORDS: [&[u8]; 14] = [
    // 1: read always; update PIN1; rest ADM1
    &hex!("8001019000 800102A406830101950108 800158A40683010A950108"),
    // 2: read PIN1; rest ADM1
    &hex!("800101A406830101950108 80015AA40683010A950108"),
    // 3: all ADM1
    &hex!("80015BA40683010A950108"),
    // 4: read always; delete ADM1; rest never
    &hex!("8001019000 80011A9700 800140A40683010A950108"),
    // 5: read and update PIN1; rest ADM1
    &hex!("800103A406830101950108 800158A40683010A950108"),
    // 6: read and activate PIN1; rest ADM1
    &hex!("800111A406830101950108 80014AA40683010A950108"),
    // 7: read, update and increase PIN1; rest ADM1
    &hex!("800103A406830101950108 800158A40683010A950108 840132A406830101950108"),
    // 8: read PIN1; update PIN2; rest ADM1
    &hex!("800101A406830101950108 800102A406830181950108 800158A40683010A950108"),
    // 9: read always; delete ADM1; rest PIN1
    &hex!("8001019000 80011AA406830101950108 800140A40683010A950108"),
    // 10: read always; rest ADM1
    &hex!("8001019000 80015AA40683010A950108"),
    // 11: read always; deactivate and activate ADM1; rest never
    &hex!("8001019000 800118A40683010A950108 8001429700"),
    // 12: read PIN1; rest never
    &hex!("800101A406830101950108 80015A9700"),
    // 13: read, update and activate PIN1; rest ADM1
    &hex!("800113A406830101950108 800148A40683010A950108"),
    // 14, for a DF: delete it, activate, deactivate, create a DF or EF in it ADM1
    &hex!("80015EA40683010A950108"),
];

/// Length of the longest record.
pub const RECORD_LENGTH: usize = 33;

/// Length of the records in the MF, with room for rules that are written later: as much as sysmocom's cards have, and as clients
/// that administer files write there.
pub const RECORD_LENGTH_IN_MF: usize = 110;

/// The records one after another, each filled up with FF to this length: the content of EF.ARR.
pub fn ef_arr(record_length: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(RECORDS.len() * record_length);
    for (number, rule) in RECORDS.iter().enumerate() {
        content.extend_from_slice(rule);
        content.resize((number + 1) * record_length, 0xFF);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_fits() {
        assert_eq!(RECORDS.iter().map(|rule| rule.len()).max(), Some(RECORD_LENGTH));
        assert_eq!(ef_arr(RECORD_LENGTH).len(), 14 * RECORD_LENGTH);
    }
}
