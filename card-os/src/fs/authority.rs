//! Who is asking: the terminal with its PINs, or an application with an access domain.

use super::{Condition, KeyReference};

/// What the access rules of files are held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The keys verified by the terminal.
    Terminal,
    /// What an application was granted when it was installed.
    Domain(AccessDomain),
}

/// The access domain of an application: remote file management, a toolkit applet. TS 102 226 §8.2.1.3.2.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessDomain {
    /// Full access: everything but what is never allowed.
    Full,
    /// As if these keys were verified.
    Keys(Vec<KeyReference>),
    /// No access.
    None,
}

impl AccessDomain {
    /// Whether an operation with this condition is granted; `disabled` tells which keys need no verification.
    pub(crate) fn grants(&self, condition: &Condition, disabled: &dyn Fn(KeyReference) -> bool) -> bool {
        match self {
            Self::Full => !condition.is_never(),
            Self::Keys(keys) => condition.holds(&|reference| keys.contains(&reference) || disabled(reference)),
            Self::None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_grant() {
        let adm = Condition::Key(KeyReference::ADM1);
        let pin = Condition::Key(KeyReference::PIN_APPL_1);
        let both = Condition::All(vec![pin.clone(), adm.clone()]);
        let never = Condition::All(vec![adm.clone(), Condition::Never]);
        let nothing_disabled = |_| false;
        let keys = AccessDomain::Keys(vec![KeyReference::ADM1]);
        for (condition, full, by_key) in [
            (&Condition::Always, true, true),
            (&adm, true, true),
            (&pin, true, false),
            (&both, true, false),
            (&never, false, false),
            (&Condition::Any(vec![Condition::Never, adm.clone()]), true, true),
            (&Condition::Never, false, false),
            (&Condition::Any(vec![]), false, false),
        ] {
            assert_eq!(AccessDomain::Full.grants(condition, &nothing_disabled), full, "{condition:?}");
            assert_eq!(keys.grants(condition, &nothing_disabled), by_key, "{condition:?}");
            assert!(!AccessDomain::None.grants(condition, &nothing_disabled));
        }
        assert!(keys.grants(&both, &|reference| reference == KeyReference::PIN_APPL_1), "a disabled PIN asks nobody");
    }
}
