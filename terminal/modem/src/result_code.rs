//! How commands end: result codes of V.250 §5.7.1, errors of TS 27.007 §9.2 and TS 27.005 §3.2.5.

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `ERROR`: the command is not known, or cannot be read.
    Error,
    /// `NO CARRIER`: there is nobody to be called.
    NoCarrier,
    /// `+CME ERROR`.
    Cme(Cme),
    /// `+CMS ERROR`.
    Cms(Cms),
}

impl From<Cme> for Fault {
    fn from(error: Cme) -> Self {
        Self::Cme(error)
    }
}

impl From<Cms> for Fault {
    fn from(error: Cms) -> Self {
        Self::Cms(error)
    }
}

macro_rules! errors {
    ($(#[$doc:meta])* $type:ident: $($name:ident = $value:literal, $text:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $type(pub u16);

        impl $type {
            $(#[doc = concat!($text, ".")] pub const $name: Self = Self($value);)*

            /// The words of the specification; `None` for a number that has none here.
            pub const fn text(self) -> Option<&'static str> {
                match self.0 { $($value => Some($text),)* _ => None }
            }
        }
    };
}

errors! {
    /// Errors of the mobile equipment. TS 27.007 §9.2.
    Cme:
    PHONE_FAILURE = 0, "phone failure";
    OPERATION_NOT_ALLOWED = 3, "operation not allowed";
    OPERATION_NOT_SUPPORTED = 4, "operation not supported";
    SIM_NOT_INSERTED = 10, "SIM not inserted";
    SIM_PIN_REQUIRED = 11, "SIM PIN required";
    SIM_PUK_REQUIRED = 12, "SIM PUK required";
    SIM_FAILURE = 13, "SIM failure";
    SIM_BUSY = 14, "SIM busy";
    SIM_WRONG = 15, "SIM wrong";
    INCORRECT_PASSWORD = 16, "incorrect password";
    SIM_PIN2_REQUIRED = 17, "SIM PIN2 required";
    SIM_PUK2_REQUIRED = 18, "SIM PUK2 required";
    MEMORY_FULL = 20, "memory full";
    INVALID_INDEX = 21, "invalid index";
    NOT_FOUND = 22, "not found";
    NO_NETWORK_SERVICE = 30, "no network service";
    INCORRECT_PARAMETERS = 50, "incorrect parameters";
    UNKNOWN = 100, "unknown";
}

errors! {
    /// Errors of short messages. TS 27.005 §3.2.5.
    Cms:
    OPERATION_NOT_ALLOWED = 302, "operation not allowed";
    OPERATION_NOT_SUPPORTED = 303, "operation not supported";
    INVALID_PDU_PARAMETER = 304, "invalid PDU mode parameter";
    INVALID_TEXT_PARAMETER = 305, "invalid text mode parameter";
    SIM_NOT_INSERTED = 310, "(U)SIM not inserted";
    SIM_PIN_REQUIRED = 311, "(U)SIM PIN required";
    SIM_FAILURE = 313, "(U)SIM failure";
    SIM_BUSY = 314, "(U)SIM busy";
    SIM_PUK_REQUIRED = 316, "(U)SIM PUK required";
    INVALID_INDEX = 321, "invalid memory index";
    MEMORY_FULL = 322, "memory full";
    ADDRESS_UNKNOWN = 330, "SMSC address unknown";
    NO_NETWORK_SERVICE = 331, "no network service";
    NETWORK_TIMEOUT = 332, "network timeout";
    NO_ACKNOWLEDGEMENT_EXPECTED = 340, "no +CNMA acknowledgement expected";
    UNKNOWN = 500, "unknown error";
}

impl Cms {
    /// The error of a message for one of the card.
    pub const fn of_card(error: Cme) -> Self {
        match error {
            Cme::SIM_NOT_INSERTED => Self::SIM_NOT_INSERTED,
            Cme::SIM_PIN_REQUIRED => Self::SIM_PIN_REQUIRED,
            Cme::SIM_PUK_REQUIRED => Self::SIM_PUK_REQUIRED,
            Cme::SIM_BUSY => Self::SIM_BUSY,
            _ => Self::SIM_FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_words() {
        assert_eq!(Cme::SIM_NOT_INSERTED.text(), Some("SIM not inserted"));
        assert_eq!((Cme(515).text(), Cms::UNKNOWN.text()), (None, Some("unknown error")));
        assert_eq!(Cms::of_card(Cme::SIM_PUK_REQUIRED), Cms(316));
        assert_eq!(Cms::of_card(Cme::SIM_PIN_REQUIRED), Cms(311));
    }
}
