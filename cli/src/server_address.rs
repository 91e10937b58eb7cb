//! Addresses of servers as users enter them, and those that SM-DP+ and operator expect of each other.

use std::net::SocketAddr;

use rsp::activation_code::is_server_address;

/// An address as in activation codes: `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`. SGP.22 §4.1
pub(crate) fn server_address(text: &str) -> Result<String, String> {
    if is_server_address(text) {
        return Ok(text.to_owned());
    }
    Err("expected a host and optionally a port, such as smdp.example.com or 192.0.2.7:8443, without https://"
        .to_owned())
}

/// An address to connect to, `HOST:PORT`.
pub(crate) fn host_and_port(text: &str) -> Result<String, String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    match text.rsplit_once(':') {
        Some((_, port)) if is_port(port) && is_server_address(text) => Ok(text.to_owned()),
        _ => Err("expected a host and a port, such as 127.0.0.1:8443 or [::1]:8443".to_owned()),
    }
}

/// The default name of an operator.
pub(crate) const OPERATOR: &str = "operator.test";
/// The default port for progress notifications from SM-DP+s.
pub(crate) const PROGRESS_PORT: u16 = 9444;

/// An address to listen on.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8443 or [::]:443".to_owned())
}

/// The host of `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`.
pub(crate) fn host_of(address: &str) -> String {
    if let Some((host, _)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host.to_owned();
    }
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host.to_owned(),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        for right in ["smdp.example.com", "localhost:8443", "192.0.2.7:8443", "[::1]:8443", "[2001:db8::1]"] {
            assert_eq!(server_address(right).as_deref(), Ok(right));
        }
        for wrong in
            ["", "foo:bar:baz", "foo:bar", "a:0", "a:65536", "a b", "https://a", "a$b", "[x]:1", "::1", ":8443"]
        {
            assert!(server_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_waited_for_has_a_port() {
        for right in ["localhost:8443", "192.0.2.7:8443", "[::1]:8443"] {
            assert_eq!(host_and_port(right).as_deref(), Ok(right));
        }
        for wrong in ["nonsense", "localhost", "localhost:0", "[::1]", "::1", "localhost:x", ""] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_lose_their_ports() {
        assert_eq!(host_of("smdp.example.com"), "smdp.example.com");
        assert_eq!(host_of("smdp.example.com:8443"), "smdp.example.com");
        assert_eq!(host_of("[::1]:8443"), "::1");
        assert_eq!(host_of("127.0.0.1:8443"), "127.0.0.1");
    }
}
