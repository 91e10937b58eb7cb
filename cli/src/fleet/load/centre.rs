//! The network's side of AUTHENTICATE, for one card whose K is known.

use apdu::Transport;
use crypto::aka::{Aka as _, Amf, Rand, Sqn, Vector};
use crypto::algorithm::Algorithm;
use usim::{Authenticator as _, UmtsAnswer, Usim};

use super::work::Fault;
use crate::random;

/// AMF without the separation bit, as for UMTS.
const AMF: Amf = [0, 0];
/// Challenges in a second before the sequence number of a later run begins.
const A_SECOND: u64 = 1_024;

/// An authentication centre of one subscriber.
pub(super) struct Centre {
    algorithm: Algorithm,
    sequence: u64,
}

impl Centre {
    /// Its sequence number begins with the time, so that it is fresh in each run.
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, sequence: random::now().saturating_mul(A_SECOND) }
    }

    fn vector(&mut self) -> (Rand, Vector) {
        self.sequence += 1;
        let rand = random::bytes::<16>();
        let vector = self.algorithm.generate_vector(&rand, Sqn::new(self.sequence, 0), AMF);
        (rand, vector)
    }

    /// Challenges the card, once more where it is ahead, and checks its answer.
    pub(super) fn authenticate<T: Transport>(&mut self, usim: &mut Usim<T>) -> Result<(), Fault> {
        let (rand, vector) = self.vector();
        match ask(usim, &rand, &vector)? {
            UmtsAnswer::Resynchronise(auts) => {
                let ahead = self.algorithm.resynchronise(&rand, &auts);
                self.sequence = ahead.ok_or_else(|| Fault::plain("AUTS is not that of the card's K"))?.seq();
                let (rand, vector) = self.vector();
                judged(&vector, &ask(usim, &rand, &vector)?)
            }
            answer => judged(&vector, &answer),
        }
    }
}

fn ask<T: Transport>(usim: &mut Usim<T>, rand: &Rand, vector: &Vector) -> Result<UmtsAnswer, Fault> {
    let autn =
        vector.autn.as_slice().try_into().map_err(|_| Fault::plain("the algorithm has an AUTN of another length"))?;
    usim.umts(rand, &autn).map_err(|error| Fault::of(&error))
}

/// Whether the answer is that of the card's K.
fn judged(vector: &Vector, answer: &UmtsAnswer) -> Result<(), Fault> {
    match answer {
        UmtsAnswer::Keys { res, ck, ik } => {
            let same = vector.xres == crypto::Octets::new(res)
                && vector.ck == crypto::Octets::new(ck)
                && vector.ik == crypto::Octets::new(ik);
            if same { Ok(()) } else { Err(Fault::plain("RES, CK or IK is not that of the card's K")) }
        }
        UmtsAnswer::Resynchronise(_) => Err(Fault::plain("the card is ahead again, after a resynchronisation")),
        UmtsAnswer::WrongMac => Err(Fault::plain("the card takes the network for another one: wrong MAC")),
    }
}
