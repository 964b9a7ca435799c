//! Writes the workload that speed is measured on.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use recsys_core::domain::window::Day;
use recsys_testkit::workload::{Workload, Written};

/// Writes a day of made-up exposures of tenant `demo`, surface `home`: popular items and a long tail (Zipf), sessions
/// of twelve events on average (geometric, at most 60), some users who come again and again (Pareto).
///
/// The same flags give the same bytes on every machine. What was written is told on standard error.
#[derive(Parser)]
#[command(name = "workload", after_help = EXAMPLES)]
struct Flags {
    /// How many events: a number, perhaps with k or M for thousands or millions
    #[arg(long, default_value = "1M", value_parser = count)]
    events: u64,
    /// How many items can be shown
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    items: u32,
    /// How many users there can be; about a quarter of them come
    #[arg(long, default_value_t = 90_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// The UTC day, YYYY-MM-DD
    #[arg(long, default_value = "2026-01-01")]
    day: Day,
    /// Another seed gives other events of the same kind
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The file to write, which is replaced; - is standard output
    #[arg(long, default_value = "-")]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  the reference workload     workload --output exposure.jsonl
  ten times as many events   workload --events 10M --output exposure.jsonl
  a look at the lines        workload --events 5";

fn count(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "not a number of events such as 1000, 500k or 10M".to_owned())
}

fn write(flags: &Flags) -> io::Result<Written> {
    let Flags { events, items, users, day, seed, .. } = *flags;
    let workload = Workload { day, events, items, users, seed };
    if flags.output.as_os_str() == "-" {
        workload.write(&mut io::stdout().lock())
    } else {
        workload.write(&mut File::create(&flags.output)?)
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let (message, code) = match write(&flags) {
        Ok(Written { events, sessions, bytes }) => {
            (format!("{events} events in {sessions} sessions, {bytes} bytes"), ExitCode::SUCCESS)
        }
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(error) => (format!("error: {}: {error}", flags.output.display()), ExitCode::FAILURE),
    };
    // Nobody is left to hear that this fails.
    let _ = writeln!(io::stderr(), "{message}");
    code
}
