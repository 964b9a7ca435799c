//! A bad line as written to the quarantine file.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::Position;
use crate::input::event::LineFault;

/// One object of the quarantine file; its fields are written in this order.
#[derive(Serialize)]
pub(super) struct BadLine<'a> {
    file: &'a str,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    byte_offset: u64,
    reason: &'a str,
    /// The line, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The line, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<Base64<'a>>,
}

impl<'a> BadLine<'a> {
    pub(super) fn new(file: &'a str, position: Position, bytes: &'a [u8], fault: &'a LineFault) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        let base64 = text.is_none().then_some(Base64(bytes));
        let Position { line, byte_offset, .. } = position;
        Self { file, line, column: fault.column, byte_offset, reason: &fault.reason, text, base64 }
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}
