//! What makes a card the one it is: its answer to reset and the contents of its files.

use crate::description::{Learned, Path};
use crate::scan::{self, Read, Shape};
use apdu::{Transport, TransportError};

/// What a card says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Answer to reset.
    pub atr: Vec<u8>,
    /// Files of the description that it has, each with its content, record behind record; none where it cannot be read.
    pub files: Vec<(Path, Option<Vec<u8>>)>,
}

/// Resets a card, and reads the files of a description from it.
///
/// # Errors
/// The card has gone.
pub fn identity(card: &mut (impl Transport + ?Sized), learned: &Learned) -> Result<Identity, TransportError> {
    let mut identity = Identity { atr: card.reset()?, files: Vec::new() };
    for file in &learned.files {
        let Some(fcp) = scan::selected(card, &scan::select(&file.path, true))? else { continue };
        let content = match Shape::of(&fcp).filter(|shape| !shape.is_directory) {
            Some(shape) => scan::read(card, shape.content)?,
            None => Read::Nothing,
        };
        let content = match content {
            Read::Content(content) => Some(content),
            Read::Records(records) => Some(records.into_iter().flat_map(|record| record.0).collect()),
            Read::Refused(_) | Read::Nothing => None,
        };
        identity.files.push((file.path.clone(), content));
    }
    card.reset()?;
    Ok(identity)
}

impl Identity {
    /// In what two cards are not the same one, with what each has: the answer to reset, files, contents.
    pub fn differences(&self, other: &Self) -> Vec<(String, [String; 2])> {
        let mut differences = Vec::new();
        let hex = |octets: &[u8]| hex::encode_upper(octets);
        if self.atr != other.atr {
            differences.push(("answer to reset".to_owned(), [hex(&self.atr), hex(&other.atr)]));
        }
        let has =
            |of: &Self, path: &Path| of.files.iter().find(|(one, _)| one == path).map(|(_, content)| content.clone());
        let mut paths: Vec<&Path> = self.files.iter().chain(&other.files).map(|(path, _)| path).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let both = [has(self, path), has(other, path)];
            if both[0] != both[1] {
                let words = both.map(|content| match content {
                    None => "no such file".to_owned(),
                    Some(None) => "not readable".to_owned(),
                    Some(Some(content)) => hex(&content),
                });
                differences.push((format!("file {path}"), words));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_differ_in_what_they_are() {
        let card = |atr: u8, content: Option<Vec<u8>>| Identity { atr: vec![atr], files: vec![(Path::mf(), content)] };
        let one = card(1, Some(vec![5]));
        assert_eq!(one.differences(&one), Vec::new());
        assert_eq!(one.differences(&card(2, Some(vec![5])))[0].0, "answer to reset");
        assert_eq!(one.differences(&card(1, Some(vec![6])))[0].1, ["05", "06"]);
        assert_eq!(one.differences(&card(1, None))[0].1, ["05", "not readable"]);
        assert_eq!(one.differences(&Identity { atr: vec![1], files: Vec::new() })[0].1, ["05", "no such file"]);
    }
}
