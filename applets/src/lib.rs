//! The applications of the emulated card.
//!
//! One folder each; none knows another. They meet through what card-os offers: domains, files, the registry.
//!
//! | module | what | selected by |
//! |---|---|---|
//! | [`isd_r`] | ES10: profiles, downloads, notifications | `A0000005591010FFFFFFFF8900000100` |
//! | [`ecasd`] | the eUICC's identity | `A0000005591010FFFFFFFF8900000200` |
//! | [`profile`] | from a profile package to a domain with files, PINs and applications | – |
//! | [`usim`] | authentication in 3G, LTE and 5G, concealment of the IMSI | the profile's AID |
//! | [`isim`] | authentication in the IP multimedia subsystem | the profile's AID |
//! | [`csim`] | files of a cdma2000 subscriber | the profile's AID |
//! | [`ara_m`] | access rules: who may use the applications of the card | `A00000015141434C00` |
//! | [`opaque`] | answers SELECT as an application of another card did, and nothing else | that AID |
//! | [`global_platform`] | what security domains of all kinds do alike | – |
//! | [`security_domain`] | the security domains of a profile, the operator's first | the profile's AID |
//!
//! [`kind`] numbers them; [`build`] and [`factory`] make one from its number.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read vectors from files"))]

pub mod ara_m;
pub mod csim;
pub mod ecasd;
mod fci;
pub mod global_platform;
pub mod isd_r;
pub mod isim;
mod naa;
pub mod opaque;
pub mod profile;
pub mod security_domain;
pub mod usim;

pub use naa::aka::{AuthenticationCounters, algorithm};
pub use naa::key_files::Layout;

use apdu::Aid;
use card_os::fs::FileNumber;
use card_os::{Application, ApplicationKind, ApplicationRecord, NewApplication, Privileges};
use crypto::provider::{Deterministic, Provider};
use saip::aka::AkaParameter;
use std::sync::Arc;

/// What each application is. The numbers are part of card images: a retired one is never given out again.
pub mod kind {
    use apdu::Aid;
    use card_os::ApplicationKind;

    /// ISD-R, the eUICC's root security domain.
    pub const ISD_R: ApplicationKind = ApplicationKind(0x0001);
    /// ECASD, the eUICC's controlling authority security domain.
    pub const ECASD: ApplicationKind = ApplicationKind(0x0002);
    /// USIM.
    pub const USIM: ApplicationKind = ApplicationKind(0x0010);
    /// ISIM.
    pub const ISIM: ApplicationKind = ApplicationKind(0x0011);
    /// CSIM.
    pub const CSIM: ApplicationKind = ApplicationKind(0x0012);
    /// A profile's security domain: MNO-SD or a supplementary one.
    pub const SECURITY_DOMAIN: ApplicationKind = ApplicationKind(0x0020);
    /// Remote file management.
    pub const RFM: ApplicationKind = ApplicationKind(0x0021);
    /// Access rule application master.
    pub const ARA_M: ApplicationKind = ApplicationKind(0x0022);
    /// An application of another card, of which only the answer to SELECT is known.
    pub const OPAQUE: ApplicationKind = ApplicationKind(0x0030);

    /// What an application with files is, by its name. TS 101 220 annex E, 3GPP2 C.S0065.
    pub fn of_files(aid: &Aid) -> ApplicationKind {
        const KINDS: [(ApplicationKind, [u8; 7]); 3] = [
            (USIM, [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02]),
            (ISIM, [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x04]),
            (CSIM, [0xA0, 0x00, 0x00, 0x03, 0x43, 0x10, 0x02]),
        ];
        KINDS.iter().find(|(_, start)| aid.starts_with(start)).map_or(OPAQUE, |(kind, _)| *kind)
    }

    /// What an application of this kind is called.
    pub const fn name(kind: ApplicationKind) -> Option<&'static str> {
        match kind {
            ISD_R => Some("ISD-R"),
            ECASD => Some("ECASD"),
            USIM => Some("USIM"),
            ISIM => Some("ISIM"),
            CSIM => Some("CSIM"),
            SECURITY_DOMAIN => Some("security domain"),
            RFM => Some("remote file management"),
            ARA_M => Some("ARA-M"),
            OPAQUE => Some("an application known by its name only"),
            ApplicationKind::FILES_ONLY => Some("a directory with a name"),
            _ => None,
        }
    }
}

/// An application with files, with network keys if there are any.
pub fn with_files(aid: Aid, kind: ApplicationKind, adf: FileNumber, keys: Option<&AkaParameter>) -> NewApplication {
    let keys = keys.filter(|_| [kind::USIM, kind::ISIM].contains(&kind));
    NewApplication {
        record: ApplicationRecord { aid, kind, adf: Some(adf), life_cycle: 0x07, privileges: Privileges::NONE },
        parameters: keys.map(AkaParameter::to_der).unwrap_or_default(),
        data: keys.map(naa::aka::initial_data).unwrap_or_default(),
    }
}

/// Builds an application by its kind: the factory of a [`card_os::Card`] whose every answer is reproducible.
pub fn build(kind: ApplicationKind) -> Option<Box<dyn Application>> {
    build_with(kind, Arc::new(Deterministic))
}

/// The factory of a card that computes on curves by `provider`.
pub fn factory(
    provider: Arc<dyn Provider>,
) -> impl Fn(ApplicationKind) -> Option<Box<dyn Application>> + Send + 'static {
    move |kind| build_with(kind, Arc::clone(&provider))
}

fn build_with(kind: ApplicationKind, provider: Arc<dyn Provider>) -> Option<Box<dyn Application>> {
    match kind {
        kind::ISD_R => Some(Box::new(isd_r::IsdR::new(provider))),
        kind::ECASD => Some(Box::new(ecasd::Ecasd)),
        kind::USIM => Some(Box::new(usim::Usim::default())),
        kind::ISIM => Some(Box::new(isim::Isim::default())),
        kind::CSIM => Some(Box::new(csim::Csim)),
        kind::SECURITY_DOMAIN => Some(Box::new(security_domain::SecurityDomain::default())),
        kind::ARA_M => Some(Box::new(ara_m::AraM::default())),
        kind::OPAQUE => Some(Box::new(opaque::Opaque)),
        _ => None,
    }
}
