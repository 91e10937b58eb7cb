//! What the access rule application is told and answers: GET DATA, STORE DATA. GPD_SPE_013 §4 to §6

use crate::schema::{
    Form::{Aid, Codes, Inside, Null, Octets, Text, Version},
    Node, nodes,
};

/// What GET DATA asks for, by P1 and P2, where a word is needed. GPD_SPE_013 table 4-1
pub(crate) const ASKED: &[(u16, &str)] = &[
    (0xFF40, "all access rules"),
    (0xFF50, "access rules for a reference"),
    (0xFF60, "the next part"),
    (0xDF20, "refresh tag"),
    (0xDF21, "configuration"),
];

/// Data objects of both commands.
pub(crate) static OBJECTS: &[Node] = nodes!("ara":
    0xFF40 all "access rules" Inside(RULES);
    0xFF50 specific "access rules for the reference" Inside(RULE);
    0xDF20 refresh_tag "refresh tag" Octets;
    0xDF21 configuration "configuration" Inside(CONFIGURATION);
    0xFF70 clients "clients" Inside(REFERENCE);
    0xFF7F device_configuration "device configuration" Inside(CONFIGURATION);
    0xE1 reference "reference" Inside(REFERENCE);
    0xE4 device "device" Inside(VERSION);
    0xF0 store "store an access rule" Inside(RULES);
    0xF1 delete "delete access rules" Inside(MEANT);
    0xF2 update_refresh_tag "update the refresh tag" Null;
    0xF3 get "get access rules" Inside(REFERENCE);
    0xF4 get_all "get all access rules" Null;
    0xF5 get_next "get the next part" Null;
    0xF6 get_clients "get the clients" Null;
    0xF7 register_clients "register clients" Inside(REFERENCE);
    0xF8 get_device_configuration "get the device configuration" Null;
);
static RULES: &[Node] = nodes!("ara": 0xE2 rule "access rule" Inside(RULE););
static RULE: &[Node] = nodes!("ara":
    0xE1 reference "reference" Inside(REFERENCE);
    0xE3 access "access" Inside(ACCESS);
);
static MEANT: &[Node] = nodes!("ara":
    0x4F aid "application of the card" Aid;
    0xC0 implicit "application that is selected implicitly" Null;
    0xE1 reference "reference" Inside(REFERENCE);
    0xE2 rule "access rule" Inside(RULE);
);
static REFERENCE: &[Node] = nodes!("ara":
    0x4F aid "application of the card" Aid;
    0xC0 implicit "application that is selected implicitly" Null;
    0xC1 device_application "hash of the device application's certificate" Octets;
    0xCA package "package name" Text;
);
static ACCESS: &[Node] = nodes!("ara":
    0xD0 apdu "commands" Octets;
    0xD1 nfc "NFC events" Codes(&[(0, "never"), (1, "always")]);
    0xDB permissions "permissions" Octets;
);
static CONFIGURATION: &[Node] = nodes!("ara":
    0xE4 device "device" Inside(VERSION);
    0xE5 card "access rule application" Inside(VERSION);
);
static VERSION: &[Node] = nodes!("ara": 0xE6 version "interface version" Version;);
