//! The steps for a subscriber and a type of card, in their order.

use core::fmt;

use hex_literal::hex;
use saip::builder::Algorithm;
use zeroize::Zeroizing;

use crate::host::{Place, Root};
use crate::kind::{Item, Keys, Kind, Record};
use crate::order::Order;

/// One thing to write.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) target: Target,
    pub(super) write: Write,
    /// It is not read, nor shown.
    pub(super) secret: bool,
    /// A card may be without the file.
    pub(super) optional: bool,
    /// It only takes away what was another subscriber's: a card whose file is otherwise keeps it.
    pub(super) clears: bool,
}

/// Where it goes.
#[derive(Debug)]
pub(super) enum Target {
    File(Place),
    /// A command of the type: its header.
    Command([u8; 4]),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => place.fmt(f),
            Self::Command([class, ins, p1, p2]) => write!(f, "command {class:02X} {ins:02X} {p1:02X} {p2:02X}"),
        }
    }
}

/// How it is written.
pub(super) enum Write {
    /// A whole transparent file; `filler` again and again behind it.
    Filled { bytes: Zeroizing<Vec<u8>>, filler: &'static [u8] },
    /// A part of one, or what a command takes.
    At { offset: u16, bytes: Zeroizing<Vec<u8>> },
    /// Half of an octet, the low one.
    Nibble { offset: u16, value: [u8; 1] },
    /// A record; at its end or its beginning, the rest FF.
    Record { number: u8, bytes: Zeroizing<Vec<u8>>, at_end: bool },
}

impl Write {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Filled { bytes, .. } | Self::At { bytes, .. } | Self::Record { bytes, .. } => bytes,
            Self::Nibble { value, .. } => value,
        }
    }
}

/// How, not what: keys are among it.
impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Write({} octets)", self.bytes().len())
    }
}

impl Step {
    pub(super) fn octets(&self) -> usize {
        self.write.bytes().len()
    }

    fn new(what: &'static str, target: Target, write: Write) -> Self {
        Self { what, target, write, secret: false, optional: false, clears: false }
    }

    fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    fn clears(self) -> Self {
        Self { clears: true, ..self }
    }

    fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// FF, as empty files have it.
const EMPTY: &[u8] = &[0xFF];
/// No network, with no access technology.
const NO_PLMN_WITH_ACT: &[u8] = &[0xFF, 0xFF, 0xFF, 0x00, 0x00];

const GSM: u16 = 0x7F20;
const TELECOM: u16 = 0x7F10;

fn filled(bytes: &[u8], filler: &'static [u8]) -> Write {
    Write::Filled { bytes: Zeroizing::new(bytes.to_vec()), filler }
}

fn part(bytes: Vec<u8>) -> Write {
    Write::At { offset: 0, bytes: Zeroizing::new(bytes) }
}

fn record(number: u8, bytes: Vec<u8>, at_end: bool) -> Write {
    Write::Record { number, bytes: Zeroizing::new(bytes), at_end }
}

/// What is written for an order to a card of this type.
pub(super) fn of(kind: &'static Kind, order: &Order) -> Vec<Step> {
    let mut steps = Vec::new();
    // The IMSI comes last: until then the card does not answer for its subscriber.
    let (last, first): (Vec<&Item>, Vec<&Item>) = kind.files.iter().partition(|item| **item == Item::Imsi);
    for item in first {
        steps.extend(of_item(*item, kind, order));
    }
    steps.extend(of_keys(kind, order));
    for item in last {
        steps.extend(of_item(*item, kind, order));
    }
    steps
}

/// In the USIM, where the type's class reaches one, and in the directory of the SIM.
fn both(kind: &Kind, what: &'static str, (df, fid): (u16, u16), write: impl Fn() -> Write) -> Vec<Step> {
    let mut steps = Vec::new();
    if kind.dialect.has_applications() {
        steps.push(Step::new(what, Target::File(Place::in_usim(fid)), write()).optional());
    }
    steps.push(Step::new(what, Target::File(Place::in_mf(&[df, fid])), write()).optional());
    steps
}

fn of_item(item: Item, kind: &Kind, order: &Order) -> Vec<Step> {
    let contents = &order.contents;
    let in_mf = |what, path: &[u16], write| vec![Step::new(what, Target::File(Place::in_mf(path)), write)];
    // What the subscriber has none of is emptied: it would be another's.
    let list = |bytes: &[u8], what, fid| both(kind, what, (GSM, fid), || filled(bytes, NO_PLMN_WITH_ACT));
    match item {
        Item::Iccid if kind.iccid => in_mf("ICCID", &[0x2FE2], filled(&contents.iccid, EMPTY)),
        Item::Iccid => Vec::new(),
        Item::Spn => {
            let spn = contents.spn.as_deref().unwrap_or_default();
            both(kind, "name of the service provider", (GSM, 0x6F46), || filled(spn, EMPTY))
        }
        Item::Acc => both(kind, "access class", (GSM, 0x6F78), || filled(&order.acc, EMPTY)),
        Item::MncLength => {
            let value = [contents.mnc_length];
            both(kind, "length of the MNC", (GSM, 0x6FAD), || Write::Nibble { offset: 3, value })
        }
        Item::HomePlmnSel => in_mf("preferred networks", &[GSM, 0x6F30], filled(&contents.home, EMPTY))
            .into_iter()
            .map(Step::optional)
            .collect(),
        Item::UserPlmns => list(&contents.user_plmns, "networks of the user", 0x6F60),
        Item::OperatorPlmns => list(&contents.operator_plmns, "networks of the operator", 0x6F61),
        Item::HomePlmns => list(&contents.home_plmns, "home network", 0x6F62),
        Item::Ehplmn => {
            let write = filled(&contents.ehplmns, EMPTY);
            vec![Step::new("equivalent home networks", Target::File(Place::in_usim(0x6FD9)), write).optional()]
        }
        Item::Fplmn => {
            let forbidden = order.fplmns.concat();
            both(kind, "forbidden networks", (GSM, 0x6F7B), || filled(&forbidden, EMPTY))
        }
        Item::Msisdn => both(kind, "MSISDN", (TELECOM, 0x6F40), || own_or_empty(contents.msisdn.as_ref())),
        Item::Smsp => both(kind, "service centre", (TELECOM, 0x6F42), || own_or_empty(contents.smsp.as_ref())),
        Item::Ims => of_ims(order),
        Item::Location => of_location(kind),
        Item::Imsi => {
            let mut steps = both(kind, "IMSI", (GSM, 0x6F07), || filled(&contents.imsi, EMPTY));
            if let Some(first) = steps.first_mut() {
                first.optional = false;
            }
            steps
        }
    }
}

/// The end of the first record, or all of it empty.
fn own_or_empty(own: Option<&Vec<u8>>) -> Write {
    own.map_or_else(|| record(1, Vec::new(), false), |own| record(1, own.clone(), true))
}

/// Files in which a phone keeps where it was and what it agreed on with a network: temporary identities, the status "not updated",
/// keys under no key set identifier. TS 31.102 §4.2.17, §4.2.23, §4.2.91, §4.2.9; §4.4.11.2, §4.4.11.3; TS 51.011 §10.3.17.
fn of_location(kind: &Kind) -> Vec<Step> {
    const CIRCUITS: [u8; 11] = hex!("FFFFFFFF FFFFFF0000 FF 01");
    const PACKETS: [u8; 14] = hex!("FFFFFFFF FFFFFF FFFFFF0000 FF 01");
    const EVOLVED: [u8; 18] = hex!("FFFFFFFFFFFFFFFFFFFFFFFF FFFFFFFFFF 01");
    const FIFTH: [u8; 20] = hex!("FFFFFFFFFFFFFFFFFFFFFFFFFF FFFFFFFFFFFF 01");
    const NO_KEYS: &[u8] = &[0x07];
    const NO_KC: [u8; 9] = hex!("FFFFFFFFFFFFFFFF 07");
    const ACCESS: u16 = 0x5F3B;
    const FIVE_GS: u16 = 0x5FC0;
    let location = both(kind, "location", (GSM, 0x6F7E), || part(CIRCUITS.to_vec()));
    let mut steps: Vec<Step> = location.into_iter().map(Step::clears).collect();
    let mut add = |what, place, bytes: &[u8]| {
        steps.push(Step::new(what, Target::File(place), part(bytes.to_vec())).optional().clears());
    };
    if kind.dialect.has_applications() {
        let in_df = |df, fid| Place { root: Root::Usim, path: vec![df, fid] };
        add("location, packets", Place::in_usim(0x6F73), &PACKETS);
        add("location, EPS", Place::in_usim(0x6FE3), &EVOLVED);
        add("location, 5GS", in_df(FIVE_GS, 0x4F01), &FIFTH);
        add("location, 5GS, not 3GPP", in_df(FIVE_GS, 0x4F02), &FIFTH);
        add("session keys", Place::in_usim(0x6F08), NO_KEYS);
        add("session keys, packets", Place::in_usim(0x6F09), NO_KEYS);
        add("Kc", in_df(ACCESS, 0x4F20), &NO_KC);
        add("KcGPRS", in_df(ACCESS, 0x4F52), &NO_KC);
    }
    add("Kc", Place::in_mf(&[GSM, 0x6F20]), &NO_KC);
    add("KcGPRS", Place::in_mf(&[GSM, 0x6F52]), &NO_KC);
    add("location, packets", Place::in_mf(&[GSM, 0x6F53]), &PACKETS);
    steps
}

fn of_ims(order: &Order) -> Vec<Step> {
    let Some([private, domain, public]) = &order.contents.ims else { return Vec::new() };
    let in_isim = |what, fid, write| Step::new(what, Target::File(Place::in_isim(fid)), write).optional();
    vec![
        in_isim("IMPI", 0x6F02, filled(private, EMPTY)),
        in_isim("IMS domain", 0x6F03, filled(domain, EMPTY)),
        in_isim("IMPU", 0x6F04, record(1, public.clone(), false)),
    ]
}

fn of_keys(kind: &Kind, order: &Order) -> Vec<Step> {
    const OPC: u8 = 0x01;
    let (key, opc) = (order.subscriber.key.expose(), order.opc.as_slice());
    let contents = &order.contents;
    let file = |what, path: &[u16], bytes| Step::new(what, Target::File(Place::in_mf(path)), part(bytes)).secret();
    let command = |what, header, bytes| Step::new(what, Target::Command(header), part(bytes)).secret();
    match kind.keys {
        Keys::Unknown => Vec::new(),
        Keys::Typed { key: path, operator } => {
            vec![file("Ki", path, key.to_vec()), file("OPc", operator, [&[OPC], opc].concat())]
        }
        Keys::Bare { key: path, operator } => vec![file("Ki", path, key.to_vec()), file("OPc", operator, opc.to_vec())],
        Keys::Configured { .. } => configured(order),
        Keys::Command { header } => vec![command("Ki", header, key.to_vec())],
        Keys::All { header } => {
            vec![command("Ki, OPc, ICCID, IMSI", header, [key, opc, &contents.iccid, &contents.imsi].concat())]
        }
        Keys::Comp128 { file: path, first } => vec![file("Ki", path, [first, key].concat())],
        Keys::Record(Record::Magic { length, key: key_file }) => magic(order, usize::from(length), key_file),
        Keys::Record(Record::Fake) => fake(order),
    }
}

/// sysmocom's: an octet of configuration, then key and OPc; with TUAK lengths and iterations before both.
fn configured(order: &Order) -> Vec<Step> {
    const MILENAGE_WITH_OPC: u8 = 0x14;
    const TUAK_WITH_OPC: u8 = 0x16;
    const LONG_KEY: u8 = 0x40;
    const XOR: u8 = 0x1F;
    const XOR_FOR_GSM: u8 = 0x1E;
    /// RES has four octets.
    const SHORT_RES: u8 = 0x40;
    const NONE: [u8; 16] = [0; 16];
    let (key, opc) = (order.subscriber.key.expose(), order.opc.as_slice());
    let (three_g, gsm) = match order.subscriber.algorithm {
        Algorithm::Milenage => {
            let both = [&[MILENAGE_WITH_OPC], key, opc].concat();
            (both.clone(), Some(both))
        }
        Algorithm::Xor => {
            let short = if order.subscriber.res_length == Some(4) { SHORT_RES } else { 0 };
            ([&[XOR | short], key, &NONE].concat(), Some([&[XOR_FOR_GSM], key, &NONE].concat()))
        }
        Algorithm::Tuak => {
            let lengths = order.tuak_parameters();
            let code = |octets: usize, shortest: usize| (octets / shortest).trailing_zeros().to_be_bytes()[3];
            let long = if lengths.ck == 32 { 0x40 } else { 0 };
            let lengths_octet = long | code(lengths.mac, 8) << 3 | code(lengths.res, 4);
            let configuration = TUAK_WITH_OPC | if key.len() == 32 { LONG_KEY } else { 0 };
            ([&[configuration, lengths_octet, lengths.iterations], opc, key].concat(), None)
        }
    };
    let key_file = |what, place, bytes: &Vec<u8>| Step::new(what, Target::File(place), part(bytes.clone())).secret();
    let mut steps = vec![
        key_file("keys of the USIM", Place::in_usim(0xAF20), &three_g),
        key_file("keys of the ISIM", Place::in_isim(0xAF20), &three_g).optional(),
    ];
    if let Some(gsm) = &gsm {
        steps.push(key_file("keys for GSM in the USIM", Place::in_usim(0xAF22), gsm).optional());
        steps.push(key_file("keys for GSM", Place::in_mf(&[0xA515, 0x6F20]), gsm).optional());
    }
    steps
}

/// A name of a subscription, in the octets of ASCII.
fn name(order: &Order, longest: usize) -> Vec<u8> {
    let name = order.subscriber.spn.as_deref().unwrap_or("vuicc");
    name.bytes().filter(u8::is_ascii).take(longest).collect()
}

/// `8F0C` has the name, `8F0D` files by identifier and length. Record 1 of the names is the card's own.
fn magic(order: &Order, length: usize, key_file: Option<u16>) -> Vec<Step> {
    const NAME: usize = 16;
    const PLMN_SEL: usize = 24;
    const VALID: u8 = 0x01;
    let (key, contents) = (order.subscriber.key.expose(), &order.contents);
    let short = name(order, NAME);
    let mut names = short.clone();
    names.resize(NAME, 0xFF);
    names.extend([u8::try_from(short.len()).unwrap_or_default(), VALID]);
    let mut files = Vec::new();
    if key_file.is_none() {
        files.extend_from_slice(key);
    }
    let mut put = |path: &[u16], content: &[u8]| {
        for fid in path {
            files.extend(fid.to_be_bytes());
        }
        files.push(u8::try_from(content.len()).unwrap_or_default());
        files.extend_from_slice(content);
    };
    put(&[0x3F00, 0x2FE2], &contents.iccid);
    put(&[GSM, 0x6F07], &contents.imsi);
    if let Some(fid) = key_file {
        put(&[fid], key);
    }
    let mut networks = contents.home.to_vec();
    networks.resize(PLMN_SEL, 0xFF);
    put(&[0x6F30], &networks);
    files.truncate(length);
    let in_magic = |what, fid, number, bytes| {
        Step::new(what, Target::File(Place::in_mf(&[0x7F4D, fid])), record(number, bytes, false)).secret()
    };
    vec![in_magic("name", 0x8F0C, 2, names), in_magic("Ki, ICCID, IMSI", 0x8F0D, 1, files)]
}

/// One record: state, name, ICCID, IMSI, key, service centre.
fn fake(order: &Order) -> Vec<Step> {
    const ACTIVE: u8 = 0x81;
    const NAME: usize = 14;
    const SMSP: usize = 40;
    let contents = &order.contents;
    let mut bytes = vec![ACTIVE];
    let mut short = name(order, NAME);
    short.resize(NAME, 0xFF);
    bytes.extend(short);
    bytes.extend(contents.iccid);
    bytes.extend_from_slice(&contents.imsi);
    bytes.extend_from_slice(order.subscriber.key.expose());
    let centre = contents.smsp.as_deref().unwrap_or_default();
    bytes.extend(core::iter::repeat_n(0xFF, SMSP.saturating_sub(centre.len())));
    bytes.extend_from_slice(centre);
    let target = Target::File(Place::in_mf(&[0x000C]));
    vec![Step::new("name, ICCID, IMSI, Ki, service centre", target, record(1, bytes, false)).secret()]
}
