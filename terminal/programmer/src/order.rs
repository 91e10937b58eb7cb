//! What is to be written, and with which key.

use core::fmt;
use core::str::FromStr;

use crypto::algorithm::Algorithm as Functions;
use crypto::milenage::Milenage;
use crypto::tuak::{Parameters, Tuak};
use crypto::xor::Xor;
use saip::builder::{Algorithm, Contents, Ims, Subscriber, SubscriberError};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::kind::{Keys, Kind};

/// The administrative key of a card, in the eight octets of VERIFY. Not printed, zeroized when dropped.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Adm([u8; 8]);

/// It is no administrative key. The text is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ADM has 4 to 8 digits, or 16 hexadecimal digits")]
pub struct NotAnAdm;

impl Adm {
    pub(crate) const fn octets(&self) -> &[u8; 8] {
        &self.0
    }
}

impl FromStr for Adm {
    type Err = NotAnAdm;

    /// Digits are filled with `FF`, as those of a PIN.
    fn from_str(text: &str) -> Result<Self, NotAnAdm> {
        let mut octets = [0xFF; 8];
        if text.len() == 16 {
            let pairs = text.as_bytes().as_chunks::<2>().0;
            for (octet, pair) in octets.iter_mut().zip(pairs) {
                let digits = core::str::from_utf8(pair).map_err(|_| NotAnAdm)?;
                let is_hexadecimal = pair.iter().all(u8::is_ascii_hexdigit);
                *octet = u8::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal).ok_or(NotAnAdm)?;
            }
            return Ok(Self(octets));
        }
        if !(4..=8).contains(&text.len()) || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NotAnAdm);
        }
        octets.iter_mut().zip(text.bytes()).for_each(|(octet, digit)| *octet = digit);
        Ok(Self(octets))
    }
}

impl fmt::Debug for Adm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adm(secret)")
    }
}

/// A subscriber, and what of a card is not the subscriber's own.
#[derive(Debug)]
pub struct Order {
    pub(crate) subscriber: Subscriber,
    pub(crate) contents: Contents,
    pub(crate) acc: [u8; 2],
    pub(crate) fplmns: Vec<[u8; 3]>,
    pub(crate) opc: Zeroizing<Vec<u8>>,
}

impl Order {
    /// Writes this subscriber; `acc` in the place of the access class that follows from the IMSI, `fplmns` as forbidden networks,
    /// each MCC and MNC, where there are any.
    ///
    /// # Errors
    /// A field that no file can be made of.
    pub fn new(subscriber: Subscriber, acc: Option<u16>, fplmns: &[String]) -> Result<Self, SubscriberError> {
        let mut contents = subscriber.contents()?;
        // A card that was another's has an ISIM with another's names: without own ones they follow from the IMSI.
        if contents.ims.is_none() {
            let derived = Subscriber { ims: Some(Ims::default()), ..subscriber.clone() };
            contents.ims = derived.contents()?.ims;
        }
        let opc = Zeroizing::new(subscriber.operator_variant()?.expose().to_vec());
        let fplmns = fplmns.iter().map(|plmn| Contents::plmn("fplmn", plmn)).collect::<Result<_, _>>()?;
        Ok(Self { acc: acc.map_or(contents.acc, u16::to_be_bytes), subscriber, contents, fplmns, opc })
    }

    /// The subscriber.
    pub const fn subscriber(&self) -> &Subscriber {
        &self.subscriber
    }

    /// What nobody but the card may be shown of it, by name; with the key that opens the card.
    pub fn secrets<'a>(&'a self, adm: Option<&'a Adm>) -> Vec<(&'static str, &'a [u8])> {
        let mut secrets = vec![("ki", self.subscriber.key.expose()), ("opc", self.opc.as_slice())];
        secrets.extend(adm.map(|adm| ("adm", &adm.octets()[..])));
        secrets
    }

    /// Whether a type can authenticate such a subscriber.
    pub(crate) fn check(&self, kind: &Kind) -> Result<(), Unfit> {
        let algorithm = self.subscriber.algorithm;
        let fits = match kind.keys {
            Keys::Configured { tuak } => algorithm != Algorithm::Tuak || tuak,
            Keys::Unknown => true,
            // A key of 16 octets is all that these have; the algorithm is the card's own.
            Keys::Command { .. } | Keys::Comp128 { .. } | Keys::Record(_) => self.subscriber.key.expose().len() == 16,
            Keys::Typed { .. } | Keys::Bare { .. } | Keys::All { .. } => algorithm == Algorithm::Milenage,
        };
        if !fits {
            return Err(Unfit::Algorithm { kind: kind.name, algorithm });
        }
        match self.subscriber.res_length {
            // Its configuration has a bit for four octets instead of sixteen.
            Some(octets) if algorithm == Algorithm::Xor && !matches!(octets, 4 | 16) => {
                Err(Unfit::ResLength { kind: kind.name, octets })
            }
            _ => Ok(()),
        }
    }

    /// What of the subscriber a card of this type cannot have, and is not written.
    pub fn left_out(&self, kind: &Kind) -> Vec<String> {
        let mut left_out = Vec::new();
        if matches!(kind.keys, Keys::Command { .. } | Keys::Comp128 { .. } | Keys::Record(_)) {
            left_out.push(format!(
                "OPc: a {} has COMP128, which takes Ki alone; a network has to have this subscriber with COMP128",
                kind.name
            ));
        }
        let name = self.subscriber.spn.as_deref().unwrap_or_default();
        if matches!(kind.keys, Keys::Record(_)) && !name.is_ascii() {
            let letters: String = name.chars().filter(|letter| !letter.is_ascii()).collect();
            left_out.push(format!("{letters} in the name: a {} has room for letters of ASCII alone", kind.name));
        }
        if !kind.dialect.has_applications() && !self.subscriber.ehplmns.is_empty() {
            left_out.push(format!("EHPLMN: it is in the USIM, and a {} is programmed as a SIM", kind.name));
        }
        left_out
    }

    /// The functions that the card is to have.
    pub(crate) fn functions(&self) -> Option<Functions> {
        let key = self.subscriber.key.expose();
        Some(match self.subscriber.algorithm {
            Algorithm::Milenage => {
                Functions::Milenage(Milenage::new(key.try_into().ok()?, self.opc.as_slice().try_into().ok()?))
            }
            // All of RES: a card that answers less of it has its beginning.
            Algorithm::Xor => Functions::Xor(Xor::new(key.try_into().ok()?)),
            Algorithm::Tuak => {
                let topc = self.opc.as_slice().try_into().ok()?;
                Functions::Tuak(Tuak::new(key, topc, self.tuak_parameters()).ok()?)
            }
        })
    }

    pub(crate) fn tuak_parameters(&self) -> Parameters {
        Parameters { res: self.subscriber.res_length.unwrap_or(8).into(), ..Parameters::default() }
    }
}

/// A type of card that cannot have the subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has no such algorithm.
    #[error("a {kind} has no {algorithm:?}")]
    Algorithm {
        /// The type.
        kind: &'static str,
        /// The subscriber's.
        algorithm: Algorithm,
    },
    /// Its RES has other lengths.
    #[error("a {kind} answers XOR with a RES of 4 or 16 octets, and res_length is {octets}")]
    ResLength {
        /// The type.
        kind: &'static str,
        /// The subscriber's.
        octets: u8,
    },
}
