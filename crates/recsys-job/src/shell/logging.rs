//! Log lines on standard error: text for people, JSON for collectors, each with the id of the run.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::shell::cli::LogFormat;
use crate::shell::error::JobError;
use crate::shell::visible;

/// Libraries whose debug lines contain request headers, including credentials. Only their warnings and errors are
/// logged, whatever `RUST_LOG` says.
const DISCREET: [&str; 5] = ["h2", "hyper", "hyper_util", "reqwest", "rustls"];

fn discreet() -> FilterFn {
    filter_fn(|line| {
        let library = line.target().split("::").next().unwrap_or_default();
        *line.level() <= Level::WARN || !DISCREET.contains(&library)
    })
}

/// Adds the run id to each line, on threads without a span, too.
struct WithRunId<F> {
    run_id: String,
    form: LogFormat,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for WithRunId<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Self { run_id, form, inner } = self;
        let mut line = String::new();
        inner.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match form {
            LogFormat::Text => writeln!(writer, "{run_id} {}", visible::log_line(line)),
            LogFormat::Json => {
                let fields = visible::json(line.strip_prefix('{').ok_or(fmt::Error)?);
                writeln!(writer, r#"{{"run_id":{},{fields}"#, serde_json::Value::from(run_id.as_str()))
            }
        }
    }
}

/// Sets up logging. `RUST_LOG` sets the level; the default is warnings, errors and progress of long steps.
pub(crate) fn init(format: Option<LogFormat>, run_id: String) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|error| JobError::Usage(format!("RUST_LOG is {directives:?}: {error}")))?,
        _ => EnvFilter::new("warn,recsys_job::watch::progress=info"),
    };
    let terminal = io::stderr().is_terminal();
    let form = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second call in one process keeps the first subscriber.
    let _ = match form {
        LogFormat::Text => builder
            .with_ansi(terminal)
            .with_target(false)
            .map_event_format(|inner| WithRunId { run_id, form, inner: inner.with_ansi(terminal) })
            .finish()
            .with(discreet())
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .map_event_format(|inner| WithRunId { run_id, form, inner })
            .finish()
            .with(discreet())
            .try_init(),
    };
    Ok(())
}
