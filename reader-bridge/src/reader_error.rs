//! What can be wrong with readers and the PC/SC service, and how to get at one.

use apdu::TransportError;

/// Why a card in a reader could not be reached: the cause and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// This program has no PC/SC in it: `reader-bridge` was built without its feature `pcsc`.
    #[error(
        "no readers: this program was built without PC/SC (feature `pcsc`); build it with that (Debian: apt install \
         libpcsclite-dev pkg-config), or take a card in an image"
    )]
    WithoutPcsc,
    /// No PC/SC service runs.
    #[error("no PC/SC service is running; {}", start_reader())]
    NoService,
    /// The PC/SC service runs and has no reader.
    #[error(
        "the PC/SC service has no reader; plug one in, or add a virtual one: apt install vsmartcard-vpcd, and start pcscd anew"
    )]
    NoReaders,
    /// No reader has the name or number asked for.
    #[error("no reader matches `{wanted}`; there are: {}", list(.present))]
    ReaderNotFound {
        /// Name, part of a name, or number that was asked for.
        wanted: String,
        /// Readers that are there.
        present: Vec<String>,
    },
    /// Several readers have the part of a name asked for.
    #[error("several readers match `{wanted}`, and not just one of them has a card: {}; give more of the name, or the number", list(.matching))]
    ReaderAmbiguous {
        /// Part of a name that was asked for.
        wanted: String,
        /// Readers it matches.
        matching: Vec<String>,
    },
    /// The reader is empty.
    #[error("no card in reader `{reader}`; insert one (a virtual one with `vuicc card run IMAGE`)")]
    NoCard {
        /// Name of the reader.
        reader: String,
    },
    /// No reader has a card, and any would have done.
    #[error("no card in any reader ({}); insert one (a virtual one with `vuicc card run IMAGE`)", list(.present))]
    NoCardAnywhere {
        /// Readers that are there.
        present: Vec<String>,
    },
    /// The reader holds a card, and should be empty.
    #[error("there is still a card in `{reader}`; take it out (one of `vuicc card run` with `vuicc card eject`)")]
    Occupied {
        /// Name of the reader.
        reader: String,
    },
    /// No card listens at the address of a socket.
    #[error("no card at {address}: {cause}; put one there")]
    NobodyListens {
        /// Where.
        address: String,
        /// What the operating system says.
        cause: String,
    },
    /// What listens at the address of a socket has no card of this EID.
    #[error("no card at {address}: there is none of this EID, or no fleet")]
    NoSuchCard {
        /// Where, and which.
        address: String,
    },
    /// A fleet is behind the socket, and no card of it was named.
    #[error("many cards are behind {address}; name one by its EID: {address}/EID")]
    NoneNamed {
        /// Where.
        address: String,
    },
    /// A fleet has as many clients as it takes.
    #[error("no card at {address}: the fleet has as many clients as it takes; end one, or let it take more")]
    TooManyClients {
        /// Where, and which.
        address: String,
    },
    /// Another program holds the card.
    #[error("the card in `{reader}` is in use by another program; close that program, or wait for it")]
    Busy {
        /// Name of the reader.
        reader: String,
    },
    /// The service refuses this user.
    #[error(
        "the PC/SC service denies access to `{reader}`; ask polkit for access_pcsc and access_card, or run as root"
    )]
    AccessDenied {
        /// Name of the reader.
        reader: String,
    },
    /// The card gave no or no sensible answer to reset.
    #[error("the card in `{reader}` gave no answer to reset; take it out, clean its contacts and insert it again")]
    Unresponsive {
        /// Name of the reader.
        reader: String,
    },
    /// Card and reader share no protocol.
    #[error("the card in `{reader}` offers neither T=0 nor T=1; it cannot be used with this reader")]
    ProtocolMismatch {
        /// Name of the reader.
        reader: String,
    },
    /// What the service says and nothing above covers.
    #[error("PC/SC: {cause} (reader `{reader}`); `pcscd --foreground --debug --apdu` shows what happens below")]
    Service {
        /// Name of the reader.
        reader: String,
        /// The service's own words.
        cause: String,
    },
    /// The reader did its part; the card did not.
    #[error(transparent)]
    Card(#[from] TransportError),
}

impl From<ReaderError> for TransportError {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::Card(error) => error,
            other => Self::Connection(other.to_string()),
        }
    }
}

/// Set by `scripts/private-pcscd` for what runs beside its service.
const PRIVATE: &str = "VUICC_PRIVATE_PCSCD";

/// How to get a PC/SC service with a virtual reader, on this machine.
pub(crate) fn start_reader() -> &'static str {
    ways_to_a_reader(std::env::var_os(PRIVATE).is_some())
}

/// How to get a slot of a virtual reader, on this machine.
pub(crate) fn find_slot() -> String {
    ways_to_a_slot(std::env::var_os(PRIVATE).and_then(|_| std::env::var("VPCD_PORT").ok()).as_deref())
}

/// `first` is the port of the first slot of a private-pcscd that this is beside.
fn ways_to_a_slot(first: Option<&str>) -> String {
    match first {
        Some(port) => {
            format!("beside this scripts/private-pcscd the first slot is 127.0.0.1:{port} as long as that runs")
        }
        None => ways_to_a_reader(false).to_owned(),
    }
}

const fn ways_to_a_reader(in_private: bool) -> &'static str {
    if in_private {
        "this is beside scripts/private-pcscd, whose pcscd is not there any more: end this shell, and begin anew with \
         `scripts/private-pcscd -n bash`"
    } else {
        "start pcscd with a virtual reader (Debian: apt install pcscd vsmartcard-vpcd; systemctl start pcscd.socket), or get \
         a shell with one of its own: `scripts/private-pcscd -n bash`; further terminals beside that: \
         `scripts/private-pcscd -j bash`"
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    names.iter().enumerate().map(|(index, name)| format!("{index}: {name}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_cause_and_way_out() {
        let error = ReaderError::ReaderNotFound { wanted: "ACS".into(), present: vec!["Virtual PCD 00 00".into()] };
        assert_eq!(error.to_string(), "no reader matches `ACS`; there are: 0: Virtual PCD 00 00");
        let none = ReaderError::NoCardAnywhere { present: vec!["A".into(), "B".into()] }.to_string();
        assert!(none.starts_with("no card in any reader (0: A, 1: B)"), "{none}");
        let outside = ways_to_a_reader(false);
        for way in ["start pcscd", "vsmartcard-vpcd", "private-pcscd -n bash", "private-pcscd -j bash"] {
            assert!(outside.contains(way), "{outside}");
        }
        let inside = ways_to_a_reader(true);
        assert!(inside.contains("beside scripts/private-pcscd") && !inside.contains("systemctl"), "{inside}");
        assert!(ReaderError::NoService.to_string().contains("scripts/private-pcscd"));
        assert!(ways_to_a_slot(Some("35963")).contains("127.0.0.1:35963"));
        assert_eq!(ways_to_a_slot(None), outside);
    }
}
