//! Makes a complete, consistent profile package from a few lines about a subscriber.
//!
//! ```
//! use saip::builder::{Subscriber, build};
//!
//! let mut subscriber = Subscriber::new(
//!     "8988211000000000011",
//!     "001010000000001",
//!     "465b5ce8b199b49faa5f0a2ee238a6bc".parse().unwrap(),
//!     "cd63cb71954a9f4e48a5994e37a02baf".parse().unwrap(),
//! );
//! subscriber.msisdn = Some("+15551234567".to_owned());
//! let package = saip::encode_package(&build(&subscriber).unwrap());
//! assert_eq!(saip::decode_package(&package).unwrap().len(), 13);
//! ```
//!
//! What is built: MF with PL, ICCID, DIR, ARR and UMPC; PUKs, PINs, ADM1; DF.TELECOM with a phonebook; a USIM with its optional
//! files, DF.GSM-ACCESS, DF.5GS and DF.SAIP as wanted; an ISIM if wanted; the operator's security domain, and remote file
//! management if there are keys for it. Service tables say what is there and nothing else. The same subscriber gives the
//! same octets.

mod access_rules;
mod consistency;
mod contents;
mod ef;
mod file;
mod fresh;
mod individual;
mod name;
mod number;
mod phonebook;
mod profile;
mod secure_channels;
mod selection;
mod subscriber;
mod usim;
mod usim_contents;
mod usim_fields;

pub use access_rules::{AccessRule, AccessRules, Apdu, Ever, PKCS15_AID, Writing};
pub use consistency::has_three_digit_mncs;
pub use contents::Contents;
pub use individual::{Individual, individualise};
pub use name::{Name, NameCoding};
pub use number::Dialled;
pub use profile::{
    ISIM_AID, ISIM_FILE_ID, MNO_SD_AID, RFM_UICC_AID, RFM_USIM_AID, TAR_RFM_UICC, TAR_RFM_USIM, USIM_AID, USIM_FILE_ID,
    build, ims_domain,
};
pub use secure_channels::{KeySet, Protocol, SecureChannels};
pub use subscriber::{
    Algorithm, Code, Codes, HomeNetworkKey, Ims, Key, NotHexadecimal, OtaKeys, Subscriber, SubscriberError, Suci,
    SuciCalculation, SuciProfile,
};
pub use usim_fields::{
    AccessIdentity, CellBroadcast, Charge, Contact, ECall, EmergencyNumber, EmergencyService, Mailboxes, NetworkName,
    OperatorNetwork, UsimFields, Wanted, WarningArea,
};
