//! Whether a card authenticates with the keys that were written.
//!
//! The challenge has sequence number 0, which no card that counts takes for fresh: it answers with AUTS, whose MAC only the right key
//! makes, and its own counter stays where it is.

use apdu::{Ins, Response as CardResponse, StatusWord, Transport};
use crypto::aka::{Aka, Sqn, kc, sres};
use crypto::algorithm::Algorithm;

use crate::host::{CardError, Host, Place, Root};
use crate::kind::Dialect;

/// What a card has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It has the keys.
    Proven {
        /// The highest sequence number it has accepted, if it counts.
        sqn: Option<u64>,
        /// Whether it has them for GSM as well.
        gsm: bool,
    },
    /// It was not asked, or did not answer.
    Open(Open),
}

/// Why nothing is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Open {
    /// No keys were written.
    #[error("where its keys lie is not public")]
    NoKeys,
    /// The algorithm is the card's own.
    #[error("its algorithm is not computed here")]
    OwnAlgorithm,
    /// It has no USIM.
    #[error("it has no USIM")]
    NoUsim,
    /// PIN1 stands in front.
    #[error("its PIN is enabled")]
    Pin,
    /// It refused.
    #[error("it refused the challenge: {0}")]
    Refused(StatusWord),
}

/// Other keys than those written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OtherKeys;

/// AMF with the separation bit, which 5G needs.
const AMF: [u8; 2] = [0x80, 0x00];

/// Has a card authenticate that was just reset. A key of TUAK is none for GSM: of that nothing is asked then.
pub(crate) fn ask<T: Transport>(
    card: &mut T,
    functions: &Algorithm,
    rand: &[u8; 16],
) -> Result<Result<Proof, OtherKeys>, CardError> {
    const SUCCESS: u8 = 0xDB;
    const SYNCHRONISATION_FAILURE: u8 = 0xDC;
    const THREE_G: u8 = 0x81;
    let mut host = Host { card: &mut *card, dialect: Dialect::Uicc };
    if host.select(&Place { root: Root::Usim, path: Vec::new() })?.is_none() {
        return Ok(Ok(Proof::Open(Open::NoUsim)));
    }
    let vector = functions.generate_vector(rand, Sqn::default(), AMF);
    let mut challenge = counted(rand);
    challenge.extend(counted(&vector.autn));
    let CardResponse { data, sw } = host.send(Ins::AUTHENTICATE, 0, THREE_G, &challenge, Some(0))?;
    let sqn = match (sw, data.split_first()) {
        (StatusWord::AUTHENTICATION_ERROR, _) => return Ok(Err(OtherKeys)),
        (StatusWord::SECURITY_STATUS_NOT_SATISFIED, _) => return Ok(Ok(Proof::Open(Open::Pin))),
        (sw, Some((&SUCCESS, rest))) if sw.is_ok() => match value(rest) {
            Some(res) if vector.xres.starts_with(res) && res.len() >= 4 => None,
            _ => return Ok(Err(OtherKeys)),
        },
        (sw, Some((&SYNCHRONISATION_FAILURE, rest))) if sw.is_ok() => {
            match value(rest).and_then(|auts| functions.resynchronise(rand, auts)) {
                Some(sqn) => Some(sqn.into()),
                None => return Ok(Err(OtherKeys)),
            }
        }
        (sw, _) => return Ok(Ok(Proof::Open(Open::Refused(sw)))),
    };
    if matches!(functions, Algorithm::Tuak(_)) {
        return Ok(Ok(Proof::Proven { sqn, gsm: false }));
    }
    let expected = [&sres(&vector.xres)[..], &kc(&vector.ck, &vector.ik)].concat();
    Ok(match gsm(&mut host, rand)? {
        Some(answered) if answered != expected => Err(OtherKeys),
        answered => Ok(Proof::Proven { sqn, gsm: answered.is_some() }),
    })
}

/// SRES and Kc, from a card that gives them.
fn gsm<T: Transport>(host: &mut Host<&mut T>, rand: &[u8; 16]) -> Result<Option<Vec<u8>>, CardError> {
    const GSM: u8 = 0x80;
    let CardResponse { data, sw } = host.send(Ins::AUTHENTICATE, 0, GSM, &counted(rand), Some(0))?;
    if sw.is_ok()
        && let Some(sres) = value(&data)
        && let Some(kc) = data.get(1 + sres.len()..).and_then(value)
    {
        return Ok(Some([sres, kc].concat()));
    }
    let mut sim = Host { card: &mut *host.card, dialect: Dialect::Sim };
    if !matches!(sim.select(&Place::in_mf(&[0x7F20])), Ok(Some(_))) {
        return Ok(None);
    }
    let CardResponse { data, sw } = sim.send(Ins::AUTHENTICATE, 0, 0, rand, None)?;
    Ok((sw.is_ok() && data.len() == 12).then_some(data))
}

fn counted(value: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(value.len()).unwrap_or(u8::MAX)];
    out.extend_from_slice(value);
    out
}

/// The value behind its length.
fn value(data: &[u8]) -> Option<&[u8]> {
    let (length, rest) = data.split_first()?;
    rest.get(..usize::from(*length))
}
