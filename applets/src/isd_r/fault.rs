//! Points at which a fault can be ordered: each ES10 function, and each command of a bound profile package.

use apdu::tlv::Tag;
use apdu::{Response, StatusWord};
use card_os::Context;
use card_os::fault::{Place, When};
use rsp::es10::{LOAD_BOUND_PROFILE_PACKAGE, ResultCodes};
use rsp::notification::{BppCommandId, ErrorReason};

/// Points beyond the tags of ES10: the commands within a bound profile package.
const COMMANDS: u32 = 0x0100_0000;

/// What a point of the ISD-R is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// An ES10 function, by the tag of its request; LoadBoundProfilePackage at each piece that an LPA sends.
    Function(Tag),
    /// A command within a bound profile package, at each piece of it that an LPA sends.
    Command(BppCommandId),
}

impl Point {
    /// Where a fault at this point is ordered.
    pub fn place(self) -> Place {
        Place::Application(self.number())
    }

    /// The point of a place; `None`: it is none of the ISD-R's.
    pub fn of(place: Place) -> Option<Self> {
        match place {
            Place::Application(number) => Some(match number.checked_sub(COMMANDS) {
                Some(command) => Self::Command(BppCommandId(command.into())),
                None => Self::Function(Tag(number)),
            }),
            _ => None,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Function(tag) => tag.0,
            Self::Command(command) => COMMANDS + u32::try_from(command.0).unwrap_or_default(),
        }
    }
}

/// What is ordered before a function is carried out: the answer instead. A code that has no answer to this request waits.
pub(super) fn before(tag: Tag, request: &[u8], cx: &mut Context<'_, '_>) -> Result<Option<Response>, StatusWord> {
    let answer = |code| coded(tag, code, request);
    Ok(cx.fault(Point::Function(tag).number(), When::Before, |code| answer(code).is_some())?.and_then(answer))
}

/// What is ordered after it: what the function has done stays done. Where it was refused with a status word nothing is done,
/// and a code, which would say so much, waits.
pub(super) fn after(
    tag: Tag,
    request: &[u8],
    outcome: Result<Vec<u8>, StatusWord>,
    cx: &mut Context<'_, '_>,
) -> Result<Response, StatusWord> {
    let answer = |code| coded(tag, code, request);
    let answers = |code| outcome.is_ok() && answer(code).is_some();
    match (cx.fault(Point::Function(tag).number(), When::After, answers), outcome) {
        (Ok(code), Ok(data)) => Ok(code.and_then(answer).unwrap_or_else(|| Response::ok(data))),
        (Err(sw), Ok(_)) => Ok(sw.into()),
        (Ok(_), Err(sw)) | (Err(sw), Err(_)) => Err(sw),
    }
}

/// Why a piece of a bound profile package fails, where that is ordered.
pub(super) fn at_command(command: BppCommandId, cx: &mut Context<'_, '_>) -> Result<Option<ErrorReason>, StatusWord> {
    Ok(cx.fault(Point::Command(command).number(), When::Before, |_| true)?.map(ErrorReason))
}

fn coded(tag: Tag, code: i64, request: &[u8]) -> Option<Response> {
    Some(Response::ok(ResultCodes::of(tag)?.response(code, request)?))
}

/// The tag that pieces of a package are met under.
pub(super) const PACKAGE: Tag = LOAD_BOUND_PROFILE_PACKAGE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_told_from_its_place() {
        for point in [
            Point::Function(Tag(0xBF31)),
            Point::Command(BppCommandId::INITIALISE_SECURE_CHANNEL),
            Point::Command(BppCommandId::LOAD_PROFILE_ELEMENTS),
        ] {
            assert_eq!(Point::of(point.place()), Some(point));
        }
        assert_eq!(Point::of(Place::Write), None);
    }
}
