//! `vuicc apdu stdio`: a card for a program that asks for APDUs on its standard output, as lpac's driver `stdio` does.

mod driver;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use apdu::Transport;
use clap::Args;
use console::Exit;

use self::driver::{Driver, Heard};
use crate::Context;
use crate::failure::Failure;
use crate::output::{Output, beside, tell};
use crate::target::TargetArguments;

/// Octets of the longest line that is taken: what lpac sends to a server in one is shorter.
const LONGEST_LINE: u64 = 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The program and its arguments, after `--`; it is started with LPAC_APDU=stdio. Without one, requests come on this
    /// command's standard input, and answers go to its standard output
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
    #[command(flatten)]
    target: TargetArguments,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let card = arguments.target.connect()?;
    if let Some((program, rest)) = arguments.command.split_first() {
        return beside_program(program, rest, card, context.output);
    }
    let driver = converse(&mut io::stdin().lock(), &mut io::stdout().lock(), card, tell)?;
    driver.lost().map_or(Ok(()), |why| Err(lost(&why)))
}

/// Starts the program, and answers it until it has ended.
fn beside_program(program: &str, rest: &[String], card: Box<dyn Transport>, output: Output) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(rest).env("LPAC_APDU", "stdio").stdin(Stdio::piped()).stdout(Stdio::piped());
    if std::env::var_os("LPAC_HTTP").is_none() {
        command.env("LPAC_HTTP", "curl");
    }
    let child = command.spawn().map_err(|error| {
        Failure::because(format!("cannot start {program}: {error}; name a program that is there")).with(Exit::Usage)
    })?;
    let mut child = Ended(child);
    let (Some(mut to_program), Some(from_program)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err(Failure::because(format!("{program} has no standard input and output")));
    };
    let told = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
        Ok(said) if output.is_json() => beside(output.json(&said)),
        _ => beside(output.text(line)),
    };
    let driver = converse(&mut BufReader::new(from_program), &mut to_program, card, told);
    drop::<ChildStdin>(to_program);
    let driver = driver?;
    let status = child.0.wait()?;
    if let Some(why) = driver.lost() {
        return Err(lost(&why));
    }
    if status.success() { Ok(()) } else { Err(Failure::because(format!("{program} has failed: {status}"))) }
}

fn lost(why: &str) -> Failure {
    Failure::because(why).with(Exit::Card)
}

/// Ends a program that is still there.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // It may have ended just now.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Answers requests, and has all else `told`, until there are no more.
fn converse(
    requests: &mut impl BufRead,
    answers: &mut impl Write,
    card: Box<dyn Transport>,
    mut told: impl FnMut(&str),
) -> Result<Driver<Box<dyn Transport>>, Failure> {
    let mut driver = Driver::new(card);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = requests.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(driver);
        }
        if !line.ends_with(b"\n") && u64::try_from(read).is_ok_and(|read| read == LONGEST_LINE) {
            return Err(Failure::because(format!(
                "a line of more than {LONGEST_LINE} octets is no request for an APDU; does the program speak lpac's stdio?"
            ))
            .with(Exit::Input));
        }
        let text = String::from_utf8_lossy(&line);
        match driver.hear(text.trim_end()) {
            Heard::Answer(answer) => {
                // A program that has ended reads no answers.
                if writeln!(answers, "{answer}").and_then(|()| answers.flush()).is_err() {
                    return Ok(driver);
                }
            }
            Heard::Other => told(text.trim_end()),
        }
    }
}
