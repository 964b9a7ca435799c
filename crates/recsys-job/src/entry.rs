//! The entry of every binary: flags, logs, the job, and its exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Command, Parser};
use recsys_core::domain::class::Class;
use recsys_core::threads::parallel::NotStarted;
use serde_json::json;
use signal_hook::consts::SIGXFSZ;

use crate::config::Linked;
use crate::shell::cli::{EXIT_CODES, Flags, LogFormat};
use crate::shell::error::{JobError, class, exit_code, is_interruption, one_line};
use crate::shell::{clock, interrupt, logging, run_id, visible};
use crate::watch::failure_note;
use crate::watch::metrics::{self, Run};

/// Runs a job: reads its flags, sets up logs, calls it, and turns a failure into one line and an exit code.
pub fn main<F: Flags + Parser>(
    name: &'static str,
    about: &'static str,
    linked: Linked,
    job: fn(&F, &Run) -> anyhow::Result<()>,
) -> ExitCode {
    let command = F::command().name(name).about(about).version(env!("CARGO_PKG_VERSION"));
    let help = if command.has_subcommands() { EXIT_CODES.to_owned() } else { with_example(name) };
    let with_codes =
        |command: Command| if command.has_subcommands() { command } else { command.after_help(EXIT_CODES) };
    let command = command.after_help(help).mut_subcommands(with_codes);
    let flags = match command.try_get_matches().and_then(|matches| F::from_arg_matches(&matches)) {
        Ok(flags) => flags,
        Err(error) => return usage(&error),
    };
    // A file that grows over its size limit is then an error of the write, with a line that names the file.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    let run = Run::begin(linked, name, flags.command_name(), flags.scope());
    let common = flags.common();
    let mut run_id = None;
    let begun = run_id::begin()
        .and_then(|id| logging::init(common.log_format, run_id.insert(id).clone()))
        .and_then(|()| Ok(interrupt::watch().map_err(|error| JobError::Io("watch for signals", error))?))
        .and_then(|()| start_threads());
    let has_begun = begun.is_ok();
    let outcome = begun.and_then(|()| job(&flags, &run));
    metrics::end(&run, common, &outcome);
    let line = outcome.as_ref().err().map(|error| without_credentials(&last_line(error)));
    if has_begun {
        failure_note::end(&run, common, outcome.as_ref().err().zip(line.as_deref()));
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&last_line(&error), class(&error), common.log_format, run_id.as_deref()),
    }
}

/// Starts the threads that share the work. Without this they are started when they are first needed, and a limit on
/// processes is then a panic.
fn start_threads() -> anyhow::Result<()> {
    let started = rayon::ThreadPoolBuilder::new().build_global();
    Ok(started.map_err(|error| NotStarted(io::Error::other(error)))?)
}

/// What a failed job says last.
fn last_line(error: &anyhow::Error) -> String {
    let signal = interrupt::signal();
    if is_interruption(error) {
        format!("stopped by {signal} at a safe point: nothing is half done, and the same command carries on")
    } else if class(error) == Class::Transient && recsys_core::threads::interrupt::check().is_err() {
        format!("stopped by {signal}: {}", one_line(error.as_ref()))
    } else {
        one_line(error.as_ref())
    }
}

fn with_example(name: &str) -> String {
    let flags = "--config configs/env/shop.json --tenant demo --surface home --start 2026-01-01";
    format!("Example:\n  {name} {flags}\n\n{EXIT_CODES}")
}

fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return if error.use_stderr() { ExitCode::from(exit_code(Class::Usage)) } else { ExitCode::SUCCESS };
    }
    let text = error.render().to_string();
    let paragraphs = text.split("\n\n").take_while(|paragraph| !paragraph.starts_with("Usage:"));
    let words: Vec<&str> = paragraphs
        .filter(|paragraph| !paragraph.starts_with("For more information"))
        .flat_map(str::split_whitespace)
        .collect();
    let line = words.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    fail(&format!("{line} (see --help)"), Class::Usage, None, None)
}

/// A message without what stands before the host of an address: it may repeat a flag with a user and password.
fn without_credentials(message: &str) -> String {
    let mut hidden = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        hidden += before;
        let authority = address.find(['/', ' ', '\'', '?', '#']).unwrap_or(address.len());
        rest = match address[..authority].rfind('@') {
            Some(at) if address[..at] != *"user:password" => {
                hidden += "********";
                &address[at..]
            }
            // Those words stand in messages that say how an address is written.
            _ => address,
        };
    }
    hidden + rest
}

/// The last line of a failed job. It is not a log line, so no log level hides it.
fn fail(line: &str, class: Class, format: Option<LogFormat>, run_id: Option<&str>) -> ExitCode {
    let (line, exit_code) = (without_credentials(line), exit_code(class));
    let line = if format == Some(LogFormat::Json) {
        let timestamp = clock::wall().to_string();
        let line = json!({
            "run_id": run_id, "timestamp": timestamp, "level": "ERROR", "message": line, "exit_code": exit_code
        });
        visible::json(&line.to_string()).into_owned()
    } else {
        format!("error: {}", visible::line(&line))
    };
    // When standard error is gone, the message has no reader.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_does_not_repeat_the_password_of_an_address() {
        let same = "unexpected argument 'http://host/a@b' found";
        assert_eq!(without_credentials(same), same);
        let example = "not of the form postgres://user:password@host:port/database";
        assert_eq!(without_credentials(example), example);
        let message = "unexpected argument 'http://user:p@ss@host:1/x' and 'postgres://u:p@h' found";
        let hidden = "unexpected argument 'http://********@host:1/x' and 'postgres://********@h' found";
        assert_eq!(without_credentials(message), hidden);
    }
}
