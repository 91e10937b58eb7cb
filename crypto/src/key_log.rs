//! Key log: the session keys of bound profile packages as lines of text, for programs that explain recordings.
//!
//! As in the files that `SSLKEYLOGFILE` names, a line is a label, what the secret belongs to, and the secret; here the second
//! is the transactionId of the RSP session. Lines that begin with `#`, empty ones and unknown labels are skipped.
//!
//! ```text
//! BSP_S_ENC 0123456789ABCDEF 472F5BFADD97F21D34F3CE9B51B92751
//! BSP_S_MAC 0123456789ABCDEF 9EC07F5B36A13E12A991D66E294E6242
//! BSP_INITIAL_MCV 0123456789ABCDEF 406D507B448A699E7A36A38494DEBBDE
//! ```
//!
//! `BSP_PPK_ENC`, `BSP_PPK_MAC` and `BSP_PPK_INITIAL_MCV` are those that ReplaceSessionKeys brings.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::bsp::SessionKeys;

/// Which keys of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeySet {
    /// Those agreed with the eUICC. SGP.22 §2.6.4
    Session,
    /// Those of the protected profile package, where ReplaceSessionKeys brings others. SGP.22 §2.5.4
    ProfileProtection,
}

impl KeySet {
    /// Labels of encryption key, MAC key and initial MAC chaining value.
    const fn labels(self) -> [&'static str; 3] {
        match self {
            Self::Session => ["BSP_S_ENC", "BSP_S_MAC", "BSP_INITIAL_MCV"],
            Self::ProfileProtection => ["BSP_PPK_ENC", "BSP_PPK_MAC", "BSP_PPK_INITIAL_MCV"],
        }
    }
}

/// The lines for one set of keys.
pub fn lines(transaction_id: &[u8], set: KeySet, keys: &SessionKeys) -> Zeroizing<String> {
    // Filled once, so that no copy of a key is left behind.
    let mut text = Zeroizing::new(String::with_capacity(3 * (20 + 1 + 32 + 1 + 32 + 1)));
    for (label, secret) in set.labels().into_iter().zip([keys.enc(), keys.mac(), keys.initial_mac_chaining_value()]) {
        text.push_str(label);
        for octets in [transaction_id, secret] {
            text.push(' ');
            for octet in octets {
                let _ = write!(text, "{octet:02X}");
            }
        }
        text.push('\n');
    }
    text
}

/// A line that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the key log: {cause}")]
pub struct KeyLogError {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: &'static str,
}

/// What a key log holds.
#[derive(Clone, Default)]
pub struct KeyLog {
    secrets: BTreeMap<(Vec<u8>, KeySet), [Option<Key>; 3]>,
}

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Key([u8; 16]);

impl KeyLog {
    /// Reads one. Of two lines with the same label and session the later holds.
    ///
    /// # Errors
    /// For a known label without a transactionId of 1 to 16 octets and a key of 16.
    pub fn parse(text: &str) -> Result<Self, KeyLogError> {
        let mut log = Self::default();
        for (number, line) in text.lines().enumerate() {
            let wrong = |cause| KeyLogError { line: number + 1, cause };
            let mut words = line.split_whitespace();
            let Some(label) = words.next().filter(|word| !word.starts_with('#')) else { continue };
            let known = [KeySet::Session, KeySet::ProfileProtection]
                .into_iter()
                .find_map(|set| set.labels().iter().position(|known| *known == label).map(|place| (set, place)));
            let Some((set, place)) = known else { continue };
            let (Some(id), Some(key), None) = (words.next(), words.next(), words.next()) else {
                return Err(wrong("wants a label, a transactionId and a key"));
            };
            let id = octets(id).filter(|id| (1..=16).contains(&id.len()));
            let id = id.ok_or(wrong("the transactionId is not 1 to 16 octets in hexadecimal"))?;
            let key = octets(key).and_then(|key| <[u8; 16]>::try_from(key.as_slice()).ok());
            let key = key.ok_or(wrong("the key is not 16 octets in hexadecimal"))?;
            if let Some(slot) = log.secrets.entry((id.to_vec(), set)).or_default().get_mut(place) {
                *slot = Some(Key(key));
            }
        }
        Ok(log)
    }

    /// The keys of a session; `None` unless all three are there.
    pub fn keys(&self, transaction_id: &[u8], set: KeySet) -> Option<SessionKeys> {
        match self.secrets.get(&(transaction_id.to_vec(), set))? {
            [Some(enc), Some(mac), Some(chaining)] => Some(SessionKeys::new(chaining.0, enc.0, mac.0)),
            _ => None,
        }
    }

    /// Whether no key is in it.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }
}

impl core::fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeyLog({} sets of keys)", self.secrets.len())
    }
}

fn octets(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Option<Zeroizing<Vec<u8>>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<Vec<_>>>()
        .map(Zeroizing::new);
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(Zeroizing::new(
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 2] = [0x01, 0xAB];

    #[test]
    fn what_is_written_is_read() {
        let session = SessionKeys::new([1; 16], [2; 16], [3; 16]);
        let written = lines(&ID, KeySet::Session, &session);
        let expected = format!(
            "BSP_S_ENC 01AB {}\nBSP_S_MAC 01AB {}\nBSP_INITIAL_MCV 01AB {}\n",
            "02".repeat(16),
            "03".repeat(16),
            "01".repeat(16)
        );
        assert_eq!(*written, expected);
        let log =
            KeyLog::parse(&format!("# a remark\n\nCLIENT_RANDOM 00 00\n{}", written.to_lowercase().to_uppercase()))
                .unwrap();
        let read = log.keys(&ID, KeySet::Session).unwrap();
        assert_eq!((read.enc(), read.mac(), read.initial_mac_chaining_value()), (&[2; 16], &[3; 16], &[1; 16]));
        assert!(log.keys(&ID, KeySet::ProfileProtection).is_none() && log.keys(&[1], KeySet::Session).is_none());
        assert!(!log.is_empty() && format!("{log:?}") == "KeyLog(1 sets of keys)");
    }

    #[test]
    fn lines_that_are_none_are_named() {
        for (text, line, cause) in [
            ("BSP_S_ENC", 1, "wants a label"),
            ("\nBSP_S_ENC 01 02 03", 2, "wants a label"),
            ("BSP_S_ENC 0 00", 1, "the transactionId"),
            ("BSP_S_ENC 01 0203", 1, "the key"),
            ("BSP_S_ENC 01 zz", 1, "the key"),
        ] {
            let error = KeyLog::parse(text).unwrap_err();
            assert!(error.line == line && error.cause.starts_with(cause), "{text}: {error}");
        }
        assert!(
            KeyLog::parse("BSP_S_ENC 01 00000000000000000000000000000000")
                .unwrap()
                .keys(&[1], KeySet::Session)
                .is_none()
        );
    }
}
