//! Profile packages from files: as they are, or made from the description of a subscriber.

use std::io::Read;
use std::path::Path;

use card::personalise::{CLAIMABLE, class_of};
use clap::ValueEnum;
use console::Exit;
use rsp::metadata::ProfileClass;
use saip::ProfileElement;
use saip::builder::build;
use saip::header::{ProfileHeader, Service};

use crate::failure::{AtPath, Failure};
use crate::subscriber::file::{self, describes_subscriber};

/// The class of a profile, on the command line. SGP.22 §2.4a.1.3
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Class {
    /// For use in the operator's network
    Operational,
    /// For fetching other profiles only
    Provisioning,
    /// For tests, with publicly known keys
    Test,
}

impl From<Class> for ProfileClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Operational => Self::OPERATIONAL,
            Class::Provisioning => Self::PROVISIONING,
            Class::Test => Self::TEST,
        }
    }
}

/// The way out if a package calls itself a test profile and may not be one.
pub(crate) const SAY_CLASS: &str = "use --class test if its keys may be public, or --class operational";

/// The unprotected profile package in a file.
///
/// A file named `.toml` or `.json` describes a subscriber (`docs/subscribers.md`); any other one is a package in DER.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if describes_subscriber(path) {
        return of_subscriber(path);
    }
    let package = std::fs::read(path).at("read the profile", path)?;
    if package.starts_with(card::image::BEGINNING.as_slice()) {
        return Err(Failure::because(format!(
            "{} is a card image, not a profile package; give the profile's package in DER, or a subscriber in .toml or .json: \
             docs/subscribers.md",
            path.display()
        )).with(Exit::Input));
    }
    check(&package).map_err(|cause| {
        Failure::because(format!(
            "{} is not a profile package: {cause}; give an unprotected one of TCA in DER, or a subscriber in .toml or .json: \
             docs/subscribers.md",
            path.display()
        )).with(Exit::Input)
    })?;
    Ok(package)
}

/// Whether a file begins as card images do.
pub(crate) fn is_card_image(path: &Path) -> bool {
    let mut beginning = [0; card::image::BEGINNING.len()];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    read.is_ok() && beginning == *card::image::BEGINNING
}

/// Errors visible before the package is parsed.
pub(crate) fn check(package: &[u8]) -> Result<(), String> {
    /// Tag of a BoundProfilePackage.
    const BOUND: [u8; 2] = [0xBF, 0x36];
    if package.starts_with(&BOUND) {
        return Err("it is bound to one eUICC already".to_owned());
    }
    match saip::decode_package(package) {
        Ok(elements) if matches!(elements.first(), Some(ProfileElement::Header(_))) => Ok(()),
        Ok(_) => Err("it does not begin with a ProfileHeader".to_owned()),
        Err(cause) => Err(cause.to_string()),
    }
}

/// A package, and what its file says about its metadata.
pub(crate) struct Offer {
    /// The unprotected profile package.
    pub(crate) package: Vec<u8>,
    /// The profile name.
    pub(crate) name: Option<String>,
    /// The service provider's name.
    pub(crate) provider: Option<String>,
    /// Its class.
    pub(crate) class: Option<ProfileClass>,
}

/// [`read`], with names; a profile made for a subscriber is of type `kind`, if given.
pub(crate) fn read_offer(path: &Path, kind: Option<&str>) -> Result<Offer, Failure> {
    if !describes_subscriber(path) {
        if kind.is_some() {
            let path = path.display();
            return Err(Failure::because(format!(
                "{path}: --type is for subscribers; a package in DER has its own type"
            ))
            .with(Exit::Usage));
        }
        let package = read(path)?;
        let header = header(&package);
        let class = header.as_ref().and_then(class_of);
        let name = header.and_then(|header| header.profile_type);
        return Ok(Offer { package, name, provider: None, class });
    }
    let mut subscriber = file::read(path)?;
    subscriber.profile_name = kind.map(str::to_owned).or(subscriber.profile_name);
    let package = saip::encode_package(&build(&subscriber)?);
    Ok(Offer {
        package,
        name: subscriber.profile_name,
        provider: subscriber.spn,
        class: Some(ProfileClass::OPERATIONAL),
    })
}

fn header(package: &[u8]) -> Option<ProfileHeader> {
    match saip::decode_package(package).ok()?.into_iter().next()? {
        ProfileElement::Header(header) => Some(*header),
        _ => None,
    }
}

/// The package made for the subscriber in a file, whatever the file's name.
pub(crate) fn of_subscriber(path: &Path) -> Result<Vec<u8>, Failure> {
    Ok(saip::encode_package(&build(&file::read(path)?)?))
}

/// Services a package requires that eUICCs may lack; those made here lack them, and can [claim](CLAIMABLE) them.
pub(crate) fn uncommon_demands(package: &[u8]) -> Vec<Service> {
    let Ok(elements) = saip::decode_package(package) else { return Vec::new() };
    match elements.first() {
        Some(ProfileElement::Header(header)) => {
            header.mandatory_services.iter().filter(|service| CLAIMABLE.contains(service)).collect()
        }
        _ => Vec::new(),
    }
}

/// Reasons why an eUICC may refuse to install a package, as text; none for most.
pub(crate) fn caveats(package: &[u8]) -> Vec<String> {
    let names: Vec<String> = uncommon_demands(package).iter().map(ToString::to_string).collect();
    let applications = saip::decode_package(package)
        .unwrap_or_default()
        .iter()
        .filter(|element| matches!(element, ProfileElement::Application(_)))
        .count();
    let mut caveats = Vec::new();
    if !names.is_empty() {
        caveats.push(format!(
            "it requires {}: an eUICC without it refuses the profile; one made by `vuicc card new` accepts it with{}",
            names.join(", "),
            names.iter().flat_map(|name| [" --claim ", name]).collect::<String>()
        ));
    }
    if applications > 0 {
        caveats.push(format!(
            "it contains byte code applications ({applications}): eUICCs made by `vuicc card new` do not run them, and refuse \
             the profile if it requires them"
        ));
    }
    caveats
}

/// A confirmation code of an option: where it is empty, a variable was not set.
pub(crate) fn confirmation_code(text: &str) -> Result<String, String> {
    match text {
        "" => {
            Err("a confirmation code has at least one character; leave the option out where there is none".to_owned())
        }
        code => Ok(code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use saip::builder::{Key, Subscriber};
    use saip::header::ServicesList;

    use super::*;

    #[test]
    fn a_subscriber_becomes_a_package() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let subscriber = write(
            "one.json",
            r#"{ "iccid": "8988211000000000011", "imsi": "001010000000001",
                 "key": "465b5ce8b199b49faa5f0a2ee238a6bc", "opc": "cd63cb71954a9f4e48a5994e37a02baf" }"#,
        );
        let package = read(&subscriber).unwrap();
        assert_eq!(saip::decode_package(&package).unwrap().len(), 13);
        let same = write(
            "one.toml",
            r#"
                iccid = "8988211000000000011"
                imsi = "001010000000001"
                key = "465b5ce8b199b49faa5f0a2ee238a6bc"
                opc = "cd63cb71954a9f4e48a5994e37a02baf"
            "#,
        );
        assert_eq!(read(&same).unwrap(), package);
        assert_eq!(of_subscriber(&same).unwrap(), package);
        let der = folder.path().join("one.der");
        std::fs::write(&der, &package).unwrap();
        assert_eq!(read(&der).unwrap(), package, "as it is");
        for (wrong, cause) in
            [(&b"as it is"[..], "ends inside"), (&[0xBF, 0x36, 0x00], "bound"), (&[], "ProfileHeader")]
        {
            std::fs::write(&der, wrong).unwrap();
            let Err(Failure::Because(told)) = read(&der) else { panic!("{wrong:?}") };
            assert!(told.contains("one.der is not a profile package: ") && told.contains(cause), "{told}");
        }
        std::fs::write(&der, b"redb\x1A\x0A").unwrap();
        let Err(Failure::Because(told)) = read(&der) else { panic!() };
        assert!(is_card_image(&der) && told.contains("one.der is a card image, not a profile package"), "{told}");
    }

    /// Operators' packages often require Java Card out of habit: their owner is told what that means.
    #[test]
    fn what_may_keep_an_euicc_from_installing_it_is_told() {
        let key = saip::builder::Key::new(&[1; 16]);
        let subscriber = Subscriber::new("8988211000000000011", "001010000000001", key.clone(), key);
        let mut elements = build(&subscriber).unwrap();
        assert!(caveats(&saip::encode_package(&elements)).is_empty());
        if let Some(ProfileElement::Header(header)) = elements.first_mut() {
            let services = header.mandatory_services.iter().chain([Service::JAVACARD]).collect::<Vec<_>>();
            header.mandatory_services = saip::header::ServicesList::new(services);
        }
        let package = saip::encode_package(&elements);
        assert_eq!(uncommon_demands(&package), [Service::JAVACARD]);
        let told = caveats(&package);
        assert!(
            told.len() == 1 && told[0].contains("requires javacard") && told[0].contains("--claim javacard"),
            "{told:?}"
        );
    }

    #[test]
    fn name_and_class_are_those_of_the_header() {
        let subscriber =
            Subscriber::new("8988211000000000011", "001010000000001", Key::new(&[1; 16]), Key::new(&[2; 16]));
        let mut elements = build(&subscriber).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file-name.der");
        let mut offered = |change: &dyn Fn(&mut ProfileHeader)| {
            if let Some(ProfileElement::Header(header)) = elements.first_mut() {
                change(header);
            }
            std::fs::write(&path, saip::encode_package(&elements)).unwrap();
            let offer = read_offer(&path, None).unwrap();
            (offer.name, offer.class)
        };
        let operational = Some(ProfileClass::OPERATIONAL);
        assert_eq!(offered(&|header| header.profile_type = None), (None, operational));
        let named = |name: &str| Some(name.to_owned());
        let contest = offered(&|header| header.profile_type = named("Contest 5 GB"));
        assert_eq!(contest, (named("Contest 5 GB"), operational), "no test");
        let test = offered(&|header| header.profile_type = named("GSMA Generic eUICC Test Profile"));
        assert_eq!(test, (named("GSMA Generic eUICC Test Profile"), None), "to be asked");
        let demanding = offered(&|header| {
            header.mandatory_services = ServicesList::new([Service::USIM, Service::USIM_TEST_ALGORITHM]);
        });
        assert_eq!(demanding.1, Some(ProfileClass::TEST));
    }

    #[test]
    fn the_example_of_the_documentation_is_right() {
        let text = include_str!("../../docs/subscribers.md");
        let example = text.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let subscriber: Subscriber = toml::from_str(example).unwrap();
        subscriber.check().unwrap();
    }
}
