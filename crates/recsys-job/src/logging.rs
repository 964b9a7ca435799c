//! Log lines on standard error: text for people, JSON for collectors.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::LogFormat;
use crate::error::JobError;

/// Libraries whose finer lines repeat the headers of requests, which authorise whoever has them. No `RUST_LOG`
/// brings them out.
const DISCREET: [&str; 5] = ["h2", "hyper", "hyper_util", "reqwest", "rustls"];

fn discreet() -> FilterFn {
    filter_fn(|line| {
        let library = line.target().split("::").next().unwrap_or_default();
        *line.level() <= Level::WARN || !DISCREET.contains(&library)
    })
}

/// Sets up logging. `RUST_LOG` chooses the level; without it, warnings, errors and the progress
/// of what takes long are shown.
pub(crate) fn init(format: Option<LogFormat>) -> Result<(), JobError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|error| JobError::Usage(format!("RUST_LOG is {directives:?}: {error}")))?,
        _ => EnvFilter::new("warn,recsys_job::progress=info"),
    };
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second call in one process keeps the first subscriber.
    let _ = match format {
        LogFormat::Text => {
            builder.with_ansi(terminal).with_target(false).finish().with(discreet()).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).finish().with(discreet()).try_init(),
    };
    Ok(())
}
