//! The formats, a row each.

use clap::ValueEnum;
use saip::builder::{Algorithm, Subscriber, SuciProfile};
use zeroize::Zeroizing;

use super::{Entry, Network, document, lines};
use crate::failure::Failure;

/// Text for entries of a network.
type Write = fn(&[Entry], &Network<'_>) -> Result<Zeroizing<String>, Failure>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// user_db.csv of srsEPC
    Srsepc,
    /// documents of Open5GS, for mongoimport
    Open5gs,
    /// commands of open5gs-dbctl, for a shell
    Open5gsDbctl,
    /// requests to free5GC's web console: a path and a body in each line
    Free5gc,
    /// commands of osmo-hlr's VTY
    OsmoHlr,
    /// SQL for osmo-hlr's database
    OsmoHlrSql,
    /// requests to PyHSS's API, as a script for a shell with curl
    Pyhss,
    /// configuration of one UE of UERANSIM
    Ueransim,
}

/// What of a network may be given beside its subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Sqn,
    Amf,
    Apn,
    Sst,
    Sd,
}

impl Setting {
    /// Its option.
    pub(super) const fn option(self) -> &'static str {
        match self {
            Self::Sqn => "--sqn",
            Self::Amf => "--amf",
            Self::Apn => "--apn",
            Self::Sst => "--sst",
            Self::Sd => "--sd",
        }
    }
}

/// A format.
pub(super) struct Row {
    format: Format,
    /// As it is written on the command line.
    pub(super) name: &'static str,
    /// What reads it.
    pub(super) what: &'static str,
    /// What is done with it.
    pub(super) use_it: &'static str,
    /// The algorithms that it has.
    pub(super) algorithms: &'static [Algorithm],
    /// What of a network it has a place for.
    pub(super) settings: &'static [Setting],
    /// What of a subscriber it cannot have, and why.
    pub(super) lacks: fn(&Subscriber) -> Option<&'static str>,
    /// Whether its subscribers have cards of their own.
    pub(super) has_iccid: bool,
    /// Whether it describes one subscriber.
    pub(super) one_only: bool,
    pub(super) write: Write,
}

const MILENAGE: &[Algorithm] = &[Algorithm::Milenage];
const ALL: &[Setting] = &[Setting::Sqn, Setting::Amf, Setting::Apn, Setting::Sst, Setting::Sd];

const ROWS: &[Row] = &[
    Row {
        format: Format::Srsepc,
        name: "srsepc",
        what: "srsEPC",
        use_it: "epc.conf names it: [hss] db_file",
        algorithms: &[Algorithm::Milenage, Algorithm::Xor],
        settings: &[Setting::Sqn, Setting::Amf],
        lacks: srsepc_lacks,
        has_iccid: false,
        one_only: false,
        write: lines::srsepc,
    },
    Row {
        format: Format::Open5gs,
        name: "open5gs",
        what: "Open5GS",
        use_it: "mongoimport --db open5gs --collection subscribers --jsonArray --file FILE",
        algorithms: MILENAGE,
        settings: ALL,
        lacks: none,
        has_iccid: false,
        one_only: false,
        write: document::open5gs,
    },
    Row {
        format: Format::Open5gsDbctl,
        name: "open5gs-dbctl",
        what: "open5gs-dbctl",
        use_it: "sh FILE",
        algorithms: MILENAGE,
        settings: &[Setting::Apn, Setting::Sst, Setting::Sd],
        lacks: none,
        has_iccid: false,
        one_only: false,
        write: lines::open5gs_dbctl,
    },
    Row {
        format: Format::Free5gc,
        name: "free5gc",
        what: "free5GC",
        use_it: "POST each body to its path, with the header Token",
        algorithms: MILENAGE,
        settings: ALL,
        lacks: none,
        has_iccid: false,
        one_only: false,
        write: document::free5gc,
    },
    Row {
        format: Format::OsmoHlr,
        name: "osmo-hlr",
        what: "osmo-hlr",
        use_it: "its VTY takes the lines, on port 4258",
        algorithms: MILENAGE,
        settings: &[],
        lacks: none,
        has_iccid: false,
        one_only: false,
        write: lines::osmo_hlr,
    },
    Row {
        format: Format::OsmoHlrSql,
        name: "osmo-hlr-sql",
        what: "osmo-hlr",
        use_it: "sqlite3 hlr.db < FILE",
        algorithms: MILENAGE,
        settings: &[Setting::Sqn],
        lacks: none,
        has_iccid: false,
        one_only: false,
        write: lines::osmo_hlr_sql,
    },
    Row {
        format: Format::Pyhss,
        name: "pyhss",
        what: "PyHSS",
        use_it: "sh FILE, with PYHSS=http://HOST:8080",
        algorithms: MILENAGE,
        settings: &[Setting::Sqn, Setting::Amf, Setting::Apn],
        lacks: none,
        has_iccid: true,
        one_only: false,
        write: document::pyhss,
    },
    Row {
        format: Format::Ueransim,
        name: "ueransim",
        what: "UERANSIM",
        use_it: "nr-ue -c FILE",
        algorithms: MILENAGE,
        settings: &[Setting::Amf, Setting::Apn, Setting::Sst, Setting::Sd],
        lacks: ueransim_lacks,
        has_iccid: false,
        one_only: true,
        write: lines::ueransim,
    },
];

/// Nothing.
const fn none(_: &Subscriber) -> Option<&'static str> {
    None
}

/// Its HSS and MME compare eight octets, or as many as the card has of sixteen.
fn srsepc_lacks(subscriber: &Subscriber) -> Option<&'static str> {
    let is_short = subscriber.algorithm == Algorithm::Xor && subscriber.res_length.is_some_and(|octets| octets < 8);
    is_short.then_some("res_length: srsEPC compares 8 octets of RES")
}

fn ueransim_lacks(subscriber: &Subscriber) -> Option<&'static str> {
    let keys = subscriber.suci.as_ref().map(|suci| suci.keys.as_slice()).unwrap_or_default();
    let has_a = keys.iter().any(|key| key.profile == SuciProfile::A);
    (!keys.is_empty() && !has_a).then_some("suci.keys: UERANSIM conceals with profile A alone")
}

impl Format {
    pub(super) fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.format == self).unwrap_or(&ROWS[0])
    }
}

impl Row {
    /// The options that it has a place for.
    pub(super) fn options(&self) -> String {
        let options: Vec<_> = self.settings.iter().map(|setting| setting.option()).collect();
        if options.is_empty() { "none of these options".to_owned() } else { options.join(", ") }
    }

    /// The algorithms, as subscribers' files name them.
    pub(super) fn names(&self) -> String {
        let name = |algorithm: &Algorithm| match algorithm {
            Algorithm::Milenage => "milenage",
            Algorithm::Tuak => "tuak",
            Algorithm::Xor => "xor",
        };
        self.algorithms.iter().map(name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_row() {
        for format in Format::value_variants() {
            let row = format.row();
            assert_eq!(row.format, *format);
            assert_eq!(format.to_possible_value().unwrap().get_name(), row.name);
        }
    }
}
