//! What a job says on standard output: lines for people as things happen, or one JSON document at the end.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// Standard output in one of two forms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// A line of the summary; left out when a document is asked for.
    pub(crate) fn line(self, line: impl Display) {
        if !self.json {
            write(|out| writeln!(out, "{line}"));
        }
    }

    /// The document, when one is asked for.
    pub(crate) fn document(self, document: &impl Serialize) {
        if self.json {
            write(|out| {
                serde_json::to_writer_pretty(&mut *out, document)?;
                writeln!(out)
            });
        }
    }
}

/// Whoever closed the pipe has seen enough: that is no failure of the job.
fn write(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) {
    let mut out = io::stdout().lock();
    let _ = write(&mut out).and_then(|()| out.flush());
}
