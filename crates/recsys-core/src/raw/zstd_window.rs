//! How much of a zstd frame must be kept to decompress the rest of it: its window.
//!
//! The frame says how large its window is, and the decoder allocates that much. A file of a few bytes may ask for 2 GiB.

use std::io::{self, BufReader, Read};

use crate::spill::Budget;
use crate::storage::StoreError;

/// The largest window that is read, as a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxWindow {
    log: u32,
}

impl MaxWindow {
    /// What `zstd --ultra -22` writes. Larger ones are written with `--long` and a number only.
    const LOG: u32 = 27;

    /// What `budget` leaves for it.
    pub fn of(budget: &Budget) -> Self {
        Self { log: budget.window().max(1).ilog2().min(Self::LOG) }
    }

    pub(super) fn decoder(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        let mut decoder = zstd::Decoder::new(reader)?;
        decoder.window_log_max(self.log)?;
        Ok(Box::new(Bounded { decoder, max: self }))
    }
}

impl Default for MaxWindow {
    fn default() -> Self {
        Self { log: Self::LOG }
    }
}

/// A file was compressed with a window that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its zstd window is larger than the {mib} MiB {why}; have it compressed with --long={log} or less{or_raise}",
    mib = (1u64 << .0.log) >> 20,
    why = if .0.log == MaxWindow::LOG { "that are read" } else { "that resources.memory_bytes leaves for it" },
    log = .0.log,
    or_raise = if .0.log == MaxWindow::LOG { "" } else { ", or raise resources.memory_bytes" },
)]
pub struct WindowTooLarge(MaxWindow);

impl WindowTooLarge {
    /// Whether that is why a file could not be read.
    pub fn is_cause(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| {
            inner.is::<Self>()
                || inner.downcast_ref::<StoreError>().is_some_and(|error| Self::is_cause(&error.source))
        })
    }
}

/// A decoder that says more of a window that is too large than the library does.
struct Bounded<R: Read> {
    decoder: zstd::Decoder<'static, BufReader<R>>,
    max: MaxWindow,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// What the library says of such a window; it has no code for it.
        const TOO_LARGE: &str = "Frame requires too much memory for decoding";
        self.decoder.read(buffer).map_err(|error| {
            if error.to_string() == TOO_LARGE { io::Error::other(WindowTooLarge(self.max)) } else { error }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// The beginning of a frame whose window is of 2 to the power of `log` bytes.
    fn frame(log: u32) -> Vec<u8> {
        let window = u8::try_from((log - 10) << 3).unwrap();
        // A last block of one byte, as it is.
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, window][..], &[0x09, 0, 0, b'x']].concat()
    }

    fn read(log: u32, memory_bytes: u64) -> Result<String, String> {
        let max = MaxWindow::of(&Budget::new(memory_bytes, ""));
        let mut text = String::new();
        let read = max.decoder(Cursor::new(frame(log))).unwrap().read_to_string(&mut text);
        read.map(|_| text).map_err(|error| {
            assert!(WindowTooLarge::is_cause(&error));
            error.to_string()
        })
    }

    #[test]
    fn a_window_must_fit_in_the_budget() {
        assert_eq!(read(24, Budget::LEAST_BYTES), Ok("x".to_owned()));
        assert_eq!(
            read(25, Budget::LEAST_BYTES).unwrap_err(),
            "its zstd window is larger than the 16 MiB that resources.memory_bytes leaves for it; have it compressed \
             with --long=24 or less, or raise resources.memory_bytes"
        );
        assert_eq!(read(27, Budget::DEFAULT_BYTES), Ok("x".to_owned()));
        let expected = "its zstd window is larger than the 128 MiB that are read; have it compressed with --long=27 or less";
        assert_eq!(read(28, Budget::DEFAULT_BYTES).unwrap_err(), expected);
        assert_eq!(read(31, u64::MAX).unwrap_err(), expected);
    }
}
