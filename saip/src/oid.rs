//! OBJECT IDENTIFIER, kept as its octets.

use crate::Error;
use crate::codec::{Item, Value};

/// An object identifier as its DER content octets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(Vec<u8>);

impl Oid {
    /// From content octets; nothing is checked but that arcs are complete.
    pub fn new(content: &[u8]) -> Option<Self> {
        content.last().is_some_and(|last| last & 0x80 == 0).then(|| Self(content.to_vec()))
    }

    /// A file template of Annex A: `2.23.143.1.2.number`, followed by the version unless it is the first.
    pub fn template(number: u8, version: u8) -> Self {
        let mut content = vec![0x67, 0x81, 0x0F, 0x01, 0x02, number & 0x7F];
        if version > 1 {
            content.push(version & 0x7F);
        }
        Self(content)
    }

    /// The DER content octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Value for Oid {
    fn try_decode(content: &[u8], name: &'static str) -> Result<Self, Error> {
        Self::new(content).ok_or(Error::BadValue(name))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Item for Oid {
    const TAG: u32 = 0x06;
}

/// In dots.
impl std::fmt::Display for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut arc = 0u64;
        let mut first = true;
        for octet in &self.0 {
            arc = arc << 7 | u64::from(octet & 0x7F);
            if octet & 0x80 == 0 {
                if first {
                    let top = (arc / 40).min(2);
                    write!(f, "{top}.{}", arc - top * 40)?;
                    first = false;
                } else {
                    write!(f, ".{arc}")?;
                }
                arc = 0;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Oid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Oid;

    #[test]
    fn template_identifiers() {
        assert_eq!(Oid::template(13, 3).to_string(), "2.23.143.1.2.13.3");
        assert_eq!(hex::encode(Oid::template(10, 1).as_bytes()), "67810f01020a");
        assert_eq!(Oid::new(&[0x67, 0x81]), None);
        assert_eq!(Oid::new(&[]), None);
    }
}
