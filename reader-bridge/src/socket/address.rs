//! Where a card listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a card listens, or a host finds it: `tcp:HOST:PORT`, or `unix:PATH` for a socket in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `HOST:PORT`
    Tcp(String),
    /// A socket in a folder.
    Unix(PathBuf),
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a socket: HOST:PORT (port 0 takes a free one), or unix:PATH")]
pub struct NotAnAddress(pub String);

const TCP: &str = "tcp:";
const UNIX: &str = "unix:";

impl Address {
    /// Reads an address where names of readers may stand as well: only with its kind before it is it one.
    pub fn of_reader(text: &str) -> Option<Result<Self, NotAnAddress>> {
        (text.starts_with(TCP) || text.starts_with(UNIX)).then(|| text.parse())
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(address) => {
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
        }
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    /// `HOST:PORT` may have `tcp:` before it; without a host it is this machine's.
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let refused = || NotAnAddress(text.to_owned());
        if let Some(path) = text.strip_prefix(UNIX) {
            return if path.is_empty() { Err(refused()) } else { Ok(Self::Unix(path.into())) };
        }
        let address = text.strip_prefix(TCP).unwrap_or(text);
        let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
        let is_open_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if port.parse::<u16>().is_err() || host.contains(char::is_whitespace) || is_open_v6 {
            return Err(refused());
        }
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        Ok(Self::Tcp(format!("{host}:{port}")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{TCP}{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Which card a host means: the one behind a socket, or, where a [fleet](super::fleet) is there, one by its EID.
///
/// `tcp:HOST:PORT/EID`, `unix:PATH/EID`: a socket has nothing in it, so the last 32 digits after a `/` are no name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardAddress {
    /// The socket.
    pub socket: Address,
    /// The EID of one of its cards, two digits to an octet.
    pub eid: Option<[u8; 16]>,
}

impl CardAddress {
    /// Reads an address where names of readers may stand as well: only with its kind before it is it one.
    pub fn of_reader(text: &str) -> Option<Result<Self, NotAnAddress>> {
        (text.starts_with(TCP) || text.starts_with(UNIX)).then(|| text.parse())
    }
}

impl From<Address> for CardAddress {
    fn from(socket: Address) -> Self {
        Self { socket, eid: None }
    }
}

impl FromStr for CardAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let eid = |digits: &str| {
            let decimal = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_digit());
            apdu::bcd::pack_straight(digits).filter(|_| decimal)?.try_into().ok()
        };
        match text.rsplit_once('/').map(|(socket, digits)| (socket, eid(digits))) {
            Some((socket, Some(eid))) => Ok(Self { socket: socket.parse()?, eid: Some(eid) }),
            _ => Ok(text.parse::<Address>()?.into()),
        }
    }
}

impl fmt::Display for CardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)?;
        let Some(eid) = &self.eid else { return Ok(()) };
        f.write_str("/")?;
        eid.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_of_a_fleet_is_named_by_its_eid() {
        let digits = "89049032123451234512345678901235";
        for socket in ["tcp:127.0.0.1:7", "unix:a b/card"] {
            let alone: CardAddress = socket.parse().unwrap();
            assert_eq!((alone.to_string().as_str(), alone.eid), (socket, None));
            let text = format!("{socket}/{digits}");
            let one = CardAddress::of_reader(&text).unwrap().unwrap();
            assert_eq!((one.to_string(), &one.socket), (text, &alone.socket));
            assert_eq!(one.eid.unwrap()[..2], [0x89, 0x04]);
        }
        assert_eq!(CardAddress::of_reader("Virtual PCD 00 00"), None);
        let longer = format!("unix:folder/{digits}0");
        assert_eq!(longer.parse::<CardAddress>().unwrap().eid, None, "a name in a folder");
        for wrong in [format!("tcp:127.0.0.1/{digits}"), format!("tcp:127.0.0.1:7/{}", &digits[1..])] {
            assert!(wrong.parse::<CardAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written, is_local) in [
            ("127.0.0.1:7", "tcp:127.0.0.1:7", true),
            ("tcp:127.0.0.1:7", "tcp:127.0.0.1:7", true),
            ("0", "tcp:127.0.0.1:0", true),
            (":35963", "tcp:127.0.0.1:35963", true),
            ("[::1]:7", "tcp:[::1]:7", true),
            ("localhost:7", "tcp:localhost:7", true),
            ("0.0.0.0:7", "tcp:0.0.0.0:7", false),
            ("unix:a b/card", "unix:a b/card", true),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_local()), (written, is_local), "{text}");
            assert_eq!(written.parse(), Ok(address), "{text}");
        }
        for wrong in ["", "unix:", "tcp:", "host", "host:70000", "a b:7", "::1:7", "/tmp/card"] {
            let refused = wrong.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains(wrong) && refused.contains("unix:PATH"), "{refused}");
        }
        assert_eq!(Address::of_reader("Virtual PCD 00 00"), None);
        assert_eq!(Address::of_reader("0"), None);
        assert!(Address::of_reader("tcp:x").is_some_and(|read| read.is_err()));
    }
}
