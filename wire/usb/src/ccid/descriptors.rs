//! What the reader says it is. USB 2.0 §9.6, CCID §5.1.

use super::{ANSWERS, CHANGES, COMMANDS};

/// The longest message: a header of ten octets, and the longest command or response of T=0.
const LONGEST_MESSAGE: u16 = 271;
/// bMaxPacketSize of bulk endpoints at high speed.
const BULK: u16 = 512;
/// Everything that can be is automatic, and the level of exchange is that of TPDUs. CCID §5.1, dwFeatures.
const FEATURES: u32 = 0x0001_00FE;

/// Which device it is. On Linux a reader is used only if its numbers are among those that libccid lists, whatever class it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// bcdDevice.
    pub release: u16,
    /// Who makes it.
    pub manufacturer: String,
    /// What it is called.
    pub name: String,
    /// Its serial number.
    pub serial: String,
}

impl Default for Identity {
    /// 0BDA:0165, a generic reader that libccid has known since 2011.
    fn default() -> Self {
        Self {
            vendor: 0x0BDA,
            product: 0x0165,
            release: 0x0100,
            manufacturer: "vuicc".to_owned(),
            name: "Smart card reader".to_owned(),
            serial: "1".to_owned(),
        }
    }
}

/// The descriptor with this type and number, as a request has them in its value.
pub(super) fn of(identity: &Identity, value: u16) -> Option<Vec<u8>> {
    let [kind, number] = value.to_be_bytes();
    match (kind, number) {
        (1, 0) => Some(device(identity)),
        (2, 0) => Some(configuration()),
        // US English.
        (3, 0) => Some(vec![4, 3, 0x09, 0x04]),
        (3, 1) => Some(string(&identity.manufacturer)),
        (3, 2) => Some(string(&identity.name)),
        (3, 3) => Some(string(&identity.serial)),
        _ => None,
    }
}

fn device(identity: &Identity) -> Vec<u8> {
    let [vendor, product, release] = [identity.vendor, identity.product, identity.release].map(u16::to_le_bytes);
    // USB 2.0; the class is the interface's; the strings are 1, 2 and 3; one configuration.
    [&[18, 1, 0x00, 0x02, 0, 0, 0, 64][..], &vendor, &product, &release, &[1, 2, 3, 1]].concat()
}

fn configuration() -> Vec<u8> {
    let endpoint = |address: u8, attributes: u8, size: u16, interval: u8| {
        let [low, high] = size.to_le_bytes();
        [7, 5, address, attributes, low, high, interval]
    };
    let interface = [9, 4, 0, 0, 3, 0x0B, 0, 0, 0];
    let endpoints = [
        endpoint(COMMANDS, 2, BULK, 0),
        endpoint(ANSWERS, 2, BULK, 0),
        // Every 128 microframes: 16 ms.
        endpoint(CHANGES, 3, 8, 8),
    ];
    let below = [&interface[..], &class(), &endpoints.concat()].concat();
    let [low, high] = u16::try_from(9 + below.len()).unwrap_or_default().to_le_bytes();
    // One interface, configuration 1, powered by the bus, 100 mA.
    [&[9, 2, low, high, 1, 1, 0, 0x80, 50][..], &below].concat()
}

/// The descriptor of the CCID class.
fn class() -> Vec<u8> {
    let numbers = |all: &[u32]| all.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let kilohertz = 4_000;
    [
        // CCID 1.10; one slot; 5, 3 and 1.8 V.
        &[54, 0x21, 0x10, 0x01, 0, 7][..],
        // T=0; the clock; one of it.
        &numbers(&[1, kilohertz, kilohertz]),
        &[0],
        // 10,752 to 344,086 bit/s, and no list of them.
        &numbers(&[10_752, 344_086]),
        &[0],
        // IFSD; no synchronous protocols, nothing mechanical.
        &numbers(&[254, 0, 0, FEATURES, LONGEST_MESSAGE.into()]),
        // The class bytes of APDUs are the host's; no display, no keypad; one command at a time.
        &[0xFF, 0xFF, 0, 0, 0, 1],
    ]
    .concat()
}

fn string(text: &str) -> Vec<u8> {
    // The length of a descriptor is one octet.
    let units: Vec<u8> = text.encode_utf16().take(126).flat_map(u16::to_le_bytes).collect();
    let length = u8::try_from(2 + units.len()).unwrap_or(2);
    [&[length, 3][..], &units].concat()
}
