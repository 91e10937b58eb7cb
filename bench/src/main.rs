//! Figures of the project, measured side by side in one run. `scripts/bench` builds and starts it.

mod authenticate;
mod decode;
mod download;
mod eap;
mod figure;
mod fleet;
mod flows;
mod in_process;
mod memory;
mod modem;
mod network;
mod processors;
mod reader;
mod rounds;
mod thousands;
mod usb;
mod waits;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use figure::Figure;

/// Measures, and says which targets hold.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// One JSON object per line: name, value, unit, ratio, ratio_to, target, holds.
    #[arg(long)]
    json: bool,
    /// Fail if a target is missed.
    #[arg(long)]
    check: bool,
    /// Only figures whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Instead of measuring, be the responder that answers with a constant, in the slot at HOST:PORT.
    #[arg(long, hide = true, value_name = "HOST:PORT")]
    constant: Option<String>,
}

/// A measurement: the beginning of its figures' names, and how to take it.
type Measurement = (&'static str, fn() -> Result<Vec<Figure>, Box<dyn Error>>);

const MEASUREMENTS: &[Measurement] = &[
    ("in_process.select_and_read", in_process::select_and_read),
    ("image.open_five_profiles", in_process::open_image),
    ("in_process.authenticate", authenticate::authenticate),
    ("decode.apdus", decode::apdus),
    ("reader.select_and_read", reader::select_and_read),
    ("proxy", reader::recorded),
    ("waits.card", waits::card),
    ("waits.server", waits::server),
    ("modem.generic_access", modem::generic_access),
    ("usb", usb::readers),
    ("download", download::profile),
    ("downloads.per_second", fleet::downloads),
    ("fleet.ready", thousands::ten_thousand),
    ("fleet.downloads_per_second", thousands::load),
    ("eap_aka", eap::authentications),
    ("flows.companion_per_minute", flows::companion),
    ("card_run", memory::three_profiles),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(address) = &arguments.constant {
        return match reader::serve_constant(address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let mut code = ExitCode::SUCCESS;
    for (name, measure) in MEASUREMENTS.iter().filter(|(name, _)| name.contains(&arguments.only)) {
        match measure() {
            Ok(figures) => {
                for figure in figures {
                    if arguments.json {
                        println!("{}", figure.to_json());
                    } else {
                        println!("{figure}");
                    }
                    if arguments.check && figure.holds() == Some(false) {
                        code = ExitCode::FAILURE;
                    }
                }
            }
            Err(error) => {
                eprintln!("{name}: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
