//! Access rules: who may do what to a file. TS 102 221 §9.2, ISO/IEC 7816-4 §5.4.3.

use super::KeyReference;
use apdu::Class;
use apdu::tlv::{Reader, Tag};

/// What is to be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read or search.
    Read,
    /// Update.
    Update,
    /// Deactivate.
    Deactivate,
    /// Activate.
    Activate,
    /// Terminate.
    Terminate,
    /// Delete, of a DF: itself.
    Delete,
    /// Delete a file in a DF.
    DeleteChild,
    /// Create a DF in a DF.
    CreateDf,
    /// Create an EF in a DF.
    CreateEf,
    /// INCREASE; no bit stands for it, only its instruction.
    Increase,
    /// RESIZE FILE; no bit stands for it, only its instruction.
    Resize,
}

impl Operation {
    /// Its bit in an access mode byte: of an EF, or of the DF it is done to. TS 102 221 tables 9.4 and 9.5.
    const fn mode(self) -> Option<u8> {
        match self {
            Self::Read | Self::DeleteChild => Some(0x01),
            Self::Update | Self::CreateEf => Some(0x02),
            Self::CreateDf => Some(0x04),
            Self::Deactivate => Some(0x08),
            Self::Activate => Some(0x10),
            Self::Terminate => Some(0x20),
            Self::Delete => Some(0x40),
            Self::Increase | Self::Resize => None,
        }
    }
}

/// When an operation is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// To everyone.
    Always,
    /// To no one.
    Never,
    /// Something this card does not understand or does not have. It is not fulfilled, nor is its opposite.
    Unknown,
    /// To a user who has verified this key.
    Key(KeyReference),
    /// When any of these holds.
    Any(Vec<Self>),
    /// When all of these hold.
    All(Vec<Self>),
    /// When this does not hold.
    Not(Box<Self>),
}

impl Condition {
    /// Whether the condition holds, given which keys are satisfied.
    pub fn holds(&self, satisfied: &dyn Fn(KeyReference) -> bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never | Self::Unknown => false,
            Self::Key(reference) => satisfied(*reference),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(satisfied)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(satisfied)),
            Self::Not(condition) => !condition.holds(satisfied),
        }
    }

    /// Whether nothing can fulfil the condition.
    pub(crate) fn is_never(&self) -> bool {
        match self {
            Self::Never | Self::Unknown => true,
            Self::Always | Self::Key(_) => false,
            Self::Any(conditions) => conditions.iter().all(Self::is_never),
            Self::All(conditions) => conditions.iter().any(Self::is_never),
            Self::Not(condition) => condition.is_always(),
        }
    }

    /// Whether the condition is fulfilled by everyone.
    fn is_always(&self) -> bool {
        match self {
            Self::Always => true,
            Self::Never | Self::Unknown | Self::Key(_) => false,
            Self::Any(conditions) => conditions.iter().any(Self::is_always),
            Self::All(conditions) => conditions.iter().all(Self::is_always),
            // What is not understood has no opposite.
            Self::Not(condition) => condition.is_never() && !condition.has_unknown(),
        }
    }

    fn has_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Always | Self::Never | Self::Key(_) => false,
            Self::Any(conditions) | Self::All(conditions) => conditions.iter().any(Self::has_unknown),
            Self::Not(condition) => condition.has_unknown(),
        }
    }

    /// The conditions of one rule: outside an OR template all must hold. ISO/IEC 7816-4 §5.4.3.2.
    fn all(conditions: Vec<Self>) -> Self {
        match <[Self; 1]>::try_from(conditions) {
            Ok([condition]) => condition,
            Err(none) if none.is_empty() => Self::Unknown,
            Err(several) => Self::All(several),
        }
    }

    /// Conditions of which one is enough.
    fn any(conditions: Vec<Self>) -> Self {
        match <[Self; 1]>::try_from(conditions) {
            Ok([condition]) => condition,
            Err(none) if none.is_empty() => Self::Unknown,
            Err(several) => Self::Any(several),
        }
    }

    /// Reads one SC_DO.
    fn parse(tag: Tag, value: &[u8], depth: u8) -> Self {
        let inner = || {
            let mut conditions = Vec::new();
            let mut reader = Reader::new(value);
            loop {
                match (depth, reader.next()) {
                    (1.., Ok(Some(tlv))) => conditions.push(Self::parse(tlv.tag, tlv.value, depth - 1)),
                    (_, Ok(None)) => return conditions,
                    // What cannot be read, or lies too deep, is a condition all the same.
                    (_, Ok(Some(_)) | Err(_)) => {
                        conditions.push(Self::Unknown);
                        return conditions;
                    }
                }
            }
        };
        match tag {
            Tag(0x90) if value.is_empty() => Self::Always,
            Tag(0x97) if value.is_empty() => Self::Never,
            Tag(0x9E) => match value {
                [byte] => Self::from_byte(*byte),
                _ => Self::Unknown,
            },
            Tag(0xA4) => Self::from_template(value),
            Tag(0xA0) => Self::any(inner()),
            Tag(0xAF) => Self::all(inner()),
            Tag(0xA7) => match <[Self; 1]>::try_from(inner()) {
                Ok([condition]) if !condition.has_unknown() => Self::Not(Box::new(condition)),
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }

    /// Reads a control reference template: one key, and what it is for. ISO/IEC 7816-4 §5.4.3.2, TS 102 221 §9.2.4.
    fn from_template(value: &[u8]) -> Self {
        const KEY_REFERENCE: Tag = Tag(0x83);
        let (mut reader, mut key) = (Reader::new(value), None);
        loop {
            match reader.next() {
                Ok(Some(tlv)) if tlv.tag == KEY_REFERENCE => match (key, tlv.value) {
                    (None, [reference]) => key = Some(KeyReference(*reference)),
                    // Several keys: whether one of them or all is not said.
                    _ => return Self::Unknown,
                },
                Ok(Some(_)) => {}
                Ok(None) => return key.map_or(Self::Unknown, Self::Key),
                Err(_) => return Self::Unknown,
            }
        }
    }

    /// Reads a security condition byte. TS 102 221 §9.2.3, ISO/IEC 7816-4 table 20.
    ///
    /// The key of a user authentication without security environment is implicitly known: here ADM1, as in the
    /// specification's example of EF.DIR. There are no environments that such a byte could name, no external
    /// authentication and no secure messaging.
    fn from_byte(byte: u8) -> Self {
        const ALL: u8 = 0x80;
        const SECURE_MESSAGING: u8 = 0x40;
        const EXTERNAL_AUTHENTICATION: u8 = 0x20;
        const USER_AUTHENTICATION: u8 = 0x10;
        match byte {
            0x00 => return Self::Always,
            0xFF => return Self::Never,
            _ if byte & 0x0F != 0 => return Self::Unknown,
            _ => {}
        }
        let mechanisms = [
            (SECURE_MESSAGING, Self::Unknown),
            (EXTERNAL_AUTHENTICATION, Self::Unknown),
            (USER_AUTHENTICATION, Self::Key(KeyReference::ADM1)),
        ];
        let wanted =
            mechanisms.into_iter().filter(|(bit, _)| byte & bit != 0).map(|(_, condition)| condition).collect();
        if byte & ALL != 0 { Self::all(wanted) } else { Self::any(wanted) }
    }
}

/// What an access mode data object names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// Tag `80`: a bit map of operations.
    Operations(u8),
    /// Tags `81` to `8F`: command headers one after another, of the parts that the low half of the tag names.
    Headers { parts: u8, list: Vec<u8> },
    /// A state machine (tag `9C`), or what makes no sense; it names nothing.
    Unknown,
}

impl Mode {
    /// Bit 8 of the bit map: bits 7 to 4 have a meaning of their own, unknown here.
    const PROPRIETARY: u8 = 0x80;
    /// The bits whose meaning is not the card's own.
    const INTERINDUSTRY: u8 = 0x07;

    /// Reads an AM_DO; `None` for anything else. ISO/IEC 7816-4 table 21.
    fn parse(tag: Tag, value: &[u8]) -> Option<Self> {
        Some(match (tag.0, value) {
            (0x80, [map]) if map & Self::PROPRIETARY != 0 => Self::Operations(map & Self::INTERINDUSTRY),
            (0x80, [map]) => Self::Operations(*map),
            (0x81..=0x8F, list) => {
                let parts = tag.0.to_be_bytes()[3] & 0x0F;
                let length = parts.count_ones() as usize;
                if list.is_empty() || !list.len().is_multiple_of(length) {
                    Self::Unknown
                } else {
                    Self::Headers { parts, list: list.to_vec() }
                }
            }
            (0x80 | 0x9C, _) => Self::Unknown,
            _ => return None,
        })
    }

    fn names(&self, operation: Operation, header: [u8; 4]) -> bool {
        match self {
            Self::Operations(map) => operation.mode().is_some_and(|bit| map & bit != 0),
            Self::Headers { .. } => self.names_header(header),
            Self::Unknown => false,
        }
    }

    /// Whether it names a command by its header CLA INS P1 P2. The logical channel in CLA is no part of what is done.
    fn names_header(&self, [cla, ins, p1, p2]: [u8; 4]) -> bool {
        let Self::Headers { parts, list } = self else { return false };
        let class = Class::parse(cla).and_then(|class| Class::on_channel(class.is_proprietary(), 0));
        let header = [class.map_or(cla, Class::to_byte), ins, p1, p2];
        let wanted = (0..4).rev().zip(&header).filter(|(bit, _)| parts >> bit & 1 == 1).map(|(_, part)| part);
        let length = (parts & 0x0F).count_ones().max(1) as usize;
        list.chunks_exact(length).any(|named| wanted.clone().eq(named))
    }
}

/// The access rules of a file: one record of EF.ARR, or what stands in the file's own descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRules {
    rules: Vec<(Mode, Condition)>,
}

impl AccessRules {
    /// No rules: nothing is allowed.
    pub const fn none() -> Self {
        Self { rules: Vec::new() }
    }

    /// Reads rules in expanded format: an AM_DO and the SC_DOs that must all hold, again and again, padded with `FF`.
    /// TS 102 221 §9.2.4.
    ///
    /// An AM_DO without an SC_DO behind it allows nothing, nor does a rule of which a part cannot be read.
    pub fn parse(record: &[u8]) -> Self {
        // Deeper than templates can be in a record of EF.ARR, whose 255 bytes hold about a hundred; what else refers to rules
        // gets no further either, and no stack suffers from it.
        const DEPTH: u8 = 128;
        const PADDING: u8 = 0xFF;
        let mut rules: Vec<(Mode, Vec<Condition>)> = Vec::new();
        let mut rest = record;
        while let Some(&first) = rest.first().filter(|byte| **byte != PADDING) {
            let mut reader = Reader::new(rest);
            let tlv = match (first, reader.next()) {
                // Between data objects `00` has no meaning. ISO/IEC 7816-4 §5.2.2.
                (0x00, _) => {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                (_, Ok(Some(tlv))) => tlv,
                (0x80..=0x8F | 0x9C, _) => break,
                _ => {
                    rules.last_mut().into_iter().for_each(|(_, conditions)| conditions.push(Condition::Unknown));
                    break;
                }
            };
            rest = reader.rest();
            match (Mode::parse(tlv.tag, tlv.value), rules.last_mut()) {
                (Some(mode), _) => rules.push((mode, Vec::new())),
                (None, Some((_, conditions))) => conditions.push(Condition::parse(tlv.tag, tlv.value, DEPTH)),
                (None, None) => {}
            }
        }
        Self { rules: rules.into_iter().map(|(mode, conditions)| (mode, Condition::all(conditions))).collect() }
    }

    /// Reads rules in compact format, the value of tag `8C`: an access mode byte and a security condition byte for each of its
    /// bits. Several such sets are alternatives. TS 102 221 §9.2.3.
    pub fn parse_compact(value: &[u8]) -> Self {
        let mut conditions: [Vec<Condition>; 7] = Default::default();
        let mut rest = value.iter();
        while let Some(map) = rest.next() {
            // From bit 7 down to bit 1.
            for bit in (0..7_usize).rev().filter(|bit| map >> bit & 1 == 1) {
                let condition = rest.next().map_or(Condition::Unknown, |byte| Condition::from_byte(*byte));
                let known = map & Mode::PROPRIETARY == 0 || Mode::INTERINDUSTRY >> bit & 1 == 1;
                if let Some(alternatives) = conditions.get_mut(bit).filter(|_| known) {
                    alternatives.push(condition);
                }
            }
        }
        let rules = (0_u8..).zip(conditions).filter(|(_, alternatives)| !alternatives.is_empty());
        Self { rules: rules.map(|(bit, any)| (Mode::Operations(1 << bit), Condition::any(any))).collect() }
    }

    /// The condition for `operation`, done by a command with this header: that of the first rule that names either, never if
    /// none does.
    pub fn condition(&self, operation: Operation, header: [u8; 4]) -> &Condition {
        self.named(operation, header).unwrap_or(&Condition::Never)
    }

    /// The condition of the first rule that names `operation` or the command with this header.
    pub(crate) fn named(&self, operation: Operation, header: [u8; 4]) -> Option<&Condition> {
        self.rules.iter().find(|(mode, _)| mode.names(operation, header)).map(|(_, condition)| condition)
    }

    /// The condition for a command that a rule names by its header, as those of an ADF may name AUTHENTICATE.
    pub(crate) fn for_command(&self, header: [u8; 4]) -> Option<&Condition> {
        self.rules.iter().find(|(mode, _)| mode.names_header(header)).map(|(_, condition)| condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    const PIN1: KeyReference = KeyReference(0x01);
    const ADM1: KeyReference = KeyReference(0x0A);
    const READ_BINARY: [u8; 4] = hex!("00B00000");
    const UPDATE_BINARY: [u8; 4] = hex!("00D60000");
    const INCREASE: [u8; 4] = hex!("80320000");

    fn only_pin(reference: KeyReference) -> bool {
        reference == PIN1
    }

    fn only_adm(reference: KeyReference) -> bool {
        reference == ADM1
    }

    #[test]
    fn usual_records() {
        // TCA templates, record 7: read and update PIN1, the rest ADM1, INCREASE PIN1.
        let rules =
            AccessRules::parse(&hex!("800103A406830101950108 800158A40683010A950108 840132A406830101950108 FFFFFF"));
        assert_eq!(rules.condition(Operation::Read, READ_BINARY), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Update, UPDATE_BINARY), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Delete, hex!("00E40000")), &Condition::Key(ADM1));
        assert_eq!(rules.condition(Operation::Increase, INCREASE), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Resize, hex!("80D40000")), &Condition::Never);
        // Record 4: read always, update never.
        let rules = AccessRules::parse(&hex!("8001019000 80011A9700 800140A40683010A950108"));
        assert_eq!(rules.condition(Operation::Read, READ_BINARY), &Condition::Always);
        assert_eq!(rules.condition(Operation::Update, UPDATE_BINARY), &Condition::Never);
        assert_eq!(rules.condition(Operation::Terminate, hex!("00E80000")), &Condition::Never);
        // Record 14 with bit 1, of a DF: to delete a file in it.
        let rules = AccessRules::parse(&hex!("800101A40683010A950108 800140 9700"));
        assert_eq!(rules.condition(Operation::DeleteChild, hex!("00E40000")), &Condition::Key(ADM1));
        assert_eq!(rules.condition(Operation::Delete, hex!("00E40000")), &Condition::Never);
    }

    /// What one AM_DO and the SC_DOs behind it let PIN1 alone, ADM1 alone, both, and none read.
    #[test]
    fn conditions_of_one_rule() {
        const PIN: &str = "A406830101950108";
        const ADM: &str = "A40683010A950108";
        let cases: [(&str, &[&str], [bool; 4]); 25] = [
            ("one key", &[PIN], [true, false, true, false]),
            ("two keys", &[PIN, ADM], [false, false, true, false]),
            ("in either order", &[ADM, PIN], [false, false, true, false]),
            ("always and a key", &["9000", ADM], [false, true, true, false]),
            ("a key and always", &[PIN, "9000"], [true, false, true, false]),
            ("a key and never", &[PIN, "9700"], [false; 4]),
            ("never and always", &["9700", "9000"], [false; 4]),
            ("OR", &["A010", PIN, ADM], [true, true, true, false]),
            ("OR, and outside it a key", &["A010", PIN, ADM, PIN], [true, false, true, false]),
            ("OR with always", &["A00A", PIN, "9000"], [true; 4]),
            ("OR with never", &["A00A", PIN, "9700"], [true, false, true, false]),
            ("AND", &["AF10", PIN, ADM], [false, false, true, false]),
            ("AND with never", &["AF0A", PIN, "9700"], [false; 4]),
            ("NOT", &["A708", ADM], [true, false, false, true]),
            ("NOT always", &["A7029000"], [false; 4]),
            ("NOT never", &["A7029700"], [true; 4]),
            ("NOT OR", &["A712A010", PIN, ADM], [false, false, false, true]),
            ("NOT AND", &["A712AF10", PIN, ADM], [true, true, false, true]),
            ("NOT NOT", &["A70AA708", PIN], [true, false, true, false]),
            ("a key and NOT another", &[PIN, "A708", ADM], [true, false, false, false]),
            ("OR of ANDs", &["A01CAF10", PIN, ADM, "A708", ADM], [true, false, true, true]),
            ("AND of ORs", &["AF1AA010", PIN, ADM, ADM], [false, true, true, false]),
            ("security condition byte always", &["9E0100"], [true; 4]),
            ("security condition byte never", &["9E01FF"], [false; 4]),
            ("security condition byte, user authentication", &["9E0110"], [false, true, true, false]),
        ];
        for (name, parts, expected) in cases {
            let record = format!("800101{}8001029000FFFF", parts.concat());
            let record: Vec<u8> =
                (0..record.len()).step_by(2).map(|at| u8::from_str_radix(&record[at..at + 2], 16).unwrap()).collect();
            let rules = AccessRules::parse(&record);
            let condition = rules.condition(Operation::Read, READ_BINARY);
            let holds = [
                condition.holds(&only_pin),
                condition.holds(&only_adm),
                condition.holds(&|_| true),
                condition.holds(&|_| false),
            ];
            assert_eq!(holds, expected, "{name}");
            assert!(rules.condition(Operation::Update, UPDATE_BINARY).holds(&|_| false), "the next rule: {name}");
        }
    }

    /// Tags `81` to `8F`: every combination of CLA, INS, P1 and P2. ISO/IEC 7816-4 table 21.
    #[test]
    fn commands_by_their_header() {
        let header = [0x00, 0xB2, 0x05, 0x04];
        for parts in 1..=0x0F_u8 {
            let named: Vec<u8> = (0..4).filter(|at| parts & 8 >> at != 0).map(|at| header[at]).collect();
            let length = u8::try_from(named.len()).unwrap();
            let record = [&[0x80 | parts, length], &named[..], &hex!("9000")].concat();
            let rules = AccessRules::parse(&record);
            assert!(rules.condition(Operation::Read, header).holds(&|_| false), "{record:02X?}");
            for part in 0..4 {
                let mut other = header;
                // Of CLA not the channel, which is no part of what is done.
                other[part] ^= if part == 0 { 0x80 } else { 0x40 };
                let holds = rules.condition(Operation::Read, other).holds(&|_| true);
                assert_eq!(holds, parts & 8 >> part == 0, "{record:02X?} {other:02X?}");
            }
            // Several headers in one object, and one that is not whole.
            let record = [
                &[0x80 | parts, 2 * length],
                &named.iter().map(|b| b ^ 0x11).collect::<Vec<u8>>()[..],
                &named[..],
                &hex!("9000"),
            ]
            .concat();
            assert!(AccessRules::parse(&record).condition(Operation::Read, header).holds(&|_| false), "{record:02X?}");
            if length > 1 {
                let record = [&[0x80 | parts, length - 1], &named[1..], &hex!("9000")].concat();
                assert!(!AccessRules::parse(&record).condition(Operation::Read, header).holds(&|_| true));
            }
        }
        let rules = AccessRules::parse(&hex!("8802 0080 A406830101950108 8401 32 9000"));
        assert_eq!(rules.condition(Operation::Read, hex!("03B00000")), &Condition::Key(PIN1), "channel 3");
        assert_eq!(rules.condition(Operation::Read, hex!("43B00000")), &Condition::Key(PIN1), "channel 7");
        assert_eq!(
            rules.condition(Operation::Increase, hex!("81320000")),
            &Condition::Key(PIN1),
            "the first rule counts"
        );
        assert_eq!(rules.for_command(hex!("00880081")), Some(&Condition::Key(PIN1)));
        assert_eq!(AccessRules::parse(&hex!("8001019000")).for_command(READ_BINARY), None);
    }

    #[test]
    fn sequences_of_rules() {
        // The first rule that names an operation counts.
        let rules = AccessRules::parse(&hex!("8401B0A406830101950108 8001039000"));
        assert_eq!(rules.condition(Operation::Read, READ_BINARY), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Read, hex!("00B20104")), &Condition::Always);
        // An AM_DO without condition allows nothing; a state machine is an AM_DO as well.
        let rules = AccessRules::parse(&hex!("800101 8001029000"));
        assert!(rules.condition(Operation::Read, READ_BINARY).is_never());
        assert_eq!(rules.condition(Operation::Update, UPDATE_BINARY), &Condition::Always);
        let rules = AccessRules::parse(&hex!("8001019000 9C01AA 9700"));
        assert_eq!(rules.condition(Operation::Read, READ_BINARY), &Condition::Always);
        // Padding may stand between objects; a condition in front of the first AM_DO belongs to nothing.
        let rules = AccessRules::parse(&hex!("9000 00 800101 0000 A406830101950108 00 FF 8001029000"));
        assert_eq!(rules.condition(Operation::Read, READ_BINARY), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Update, UPDATE_BINARY), &Condition::Never);
        // Bit 8 makes bits 7 to 4 the card issuer's own.
        let rules = AccessRules::parse(&hex!("8001FF9000"));
        assert_eq!(rules.condition(Operation::Update, UPDATE_BINARY), &Condition::Always);
        assert_eq!(rules.condition(Operation::Deactivate, hex!("00040000")), &Condition::Never);
    }

    #[test]
    fn what_is_not_understood_is_never() {
        let records: [&[u8]; 19] = [
            &hex!("8001019E0111"),
            &hex!("8001019E0120"),
            &hex!("8001019E0180"),
            &hex!("8001019E020000"),
            &hex!("800101A40283"),
            // Several keys in one template, and a key before what is cut off.
            &hex!("800101A409 830101 83010A 950108"),
            &hex!("800101A405 830101 9501"),
            &hex!("800101AF00"),
            &hex!("8001"),
            &[],
            &hex!("800101A7039E0111"),
            &hex!("800101A700"),
            &hex!("800101A705A0039E0111"),
            &hex!("800101A704 9700 9700"),
            // A second condition that is cut off, unknown, or lies in a template that is cut off.
            &hex!("800101 9000 A40683"),
            &hex!("800101 9000 B4009000"),
            &hex!("800101 AF05 9000 A40683"),
            &hex!("800101 9001 00"),
            &hex!("80020101 9000"),
        ];
        for record in records {
            let rules = AccessRules::parse(record);
            for satisfied in [true, false] {
                assert!(!rules.condition(Operation::Read, READ_BINARY).holds(&|_| satisfied), "{record:02X?}");
            }
        }
    }

    /// ISO/IEC 7816-4 §5.4.3.2 sets no depth: a record of EF.ARR holds what it has room for, and rules in expanded format that
    /// go deeper than any record are never fulfilled, nor do they exhaust a stack.
    #[test]
    fn templates_in_templates() {
        let within = |depth: usize, template: u8, mut value: Vec<u8>| {
            for _ in 0..depth {
                let length = value.len();
                let length = match u8::try_from(length) {
                    Ok(length @ 0..=0x7F) => vec![length],
                    Ok(length) => vec![0x81, length],
                    Err(_) => [&[0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
                };
                value = [vec![template], length, value].concat();
            }
            [hex!("800101").to_vec(), value].concat()
        };
        let read = |record: &[u8], satisfied: bool| {
            AccessRules::parse(record).condition(Operation::Read, READ_BINARY).holds(&|_| satisfied)
        };
        let pin = hex!("A406830101950108").to_vec();
        let mut depth = 0;
        while within(depth + 1, 0xA0, pin.clone()).len() <= 255 {
            depth += 1;
            for template in [0xA0, 0xAF] {
                let record = within(depth, template, pin.clone());
                assert_eq!((read(&record, true), read(&record, false)), (true, false), "{depth} of {template:02X}");
            }
            let record = within(depth, 0xA7, pin.clone());
            let opposite = depth % 2 == 1;
            assert_eq!((read(&record, true), read(&record, false)), (!opposite, opposite), "{depth} negations");
        }
        assert!((95..=120).contains(&depth), "{depth}");
        for template in [0xA0, 0xAF, 0xA7] {
            let record = within(16_000, template, hex!("9000").to_vec());
            assert!(!read(&record, true) && !read(&record, false));
        }
        let deep: Vec<u8> = [hex!("800101").to_vec(), (0..30_u8).rev().flat_map(|n| [0xA7, n * 2]).collect()].concat();
        assert!(!read(&deep, true), "nothing within");
    }

    /// Full access does not open what is never allowed, in whatever form the rule says so.
    #[test]
    fn never_in_other_words() {
        for (record, never) in [
            (&hex!("800101 A702 9000")[..], true),
            (&hex!("800101 A704 A702 9700"), true),
            (&hex!("800101 A704 A002 9000"), true),
            (&hex!("800101 A706 A702 9E0111"), true),
            (&hex!("800101 A704 A702 9000"), false),
            (&hex!("800101 A702 9700"), false),
            (&hex!("800101 A708 A406830101950108"), false),
        ] {
            assert_eq!(
                AccessRules::parse(record).condition(Operation::Read, READ_BINARY).is_never(),
                never,
                "{record:02X?}"
            );
        }
    }

    /// Tag `8C`. The examples of TS 102 221 §9.2.3, and the MF of a sysmoISIM-SJA5.
    #[test]
    fn compact_format() {
        let read_always = AccessRules::parse_compact(&hex!("0100"));
        assert_eq!(read_always.condition(Operation::Read, READ_BINARY), &Condition::Always);
        assert_eq!(read_always.condition(Operation::Update, UPDATE_BINARY), &Condition::Never);
        let dir = AccessRules::parse_compact(&hex!("1B 10 10 10 00"));
        assert_eq!(dir.condition(Operation::Read, READ_BINARY), &Condition::Always);
        for operation in [Operation::Update, Operation::Activate, Operation::Deactivate] {
            assert_eq!(dir.condition(operation, UPDATE_BINARY), &Condition::Key(ADM1));
        }
        let mf = AccessRules::parse_compact(&hex!("26 1A 00 00"));
        assert_eq!(mf.condition(Operation::Terminate, hex!("00E60000")), &Condition::Unknown, "environment A");
        assert_eq!(mf.condition(Operation::CreateDf, hex!("00E00000")), &Condition::Always);
        assert_eq!(mf.condition(Operation::CreateEf, hex!("00E00000")), &Condition::Always);
        assert_eq!(mf.condition(Operation::DeleteChild, hex!("00E40000")), &Condition::Never);
        // Several sets are alternatives.
        let two = AccessRules::parse_compact(&hex!("03 FF 10  01 00"));
        assert!(two.condition(Operation::Read, READ_BINARY).holds(&|_| false));
        assert_eq!(two.condition(Operation::Update, UPDATE_BINARY), &Condition::Never);
        // Bit 8: bits 7 to 4 are proprietary, and their condition bytes are passed over.
        let own = AccessRules::parse_compact(&hex!("C1 00 10"));
        assert_eq!(own.condition(Operation::Delete, hex!("00E40000")), &Condition::Never);
        assert_eq!(own.condition(Operation::Read, READ_BINARY), &Condition::Key(ADM1));
        // All or one of several mechanisms; condition bytes that are missing.
        let both = AccessRules::parse_compact(&hex!("03 B0 30"));
        assert!(!both.condition(Operation::Update, UPDATE_BINARY).holds(&|_| true));
        assert!(both.condition(Operation::Read, READ_BINARY).holds(&only_adm));
        assert!(!AccessRules::parse_compact(&hex!("03 00")).condition(Operation::Read, READ_BINARY).holds(&|_| true));
    }
}
