//! SMS-STATUS-REPORT, from the service centre to the sender of a message. TS 23.040 §9.2.2.3.

use crate::{Address, Malformed, Reader, Timestamp};

/// TP-Message-Type-Indicator, towards the phone.
const STATUS_REPORT: u8 = 0b10;
const MESSAGE_TYPE: u8 = 0b11;
/// TP-More-Messages-to-Send: set if there are none.
const NO_MORE_MESSAGES: u8 = 0x04;

/// Values of TP-Status. TS 23.040 §9.2.3.15.
pub mod status {
    /// The receiver has it.
    pub const RECEIVED: u8 = 0x00;
    /// Permanent error: the receiver's phone refused it.
    pub const REMOTE_ERROR: u8 = 0x40;
    /// Permanent error: the validity period is over.
    pub const EXPIRED: u8 = 0x46;
    /// Permanent error: the service centre deleted it.
    pub const DELETED: u8 = 0x48;
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// TP-Message-Reference of the message.
    pub reference: u8,
    /// TP-Recipient-Address.
    pub to: Address,
    /// TP-Service-Centre-Time-Stamp: when the message was submitted.
    pub submitted: Timestamp,
    /// TP-Discharge-Time: when this became of it.
    pub at: Timestamp,
    /// TP-Status: see [`status`].
    pub status: u8,
}

impl StatusReport {
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = vec![STATUS_REPORT | NO_MORE_MESSAGES, self.reference];
        octets.extend(self.to.encode());
        octets.extend(self.submitted.0);
        octets.extend(self.at.0);
        octets.push(self.status);
        octets
    }

    /// Reads one; parameters behind TP-Status are not looked at.
    ///
    /// # Errors
    /// If it is another message, or ends too early.
    pub fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(octets);
        let first = reader.octet("its first octet")?;
        if first & MESSAGE_TYPE != STATUS_REPORT {
            return Err(Malformed::Type(first & MESSAGE_TYPE));
        }
        Ok(Self {
            reference: reader.octet("the message reference")?,
            to: Address::read(&mut reader)?,
            submitted: Timestamp(reader.array("the time stamp")?),
            at: Timestamp(reader.array("the discharge time")?),
            status: reader.octet("the status")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// To +27838890001, submitted and received within a second.
    const REPORT: [u8; 25] = hex!("06 2A 0B917238880900F1 99309251619580 99309251710580 00");

    #[test]
    fn a_report() {
        let report = StatusReport::decode(&REPORT).unwrap();
        assert_eq!((report.reference, report.to.to_string().as_str()), (0x2A, "+27838890001"));
        assert_eq!(report.at.to_string(), "2099-03-29T15:17:50+02:00");
        assert_eq!(report.status, status::RECEIVED);
        assert_eq!(report.encode(), REPORT);
    }

    #[test]
    fn nothing_makes_it_panic() {
        for end in 0..REPORT.len() {
            assert!(StatusReport::decode(&REPORT[..end]).is_err(), "{end}");
        }
        for at in 0..REPORT.len() {
            for value in 0..=u8::MAX {
                let mut changed = REPORT;
                changed[at] = value;
                let _ = StatusReport::decode(&changed).map(|read| (read.encode(), format!("{read:?}")));
            }
        }
        assert_eq!(StatusReport::decode(&[0x04]), Err(Malformed::Type(0)));
    }
}
