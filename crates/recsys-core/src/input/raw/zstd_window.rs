//! Limits the zstd window: the stretch of output that a decoder keeps in memory to decompress the rest.
//!
//! The frame header names the window size, and the decoder allocates that much. A file of a few bytes may ask for 2 GiB.

use std::io::{self, BufReader, Read};

use crate::columnar::spill::Budget;

/// The largest window allowed, as a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxWindow {
    log: u32,
}

impl MaxWindow {
    /// The window of `zstd --ultra -22`. Only `--long` with a number exceeds it.
    const LOG: u32 = 27;

    /// The largest window that `budget` allows, at most 128 MiB.
    pub fn of(budget: &Budget) -> Self {
        Self { log: budget.window().max(1).ilog2().min(Self::LOG) }
    }

    /// Decompresses a file; `beginning` holds its first bytes.
    pub(super) fn decoder(
        self,
        reader: impl Read + Send + 'static,
        beginning: &[u8],
    ) -> io::Result<Box<dyn Read + Send>> {
        let mut decoder = zstd::Decoder::new(reader)?;
        decoder.window_log_max(self.log)?;
        Ok(Box::new(Bounded { decoder, max: self, first_window: window(beginning) }))
    }
}

impl Default for MaxWindow {
    fn default() -> Self {
        Self { log: Self::LOG }
    }
}

/// The file was compressed with too large a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its zstd window is larger than the {mib} MiB {why}{size}; have it compressed with --long={log} or less{or_raise}",
    mib = (1u64 << .max.log) >> 20,
    why = if .max.log == MaxWindow::LOG { "that are read" } else { "that resources.memory_bytes leaves for it" },
    size = .bytes.map(|bytes| format!(": it has {} MiB", bytes.div_ceil(1 << 20))).unwrap_or_default(),
    log = .max.log,
    or_raise = if .max.log == MaxWindow::LOG { "" } else { ", or raise resources.memory_bytes" },
)]
pub struct WindowTooLarge {
    max: MaxWindow,
    /// The window size, if the first frame is the one that is too large.
    bytes: Option<u64>,
}

impl WindowTooLarge {
    /// Whether raising the memory limit would not help.
    pub fn is_final(&self) -> bool {
        self.max == MaxWindow::default()
    }
}

/// The window size in the header of a zstd frame (RFC 8878).
fn window(frame: &[u8]) -> Option<u64> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = frame else { return None };
    let is_single_segment = descriptor & 0b10_0000 != 0;
    if !is_single_segment {
        let (exponent, mantissa) = (rest.first()? >> 3, u64::from(rest.first()? & 0b111));
        return Some((1 << (10 + exponent)) / 8 * (8 + mantissa));
    }
    // A single-segment frame has no window size: the content size counts. It follows the dictionary id.
    let size = &rest.get([0, 1, 2, 4][usize::from(descriptor & 0b11)]..)?;
    Some(match descriptor >> 6 {
        0 => (*size.first()?).into(),
        1 => u64::from(u16::from_le_bytes(*size.first_chunk()?)) + 256,
        2 => u32::from_le_bytes(*size.first_chunk()?).into(),
        _ => u64::from_le_bytes(*size.first_chunk()?),
    })
}

/// A decoder that reports the size of a window that is too large; the library does not.
struct Bounded<R: Read> {
    decoder: zstd::Decoder<'static, BufReader<R>>,
    max: MaxWindow,
    /// The window of the first frame.
    first_window: Option<u64>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        /// The library's message for a window that is too large; there is no error code.
        const TOO_LARGE: &str = "Frame requires too much memory for decoding";
        self.decoder.read(buffer).map_err(|error| {
            if error.to_string() != TOO_LARGE {
                return error;
            }
            let largest = MaxWindow::default();
            let bytes = self.first_window.filter(|bytes| *bytes > 1 << self.max.log);
            // A window above the fixed limit is refused with that limit, however much memory there is.
            let is_never_read = bytes.is_some_and(|bytes| bytes > 1 << largest.log);
            let max = if is_never_read { largest } else { self.max };
            io::Error::other(WindowTooLarge { max, bytes })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::storage::cause;

    /// The beginning of a frame with a window of 2^`log` bytes.
    fn frame(log: u32) -> Vec<u8> {
        let window = u8::try_from((log - 10) << 3).unwrap();
        // One raw last block of a single byte.
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, window][..], &[0x09, 0, 0, b'x']].concat()
    }

    fn read(log: u32, memory_bytes: u64) -> Result<String, String> {
        let max = MaxWindow::of(&Budget::new(memory_bytes, ""));
        let mut text = String::new();
        let read = max.decoder(Cursor::new(frame(log)), &frame(log)).unwrap().read_to_string(&mut text);
        read.map(|_| text).map_err(|error| {
            let too_large = cause::<WindowTooLarge>(&error).unwrap();
            assert_eq!(too_large.is_final(), log > MaxWindow::LOG, "{error}");
            error.to_string()
        })
    }

    #[test]
    fn a_window_must_fit_in_the_budget() {
        assert_eq!(read(24, Budget::LEAST_BYTES), Ok("x".to_owned()));
        assert_eq!(
            read(25, Budget::LEAST_BYTES).unwrap_err(),
            "its zstd window is larger than the 16 MiB that resources.memory_bytes leaves for it: it has 32 MiB; have it \
             compressed with --long=24 or less, or raise resources.memory_bytes"
        );
        assert_eq!(read(27, Budget::DEFAULT_BYTES), Ok("x".to_owned()));
        let expected = |mib| {
            format!(
                "its zstd window is larger than the 128 MiB that are read: it has {mib} MiB; have it compressed with \
                 --long=27 or less"
            )
        };
        for memory_bytes in [Budget::LEAST_BYTES, Budget::DEFAULT_BYTES, u64::MAX] {
            assert_eq!(read(28, memory_bytes).unwrap_err(), expected(256));
            assert_eq!(read(31, memory_bytes).unwrap_err(), expected(2048));
        }
    }

    #[test]
    fn the_window_of_a_frame_is_in_its_header() {
        for (size, expected) in [(5, 5), (300, 300), (70_000, 70_000), (3 << 20, 3 << 20)] {
            let compressed = zstd::bulk::compress(&vec![b'x'; size], 3).unwrap();
            assert!(window(&compressed).is_some_and(|window| window >= expected.min(1 << 21)), "{size}");
        }
        let streamed = zstd::encode_all(&vec![b'x'; 70_000][..], 3).unwrap();
        assert_eq!(window(&streamed), Some(1 << 21));
        assert_eq!(window(&streamed[..5]), None);
        assert_eq!(window(b"{\"v\":1}"), None);
    }
}
