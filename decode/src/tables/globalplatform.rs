//! What GlobalPlatform's commands carry: GET DATA, GET STATUS, INSTALL, DELETE, STORE DATA. GlobalPlatform §11.

use crate::schema::{
    Form::{Aid, Certificate, DigitsInOrder, Inside, Number, Octets, Oid},
    Node, nodes,
};

/// What GET DATA answers, by its tag. §11.3.3
pub(crate) static DATA_OBJECTS: &[Node] = nodes!("gp":
    0x42 issuer_identification "issuer or security domain provider identification number" Octets;
    0x45 card_image_number "card or security domain image number" Octets;
    0x5A eid "EID" DigitsInOrder;
    0x5F20 security_domain_provider "security domain provider identification number" Octets;
    0x66 card_data "card data" Inside(CARD_DATA);
    0x67 card_capability "card capability information" Octets;
    0x7F21 certificate_store "certificate" Certificate;
    0x9F7F production_life_cycle "card production life cycle data" Octets;
    0xBF30 certificate_chain "certificate store" Inside(CERTIFICATE_STORE);
    0xC1 sequence_counter "sequence counter" Number;
    0xC2 confirmation_counter "confirmation counter" Number;
    0xCF key_derivation_data "key derivation data" Octets;
    0xE0 key_information "key information template" Inside(KEY_INFORMATION);
    0xFF21 extended_resources "extended card resources information" Inside(EXTENDED_RESOURCES);
    0xFF40 card_resources "card resource management data" Octets;
);
static CERTIFICATE_STORE: &[Node] = nodes!("gp": 0x7F21 certificate_store "certificate" Certificate;);
static KEY_INFORMATION: &[Node] = nodes!("gp": 0xC0 key_information_data "key information data" Octets;);
static EXTENDED_RESOURCES: &[Node] = nodes!("gp":
    0x81 installed_applications "number of installed applications" Number;
    0x82 free_non_volatile_memory "free non-volatile memory" Number;
    0x83 free_volatile_memory "free volatile memory" Number;
);
static CARD_DATA: &[Node] = nodes!("gp": 0x73 card_recognition "card recognition data" Inside(CARD_RECOGNITION););
static CARD_RECOGNITION: &[Node] = nodes!("gp":
    0x06 card_recognition_oid "object identifier" Oid;
    0x60 management_type "card management type and version" Inside(OBJECT_IDENTIFIER);
    0x63 identification_scheme "card identification scheme" Inside(OBJECT_IDENTIFIER);
    0x64 secure_channel_protocols "secure channel protocol" Inside(OBJECT_IDENTIFIER);
    0x65 configuration "card configuration details" Octets;
    0x66 chip_details "card or chip details" Octets;
);
static OBJECT_IDENTIFIER: &[Node] = nodes!("gp": 0x06 card_recognition_oid "object identifier" Oid;);

/// Entries of the answer to GET STATUS. §11.4.3
pub(crate) static REGISTRY: &[Node] = nodes!("gp": 0xE3 registry_entry "registry entry" Inside(REGISTRY_ENTRY););
static REGISTRY_ENTRY: &[Node] = nodes!("gp":
    0x4F aid "AID" Aid;
    0x9F70 life_cycle "life cycle state" Octets;
    0xC5 privileges "privileges" Octets;
    0xC4 load_file_aid "executable load file" Aid;
    0xCC security_domain_aid "security domain" Aid;
    0xCE load_file_version "version of the executable load file" Octets;
    0x84 module_aid "executable module" Aid;
    0xCF implicit_selection "implicit selection parameter" Octets;
);

/// Search criteria of GET STATUS. §11.4.2.3
pub(crate) static SEARCH: &[Node] = nodes!("gp":
    0x4F aid "AID" Aid;
    0x5C tag_list "tag list" Octets;
);

/// DELETE. §11.2.2.3
pub(crate) static DELETE: &[Node] = nodes!("gp":
    0x4F aid "AID" Aid;
    0xD0 key_identifier "key identifier" Number;
    0xD2 key_version "key version number" Number;
    0xB6 control_reference "control reference template for digital signature" Octets;
);

/// Parameters of INSTALL. §11.5.2.3.7
pub(crate) static INSTALL_PARAMETERS: &[Node] = nodes!("gp":
    0xC9 application_parameters "application specific parameters" Octets;
    0xEF system_parameters "system specific parameters" Inside(SYSTEM_PARAMETERS);
    0xEA uicc_parameters "UICC system specific parameters" Inside(UICC_PARAMETERS);
    0xCA sim_parameters "SIM file access and toolkit parameters" Octets;
    0xB6 control_reference "control reference template for digital signature" Octets;
    0xCB global_delete "global delete parameters" Octets;
);
static SYSTEM_PARAMETERS: &[Node] = nodes!("gp":
    0xC6 non_volatile_code "non-volatile code minimum memory" Number;
    0xC7 volatile_quota "volatile memory quota" Number;
    0xC8 non_volatile_quota "non-volatile memory quota" Number;
    0xCA sim_parameters "SIM file access and toolkit parameters" Octets;
    0xCF implicit_selection "implicit selection parameter" Octets;
    0xD7 volatile_reserved "volatile reserved memory" Number;
    0xD8 non_volatile_reserved "non-volatile reserved memory" Number;
);
/// ETSI TS 102 226 §8.2.1.3.2.2.
static UICC_PARAMETERS: &[Node] = nodes!("gp":
    0x80 toolkit_parameters "UICC toolkit application specific parameters" Octets;
    0x81 access_parameters "UICC access application specific parameters" Octets;
    0x82 administrative_access_parameters "UICC administrative access application specific parameters" Octets;
);
