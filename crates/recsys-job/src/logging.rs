//! Log lines on standard error: text for people, JSON for collectors.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

use crate::cli::LogFormat;
use crate::error::JobError;

/// Sets up logging. `RUST_LOG` chooses the level; without it, warnings and errors are shown.
pub(crate) fn init(format: Option<LogFormat>) -> Result<(), JobError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|error| JobError::Usage(format!("RUST_LOG is {directives:?}: {error}")))?,
        _ => EnvFilter::new("warn"),
    };
    // Their finer lines repeat the headers of requests, which authorise whoever has them.
    let filter = ["h2", "hyper", "hyper_util", "reqwest", "rustls"].iter().fold(filter, |filter, library| {
        let quiet = Directive::from(LevelFilter::WARN);
        filter.add_directive(format!("{library}=warn").parse().unwrap_or(quiet))
    });
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second call in one process keeps the first subscriber.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(terminal).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
