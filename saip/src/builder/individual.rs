//! A package for one of many subscribers: what distinguishes their subscriptions is put into a package that is the same for
//! all of them.

use super::SubscriberError;
use super::ef;
use super::subscriber::Key;
use crate::aka::{AkaParameter, AlgoConfiguration, AlgorithmId};
use crate::element::ProfileElement;
use crate::files::{File, FileElement, FileElementKind, FileStep};
use crate::templates;

/// What is a subscriber's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Individual {
    /// ICCID, 18 to 20 digits.
    pub iccid: String,
    /// IMSI, 14 or 15 digits.
    pub imsi: String,
    /// K, as long as the algorithm of the package has it.
    pub key: Key,
    /// OPc or TOPc, where the algorithm has one and it is not to stay as it is.
    pub opc: Option<Key>,
}

/// Puts a subscriber's ICCID into header and EF.ICCID, the IMSI and access class into the USIM, K into every set of
/// authentication parameters that has a key of its own. Everything else stays. Returns the parameters of the
/// first application, which is the USIM.
///
/// # Errors
/// Which number is wrong, or that the package has no place for it.
pub fn individualise(elements: &mut [ProfileElement], own: &Individual) -> Result<AkaParameter, SubscriberError> {
    let iccid = ef::iccid("iccid", &own.iccid)?;
    let mut aka = None;
    let (mut has_iccid, mut has_imsi) = (false, false);
    for element in elements {
        match element {
            ProfileElement::Header(header) => header.iccid = iccid,
            ProfileElement::Files(files) if files.kind == FileElementKind::Mf => {
                has_iccid = fill(files, "EF.ICCID", &iccid.map(|octet| octet.rotate_left(4)));
            }
            ProfileElement::Files(files) if files.kind == FileElementKind::Usim && !has_imsi => {
                has_imsi = fill(files, "EF.IMSI", &ef::imsi("imsi", &own.imsi)?);
                // One that is not there is as the template has it.
                fill(files, "EF.ACC", &ef::acc(&own.imsi));
            }
            ProfileElement::AkaParameter(parameter) => {
                if let AlgoConfiguration::Algo(algo) = &mut parameter.algo_configuration {
                    if algo.key.expose().len() != own.key.expose().len() {
                        return Err(SubscriberError::new("key", "is not as long as that of the package"));
                    }
                    algo.key = own.key.expose().to_vec().into();
                    if let (Some(opc), false) = (&own.opc, algo.algorithm_id == AlgorithmId::UsimTestAlgorithm) {
                        algo.opc = opc.expose().to_vec().into();
                    }
                    aka.get_or_insert_with(|| (**parameter).clone());
                }
            }
            _ => {}
        }
    }
    let absent = |field| SubscriberError::new(field, "has no place in the package");
    match aka {
        _ if !has_iccid => Err(absent("iccid")),
        _ if !has_imsi => Err(absent("imsi")),
        Some(aka) => Ok(aka),
        None => Err(absent("key")),
    }
}

/// Gives a file of an element this content from its start; `false` if the element has no such file.
fn fill(element: &mut FileElement, name: &str, content: &[u8]) -> bool {
    let Some(template) = templates::find(&element.template_id) else { return false };
    let Some(row) = template.row_named(name) else { return false };
    let Some((_, File(steps))) = element.files.iter_mut().find(|(tag, _)| *tag == row.tag) else { return false };
    steps.retain(|step| !matches!(step, FileStep::FillFileContent(_) | FileStep::FillFileOffset(_)));
    steps.push(FileStep::FillFileContent(content.to_vec()));
    true
}

#[cfg(test)]
mod tests {
    use super::super::{Subscriber, build};
    use super::*;
    use crate::{decode_package, encode_package};

    fn subscriber(iccid: &str, imsi: &str, key: u8) -> Subscriber {
        Subscriber::new(iccid, imsi, Key::new(&[key; 16]), Key::new(&[9; 16]))
    }

    fn individual() -> Individual {
        let (iccid, imsi) = ("8988211000000000029".to_owned(), "001010000000002".to_owned());
        Individual { iccid, imsi, key: Key::new(&[2; 16]), opc: None }
    }

    /// What is built for one is, individualised for another, what is built for the other.
    #[test]
    fn the_same_as_built_for_the_other() {
        let mut one = build(&subscriber("8988211000000000011", "001010000000001", 1)).unwrap();
        let aka = individualise(&mut one, &individual()).unwrap();
        let AlgoConfiguration::Algo(algo) = &aka.algo_configuration else { panic!() };
        assert_eq!((algo.key.expose(), algo.opc.expose()), (&[2; 16][..], &[9; 16][..]));
        let other = build(&subscriber("8988211000000000029", "001010000000002", 2)).unwrap();
        assert_eq!(one, other);
        assert_eq!(decode_package(&encode_package(&one)).unwrap(), one);
    }

    #[test]
    fn an_opc_of_its_own() {
        let mut one = build(&subscriber("8988211000000000011", "001010000000001", 1)).unwrap();
        let own = Individual { opc: Some(Key::new(&[7; 16])), ..individual() };
        let AlgoConfiguration::Algo(algo) = individualise(&mut one, &own).unwrap().algo_configuration else { panic!() };
        assert_eq!(algo.opc.expose(), [7; 16]);
    }

    #[test]
    fn what_has_no_place_is_said() {
        let whole = build(&subscriber("8988211000000000011", "001010000000001", 1)).unwrap();
        let refused = |change: fn(&mut Individual), drop: fn(&ProfileElement) -> bool| {
            let mut elements: Vec<_> = whole.iter().filter(|element| !drop(element)).cloned().collect();
            let mut own = individual();
            change(&mut own);
            individualise(&mut elements, &own).map(|_| ()).map_err(|error| error.field)
        };
        assert_eq!(refused(|_| (), |_| false), Ok(()));
        assert_eq!(refused(|own| own.iccid = "89".into(), |_| false), Err("iccid"));
        assert_eq!(refused(|own| own.imsi = "1".into(), |_| false), Err("imsi"));
        assert_eq!(refused(|own| own.key = Key::new(&[1; 32]), |_| false), Err("key"));
        assert_eq!(refused(|_| (), |element| matches!(element, ProfileElement::AkaParameter(_))), Err("key"));
        assert_eq!(
            refused(
                |_| (),
                |element| matches!(element, ProfileElement::Files(files) if files.kind == FileElementKind::Mf)
            ),
            Err("iccid")
        );
        assert_eq!(
            refused(
                |_| (),
                |element| matches!(element, ProfileElement::Files(files) if files.kind == FileElementKind::Usim)
            ),
            Err("imsi")
        );
    }
}
