//! RESIZE FILE. TS 102 222 §6.10.

use super::Parameters;
use super::memory::reserve;
use super::parameters::{Proprietary, records_in};
use crate::fs::{File, FileKind, FileNumber, FileSession, Operation, Structure, TreeEdit, fcp, with_reserve};
use apdu::tlv::{Tlv, Writer};
use apdu::{Command, Response, StatusWord};

/// P1: what becomes of the objects of a BER-TLV structure EF.
mod mode {
    /// They stay, and a size that they do not fit into is refused.
    pub(super) const KEEP: u8 = 0x00;
    /// They are deleted.
    pub(super) const DELETE: u8 = 0x01;
}

impl FileSession<'_, '_> {
    /// RESIZE FILE: of a transparent EF at its end, of a linear fixed EF by records at its end, of a BER-TLV structure EF what it
    /// may hold, of a directory what is set aside for the files below it. What is new is `FF`, or filled as the command says.
    pub(in crate::fs) fn resize_file(&mut self, command: &Command<'_>) -> Result<Response, StatusWord> {
        if command.p2 != 0 || ![mode::KEEP, mode::DELETE].contains(&command.p1) {
            return Err(StatusWord::WRONG_P1_P2);
        }
        let parameters = Parameters::parse(command.data)?;
        let is_foreign = parameters.descriptor.is_some()
            || parameters.name.is_some()
            || parameters.life_cycle.is_some()
            || parameters.security.is_some()
            || parameters.short_id.is_some()
            || parameters.pins.is_some();
        let fid = parameters.fid.filter(|_| !is_foreign).ok_or(StatusWord::WRONG_DATA)?;
        let place = self.within_current_df(fid)?;
        if place.file == FileNumber::MF {
            return Err(StatusWord::CONDITIONS_NOT_SATISFIED);
        }
        let body = self.tree.body(place.file);
        let file = self.tree.get(body).ok_or(StatusWord::FILE_NOT_FOUND)?;
        let is_ber_tlv = matches!(file.kind, FileKind::Ef(Structure::BerTlv { .. }));
        if matches!(file.kind, FileKind::Ef(Structure::Cyclic { .. })) {
            return Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE);
        }
        if command.p1 == mode::DELETE && !is_ber_tlv {
            return Err(StatusWord::WRONG_P1_P2);
        }
        self.permitted(&place, Operation::Resize)?;
        let (file, before) = (file.clone(), self.taken(body));
        let (resized, content) = match file.kind {
            FileKind::Ef(structure) => self.resized_ef(body, &file, structure, &parameters, command.p1)?,
            _ => self.resized_df(body, &file, &parameters)?,
        };
        let after = match resized.kind {
            FileKind::Ef(structure) => structure.size(),
            _ => resized.total_size.unwrap_or_default(),
        };
        self.draw(self.tree.parent(body).unwrap_or(FileNumber::MF), before, after as usize)?;
        self.keep_content(body, content);
        self.write_descriptor(body, &resized);
        if after as usize > before {
            self.fits_into_memory()?;
        }
        self.make_current(place)?;
        self.effects.tree = Some(TreeEdit::Resized(body, Box::new(resized)));
        Ok(Response::done())
    }

    /// An EF with its new size, and its content then.
    fn resized_ef(
        &self,
        number: FileNumber,
        file: &File,
        structure: Structure,
        parameters: &Parameters<'_>,
        p1: u8,
    ) -> Result<(File, Vec<u8>), StatusWord> {
        if parameters.total_size.is_some() {
            return Err(StatusWord::WRONG_DATA);
        }
        let structure = resized(structure, parameters)?;
        let growth = (structure.size() as usize).saturating_sub(self.taken(number));
        if growth > self.free_below(self.tree.containing_df(number)) {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        let content = if let Structure::BerTlv { reserved, maximum } = structure {
            let objects = if p1 == mode::DELETE { &[] } else { self.objects(number) };
            if objects.len() > maximum as usize {
                return Err(StatusWord::NOT_ENOUGH_MEMORY);
            }
            with_reserve(objects.to_vec(), reserved as usize)
        } else {
            let filling = parameters.proprietary.as_ref().map(|info| info.filling).unwrap_or_default();
            let (mut content, old) = (filling.content(structure), self.content(number));
            content.iter_mut().zip(old).for_each(|(byte, old)| *byte = *old);
            content
        };
        let kind = FileKind::Ef(structure);
        Ok((File { template: resized_template(&file.template, structure), kind, ..file.clone() }, content))
    }

    /// A directory with other memory for what lies below it, and what of that is left.
    fn resized_df(
        &self,
        number: FileNumber,
        file: &File,
        parameters: &Parameters<'_>,
    ) -> Result<(File, Vec<u8>), StatusWord> {
        if parameters.size.is_some() || parameters.proprietary.as_ref().is_some_and(Proprietary::is_of_ef) {
            return Err(StatusWord::WRONG_DATA);
        }
        let total_size = parameters.total_size.filter(|size| *size > 0).ok_or(StatusWord::WRONG_DATA)?;
        let growth = (total_size as usize).saturating_sub(self.taken(number));
        if growth > self.free_below(self.tree.parent(number).unwrap_or(FileNumber::MF)) {
            return Err(StatusWord::NOT_ENOUGH_MEMORY);
        }
        let left = (total_size as usize).checked_sub(self.taken_below(number));
        let left = reserve(left.ok_or(StatusWord::NOT_ENOUGH_MEMORY)?);
        Ok((File { total_size: Some(total_size), ..file.clone() }, left))
    }
}

/// The structure with the sizes that the parameters give.
fn resized(structure: Structure, parameters: &Parameters<'_>) -> Result<Structure, StatusWord> {
    let info = parameters.proprietary.as_ref();
    let (reserved_wanted, maximum_wanted) = (info.and_then(|info| info.reserved), info.and_then(|info| info.maximum));
    let size = parameters.size.filter(|size| *size > 0).ok_or(StatusWord::WRONG_DATA);
    let is_ber_tlv = matches!(structure, Structure::BerTlv { .. });
    if info.is_some_and(|info| info.special.is_some())
        || !is_ber_tlv && (reserved_wanted.is_some() || maximum_wanted.is_some())
    {
        return Err(StatusWord::WRONG_DATA);
    }
    match structure {
        Structure::Transparent { .. } => Ok(Structure::Transparent { size: size? }),
        Structure::LinearFixed { record_length, .. } => {
            Ok(Structure::LinearFixed { record_length, records: records_in(size?, record_length)? })
        }
        Structure::Cyclic { .. } => Err(StatusWord::INCOMPATIBLE_FILE_STRUCTURE),
        Structure::BerTlv { reserved, maximum } => {
            let size = parameters.size;
            if size.or(reserved_wanted).or(maximum_wanted).is_none() {
                return Err(StatusWord::WRONG_DATA);
            }
            let maximum = maximum_wanted.or(size).unwrap_or(maximum);
            let reserved = reserved_wanted.unwrap_or(reserved.min(maximum));
            if maximum == 0 || reserved > maximum {
                return Err(StatusWord::WRONG_DATA);
            }
            Ok(Structure::BerTlv { reserved, maximum })
        }
    }
}

/// A template that another card gave, with the new sizes in it.
fn resized_template(template: &[u8], structure: Structure) -> Vec<u8> {
    let Ok(known) = Tlv::parse(template) else { return template.to_vec() };
    let (mut objects, mut fcp) = (known.children(), Writer::new());
    fcp.constructed(known.tag, |inside| {
        while let Ok(Some(object)) = objects.next() {
            match (object.tag, object.value, structure) {
                (fcp::FILE_SIZE, old, Structure::Transparent { .. } | Structure::LinearFixed { .. }) => {
                    let size = structure.size().to_be_bytes();
                    let width = old.len().clamp(size.iter().skip_while(|byte| **byte == 0).count(), size.len());
                    inside.primitive(object.tag, size.get(size.len() - width..).unwrap_or_default())
                }
                (fcp::FILE_DESCRIPTOR, [descriptor @ .., _], Structure::LinearFixed { records, .. })
                    if descriptor.len() == 4 =>
                {
                    inside.primitive(object.tag, &[descriptor, &[records]].concat())
                }
                _ => inside.raw(object.raw),
            };
        }
        inside.raw(objects.rest());
    });
    fcp.into_bytes()
}
