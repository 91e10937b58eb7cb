//! The tables: what stands in which TLV.

pub(crate) mod ara;
pub(crate) mod es10;
pub(crate) mod fcp;
pub(crate) mod globalplatform;
pub(crate) mod gsm;
pub(crate) mod profile;
pub(crate) mod terminal_profile;
pub(crate) mod toolkit;

use crate::schema::Node;

/// What stands in the TLVs of answers and commands, by what they are, for other programs' tables; messages of ES10 are
/// [`MESSAGES`](es10::MESSAGES).
pub fn places() -> [(&'static str, &'static [Node]); 9] {
    [
        ("templates", fcp::TEMPLATES),
        ("data_objects", globalplatform::DATA_OBJECTS),
        ("access_rules", ara::OBJECTS),
        ("registry", globalplatform::REGISTRY),
        ("search", globalplatform::SEARCH),
        ("delete", globalplatform::DELETE),
        ("terminal_capability", fcp::TERMINAL_CAPABILITY),
        ("initialise_secure_channel", es10::INITIALISE_SECURE_CHANNEL),
        ("commands", es10::COMMANDS),
    ]
}
