//! `vuicc apdu replay`: a recorded session, played again.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use apdu::StatusWord;
use capture::{Event, LeftOut, Part, Session, What};
use clap::Args;
use console::Exit;
use reader_bridge::replay::Options;

use super::place::PlaceArguments;
use super::sources::assignment;
use super::{recorded_card, recorded_host};
use crate::failure::{AtPath, Failure};
use crate::target::TargetArguments;
use crate::{Context, hexadecimal};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A recorded session: a trace as text or JSON lines, packets of GSMTAP, a log of lpac or pySim; `-` is stdin
    #[arg(value_name = "SESSION")]
    pub(super) session: PathBuf,
    /// To a card: begin with this event of the session, numbered as `vuicc apdu decode` shows them
    #[arg(long, value_name = "NUMBER")]
    pub(super) from: Option<usize>,
    /// To a card: the value of a secret that was left out when the session was recorded; `secret` is the name of PINs and PUKs
    /// without one
    #[arg(long = "set", value_name = "NAME=HEX", value_parser = assignment)]
    pub(super) secrets: Vec<(String, Octets)>,
    #[command(flatten)]
    pub(super) target: TargetArguments,
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// Answer to reset [default: the recorded one]
    #[arg(long, value_name = "HEX", value_parser = hexadecimal::parse)]
    atr: Option<Octets>,
    /// Status word for commands that are not recorded [default: 6F00]
    #[arg(long, value_name = "SW", value_parser = status_word)]
    unknown: Option<StatusWord>,
    /// End, successfully, when each recorded command was asked and no other one follows
    #[arg(long)]
    pub(super) until_asked: bool,
    /// Fail with exit code 3 if a recorded command was not asked, too
    #[arg(long)]
    pub(super) complete: bool,
    /// Show every command, not only those that are not recorded, or are answered otherwise
    #[arg(long)]
    pub(super) show: bool,
}

/// So that clap takes it for one value.
type Octets = Vec<u8>;

fn status_word(text: &str) -> Result<StatusWord, String> {
    match hexadecimal::parse(text)?.as_slice() {
        [sw1 @ (0x60..=0x6F | 0x90..=0x9F), sw2] => Ok(StatusWord::from([*sw1, *sw2])),
        _ => Err("two octets, of which the first is 6X or 9X, as in 6D00".into()),
    }
}

impl Arguments {
    pub(super) fn options(&self) -> Options {
        let default = Options::default();
        Options { atr: self.atr.clone(), unknown: self.unknown.unwrap_or(default.unknown) }
    }

    /// Refuses options of the one direction with the other.
    fn check(&self) -> Result<(), Failure> {
        let named =
            |options: &[(bool, &'static str)]| options.iter().find_map(|(is_given, name)| is_given.then_some(*name));
        let for_card = named(&[(self.from.is_some(), "--from"), (!self.secrets.is_empty(), "--set")]);
        let for_program = named(&[
            (self.atr.is_some(), "--atr"),
            (self.unknown.is_some(), "--unknown"),
            (self.until_asked, "--until-asked"),
            (self.complete, "--complete"),
        ]);
        let told = match (self.target.is_given(), for_card, for_program.or_else(|| self.place.given())) {
            (true, _, Some(option)) => {
                format!(
                    "{option} is for a session that is played to a program, and --reader and --card play it to a card"
                )
            }
            (false, Some(option), _) => {
                format!("{option} is for a session that is played to a card: name that by --reader or --card")
            }
            (true, ..) => return Ok(()),
            (false, ..) => return self.target.check(),
        };
        Err(Failure::because(told).with(Exit::Usage))
    }
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    arguments.check()?;
    if arguments.session == Path::new("-") && arguments.place.stay.detaches() {
        let told = "what runs in the background has no stdin to read a recording from; name a file";
        return Err(Failure::because(told).with(Exit::Usage));
    }
    let recorded = session(&arguments.session)?;
    let is_answer = |event: &Event| matches!(&event.what, What::Exchange { response, .. } if !response.is_empty());
    if !recorded.events.iter().any(is_answer) {
        let told = format!(
            "{} holds no answer of a card, as a script that was written by hand; `vuicc apdu run` sends its commands",
            arguments.session.display()
        );
        return Err(Failure::because(told).with(Exit::Input));
    }
    if arguments.target.is_given() {
        return recorded_host::run(arguments, &recorded, context);
    }
    if let Some(told) = withheld(&recorded.events) {
        return Err(Failure::because(format!("{}: {told}", arguments.session.display())).with(Exit::Input));
    }
    let name = arguments.session.file_name().unwrap_or("replay".as_ref());
    arguments.place.stay.run(name, context, |parent| {
        recorded_card::run(arguments, &arguments.session, &recorded.events, context, parent)
    })
}

/// Why a recording cannot stand in for its card: something was left out of a response, and no asterisks are given for it.
fn withheld(events: &[Event]) -> Option<String> {
    let of_response = |left_out: &&LeftOut| left_out.part == Part::Response;
    let (event, left_out) = events.iter().find_map(|event| Some((event, event.left_out.iter().find(of_response)?)))?;
    let place = event.line.map(|line| format!("line or packet {line}: ")).unwrap_or_default();
    Some(format!(
        "{place}the secret `{}` was left out of a response when it was recorded, which cannot be given without it; record it by \
         `vuicc apdu proxy`, which leaves out PINs only",
        left_out.name
    ))
}

/// Reads a recorded session.
pub(super) fn session(path: &Path) -> Result<Session, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(path).at("read the recording", path)?;
    }
    if crate::package::is_card_image(path) {
        return Err(
            Failure::because(format!("{} is a card image, not a recorded session", path.display())).with(Exit::Input)
        );
    }
    capture::read(&bytes)
        .map_err(|error| Failure::because(format!("cannot read {}: {error}", path.display())).with(Exit::Input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mask_is_given_for_a_response() {
        let left_out = |part| vec![LeftOut { part, range: 0..4, name: "k".into() }];
        let exchange = || Event::exchange(*b"\x00\xCB\0\0\0", *b"****\x90\x00");
        let event = Event { line: Some(7), left_out: left_out(Part::Response), ..exchange() };
        let told = withheld(&[exchange(), event]).unwrap();
        assert!(told.starts_with("line or packet 7: the secret `k` was left out of a response"), "{told}");
        assert_eq!(withheld(&[Event { left_out: left_out(Part::Command), ..exchange() }]), None);
    }
}
