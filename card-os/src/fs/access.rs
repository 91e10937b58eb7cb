//! Access rules: who may do what to a file. TS 102 221 §9.2, ISO/IEC 7816-4 §5.4.3.

use super::KeyReference;
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
    /// Create a DF in a DF.
    CreateDf,
    /// Create an EF in a DF.
    CreateEf,
    /// INCREASE.
    Increase,
    /// RESIZE FILE.
    Resize,
}

impl Operation {
    /// Its bit in an access mode byte, tag `80`. TS 102 221 tables 9.4 and 9.5.
    const fn mode(self) -> Option<u8> {
        match self {
            Self::Read => Some(0x01),
            Self::Update | Self::CreateEf => Some(0x02),
            Self::CreateDf => Some(0x04),
            Self::Deactivate => Some(0x08),
            Self::Activate => Some(0x10),
            Self::Terminate => Some(0x20),
            Self::Delete => Some(0x40),
            Self::Increase | Self::Resize => None,
        }
    }

    /// Its instruction byte in an access mode of tag `84`.
    const fn instruction(self) -> Option<u8> {
        match self {
            Self::Increase => Some(0x32),
            Self::Resize => Some(0xD4),
            _ => None,
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
    /// To whoever has verified this key.
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
            Self::Never => false,
            Self::Key(reference) => satisfied(*reference),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(satisfied)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(satisfied)),
            Self::Not(condition) => !condition.holds(satisfied),
        }
    }

    /// Whether the condition can be fulfilled by nobody.
    pub(crate) fn is_never(&self) -> bool {
        match self {
            Self::Never => true,
            Self::Always | Self::Key(_) => false,
            Self::Any(conditions) => conditions.iter().all(Self::is_never),
            Self::All(conditions) => conditions.iter().any(Self::is_never),
            Self::Not(condition) => matches!(**condition, Self::Always),
        }
    }

    fn has_never(&self) -> bool {
        match self {
            Self::Never => true,
            Self::Always | Self::Key(_) => false,
            Self::Any(conditions) | Self::All(conditions) => {
                conditions.is_empty() || conditions.iter().any(Self::has_never)
            }
            Self::Not(condition) => condition.has_never(),
        }
    }

    /// Reads one SC_DO. What is not understood is never fulfilled.
    fn parse(tag: Tag, value: &[u8], depth: u8) -> Self {
        let inner = || {
            let mut conditions = Vec::new();
            let mut reader = Reader::new(value);
            while let (1.., Ok(Some(tlv))) = (depth, reader.next()) {
                conditions.push(Self::parse(tlv.tag, tlv.value, depth - 1));
            }
            conditions
        };
        match tag {
            Tag(0x90) if value.is_empty() => Self::Always,
            Tag(0xA4) => match Reader::new(value).find(Tag(0x83)) {
                Ok(Some(tlv)) => match tlv.value {
                    [reference] => Self::Key(KeyReference(*reference)),
                    _ => Self::Never,
                },
                _ => Self::Never,
            },
            Tag(0xA0) => Self::Any(inner()),
            Tag(0xAF) => match inner() {
                conditions if conditions.is_empty() => Self::Never,
                conditions => Self::All(conditions),
            },
            // The opposite of what is not understood would be always fulfilled.
            Tag(0xA7) => match <[Self; 1]>::try_from(inner()) {
                Ok([condition]) if !condition.has_never() => Self::Not(Box::new(condition)),
                _ => Self::Never,
            },
            _ => Self::Never,
        }
    }
}

/// What an access mode data object names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// Tag `80`: a bit map of operations.
    Operations(u8),
    /// Tag `84`: instruction bytes.
    Instructions(Vec<u8>),
    /// Tags `81` to `8F` that name class bytes or parameters; matched by nothing here.
    Other,
}

/// The rules in one record of EF.ARR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRules {
    rules: Vec<(Mode, Condition)>,
}

impl AccessRules {
    /// No rules: nothing is allowed.
    pub const fn none() -> Self {
        Self { rules: Vec::new() }
    }

    /// Reads a record: AM_DO SC_DO pairs in expanded format, padded with `FF`. TS 102 221 §9.2.4.
    pub fn parse(record: &[u8]) -> Self {
        const DEPTH: u8 = 4;
        let mut rules = Vec::new();
        let mut mode = None;
        let mut reader = Reader::new(record);
        while reader.rest().first().is_some_and(|byte| *byte != 0xFF) {
            let Ok(Some(tlv)) = reader.next() else { break };
            match (tlv.tag.0, tlv.value) {
                (0x80, [map]) => mode = Some(Mode::Operations(*map)),
                (0x84, instructions) => mode = Some(Mode::Instructions(instructions.to_vec())),
                (0x81..=0x8F, _) => mode = Some(Mode::Other),
                _ => {
                    if let Some(mode) = mode.take() {
                        rules.push((mode, Condition::parse(tlv.tag, tlv.value, DEPTH)));
                    }
                }
            }
        }
        Self { rules }
    }

    /// The condition for `operation`: that of the first rule that names it, never if none does.
    pub fn condition(&self, operation: Operation) -> &Condition {
        let names = |mode: &Mode| match mode {
            Mode::Operations(map) => operation.mode().is_some_and(|bit| map & bit != 0),
            Mode::Instructions(list) => operation.instruction().is_some_and(|ins| list.contains(&ins)),
            Mode::Other => false,
        };
        self.rules.iter().find(|(mode, _)| names(mode)).map_or(&Condition::Never, |(_, condition)| condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    const PIN1: KeyReference = KeyReference(0x01);
    const ADM1: KeyReference = KeyReference(0x0A);

    #[test]
    fn usual_records() {
        // TCA templates, record 7: read and update PIN1, the rest ADM1, INCREASE PIN1.
        let rules =
            AccessRules::parse(&hex!("800103A406830101950108 800158A40683010A950108 840132A406830101950108 FFFFFF"));
        assert_eq!(rules.condition(Operation::Read), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Update), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Delete), &Condition::Key(ADM1));
        assert_eq!(rules.condition(Operation::Increase), &Condition::Key(PIN1));
        assert_eq!(rules.condition(Operation::Resize), &Condition::Never);
        // Record 4: read always, update never.
        let rules = AccessRules::parse(&hex!("8001019000 80011A9700 800140A40683010A950108"));
        assert_eq!(rules.condition(Operation::Read), &Condition::Always);
        assert_eq!(rules.condition(Operation::Update), &Condition::Never);
        assert_eq!(rules.condition(Operation::Terminate), &Condition::Never);
    }

    #[test]
    fn and_or_not() {
        let rules = AccessRules::parse(&hex!(
            "800101 A010 A406830101950108 A40683010A950108  800102 AF10 A406830101950108 A40683010A950108
             800108 A708 A406830101950108"
        ));
        let only_pin = |reference| reference == PIN1;
        assert!(rules.condition(Operation::Read).holds(&only_pin));
        assert!(!rules.condition(Operation::Update).holds(&only_pin));
        assert!(rules.condition(Operation::Update).holds(&|_| true));
        assert!(!rules.condition(Operation::Deactivate).holds(&only_pin));
    }

    #[test]
    fn what_is_not_understood_is_never() {
        let records: [&[u8]; 8] = [
            &hex!("8001019E0101"),
            &hex!("800101A40283"),
            &hex!("800101AF00"),
            &hex!("8001"),
            &[],
            &hex!("800101A7039E0101"),
            &hex!("800101A700"),
            &hex!("800101A705A0039E0101"),
        ];
        for record in records {
            assert!(!AccessRules::parse(record).condition(Operation::Read).holds(&|_| true), "{record:02X?}");
        }
        let deep: Vec<u8> = [hex!("800101").to_vec(), (0..30_u8).rev().flat_map(|n| [0xA0, n * 2]).collect()].concat();
        assert!(!AccessRules::parse(&deep).condition(Operation::Read).holds(&|_| true));
    }
}
