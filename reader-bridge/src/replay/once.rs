//! What a card accepts in one session only, so that no recording of it can be sent again.

use apdu::{Command, Ins, SecureMessaging};
use decode::Decoded;

use super::turn::{Turn, function};

/// A kind of command that is bound to its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    is_one: fn(&Turn, &Decoded) -> bool,
    /// Whether it is sent as recorded, to the octet: what replaces a value in it makes it no better.
    pub(super) is_sealed: bool,
    /// When another answer is owed to that.
    due: Due,
    /// Why, in words.
    pub(super) why: &'static str,
}

/// When an answer is owed to a command that was bound to its session.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Once this card has given other random values than the recorded one.
    Drawn,
    /// Always: it was used up when it was recorded.
    Used,
    /// Always, if the answer says so.
    Said(fn(&[u8]) -> bool),
}

const BOUND: &[Bound] = &[
    Bound {
        is_one: |turn, _| function(turn) == Some(0xBF38),
        is_sealed: true,
        due: Due::Drawn,
        why: "the server signed it over the recorded euiccChallenge, and this card has drawn another one",
    },
    Bound {
        is_one: |turn, _| function(turn) == Some(0xBF21),
        is_sealed: true,
        due: Due::Drawn,
        why: "the server signed it for the recorded session, which this card has not begun",
    },
    Bound {
        is_one: |turn, _| matches!(function(turn), Some(0xBF36 | 0xA0..=0xA3 | 0x86..=0x88)),
        is_sealed: true,
        due: Due::Drawn,
        why: "the package is bound to the one-time key of the recorded eUICC",
    },
    Bound {
        is_one: |turn, _| function(turn) == Some(0xBF41),
        is_sealed: false,
        due: Due::Drawn,
        why: "it is about the recorded session, which this card has not begun",
    },
    Bound {
        is_one: |turn, _| instruction(turn) == Some(Ins::EXTERNAL_AUTHENTICATE),
        is_sealed: true,
        due: Due::Drawn,
        why: "the host cryptogram answers the recorded card challenge, and this card has drawn another one",
    },
    Bound {
        is_one: |turn, _| {
            Command::parse(turn.command()).is_ok_and(|one| one.class.secure_messaging() == SecureMessaging::Proprietary)
        },
        is_sealed: true,
        due: Due::Drawn,
        why: "its MAC was made with the keys of the recorded secure channel",
    },
    Bound {
        is_one: |turn, _| instruction(turn) == Some(Ins::AUTHENTICATE),
        is_sealed: true,
        due: Due::Said(|response| matches!(response, [0xDC, ..] | [.., 0x98, 0x62])),
        why: "a USIM accepts the sequence number in AUTN once, and only with its own key",
    },
    Bound {
        is_one: |_, decoded| decoded.find("secured.packet").is_some(),
        is_sealed: true,
        due: Due::Used,
        why: "a card accepts the counter of a secured packet once, and only with its own keys",
    },
];

fn instruction(turn: &Turn) -> Option<Ins> {
    turn.command().get(1).map(|ins| Ins(*ins))
}

/// What binds this command to its session.
pub(super) fn bound(turn: &Turn, decoded: &Decoded) -> Option<Bound> {
    BOUND.iter().find(|bound| (bound.is_one)(turn, decoded)).copied()
}

impl Bound {
    /// Whether another answer than the recorded one is owed to it. `drawn`: this card has given other random values before.
    pub(super) fn explains(&self, response: &[u8], drawn: bool) -> bool {
        match self.due {
            Due::Drawn => drawn,
            Due::Used => true,
            Due::Said(says) => says(response),
        }
    }
}
