//! SHA-256 as used in documents: 64 lower-case hex digits.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use crate::threads::interrupt;

/// Encodes bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whether `text` has the form of a SHA-256: 64 lower-case hex digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A writer that computes the SHA-256 of everything written to it.
#[derive(Debug, Clone, Default)]
pub struct HashWriter(Sha256);

impl HashWriter {
    /// Adds bytes to the hash.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The SHA-256 of everything written.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that also hands everything it reads to `copy`, for a hash.
pub(crate) struct TeeReader<R, C> {
    pub(crate) reader: R,
    pub(crate) copy: C,
}

impl<R: Read, C: FnMut(&[u8])> Read for TeeReader<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::check()?;
        let read = self.reader.read(buffer)?;
        (self.copy)(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_hash_is_the_well_known_one() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
        assert_eq!(HashWriter::default().finish(), empty);
        assert!(is_sha256(empty));
        assert!(!is_sha256(&empty.to_uppercase()));
        assert!(!is_sha256(&empty[1..]));
    }
}
