//! An inspection as text.

use super::{Application, Directory, Domain, Euicc, Fault, Inspection};
use core::fmt::{Display, Formatter, Result};

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let memory = &self.memory;
        write!(f, "{}, made by {}", self.card_type, self.made_by)?;
        match &self.like {
            Some(like) => writeln!(f, ", like {like}")?,
            None => writeln!(f)?,
        }
        writeln!(f, "  ATR       {}", self.atr)?;
        writeln!(f, "  memory    {} bytes: {} used, {} free", memory.total, memory.used, memory.free)?;
        if let Some(euicc) = &self.euicc {
            write!(f, "{euicc}")?;
        }
        if !self.faults.is_empty() {
            writeln!(f, "\nFaults: {}", self.faults.len())?;
        }
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        for domain in &self.domains {
            write!(f, "\n{domain}")?;
        }
        Ok(())
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "  {:>4}  {}: {}", self.number, self.fault, self.state)
    }
}

impl Display for Euicc {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "  EID       {}", self.eid)?;
        let (svn, packages, firmware) = (&self.svn, &self.profile_version, &self.firmware_version);
        writeln!(f, "  versions  SGP.22 {svn}, profile packages {packages}, firmware {firmware}")?;
        if !self.claims.is_empty() {
            writeln!(f, "  claims    {}, without having it", self.claims.join(", "))?;
        }
        for aid in self.isd_r.iter().filter(|aid| **aid != super::hexadecimal(&rsp::ids::AID_ISD_R)) {
            writeln!(f, "  ISD-R     {aid}")?;
        }
        for ci in &self.cis {
            writeln!(f, "  CI        {ci}")?;
        }
        writeln!(f, "  SM-DP+    {}", self.default_dp_address.as_deref().unwrap_or("none"))?;
        writeln!(f, "  SM-DS     {}", self.root_ds_address)?;
        writeln!(f, "\nProfiles: {}", self.profiles.len())?;
        for profile in &self.profiles {
            let state = if profile.enabled { "enabled" } else { "disabled" };
            write!(f, "  {}  {state:8}  {}", profile.iccid, profile.name)?;
            if let Some(nickname) = &profile.nickname {
                write!(f, " \"{nickname}\"")?;
            }
            if !profile.service_provider.is_empty() {
                write!(f, ", {}", profile.service_provider)?;
            }
            write!(f, ", {}", profile.class)?;
            if !profile.policy_rules.is_empty() {
                write!(f, ", {}", profile.policy_rules.join(", "))?;
            }
            writeln!(f, "\n      ISD-P {}", profile.isdp_aid)?;
        }
        if !self.notifications.is_empty() {
            writeln!(f, "\nNotifications to deliver: {}", self.notifications.len())?;
        }
        for notification in &self.notifications {
            let (number, operation) = (notification.sequence_number, &notification.operation);
            let iccid = notification.iccid.as_deref().unwrap_or("no profile");
            writeln!(f, "  {number:>4}  {iccid}  {operation}  to {}", notification.address)?;
        }
        Ok(())
    }
}

impl Display for Domain {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match (&self.iccid, self.number) {
            (Some(iccid), number) => write!(f, "Domain {number}, profile {iccid}")?,
            (None, 0) => write!(f, "Platform")?,
            (None, number) => write!(f, "Domain {number}")?,
        }
        let active = if self.active { ", active" } else { "" };
        writeln!(f, "{active}, {} bytes", self.used)?;
        for application in &self.applications {
            write!(f, "{application}")?;
        }
        for pin in &self.pins {
            let state = if pin.enabled { "" } else { ", disabled" };
            let (name, directory, tries, most) = (&pin.name, &pin.directory, pin.tries, pin.maximum_tries);
            writeln!(f, "  {name:22}  of {directory}: {tries} of {most} tries left{state}")?;
        }
        self.files.iter().try_for_each(|file| file.write(f, 1))
    }
}

impl Display for Application {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "  {:22}  {}", self.name.unwrap_or("application"), self.aid)?;
        if let Some(sqn) = self.sqn_ms {
            write!(f, ", SQN {sqn:012X}")?;
        }
        if let Some(count) = self.authentications {
            write!(f, ", {count} authentications")?;
        }
        writeln!(f)
    }
}

impl Directory {
    fn write(&self, f: &mut Formatter<'_>, depth: usize) -> Result {
        let indent = depth * 2;
        write!(f, "{:indent$}{}  {}", "", self.identifier, self.name.unwrap_or("-"))?;
        if let Some(size) = self.size {
            write!(f, "  {}", self.kind)?;
            match (self.records, size) {
                (Some(records @ 1..), size) => write!(f, " {records} × {}", size / u32::from(records))?,
                _ => write!(f, " {size}")?,
            }
        }
        if let Some(sfi) = self.sfi {
            write!(f, ", SFI {sfi:02X}")?;
        }
        if let (Some(read), Some(update)) = (&self.read, &self.update) {
            write!(f, ", read {read}, update {update}")?;
        }
        if let Some(state) = self.life_cycle {
            write!(f, ", {state}")?;
        }
        if let Some(link) = &self.link {
            write!(f, ", linked to {link}")?;
        }
        writeln!(f)?;
        self.files.iter().try_for_each(|file| file.write(f, depth + 1))
    }
}

#[cfg(test)]
mod tests {
    use crate::entropy::ChaCha;
    use crate::inspect;
    use crate::personalise::{Euicc, Uicc, euicc, mint_pki, uicc};
    use saip::builder::{Key, Subscriber, build};

    const ICCID: &str = "89000000000000000012";

    fn package() -> Vec<u8> {
        let subscriber = Subscriber {
            profile_name: Some("A first profile".into()),
            spn: Some("Example Mobile".into()),
            ..Subscriber::new(ICCID, "001010123456789", Key::new(&[0xC1; 16]), Key::new(&[0xC2; 16]))
        };
        saip::encode_package(&build(&subscriber).unwrap())
    }

    #[test]
    fn an_euicc_is_told_from_its_memory() {
        let mut entropy = ChaCha::from_number(1);
        let pki = mint_pki(None, 1_767_225_600, &mut entropy).unwrap();
        let description = Euicc {
            profiles: vec![package().into()],
            enable_first: true,
            default_dp_address: Some("smdp.example".into()),
            ..Euicc::new(pki, 1_767_225_600)
        };
        let card = euicc(&description, &mut entropy).unwrap();
        let before = card.memory.clone();
        let inspection = inspect::card(&card.manufacture, &card.memory).unwrap();
        assert!(card.memory == before);
        let told = inspection.euicc.as_ref().unwrap();
        assert_eq!(Some(told.eid.clone()), card.eid.map(|eid| eid.to_string()));
        assert_eq!(told.default_dp_address.as_deref(), Some("smdp.example"));
        let [profile] = &told.profiles[..] else { panic!("{:?}", told.profiles) };
        assert_eq!((profile.iccid.as_str(), profile.enabled), (ICCID, true));
        assert_eq!((profile.name.as_str(), profile.service_provider.as_str()), ("A first profile", "Example Mobile"));
        let [platform, domain] = &inspection.domains[..] else { panic!("two domains") };
        assert_eq!((platform.number, platform.iccid.as_deref(), platform.active), (0, None, false));
        assert_eq!((domain.number, domain.iccid.as_deref(), domain.active), (1, Some(ICCID), true));
        assert_eq!(inspection.memory.used, platform.used + domain.used);
        let text = inspection.to_string();
        for line in [
            "  SM-DP+    smdp.example",
            "  89000000000000000012  enabled   A first profile, Example Mobile, operational",
            "  ISD-R                   A0000005591010FFFFFFFF8900000100",
            "  PIN1                    of MF: 3 of 3 tries left, disabled",
            "    2F08  EF.UMPC  transparent 5, SFI 08, read always, update ADM1",
            "    6F07  EF.IMSI  transparent 9, SFI 07, read PIN1, update ADM1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let usim = text.lines().find(|line| line.trim_start().starts_with("USIM")).unwrap();
        assert!(usim.ends_with(", SQN 000000000000"), "{usim}");
        // What is secret stays inside: PINs, PUKs, the network's key.
        let all = serde_json::to_string(&inspection).unwrap() + &text;
        for secret in ["C1C1C1C1", "C2C2C2C2", "193, 193", "12345678", "31323334", "88888888"] {
            assert!(!all.contains(secret), "{secret}");
        }
    }

    #[test]
    fn a_uicc_is_its_files() {
        let card = uicc(&Uicc::new(package().into(), 0)).unwrap();
        let inspection = inspect::card(&card.manufacture, &card.memory).unwrap();
        assert!(inspection.euicc.is_none());
        assert_eq!(inspection.domains.len(), 1);
        assert!(inspection.to_string().contains("EF.IMSI"));
    }

    #[test]
    fn an_image_is_looked_at_while_the_card_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("card.img");
        uicc(&Uicc::new(package().into(), 0)).unwrap().save(&path).unwrap();
        let mut card = crate::open(&path).unwrap();
        card.reset();
        assert_eq!(card.transmit(&[0x00, 0x28, 0x00, 0x01, 8, b'0', b'0', b'0', b'0', 255, 255, 255, 255]), [0x90, 0]);
        assert_eq!(
            card.transmit(&[0x00, 0x20, 0x00, 0x01, 8, b'9', b'0', b'0', b'0', 255, 255, 255, 255]),
            [0x63, 0xC2]
        );
        let inspection = inspect::image(&path).unwrap();
        let pin1 = inspection.domains[0].pins.iter().find(|pin| pin.name == "PIN1").unwrap();
        assert_eq!((pin1.enabled, pin1.tries), (true, 2));
    }
}
