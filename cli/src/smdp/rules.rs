//! The settings of an SM-DP+ that decide about downloads, as options of `vuicc smdp serve`.

use clap::{Args, ValueEnum, value_parser};
use smdp::Settings;
use smdp::bind::ProfileProtection;

use crate::server_address::server_address;

#[derive(Debug, Args)]
#[command(next_help_heading = "Downloads")]
pub(crate) struct Rules {
    /// How many wrong confirmation codes end an order (8.2.7/6.4)
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().confirmation_code_tries)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    confirmation_code_tries: u32,
    /// How often an order's package is delivered before the order ends (8.8.5/6.4); one with --reusable never does
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().download_tries)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    download_tries: u32,
    /// Keep an order open when its user rejects the profile, which by SGP.22 ends it. For LPAs like lpac, which give this reason for
    /// every failure of their own, down to a mistyped confirmation code
    #[arg(long)]
    keep_rejected: bool,
    /// Deliver profiles also to eUICCs on which they would not work; otherwise they are refused (8.2.5/4.3, 8.1/4.8)
    #[arg(long)]
    no_eligibility_check: bool,
    /// Take what deployed LPAs send against SGP.22: a notification without its outermost tag, BF37 or 30 (openpilot). The log says so;
    /// without this it is refused (2.1/1.3.1)
    #[arg(long)]
    lenient: bool,
    /// The keys that encrypt a profile
    #[arg(long, value_enum, value_name = "KEYS", default_value_t = ProfileKeys::Random)]
    profile_keys: ProfileKeys,
    /// Name of this server in key derivations (hostId), 1 to 16 octets
    #[arg(long, value_name = "TEXT", default_value = "vuicc-smdp", value_parser = host_id)]
    host_id: String,
    /// Another SM-DP+ address that LPAs may call this server by; repeat for more
    #[arg(long = "also-address", value_name = "HOST[:PORT]", value_parser = server_address)]
    aliases: Vec<String>,
    /// How long a download may take, from its first call on
    #[arg(long, value_name = "SECONDS", default_value_t = Settings::default().sessions.lifetime)]
    #[arg(value_parser = value_parser!(u64).range(1..=86_400))]
    session_lifetime: u64,
    /// How many sessions may wait for their eUICC to authenticate (8.8/4.2)
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().sessions.waiting)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    waiting_sessions: u32,
    /// The same, from one network
    #[arg(long, value_name = "COUNT", default_value_t = Settings::default().sessions.waiting_of_one)]
    #[arg(value_parser = value_parser!(u32).range(1..))]
    waiting_sessions_of_one: u32,
}

/// How a profile is protected. SGP.22 §2.5.3
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileKeys {
    /// Fresh ones for each download, in ReplaceSessionKeys
    Random,
    /// Those of the session, without ReplaceSessionKeys
    Session,
}

fn host_id(text: &str) -> Result<String, String> {
    match text.len() {
        1..=16 => Ok(text.to_owned()),
        octets => Err(format!("it has {octets} octets, and may have 1 to 16")),
    }
}

impl Rules {
    /// Puts them into the settings.
    pub(crate) fn apply(&self, settings: &mut Settings) {
        settings.confirmation_code_tries = self.confirmation_code_tries;
        settings.download_tries = self.download_tries;
        settings.rejection_is_final = !self.keep_rejected;
        settings.check_eligibility = !self.no_eligibility_check;
        settings.lenient = self.lenient;
        settings.protection = match self.profile_keys {
            ProfileKeys::Random => ProfileProtection::RandomKeys,
            ProfileKeys::Session => ProfileProtection::SessionKeys,
        };
        settings.host_id = self.host_id.clone().into_bytes();
        settings.aliases.extend(self.aliases.iter().cloned());
        settings.sessions.lifetime = self.session_lifetime;
        settings.sessions.waiting = self.waiting_sessions;
        settings.sessions.waiting_of_one = self.waiting_sessions_of_one;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        rules: Rules,
    }

    fn settings(line: &[&str]) -> Result<Settings, clap::Error> {
        let parsed = Line::try_parse_from([&["serve"], line].concat())?;
        let mut settings = Settings::default();
        parsed.rules.apply(&mut settings);
        Ok(settings)
    }

    /// Without options the settings are the library's.
    #[test]
    fn defaults_are_those_of_the_library() {
        let (ours, theirs) = (settings(&[]).unwrap(), Settings::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn every_option_arrives() {
        let bent = settings(&[
            "--confirmation-code-tries=1",
            "--download-tries=2",
            "--keep-rejected",
            "--no-eligibility-check",
            "--profile-keys=session",
            "--host-id=x",
            "--also-address=smdp.example.com",
            "--session-lifetime=60",
            "--waiting-sessions=3",
            "--waiting-sessions-of-one=4",
        ]);
        let Settings { confirmation_code_tries, download_tries, rejection_is_final, check_eligibility, .. } =
            bent.as_ref().unwrap();
        assert_eq!((*confirmation_code_tries, *download_tries), (1, 2));
        assert!(!rejection_is_final && !check_eligibility);
        let Settings { protection, host_id, aliases, sessions, .. } = bent.unwrap();
        assert_eq!((protection, host_id.as_slice()), (ProfileProtection::SessionKeys, &b"x"[..]));
        assert_eq!(aliases, ["smdp.example.com"]);
        assert_eq!((sessions.lifetime, sessions.waiting, sessions.waiting_of_one), (60, 3, 4));
    }

    #[test]
    fn senseless_values_are_refused() {
        for wrong in [
            "--confirmation-code-tries=0",
            "--download-tries=0",
            "--host-id=",
            "--host-id=seventeen-letters",
            "--session-lifetime=0",
            "--session-lifetime=86401",
            "--waiting-sessions=0",
            "--profile-keys=none",
            "--also-address=a b",
        ] {
            assert!(settings(&[wrong]).is_err(), "{wrong}");
        }
    }
}
