//! The file formats of a catalogue.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The file format of a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

impl CatalogFormat {
    /// The format given by the extension of a file name, also below `.gz` or `.zst`.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        let (_, extension) = name.rsplit_once('.')?;
        extension.parse().ok()
    }
}

impl FromStr for CatalogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err(format!("{name:?} is not a catalogue format; the formats are csv and jsonl")),
        }
    }
}
