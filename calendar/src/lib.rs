//! Days of the Gregorian calendar, moments in seconds since 1970 as RFC 3339 and ASN.1 write them, and clocks that may be set.
//!
//! Only arithmetic: what time it is, the caller says. Leap seconds are not counted, as in Unix time.

mod clock;
mod date;
mod timestamp;

pub use clock::{Clock, ClockSetting, InvalidClock};
pub use date::Date;
pub use timestamp::{Asn1Time, InvalidTimestamp, Timestamp};

/// Seconds of a day.
pub const DAY: u64 = 86_400;
