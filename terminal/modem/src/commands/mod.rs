//! What each command does.

mod files;
mod general;
mod identities;
mod messages;
mod receiving;
mod registration;
mod security;
pub(crate) mod sending;
mod sessions;
mod toolkit;

use crate::call::Call;
use crate::modem::Modem;
use crate::port::Port;
use crate::reply::Reply;
use crate::result_code::Fault;

/// A command.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) test: Test,
    pub(crate) run: fn(&mut Modem, &mut Port, &Call, &mut Reply) -> Result<(), Fault>,
}

/// What the test form of a command gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    /// `OK` alone: the command is there.
    Done,
    /// The values that it takes.
    Values(&'static str),
    /// The command answers it itself.
    Asks,
    /// `ERROR`: the command has no test form.
    Unknown,
}

macro_rules! rows {
    ($($name:literal, $test:expr, $run:path;)*) => {
        /// All of them, by name.
        pub(crate) const ROWS: &[Row] = &[$(Row { name: $name, test: $test, run: $run },)*];
    };
}

rows! {
    // V.250.
    "&C", Test::Unknown, general::accept;
    "&D", Test::Unknown, general::accept;
    "&F", Test::Unknown, general::defaults;
    "&K", Test::Unknown, general::accept;
    "&S", Test::Unknown, general::accept;
    "&W", Test::Unknown, general::accept;
    "A", Test::Unknown, general::no_carrier;
    "D", Test::Unknown, general::dial;
    "E", Test::Unknown, general::echo;
    "H", Test::Unknown, general::accept;
    "I", Test::Unknown, general::information;
    "L", Test::Unknown, general::accept;
    "M", Test::Unknown, general::accept;
    "O", Test::Unknown, general::no_carrier;
    "P", Test::Unknown, general::accept;
    "Q", Test::Unknown, general::quiet;
    "S0", Test::Unknown, general::parameter;
    "S1", Test::Unknown, general::parameter;
    "S2", Test::Unknown, general::parameter;
    "S3", Test::Unknown, general::parameter;
    "S4", Test::Unknown, general::parameter;
    "S5", Test::Unknown, general::parameter;
    "S6", Test::Unknown, general::parameter;
    "S7", Test::Unknown, general::parameter;
    "S8", Test::Unknown, general::parameter;
    "S9", Test::Unknown, general::parameter;
    "S10", Test::Unknown, general::parameter;
    "S11", Test::Unknown, general::parameter;
    "S12", Test::Unknown, general::parameter;
    "T", Test::Unknown, general::accept;
    "V", Test::Unknown, general::verbose;
    "X", Test::Unknown, general::accept;
    "Z", Test::Unknown, general::defaults;
    "+FCLASS", Test::Values("(0)"), general::class;
    "+GCAP", Test::Done, general::capabilities;
    // TS 27.007 §5: identification, character set.
    "+CGMI", Test::Done, general::manufacturer;
    "+CGMM", Test::Done, general::model;
    "+CGMR", Test::Done, general::revision;
    "+CGSN", Test::Values("(0,1)"), general::serial_number;
    "+CLAC", Test::Done, general::commands;
    "+CSCS", Test::Values("(\"IRA\",\"GSM\",\"UCS2\")"), general::character_set;
    "+GMI", Test::Done, general::manufacturer;
    "+GMM", Test::Done, general::model;
    "+GMR", Test::Done, general::revision;
    "+GSN", Test::Done, general::serial_number;
    // §7, §8, §9: card, PINs, errors.
    "+CFUN", Test::Values("(0,1,4),(0,1)"), general::functionality;
    "+CLCK", Test::Values("(\"SC\",\"FD\")"), security::lock;
    "+CMEE", Test::Values("(0,1,2)"), general::errors;
    "+CPIN", Test::Done, security::pin;
    "+CPINR", Test::Done, security::tries;
    "+CPWD", Test::Values("(\"SC\",8),(\"P2\",8)"), security::password;
    "+CATR", Test::Done, identities::answer_to_reset;
    "+CCID", Test::Done, identities::iccid;
    "+CEID", Test::Done, identities::eid;
    "+CICCID", Test::Done, identities::iccid;
    "+CIMI", Test::Done, identities::imsi;
    "+CNUM", Test::Done, identities::numbers;
    "+CUAD", Test::Done, identities::applications;
    "+ICCID", Test::Done, identities::iccid;
    "+QCCID", Test::Done, identities::iccid;
    "%XICCID", Test::Done, identities::iccid;
    "^ICCID", Test::Done, identities::iccid;
    "+CCHC", Test::Done, sessions::close;
    "+CCHO", Test::Done, sessions::open;
    "+CGLA", Test::Done, sessions::transmit;
    "+CSIM", Test::Done, sessions::generic;
    "+CRLA", Test::Done, files::restricted_in_session;
    "+CRSM", Test::Done, files::restricted;
    // §7.2, §7.3, §8.5, §8.69, §10.1: the network.
    "+CEREG", Test::Values("(0-2)"), registration::state;
    "+CESQ", Test::Values("(99),(99),(255),(255),(34,255),(97,255)"), registration::extended_signal;
    "+CGATT", Test::Values("(0,1)"), registration::attached;
    "+CGREG", Test::Values("(0-2)"), registration::state;
    "+CIND", Test::Values("(\"service\",(0,1)),(\"signal\",(0-5)),(\"call\",(0,1))"), registration::indicators;
    "+COPS", Test::Asks, registration::operator;
    "+CREG", Test::Values("(0-2)"), registration::state;
    "+CSQ", Test::Values("(31,99),(99)"), registration::signal;
    // Calls and lines, of which there are none.
    "+CCWA", Test::Values("(0,1)"), general::keep;
    "+CHUP", Test::Done, general::nothing;
    "+CLCC", Test::Done, general::nothing;
    "+CLIP", Test::Values("(0,1)"), general::keep;
    "+COLP", Test::Values("(0,1)"), general::keep;
    "+CPAS", Test::Values("(0)"), general::nothing;
    "+CRC", Test::Values("(0,1)"), general::keep;
    "+CSSN", Test::Values("(0,1),(0,1)"), general::keep;
    "+IFC", Test::Values("(0-2),(0-2)"), general::keep;
    "+IPR", Test::Values("(0)"), general::keep;
    // §12: the toolkit.
    "+CUSATA", Test::Values("(0,1)"), toolkit::activate;
    "+CUSATD", Test::Values("(0,1),(0)"), toolkit::download;
    "+CUSATE", Test::Done, toolkit::envelope;
    "+CUSATR", Test::Values("(0-2)"), toolkit::read_profile;
    "+CUSATT", Test::Done, toolkit::respond;
    "+CUSATW", Test::Values("(0)"), toolkit::write_profile;
    // TS 27.005.
    "+CMGD", Test::Asks, messages::delete;
    "+CMGF", Test::Values("(0,1)"), messages::format;
    "+CGSMS", Test::Values("(0-3)"), general::keep;
    "+CMGL", Test::Asks, messages::list;
    "+CMGR", Test::Done, messages::read;
    "+CMGS", Test::Done, sending::send;
    "+CMGW", Test::Done, sending::write;
    "+CMMS", Test::Values("(0-2)"), general::keep;
    "+CMSS", Test::Done, sending::send_kept;
    "+CNMA", Test::Values("(0-2)"), receiving::acknowledge;
    "+CNMI", Test::Values("(0-3),(0-3),(0,2),(0,1),(0,1)"), receiving::indications;
    "+CPMS", Test::Values("(\"SM\"),(\"SM\"),(\"SM\")"), messages::storage;
    "+CSCA", Test::Done, messages::service_centre;
    "+CSDH", Test::Values("(0,1)"), messages::show_headers;
    "+CSMP", Test::Done, sending::parameters;
    "+CSMS", Test::Values("(0,1)"), receiving::service;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_there_once() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }
}
