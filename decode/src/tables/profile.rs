//! What profile elements become, by the names of the interoperable format.

use crate::field::{Kind, Name};

macro_rules! names {
    ($($constant:ident $name:literal $label:literal $kind:ident;)*) => {
        $(pub(crate) const $constant: Name = Name::new(concat!("pe.", $name), $label, Kind::$kind);)*

        /// All of them.
        pub(crate) const ALL: &[Name] = &[$($constant),*];
    };
}

names! {
    ELEMENT "element" "profile element" Group;
    KIND "kind" "kind" Text;
    MANDATED "mandated" "mandated" Flag;
    IDENTIFICATION "identification" "identification" Number;
    VERSION "version" "version" Text;
    PROFILE_TYPE "profile_type" "profileType" Text;
    ICCID "iccid" "iccid" Text;
    SERVICES "services" "eUICC-Mandatory-services" Text;
    TEMPLATES "templates" "eUICC-Mandatory-GFSTEList" Text;
    TEMPLATE "template" "templateID" Text;
    FILE "file" "file" Text;
    FILE_ID "file_id" "file identifier" Octets;
    FILE_OFFSET "file_offset" "fillFileOffset" Number;
    FILE_CONTENT "file_content" "fillFileContent" Octets;
    FILE_PATH "file_path" "filePath" Octets;
    KEY_REFERENCE "key_reference" "keyReference" Number;
    PIN "pin" "pinValue" Octets;
    PUK "puk" "pukValue" Octets;
    ATTEMPTS "attempts" "maximum attempts" Number;
    ALGORITHM "algorithm" "algorithmID" Text;
    KEY "key" "key" Octets;
    OPC "opc" "opc" Octets;
    INSTANCE_AID "instance_aid" "instance AID" Octets;
    KEY_IDENTIFIER "key_identifier" "keyIdentifier" Number;
    KEY_VERSION "key_version" "keyVersionNumber" Number;
    KEY_DATA "key_data" "keyData" Octets;
    CONTENT "content" "content" Octets;
    SIMA_STATUS "status" "PEStatus" Number;
    SIMA_IDENTIFICATION "status_identification" "identification" Number;
    SIMA_ABORTED "aborted" "profileInstallationAborted" Flag;
    SIMA_MESSAGE "status_message" "statusMessage" Text;
}
