//! Two explained events side by side: which fields differ, by name, and which of them differ in any session.

use crate::field::{Field, Name, Source, Value};
use crate::names;
use crate::session::{Decoded, Kind};

/// A field that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// Its name.
    pub name: Name,
    /// The groups it is in, the outermost first, and its label, as people read them. One of several with the same label has a
    /// number behind it.
    pub path: Vec<String>,
    /// What it is on the left; `None` if it is not there.
    pub left: Option<Field>,
    /// What it is on the right; `None` if it is not there.
    pub right: Option<Field>,
}

impl Differing {
    /// Why it differs in any session, if it does.
    pub fn varies(&self) -> Option<Varies> {
        let (left, right) = self.left.as_ref().zip(self.right.as_ref())?;
        if self.name.name.starts_with(SEGMENT) && !differ_in_protection(self.name.name, left, right) {
            return None;
        }
        VARYING.iter().find(|(name, _)| *name == self.name.name).map(|(_, varies)| *varies)
    }
}

/// Why a field differs from session to session, with the same card too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// It is random, or made with something random: challenges, one-time keys, signatures, MACs.
    Random,
    /// It is counted or assigned: numbers of channels, of notifications, of secure channels.
    Assigned,
    /// It follows from the command: another RAND, another RES.
    Computed,
}

/// Names of fields that differ from session to session.
pub const VARYING: &[(&str, Varies)] = &[
    ("authenticate.autn", Varies::Random),
    ("authenticate.auts", Varies::Computed),
    ("authenticate.ck", Varies::Computed),
    ("authenticate.ik", Varies::Computed),
    ("authenticate.kc", Varies::Computed),
    ("authenticate.ks_ext_naf", Varies::Computed),
    ("authenticate.rand", Varies::Random),
    ("authenticate.res", Varies::Computed),
    ("authenticate.sres", Varies::Computed),
    ("authenticate.vstk", Varies::Computed),
    ("authenticate.vstk_rand", Varies::Random),
    ("bpp.segment_86", Varies::Random),
    ("bpp.segment_87", Varies::Random),
    ("bpp.segment_88", Varies::Random),
    ("challenge", Varies::Random),
    ("es10.bpp_euicc_otpk", Varies::Random),
    ("es10.euicc_cancel_session_signature", Varies::Random),
    ("es10.euicc_challenge", Varies::Random),
    ("es10.euicc_notification_signature", Varies::Random),
    ("es10.euicc_otpk", Varies::Random),
    ("es10.euicc_sign_pir", Varies::Random),
    ("es10.euicc_signature1", Varies::Random),
    ("es10.euicc_signature2", Varies::Random),
    ("es10.seq_number", Varies::Assigned),
    ("es10.server_challenge", Varies::Random),
    ("es10.server_signature1", Varies::Random),
    ("es10.smdp_otpk", Varies::Random),
    ("es10.smdp_sign", Varies::Random),
    ("es10.smdp_signature2", Varies::Random),
    ("es10.transaction_id", Varies::Random),
    ("gp.card_challenge", Varies::Random),
    ("gp.card_cryptogram", Varies::Random),
    ("gp.host_challenge", Varies::Random),
    ("gp.host_cryptogram", Varies::Random),
    ("gp.sequence_counter", Varies::Assigned),
    ("mac", Varies::Random),
    ("manage_channel.channel", Varies::Assigned),
    ("suspend.token", Varies::Random),
];

/// Segments of a bound profile package.
const SEGMENT: &str = "bpp.segment_";
/// One of those that are not encrypted.
const IN_THE_CLEAR: &str = "bpp.segment_88";
/// Octets of a MAC at the end of a segment. SGP.22 §2.6.4.
const MAC: usize = 8;

/// Whether two segments are as long as each other, and say the same where they are in the clear.
fn differ_in_protection(name: &str, left: &Field, right: &Field) -> bool {
    let (Value::Octets(left), Value::Octets(right)) = (&left.value, &right.value) else { return false };
    let body = |segment: &[u8]| segment.get(..segment.len().saturating_sub(MAC)).map(<[u8]>::to_vec);
    left.len() == right.len() && (name != IN_THE_CLEAR || body(left) == body(right))
}

impl Decoded {
    /// What the card said: fields of the response, or of the answer to reset.
    pub fn answer(&self) -> impl Iterator<Item = &Field> {
        let is_reset = matches!(self.kind, Kind::Reset { .. });
        self.fields
            .iter()
            .filter(move |field| is_reset || matches!(source(field), Some(Source::Response | Source::Answer)))
    }

    /// What the host asked: fields of the command, without its class, which says on which channel.
    pub fn request(&self) -> impl Iterator<Item = &Field> {
        let of_host = |field: &&Field| {
            field.name != names::CLASS
                && matches!(source(field), Some(Source::Command | Source::Request | Source::Opened))
        };
        self.fields.iter().filter(of_host)
    }
}

/// In what a field was found, or one inside it.
fn source(field: &Field) -> Option<Source> {
    let here = field.place.as_ref().map(|place| place.source);
    here.or_else(|| field.fields.iter().find_map(source))
}

/// Where two lists of fields differ. Fields pair by name, the first with the first.
pub fn compare<'a>(
    left: impl IntoIterator<Item = &'a Field>,
    right: impl IntoIterator<Item = &'a Field>,
) -> Vec<Differing> {
    let mut found = Vec::new();
    siblings(&left.into_iter().collect::<Vec<_>>(), &right.into_iter().collect::<Vec<_>>(), &[], &mut found);
    found
}

fn siblings(left: &[&Field], right: &[&Field], path: &[String], found: &mut Vec<Differing>) {
    let mut seen: Vec<Name> = Vec::new();
    for name in left.iter().chain(right).map(|field| field.name) {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let of = |side: &[&Field]| side.iter().filter(|field| field.name == name).copied().cloned().collect::<Vec<_>>();
        let (lefts, rights) = (of(left), of(right));
        let count = lefts.len().max(rights.len());
        for at in 0..count {
            let label = if count == 1 { name.label.to_owned() } else { format!("{} {}", name.label, at + 1) };
            let path = [path, &[label]].concat();
            pair(name, lefts.get(at), rights.get(at), path, found);
        }
    }
}

fn pair(name: Name, left: Option<&Field>, right: Option<&Field>, path: Vec<String>, found: &mut Vec<Differing>) {
    if let Some((left, right)) = left.zip(right) {
        let before = found.len();
        let inside = |field: &'_ Field| field.fields.clone();
        let (lefts, rights) = (inside(left), inside(right));
        siblings(&lefts.iter().collect::<Vec<_>>(), &rights.iter().collect::<Vec<_>>(), &path, found);
        let is_leaf = left.fields.is_empty() && right.fields.is_empty();
        let is_same = left.value == right.value && (!is_leaf || left.meaning == right.meaning);
        // Where the parts say what differs, the whole need not.
        if is_same || found.len() > before {
            return;
        }
    }
    found.push(Differing { name, path, left: left.cloned(), right: right.cloned() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decoder;

    fn answered(response: &[u8]) -> Decoded {
        Decoder::new().exchange(&[0x80, 0xE2, 0x91, 0, 3, 0xBF, 0x2D, 0], response)
    }

    /// ICCIDs and states of profiles, as a card answers GetProfilesInfo.
    fn profiles(states: &[(u8, u8)]) -> Vec<u8> {
        let entries = states.iter().flat_map(|(iccid, state)| {
            let mut entry = vec![0xE3, 16, 0x5A, 10];
            entry.extend([*iccid; 10]);
            entry.extend([0x9F, 0x70, 1, *state]);
            entry
        });
        let entries: Vec<u8> = entries.collect();
        let length = u8::try_from(entries.len()).unwrap();
        [&[0xBF, 0x2D, length + 2, 0xA0, length][..], &entries, &[0x90, 0x00]].concat()
    }

    fn told(left: &[u8], right: &[u8]) -> Vec<String> {
        let (left, right) = (answered(left), answered(right));
        let shown =
            |field: &Option<Field>| field.as_ref().map_or("-".to_owned(), |field| field.shown().unwrap_or_default());
        compare(left.answer(), right.answer())
            .iter()
            .map(|one| format!("{}: {} {}", one.path.join("/"), shown(&one.left), shown(&one.right)))
            .collect()
    }

    #[test]
    fn fields_that_differ_are_named() {
        let two = profiles(&[(0x98, 0), (0x89, 1)]);
        assert_eq!(told(&two, &two), [""; 0]);
        let other = profiles(&[(0x98, 1), (0x89, 1)]);
        let path = "response/profileInfoListOk/ProfileInfo 1/profileState";
        assert_eq!(told(&two, &other), [format!("{path}: 0  disabled 1  enabled")]);
        let one = profiles(&[(0x98, 0)]);
        assert_eq!(told(&two, &one), ["response/profileInfoListOk/ProfileInfo 2:  -"]);
        let refused = told(&two, &[0x6A, 0x88]);
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].starts_with("response: ") && refused[1].starts_with("status word: 36864"), "{refused:?}");
    }

    /// Other metadata is a difference, another MAC is none.
    #[test]
    fn segments_vary_in_what_protects_them() {
        let segment = |octets: &[u8]| Some(Field::octets(name(IN_THE_CLEAR), octets));
        let differing = |left: &[u8], right: &[u8]| Differing {
            name: name(IN_THE_CLEAR),
            path: Vec::new(),
            left: segment(left),
            right: segment(right),
        };
        assert_eq!(differing(b"one MAC.MAC.", b"one CAM.CAM.").varies(), Some(Varies::Random));
        assert_eq!(differing(b"one MAC.MAC.", b"two CAM.CAM.").varies(), None);
        assert_eq!(differing(b"one MAC.MAC.", b"oneCAM.CAM.").varies(), None);
    }

    fn name(wanted: &str) -> Name {
        crate::names().into_iter().find(|name| name.name == wanted).unwrap()
    }

    #[test]
    fn what_varies_has_a_name() {
        let names: Vec<_> = crate::names().iter().map(|name| name.name).collect();
        for (name, _) in VARYING {
            assert!(names.contains(name), "{name}");
        }
        assert!(VARYING.is_sorted_by_key(|(name, _)| name));
        let (left, right) = ([0x01, 0x90, 0x00], [0x02, 0x90, 0x00]);
        let open = |response: &[u8]| Decoder::new().exchange(&[0, 0x70, 0, 0, 1], response);
        let (left, right) = (open(&left), open(&right));
        let differing = compare(left.answer(), right.answer());
        assert_eq!(differing.iter().map(Differing::varies).collect::<Vec<_>>(), [Some(Varies::Assigned)]);
    }
}
