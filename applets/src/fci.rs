//! File control information of applications without files. GlobalPlatform Card Specification §11.9.3.

use apdu::Aid;
use apdu::tlv::{Tag, Writer};

/// The FCI of a security domain: name, longest command data, and what else it has to say.
pub(crate) fn security_domain_fci(aid: &Aid, more: &[u8]) -> Vec<u8> {
    const FCI_TEMPLATE: Tag = Tag(0x6F);
    const DF_NAME: Tag = Tag(0x84);
    const PROPRIETARY: Tag = Tag(0xA5);
    const MAXIMUM_COMMAND_DATA: Tag = Tag(0x9F65);
    let mut fci = Writer::new();
    fci.constructed(FCI_TEMPLATE, |fci| {
        fci.primitive(DF_NAME, aid);
        fci.constructed(PROPRIETARY, |properties| {
            properties.primitive(MAXIMUM_COMMAND_DATA, &[0xFF]);
        });
        fci.raw(more);
    });
    fci.into_bytes()
}
