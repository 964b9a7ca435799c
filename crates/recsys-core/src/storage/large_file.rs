//! Writing a file that may be larger than what memory is for.
//!
//! What a day's job writes is mostly read much later, by another process or on another machine. Keeping it in the
//! system's page cache costs more than making it: a copy, and a fresh page for every four kilobytes. So beyond its
//! first megabytes a file is handed to the disk directly, where the file system can do that.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

/// Bytes that are written at a time: a multiple of [`ALIGNMENT`].
const BUFFER_BYTES: usize = 1 << 20;

/// What the addresses, places and lengths of direct writes must be multiples of: a page, which is enough for all
/// common disks.
const ALIGNMENT: usize = 1 << 12;

/// Bytes of a file that pass through the page cache. Most documents are smaller, and soon read again.
const CACHED_BYTES: usize = 16 << 20;

/// A file that is written from its beginning to its end.
pub(super) struct LargeFile<F: AsFd + Write> {
    file: F,
    memory: Vec<u8>,
    /// Where the buffer begins in `memory`.
    start: usize,
    filled: usize,
    written: usize,
    is_direct: bool,
}

impl<F: AsFd + Write> LargeFile<F> {
    pub(super) fn new(file: F) -> Self {
        let memory = vec![0; BUFFER_BYTES + ALIGNMENT];
        // No offset is found only while constants are evaluated.
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { file, memory, start, filled: 0, written: 0, is_direct: false }
    }

    /// The file with all that was written.
    pub(super) fn finish(mut self) -> io::Result<F> {
        // The last bytes are not a multiple of anything.
        self.set_direct(false);
        self.write_buffer()?;
        Ok(self.file)
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let mut at = self.start;
        let end = self.start + self.filled;
        while at < end {
            match self.file.write(&self.memory[at..end]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => at += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It takes the flag but not the write: an unusual disk, or what a short write has left.
                Err(error) if error.kind() == ErrorKind::InvalidInput && self.is_direct => {
                    self.set_direct(false)
                }
                Err(error) => return Err(error),
            }
        }
        self.written += self.filled;
        self.filled = 0;
        Ok(())
    }

    /// Turns direct writes on or off. A file system that does not know them goes on as before.
    fn set_direct(&mut self, on: bool) {
        if self.is_direct != on {
            self.is_direct = set_direct(&self.file, on) && on;
        }
    }
}

impl<F: AsFd + Write> Write for LargeFile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = &mut self.memory[self.start + self.filled..self.start + BUFFER_BYTES];
        let taken = bytes.len().min(free.len());
        free[..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        if self.filled == BUFFER_BYTES {
            if self.written == CACHED_BYTES {
                self.set_direct(true);
            }
            self.write_buffer()?;
        }
        Ok(taken)
    }

    /// Nothing reads the file before it is finished.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the file system has taken it.
#[cfg(target_os = "linux")]
fn set_direct(file: &impl AsFd, on: bool) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let set = |mut flags: OFlags| {
        flags.set(OFlags::DIRECT, on);
        fcntl_setfl(file, flags)
    };
    fcntl_getfl(file).and_then(set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &impl AsFd, _: bool) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::BorrowedFd;

    use super::*;

    /// A file that takes at most `most` bytes at a time, and remembers how it was written.
    struct Short {
        file: File,
        most: usize,
        direct_bytes: usize,
    }

    impl AsFd for Short {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.file.as_fd()
        }
    }

    impl Write for Short {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = self.file.write(&bytes[..bytes.len().min(self.most)])?;
            if is_direct(&self.file) {
                self.direct_bytes += written;
            }
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn is_direct(file: &File) -> bool {
        rustix::fs::fcntl_getfl(file).unwrap().contains(rustix::fs::OFlags::DIRECT)
    }

    /// Writes so many bytes in `folder`; returns how many of them went past the cache.
    fn assert_writes(folder: &tempfile::TempDir, length: usize, most: usize) -> usize {
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0u32..).flat_map(u32::to_le_bytes).take(length).collect();
        let mut file = LargeFile::new(Short { file: File::create(&path).unwrap(), most, direct_bytes: 0 });
        bytes.chunks(700_001).for_each(|chunk| file.write_all(chunk).unwrap());
        let file = file.finish().unwrap();
        assert!(!is_direct(&file.file));
        assert!(fs::read(&path).unwrap() == bytes, "{length} bytes, {most} at a time");
        file.direct_bytes
    }

    #[test]
    fn what_is_written_is_there_however_long_it_is_and_wherever() {
        // A folder on a disk, and one in memory, whose file system may not know direct writes.
        for folder in [tempfile::tempdir_in(".").unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()] {
            for length in [
                0,
                1,
                BUFFER_BYTES - 1,
                BUFFER_BYTES,
                CACHED_BYTES - 1,
                CACHED_BYTES,
                CACHED_BYTES + BUFFER_BYTES - 1,
            ] {
                assert_eq!(assert_writes(&folder, length, usize::MAX), 0);
            }
            for length in [CACHED_BYTES + BUFFER_BYTES, CACHED_BYTES + 3 * BUFFER_BYTES + 12_345] {
                assert_writes(&folder, length, usize::MAX);
            }
        }
    }

    #[test]
    fn a_write_that_is_cut_short_goes_on_through_the_cache() {
        let folder = tempfile::tempdir_in(".").unwrap();
        for most in [BUFFER_BYTES - 1, 300_000, ALIGNMENT + 1] {
            assert_writes(&folder, CACHED_BYTES + 2 * BUFFER_BYTES + 1, most);
        }
    }
}
