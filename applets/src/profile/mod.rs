//! From a profile package to a domain: what happens to the octets of ES8+.LoadProfileElements.
//!
//! The interpreter takes the package in whatever pieces it arrives and stages a [`DomainImage`] in working memory.
//! Nothing is on the card until ISD-R installs the image, in the same transaction as the notification.
//!
//! [`Interpreter`] does it piece by piece, [`interpret`] a package that is there as a whole.

mod access_rules;
mod interpreter;
mod naa_keys;
mod services;
mod sim;

pub use interpreter::Interpreter;
pub use services::{CLAIMABLE, OFFERED, claim, claimed, uicc_capability};
pub use sim::{Seen, add_sim};

use card_os::DomainImage;
use identities::Iccid;
use rsp::euicc_info::UiccCapability;
use rsp::notification::ErrorReason;
use saip::EuiccResponse;

/// What a profile may use, and what its metadata said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Free non-volatile memory, bytes.
    pub memory: usize,
    /// The profile's class is test: its network keys must be known test keys.
    pub test_profile: bool,
    /// `uiccCapability` of EUICCInfo2: what the card [claims](claimed) beyond what it has. SGP.22 §5.7.8.
    pub capability: UiccCapability,
}

/// A profile package interpreted to its end.
pub struct Profile {
    /// ICCID of the profile header, in the byte order of EF.ICCID.
    pub iccid: Iccid,
    /// Files, PINs and applications.
    pub image: DomainImage,
    /// What to tell the SM-DP+.
    pub response: EuiccResponse,
}

/// A profile package that cannot be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, for the profile installation result.
    pub reason: ErrorReason,
    /// Which element, and what is wrong with it.
    pub response: Option<EuiccResponse>,
}

/// Interprets a whole package.
pub fn interpret(package: &[u8], limits: Limits) -> Result<Profile, Failure> {
    let mut interpreter = Interpreter::new(limits);
    interpreter.push(package)?;
    interpreter.finish()
}
