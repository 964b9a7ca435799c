//! Standard output of a job: lines for people as things happen, or one JSON document at the end.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::shell::error::JobError;
use crate::shell::visible;

/// Standard output as text or JSON.
pub(crate) struct Output {
    json: bool,
    /// First write error.
    failure: Cell<Option<io::Error>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, failure: Cell::new(None) }
    }

    /// Prints a line of the summary; ignored in JSON mode.
    pub(crate) fn line(&self, line: impl Display) {
        if !self.json {
            self.write(|out| writeln!(out, "{}", visible::lines(&line.to_string())));
        }
    }

    /// Prints a line for each report; ignored in JSON mode.
    pub(crate) fn lines<L: Display>(&self, lines: impl IntoIterator<Item = L>) {
        lines.into_iter().for_each(|line| self.line(line));
    }

    /// Ends the output; in JSON mode, prints the document, even after a failure. Returns the outcome of the job, or the
    /// write error if the job succeeded.
    pub(crate) fn end(self, document: &impl Serialize, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        if self.json {
            self.write(|out| {
                let document = serde_json::to_string_pretty(document)?;
                writeln!(out, "{}", visible::json(&document))
            });
        }
        let failed = |error| Err(JobError::Io("write to standard output", error).into());
        outcome.and(self.failure.into_inner().map_or(Ok(()), failed))
    }

    fn write(&self, write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) {
        let mut out = io::stdout().lock();
        match write(&mut out).and_then(|()| out.flush()) {
            // A closed pipe means that the reader has seen enough; the job does not fail.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => self.failure.set(Some(error)),
            _ => {}
        }
    }
}
