//! A clock that may be set: for runs that repeat, and to see what expires.

use core::fmt;
use core::str::FromStr;

use crate::{DAY, Timestamp};

/// What time a program takes it to be, given the system's time. It asks no system itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The system's.
    #[default]
    System,
    /// It stands still at this moment, in seconds since 1970.
    Frozen(u64),
    /// It runs so many seconds ahead of the system's, or behind.
    Shifted(i64),
}

impl Clock {
    /// The moment, when it is `system` by the system's clock; both in seconds since 1970.
    pub const fn at(self, system: u64) -> u64 {
        match self {
            Self::System => system,
            Self::Frozen(moment) => moment,
            Self::Shifted(by) => system.saturating_add_signed(by),
        }
    }
}

/// How a clock is to be set: a moment, at which it stands still (`2027-01-01T00:00:00Z`) or from which it runs on
/// (`2027-01-01T00:00:00Z,running`), or a time from now on (`+90d`, `-2h`), which may stand still too (`+90d,frozen`).
///
/// Units are `s`, `m`, `h`, `d`, `w`, and `y` for 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSetting {
    moment: Moment,
    is_frozen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    At(u64),
    In(i64),
}

impl ClockSetting {
    /// The clock, set when it is `system` by the system's clock.
    pub fn set(self, system: u64) -> Clock {
        match (self.moment, self.is_frozen) {
            (Moment::At(moment), true) => Clock::Frozen(moment),
            (Moment::In(by), true) => Clock::Frozen(system.saturating_add_signed(by)),
            (Moment::In(by), false) => Clock::Shifted(by),
            (Moment::At(moment), false) => Clock::Shifted(moment.cast_signed().saturating_sub(system.cast_signed())),
        }
    }
}

/// A text that sets no clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidClock;

impl fmt::Display for InvalidClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a clock is set to a moment (2027-01-01T00:00:00Z: it stands still there; with ,running after it, it runs from \
             there) or to a time from now on (+90d, -2h; s, m, h, d, w, y; with ,frozen after it, it stands still)",
        )
    }
}

impl core::error::Error for InvalidClock {}

impl FromStr for ClockSetting {
    type Err = InvalidClock;

    fn from_str(text: &str) -> Result<Self, InvalidClock> {
        let (moment, how) = match text.split_once(',') {
            Some((moment, how)) => (moment, Some(how)),
            None => (text, None),
        };
        let moment = match moment.parse::<Timestamp>() {
            Ok(Timestamp(seconds)) => Moment::At(seconds),
            Err(_) => Moment::In(offset(moment).ok_or(InvalidClock)?),
        };
        let is_frozen = match how {
            None => matches!(moment, Moment::At(_)),
            Some("frozen") => true,
            Some("running") => false,
            Some(_) => return Err(InvalidClock),
        };
        Ok(Self { moment, is_frozen })
    }
}

/// `+90d`, in seconds.
fn offset(text: &str) -> Option<i64> {
    const DAYS: i64 = DAY.cast_signed();
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return None,
    };
    let (number, unit) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => DAYS,
        "w" => 7 * DAYS,
        "y" => 365 * DAYS,
        _ => return None,
    };
    // A number alone: no second sign.
    let number = number.bytes().all(|octet| octet.is_ascii_digit()).then(|| number.parse::<i64>().ok())??;
    number.checked_mul(unit)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_457_691;

    fn at(text: &str, later: u64) -> u64 {
        text.parse::<ClockSetting>().unwrap().set(NOW).at(NOW + later)
    }

    #[test]
    fn a_moment_stands_still_and_a_time_from_now_runs() {
        let moment = 1_798_761_600;
        assert_eq!(at("2027-01-01T00:00:00Z", 5), moment);
        assert_eq!(at("2027-01-01T00:00:00Z,frozen", 5), moment);
        assert_eq!(at("2027-01-01T00:00:00Z,running", 5), moment + 5);
        assert_eq!(at("1971-01-01T00:00:00Z,running", 5), 365 * DAY + 5);
        for (text, by) in [("+90d", 90 * 86_400), ("-2h", -7200), ("+1w", 604_800), ("+1y", 31_536_000), ("-10m", -600)]
        {
            assert_eq!(at(text, 5), NOW.saturating_add_signed(by) + 5, "{text}");
            assert_eq!(at(&format!("{text},frozen"), 5), NOW.saturating_add_signed(by), "{text}");
        }
        assert_eq!(at("+0s", 5), NOW + 5);
        assert_eq!(at("-100y", 0), 0, "nothing is before 1970");
        assert_eq!(Clock::default().at(NOW), NOW);
    }

    #[test]
    fn what_sets_no_clock() {
        for text in [
            "",
            "now",
            "+",
            "+d",
            "90d",
            "+90",
            "+9x",
            "+-9d",
            "++9d",
            "+90d,",
            "+90d,still",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-13-01T00:00:00Z",
            "+9ä",
            "+99999999999999999999d",
            "+999999999999999999y",
        ] {
            assert_eq!(text.parse::<ClockSetting>(), Err(InvalidClock), "{text}");
        }
    }
}
