//! Who a card of a fleet is.

use core::fmt;
use crypto::algorithm::Algorithm;
use identities::{Eid, Iccid, Imsi};
use saip::aka::{AkaParameter, AlgoConfiguration};
use zeroize::Zeroizing;

/// A card of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its EID.
    pub eid: Eid,
    /// The subscription of the profile it was made with, if there is one.
    pub subscription: Option<Subscription>,
}

/// What a network has to know of a card to authenticate it.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// ICCID of the profile.
    pub iccid: Iccid,
    /// IMSI of its USIM.
    pub imsi: Imsi,
    /// Algorithm and keys of its USIM.
    pub aka: AkaParameter,
}

impl Subscription {
    /// The authentication functions, for the network's side; `None` if the parameters are those of another application, or
    /// not of the lengths they have to be.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match &self.aka.algo_configuration {
            AlgoConfiguration::Algo(algo) => applets::algorithm(algo),
            AlgoConfiguration::Mapping(_) => None,
        }
    }
}

/// Not the keys.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("iccid", &self.iccid).field("imsi", &self.imsi).finish_non_exhaustive()
    }
}

impl Member {
    /// As it is kept: the EID; with a subscription the ICCID in ten octets, the digits of the IMSI behind their number,
    /// `PE-AKAParameter`.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(self.eid.octets().to_vec());
        if let Some(Subscription { iccid, imsi, aka }) = &self.subscription {
            let imsi = imsi.as_str().as_bytes();
            bytes.push(u8::try_from(iccid.octets().len()).unwrap_or_default());
            bytes.extend(iccid.octets());
            bytes.push(u8::try_from(imsi.len()).unwrap_or_default());
            bytes.extend(imsi);
            bytes.extend(Zeroizing::new(aka.to_der()).iter());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (eid, rest) = bytes.split_first_chunk()?;
        let eid = Eid::from_octets(*eid);
        if rest.is_empty() {
            return Some(Self { eid, subscription: None });
        }
        let (iccid, rest) = counted(rest)?;
        let (imsi, aka) = counted(rest)?;
        let imsi = core::str::from_utf8(imsi).ok()?.parse().ok()?;
        let aka = AkaParameter::from_der(aka).ok()?;
        Some(Self { eid, subscription: Some(Subscription { iccid: Iccid::from(iccid), imsi, aka }) })
    }
}

/// Octets behind their number, and what follows them.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use saip::PeHeader;
    use saip::aka::{AlgoParameter, AlgorithmId, ROTATION_CONSTANTS, XORING_CONSTANTS};

    pub(in super::super) fn member(number: u32) -> Member {
        let algo = AlgoParameter {
            algorithm_id: AlgorithmId::Milenage,
            algorithm_options: [0],
            key: vec![u8::try_from(number % 256).unwrap(); 16].into(),
            opc: vec![2; 16].into(),
            rotation_constants: ROTATION_CONSTANTS,
            xoring_constants: XORING_CONSTANTS,
            auth_counter_max: None,
            number_of_keccak: 1,
        };
        Member {
            eid: Eid::with_check_digits(&format!("890490320000000000000000{number:06}")).unwrap(),
            subscription: Some(Subscription {
                iccid: Iccid::with_check_digit(&format!("898821{number:012}")).unwrap(),
                imsi: format!("00101{number:010}").parse().unwrap(),
                aka: AkaParameter::new(PeHeader::mandated(1), AlgoConfiguration::Algo(algo)),
            }),
        }
    }

    #[test]
    fn a_member_is_kept_whole() {
        let whole = member(7);
        let bare = Member { subscription: None, ..member(8) };
        for one in [&whole, &bare] {
            assert_eq!(Member::from_bytes(&one.to_bytes()).as_ref(), Some(one));
        }
        let bytes = whole.to_bytes();
        for length in (0..bytes.len()).filter(|length| *length != 16) {
            assert_eq!(Member::from_bytes(&bytes[..length]), None, "{length}");
        }
        assert!(!format!("{whole:?}").contains("Milenage"));
        assert!(matches!(whole.subscription.unwrap().algorithm(), Some(Algorithm::Milenage(_))));
    }
}
