//! What files are called, from where they lie: the templates of the profile package know all of them.

use applets::kind;
use card_os::fs::{FileId, FileKind, FileNumber, FileTree};
use card_os::{ApplicationKind, ApplicationView};
use saip::templates::{
    CD, CSIM, DF_5G_PROSE, DF_5GS_V4, DF_SAIP, DF_SNPN, EAP, GSM_ACCESS, ISIM, MF, OPT_CSIM, OPT_ISIM_V2, OPT_USIM_V3,
    PHONEBOOK, Row, TELECOM_V2, Template, USIM_V2,
};

/// Applications, their names, and the templates of the files under their ADF.
const APPLICATIONS: &[(ApplicationKind, &str, &[&Template])] = &[
    (kind::ISD_R, "ISD-R", &[]),
    (kind::ECASD, "ECASD", &[]),
    (
        kind::USIM,
        "USIM",
        &[&USIM_V2, &OPT_USIM_V3, &PHONEBOOK, &GSM_ACCESS, &DF_5GS_V4, &DF_SAIP, &DF_SNPN, &DF_5G_PROSE, &EAP],
    ),
    (kind::ISIM, "ISIM", &[&ISIM, &OPT_ISIM_V2, &EAP]),
    (kind::CSIM, "CSIM", &[&CSIM, &OPT_CSIM]),
    (kind::SECURITY_DOMAIN, "security domain", &[]),
    (kind::RFM, "remote file management", &[]),
];

/// Templates of the files under the MF.
const UNDER_MF: &[&Template] = &[&MF, &CD, &TELECOM_V2];

/// Tag of the element's own directory in every template that has one.
const OWN_DIRECTORY: u32 = 0xA2;

/// What an application is.
pub(super) fn of_application(kind: ApplicationKind) -> &'static str {
    APPLICATIONS.iter().find(|(known, ..)| *known == kind).map_or("application", |(_, name, _)| name)
}

/// What a file is called, `EF.IMSI`; `None` for one that no template has.
pub(super) fn of_file(tree: &FileTree, number: FileNumber, applications: &[ApplicationView]) -> Option<String> {
    let file = tree.get(number)?;
    match file.kind {
        FileKind::Mf => Some("MF".into()),
        FileKind::Adf(_) => Some(format!("ADF.{}", of_application(owner(number, applications)?))),
        FileKind::Df | FileKind::Ef(_) => {
            let parent = of_file(tree, file.parent, applications)?;
            let (root, templates) = context(tree, file.parent, applications)?;
            // Well-known since before there were templates.
            if let ("MF", 0x7F20) = (parent.as_str(), file.fid.0) {
                return Some("DF.GSM".into());
            }
            templates.iter().find_map(|template| in_template(template, &root, &parent, file.fid)).map(ToOwned::to_owned)
        }
    }
}

/// The application whose ADF this is.
fn owner(adf: FileNumber, applications: &[ApplicationView]) -> Option<ApplicationKind> {
    applications
        .iter()
        .find(|application| application.record.adf == Some(adf))
        .map(|application| application.record.kind)
}

/// The name of the MF or ADF above a directory, and the templates that hold there.
fn context(
    tree: &FileTree,
    directory: FileNumber,
    applications: &[ApplicationView],
) -> Option<(String, &'static [&'static Template])> {
    let file = tree.get(directory)?;
    match file.kind {
        FileKind::Mf => Some(("MF".into(), UNDER_MF)),
        FileKind::Adf(_) => {
            let owner = owner(directory, applications)?;
            let (_, name, templates) = APPLICATIONS.iter().find(|(known, ..)| *known == owner)?;
            Some((format!("ADF.{name}"), templates))
        }
        FileKind::Df | FileKind::Ef(_) => context(tree, file.parent, applications),
    }
}

fn in_template(template: &Template, root: &str, parent: &str, fid: FileId) -> Option<&'static str> {
    let is_directory = |row: &Row| !row.name.starts_with("EF.");
    let own = template.row(OWN_DIRECTORY).filter(is_directory).map_or(root, |row| row.name);
    let directory = |row: &Row| match row.within {
        _ if row.tag == OWN_DIRECTORY && is_directory(row) => Some(root),
        Some(tag) => template.row(tag).map(|row| row.name),
        None => Some(own),
    };
    let mut rows = template.rows().into_iter().filter(|row| row.file_id == fid.0);
    rows.find(|row| directory(row) == Some(parent)).map(|row| row.name)
}
