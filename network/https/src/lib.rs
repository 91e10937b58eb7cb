//! HTTPS between servers: what SM-DP+ and operator need of it towards each other, and towards devices.
//!
//! | module | what |
//! |---|---|
//! | [`tls`] | a certificate with its key, and trusted roots |
//! | [`mod@serve`] | a router behind a listener, with or without client certificates, and an orderly end |
//! | [`places`] | how many connections there may be, of one network and of all, and whose gives way |
//! | `pace` | disconnects peers that stop reading |
//! | `body` | bodies that arrive in time |
//! | `broken` | answers that end early, on request |
//! | [`host`] | which host a request is for |

mod body;
mod broken;
pub mod host;
mod pace;
pub mod places;
pub mod serve;
pub mod tls;

pub use body::Whole;
pub use broken::{hang_up, torn};
pub use places::{MOST_CONNECTIONS, MOST_OF_ONE};
pub use serve::{PeerAddress, PeerCertificate, network_of, serve, serve_behind};
pub use tls::{TlsError, TlsIdentity};
