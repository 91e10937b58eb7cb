//! What files of a card have in them for a subscriber, apart from any profile: for cards whose files are there already.

use super::ef;
use super::profile::ims_domain;
use super::subscriber::{Subscriber, SubscriberError};

/// Contents of files, each without what fills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// EF.ICCID, 10 octets in the order of the card.
    pub iccid: [u8; 10],
    /// EF.IMSI, 9 octets.
    pub imsi: Vec<u8>,
    /// EF.ACC, from the IMSI.
    pub acc: [u8; 2],
    /// EF.SPN, 17 octets.
    pub spn: Option<Vec<u8>>,
    /// Digits of the MNC, for EF.AD.
    pub mnc_length: u8,
    /// The home network.
    pub home: [u8; 3],
    /// EF.EHPLMN: the home network, then those equivalent to it.
    pub ehplmns: Vec<u8>,
    /// EF.PLMNwAcT, five octets a network.
    pub user_plmns: Vec<u8>,
    /// EF.OPLMNwAcT.
    pub operator_plmns: Vec<u8>,
    /// EF.HPLMNwAcT.
    pub home_plmns: Vec<u8>,
    /// The end of a record of EF.MSISDN, behind the name: 14 octets.
    pub msisdn: Option<Vec<u8>>,
    /// The end of a record of EF.SMSP, behind the name: 28 octets.
    pub smsp: Option<Vec<u8>>,
    /// EF.IMPI, EF.DOMAIN and a record of EF.IMPU, as data objects.
    pub ims: Option<[Vec<u8>; 3]>,
}

impl Contents {
    /// Three octets of a network, from MCC and MNC. TS 24.008 §10.5.1.3.
    ///
    /// # Errors
    /// Not five or six digits.
    pub fn plmn(field: &'static str, text: &str) -> Result<[u8; 3], SubscriberError> {
        ef::plmn(field, text)
    }
}

impl Subscriber {
    /// What files have in them for this subscriber.
    ///
    /// # Errors
    /// What [`build`](super::build) refuses too.
    pub fn contents(&self) -> Result<Contents, SubscriberError> {
        /// Octets of a record behind the name.
        const MSISDN: usize = 14;
        const SMSP: usize = 28;
        self.check()?;
        let (mcc, mnc) = self.home_network();
        let home = format!("{mcc}{mnc}");
        let mut ehplmns = ef::plmn("imsi", &home)?.to_vec();
        for plmn in &self.ehplmns {
            ehplmns.extend(ef::plmn("ehplmns", plmn)?);
        }
        let ims = self.ims.as_ref().map(|ims| {
            let domain = ims.domain.clone().unwrap_or_else(|| ims_domain(self));
            let private = ims.impi.clone().unwrap_or_else(|| format!("{}@{domain}", self.imsi));
            let public = ims.impus.first().cloned().unwrap_or_else(|| format!("sip:{private}"));
            Ok([
                ef::text_object("ims.impi", &private)?,
                ef::text_object("ims.domain", &domain)?,
                ef::text_object("ims.impus", &public)?,
            ])
        });
        Ok(Contents {
            iccid: swapped(ef::iccid("iccid", &self.iccid)?),
            imsi: ef::imsi("imsi", &self.imsi)?,
            acc: ef::acc(&self.imsi),
            spn: self.spn_content()?,
            mnc_length: self.mnc_length,
            home: ef::plmn("imsi", &home)?,
            ehplmns,
            user_plmns: ef::plmns_with_act("user_plmns", &self.user_plmns)?,
            operator_plmns: ef::plmns_with_act("operator_plmns", &self.operator_plmns)?,
            home_plmns: ef::plmns_with_act("imsi", &[home])?,
            msisdn: self.msisdn.as_ref().map(|number| ef::msisdn("msisdn", number, MSISDN)).transpose()?,
            smsp: self.smsc.as_ref().map(|smsc| ef::smsp("smsc", smsc, SMSP)).transpose()?,
            ims: ims.transpose()?,
        })
    }
}

/// From the order of a profile's header to that of EF.ICCID. TS 102 221 §13.2.
fn swapped(iccid: [u8; 10]) -> [u8; 10] {
    iccid.map(|octet| octet.rotate_left(4))
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;
    use hex_literal::hex;

    #[test]
    fn golden() {
        let key = Key::new(&[1; 16]);
        let subscriber = Subscriber {
            msisdn: Some("+15551234567".into()),
            spn: Some("GSMA".into()),
            ..Subscriber::new("8988211000000000011", "001010000000001", key.clone(), key)
        };
        let contents = subscriber.contents().unwrap();
        assert_eq!(contents.iccid, hex!("988812010000000010F1"));
        assert_eq!(contents.imsi, hex!("080910100000000010"));
        assert_eq!((contents.acc, contents.home), (hex!("0002"), hex!("00F110")));
        assert_eq!(contents.ehplmns, hex!("00F110"));
        assert_eq!(contents.home_plmns, hex!("00F110C880"));
        assert_eq!(contents.msisdn.unwrap(), hex!("07915155214365F7FFFFFFFFFFFF"));
        assert_eq!(contents.spn.unwrap(), hex!("0147534D41FFFFFFFFFFFFFFFFFFFFFFFF"));
    }
}
