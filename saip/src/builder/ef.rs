//! Contents of elementary files from what people write: digits, names, networks.

use super::SubscriberError;
use super::name::{Name, alpha, filled_alpha};
use super::usim_fields::EmergencyNumber;

type Result<T> = std::result::Result<T, SubscriberError>;

/// So many digits and nothing else. What is refused is counted, not shown: it may be a code.
fn digits(field: &'static str, text: &[u8], lengths: std::ops::RangeInclusive<usize>) -> Result<()> {
    let (least, most) = (*lengths.start(), *lengths.end());
    let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
    if !text.iter().all(u8::is_ascii_digit) {
        Err(SubscriberError::new(field, format!("wants {wanted} digits, and has something else in it")))
    } else if !lengths.contains(&text.len()) {
        Err(SubscriberError::new(field, format!("has {} digits, and wants {wanted}", text.len())))
    } else {
        Ok(())
    }
}

fn pack(field: &'static str, text: &str) -> Result<Vec<u8>> {
    apdu::bcd::pack_swapped(text).ok_or_else(|| SubscriberError::new(field, "has something else than digits in it"))
}

/// The ICCID as plain digits.
pub(super) fn iccid(field: &'static str, text: &str) -> Result<[u8; 10]> {
    // Filled up as ES2+ and the card have it.
    let text = if text.len() == 20 { text.trim_end_matches(['F', 'f']) } else { text };
    digits(field, text.as_bytes(), 18..=20)?;
    if !text.starts_with("89") {
        return Err(SubscriberError::new(field, "begins with 89 in telecommunication"));
    }
    // An ICCID of 18 digits is one that was issued without a check digit.
    let (body, last) = text.split_at(text.len() - 1);
    if text.len() > 18
        && let Some(check) = apdu::bcd::luhn(body)
        && !last.starts_with(check)
    {
        let wrong = format!("its last digit is not the check digit (Luhn) of the others, which is {check}");
        return Err(SubscriberError::new(field, wrong));
    }
    let mut iccid = [0xFF; 10];
    let packed = apdu::bcd::pack_straight(text).unwrap_or_default();
    iccid.iter_mut().zip(packed).for_each(|(octet, value)| *octet = value);
    Ok(iccid)
}

/// EF.IMSI, TS 31.102 §4.2.2: length, then identity type 1 with its parity, then the digits.
pub(super) fn imsi(field: &'static str, text: &str) -> Result<Vec<u8>> {
    digits(field, text.as_bytes(), 14..=15)?;
    // The first half octet: odd number of digits, identity type IMSI.
    let parity = if text.len() % 2 == 1 { '9' } else { '1' };
    let mut packed = pack(field, &format!("{parity}{text}"))?;
    let mut content = vec![u8::try_from(packed.len()).unwrap_or(8)];
    content.append(&mut packed);
    content.resize(9, 0xFF);
    Ok(content)
}

/// Three octets of a network, TS 24.008 §10.5.1.3.
pub(super) fn plmn(field: &'static str, text: &str) -> Result<[u8; 3]> {
    digits(field, text.as_bytes(), 5..=6)?;
    let (mcc, mnc) = text.split_at_checked(3).unwrap_or_default();
    // The third digit of the MNC, or F, goes between the two codes: pack in that order.
    let mut digits: Vec<u8> = mcc.bytes().map(|digit| digit - b'0').collect();
    digits.push(mnc.as_bytes().get(2).map_or(0xF, |digit| digit - b'0'));
    digits.extend(mnc.bytes().take(2).map(|digit| digit - b'0'));
    let mut plmn = [0; 3];
    plmn.iter_mut().zip(digits.chunks_exact(2)).for_each(|(octet, pair)| *octet = pair[1] << 4 | pair[0]);
    Ok(plmn)
}

/// UTRAN, E-UTRAN, NG-RAN, GSM: access technologies of EF.PLMNwAcT, TS 31.102 §4.2.5.
const ANY_ACCESS_TECHNOLOGY: [u8; 2] = [0xC8, 0x80];

/// EF.PLMNwAcT and its like: networks with any access technology.
pub(super) fn plmns_with_act(field: &'static str, plmns: &[String]) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    for (at, text) in plmns.iter().enumerate() {
        content.extend_from_slice(
            &plmn(field, text).map_err(|error| if field == "imsi" { error } else { error.entry(at) })?,
        );
        content.extend_from_slice(&ANY_ACCESS_TECHNOLOGY);
    }
    Ok(content)
}

/// A shorter number cannot be reached from outside.
const FEWEST_DIGITS: usize = 3;

/// A number as length, type and ten octets of digits, TS 31.102 §4.2.26.
fn dialling_number(field: &'static str, text: &str, digits_wanted: usize) -> Result<Vec<u8>> {
    let (kind, number) = text.strip_prefix('+').map_or((0x81, text), |number| (0x91, number));
    digits(field, number.as_bytes(), FEWEST_DIGITS..=digits_wanted)?;
    if kind == 0x91 && number.starts_with('0') {
        return Err(SubscriberError::new(field, "behind + comes a country code, and none begins with 0"));
    }
    let packed = pack(field, number)?;
    let mut content = vec![u8::try_from(packed.len() + 1).unwrap_or(0xFF), kind];
    content.extend(packed);
    content.resize(12, 0xFF);
    Ok(content)
}

/// A record of EF.MSISDN of `record_length` octets. A number has its country code first, with or without `+`; one that
/// begins with 0 has none, and is written as a national one.
pub(super) fn msisdn(field: &'static str, text: &str, record_length: usize) -> Result<Vec<u8>> {
    let mut record = vec![0xFF; record_length.saturating_sub(14)];
    let is_bare = !text.starts_with(['+', '0']);
    let number = if is_bare { &format!("+{text}") } else { text };
    record.extend(dialling_number(field, number, 15)?);
    record.extend([0xFF, 0xFF]);
    Ok(record)
}

/// A record of EF.SMSP, TS 31.102 §4.2.27, that has nothing but the service centre.
pub(super) fn smsp(field: &'static str, smsc: &str, record_length: usize) -> Result<Vec<u8>> {
    /// Parameter indicators: a bit is 0 for what is present; bit 2 is the service centre.
    const SERVICE_CENTRE_ONLY: u8 = 0xFD;
    let mut record = vec![0xFF; record_length.saturating_sub(28)];
    record.push(SERVICE_CENTRE_ONLY);
    record.extend([0xFF; 12]);
    record.extend(dialling_number(field, smsc, 20)?);
    record.resize(record_length, 0xFF);
    Ok(record)
}

/// EF.ECC, TS 31.102 §4.2.21: in each record the call code, a name, for which services.
pub(super) fn ecc(field: &'static str, numbers: &[EmergencyNumber]) -> Result<Vec<Vec<u8>>> {
    /// Octets of a record are 4 to 20.
    const LONGEST_NAME: usize = 16;
    let mut records = Vec::with_capacity(numbers.len());
    let mut room = 0;
    for (at, EmergencyNumber { number, name, services }) in numbers.iter().enumerate() {
        digits(field, number.as_bytes(), 1..=6).map_err(|error| error.entry(at))?;
        let mut code = pack(field, number)?;
        code.resize(3, 0xFF);
        let name = name.as_ref().map_or(Ok(Vec::new()), |name| alpha(name, LONGEST_NAME));
        let name = name.map_err(|reason| SubscriberError::new(field, reason).entry(at).within("name"))?;
        room = room.max(name.len());
        records.push((code, name, services.iter().fold(0, |bits, service| bits | service.bit())));
    }
    let record = |(mut record, mut name, category): (Vec<u8>, Vec<u8>, u8)| {
        name.resize(room, 0xFF);
        record.extend(name);
        record.push(category);
        record
    };
    Ok(records.into_iter().map(record).collect())
}

/// EF.SPN, TS 31.102 §4.2.12: display condition, then 16 octets.
pub(super) fn spn(field: &'static str, name: &Name, condition: u8) -> Result<Vec<u8>> {
    let mut content = vec![condition];
    content.extend(filled_alpha(name, 16).map_err(|reason| SubscriberError::new(field, reason))?);
    Ok(content)
}

/// EF.ACC, TS 31.102 §4.2.15: the access class is the last digit of the IMSI.
pub(super) fn acc(imsi: &str) -> [u8; 2] {
    let class = imsi.bytes().last().map_or(0, |digit| digit.wrapping_sub(b'0') % 10);
    (1u16 << class).to_be_bytes()
}

/// Languages of EF.PL and EF.LI: two letters each.
pub(super) fn languages(field: &'static str, codes: &[String]) -> Result<Vec<u8>> {
    if codes.len() > 3 {
        return Err(SubscriberError::new(field, "there is room for three"));
    }
    let mut content = Vec::new();
    for code in codes {
        if code.len() != 2 || !code.bytes().all(|letter| letter.is_ascii_lowercase()) {
            return Err(SubscriberError::new(field, format!("{code:?} is no language of two small letters")));
        }
        content.extend_from_slice(code.as_bytes());
    }
    Ok(content)
}

/// A service table: service n is bit n, counted from 1 at the low end of the first octet.
pub(super) fn service_table(services: &[usize], length: usize) -> Vec<u8> {
    let mut table = vec![0; length];
    for service in services.iter().filter_map(|service| service.checked_sub(1)) {
        if let Some(octet) = table.get_mut(service / 8) {
            *octet |= 1 << (service % 8);
        }
    }
    table
}

/// The two octets of a routing indicator, TS 24.501 §9.11.3.4.
pub(super) fn routing_indicator(field: &'static str, text: &str) -> Result<Vec<u8>> {
    digits(field, text.as_bytes(), 1..=4)?;
    let mut content = pack(field, text)?;
    content.resize(4, 0xFF);
    Ok(content)
}

/// A text in data object 80, as the files of an ISIM have it.
pub(super) fn text_object(field: &'static str, text: &str) -> Result<Vec<u8>> {
    if text.is_empty() || text.len() > 255 {
        return Err(SubscriberError::new(field, "wants 1 to 255 octets"));
    }
    let mut object = apdu::tlv::Writer::new();
    object.primitive(apdu::tlv::Tag(0x80), text.as_bytes());
    Ok(object.into_bytes())
}

/// A PIN or PUK in eight octets.
pub(super) fn code(field: &'static str, code: &[u8], lengths: std::ops::RangeInclusive<usize>) -> Result<[u8; 8]> {
    let mut value = [0xFF; 8];
    digits(field, code, lengths)?;
    value.iter_mut().zip(code).for_each(|(octet, digit)| *octet = *digit);
    Ok(value)
}

/// ADM1: digits as of a PIN, or eight octets in hexadecimal.
pub(super) fn adm(field: &'static str, text: &[u8]) -> Result<[u8; 8]> {
    let mut value = [0; 8];
    if text.len() == 16 && hex::decode_to_slice(text, &mut value).is_ok() {
        return Ok(value);
    }
    code(field, text, 4..=8).map_err(|_| SubscriberError::new(field, "wants 4 to 8 digits, or 16 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::super::usim_fields::EmergencyService;
    use super::*;
    use hex_literal::hex;

    #[test]
    fn golden() {
        assert_eq!(iccid("", "89000123456789012341").unwrap(), hex!("89000123456789012341"));
        assert_eq!(iccid("", "8988211000000000011").unwrap(), hex!("8988211000000000011F"));
        assert_eq!(iccid("", "8988211000000000011F").unwrap(), hex!("8988211000000000011F"));
        assert_eq!(imsi("", "001010123456789").unwrap(), hex!("080910101032547698"));
        assert_eq!(imsi("", "00101012345678").unwrap(), hex!("0801101010325476F8"));
        assert_eq!(plmn("", "246081").unwrap(), hex!("421680"));
        assert_eq!(plmn("", "24081").unwrap(), hex!("42F018"));
        assert_eq!(acc("001010000000003"), [0x00, 0x08]);
        assert_eq!(spn("", &"GSMA_TEST".into(), 1).unwrap(), hex!("0147534D411154455354FFFFFFFFFFFFFF"));
        assert_eq!(spn("", &"Связь".into(), 1).unwrap()[..4], hex!("01800421"));
        assert_eq!(ecc("", &["112".into()]).unwrap(), [hex!("11F2FF00")]);
        let police = EmergencyNumber {
            number: "913".into(),
            name: Some("Police".into()),
            services: vec![EmergencyService::Police, EmergencyService::MountainRescue],
        };
        assert_eq!(
            ecc("", &[police, "112".into()]).unwrap(),
            [hex!("19F3FF 506F6C696365 11"), hex!("11F2FF FFFFFFFFFFFF 00")]
        );
        assert_eq!(service_table(&[1, 8, 9, 125], 17)[..2], hex!("8101"));
        assert_eq!(service_table(&[125], 16)[15], 0x10);
        assert_eq!(routing_indicator("", "0").unwrap(), hex!("F0FFFFFF"));
        assert_eq!(routing_indicator("", "6").unwrap(), hex!("F6FFFFFF"));
        assert_eq!(
            msisdn("", "+15551234567", 24).unwrap(),
            hex!("FFFFFFFFFFFFFFFFFFFF 07 91 5155214365F7 FFFFFFFF FFFF")
        );
        assert_eq!(msisdn("", "15551234567", 24).unwrap(), msisdn("", "+15551234567", 24).unwrap());
        assert_eq!(msisdn("", "05551234567", 24).unwrap()[10..12], hex!("07 81"));
        assert_eq!(
            smsp("", "+46708001122", 38).unwrap(),
            hex!("FFFFFFFFFFFFFFFFFFFF FD FFFFFFFFFFFFFFFFFFFFFFFF 07 91 6407081021F2 FFFFFFFF FFFFFF")
        );
        assert_eq!(text_object("", "a@b").unwrap(), hex!("8003614062"));
        assert_eq!(adm("", b"0011223344556677").unwrap(), hex!("0011223344556677"));
        assert_eq!(code("", b"1234", 4..=8).unwrap(), hex!("31323334FFFFFFFF"));
    }

    #[test]
    fn refusals_carry_the_field() {
        assert_eq!(imsi("imsi", "0010101").unwrap_err().to_string(), "imsi: has 7 digits, and wants 14 to 15");
        assert_eq!(
            code("codes.pin1", b"12x4", 4..=8).unwrap_err().to_string(),
            "codes.pin1: wants 4 to 8 digits, and has something else in it"
        );
        assert!(iccid("iccid", "7700012345678901234").is_err());
        assert!(iccid("iccid", "89000123456789012342").unwrap_err().reason.ends_with("which is 1"));
        assert!(iccid("iccid", "890001234567890123").is_ok(), "there was no room for a check digit");
        assert!(plmn("ehplmns", "0011x").is_err());
        assert!(spn("spn", &"Seventeen letters".into(), 1).is_err());
        let named = |number: &str, name: &str| EmergencyNumber { name: Some(name.into()), ..number.into() };
        let told = |numbers: &[EmergencyNumber]| ecc("emergency_numbers", numbers).unwrap_err().to_string();
        assert_eq!(
            told(&["112".into(), "11x".into()]),
            "emergency_numbers[1]: wants 1 to 6 digits, and has something else in it"
        );
        assert_eq!(told(&[named("112", "")]), "emergency_numbers[0].name: is empty");
        assert_eq!(
            told(&[named("112", "A name of many letters")]),
            "emergency_numbers[0].name: takes 22 octets, and there is room for 16"
        );
        assert!(code("codes.puk1", b"1234567", 8..=8).is_err());
        assert!(languages("languages", &["EN".to_owned()]).is_err());
        assert!(adm("codes.adm1", b"xyz").is_err());
    }
}
