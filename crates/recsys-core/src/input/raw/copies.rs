//! Detects copies among files that are read together.
//!
//! A day's data may be split over a plain and a compressed file. But the second file may also be the result of `gzip -k`,
//! and then every event would count twice.

use std::collections::HashSet;
use std::io::{self, Cursor, Read};
use std::mem;

use super::RawError;
use crate::input::lines::LineFile;
use crate::storage::StoreError;

/// How many bytes at the beginning of each file are compared.
const HEAD_BYTES: usize = 1 << 18;

/// Refuses two files if at least half of the lines at the beginning of one are also at the beginning of the other: one is
/// a copy, even if changed since.
///
/// Fewer common lines are fine: a repeated delivery counts once, whichever files hold it.
pub(super) fn refuse(mut files: Vec<LineFile>) -> Result<Vec<LineFile>, RawError> {
    if files.len() < 2 {
        return Ok(files);
    }
    let heads = files.iter_mut().map(head).collect::<Result<Vec<_>, _>>()?;
    let lines: Vec<HashSet<&[u8]>> = heads.iter().map(|head| lines(head)).collect();
    for (at, one) in lines.iter().enumerate() {
        for (before, other) in lines[..at].iter().enumerate() {
            let (same, lines) = (one.intersection(other).count(), one.len().min(other.len()));
            if same > 0 && 2 * same >= lines {
                let (one, other) = (files[before].name.clone(), files[at].name.clone());
                return Err(RawError::Copies { one, other, same, lines });
            }
        }
    }
    for (file, head) in files.iter_mut().zip(heads) {
        let rest = mem::replace(&mut file.reader, Box::new(io::empty()));
        file.reader = Box::new(Cursor::new(head).chain(rest));
    }
    Ok(files)
}

fn head(file: &mut LineFile) -> Result<Vec<u8>, StoreError> {
    let mut head = Vec::new();
    let read = file.reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head);
    read.map_err(|source| StoreError { action: "read", target: file.name.clone(), source })?;
    Ok(head)
}

/// The complete lines in `head`, trimmed and without blank ones. If not one line is complete, `head` counts as a line.
fn lines(head: &[u8]) -> HashSet<&[u8]> {
    let whole =
        if head.len() < HEAD_BYTES { head.len() } else { memchr::memrchr(b'\n', head).unwrap_or(head.len()) };
    let text = head[..whole].strip_prefix("\u{feff}".as_bytes()).unwrap_or(&head[..whole]);
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect()
}
