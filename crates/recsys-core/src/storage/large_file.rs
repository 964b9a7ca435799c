//! Files that may be too large for the page cache.
//!
//! A day's output is mostly read much later, by another process or on another machine. Keeping it in the page cache
//! costs more than producing it: a copy, and a fresh page for every 4 KiB. So after its first 2 MiB a file is written
//! with direct I/O, where the file system supports that. A larger file is also read back with direct I/O.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::threads::interrupt;

/// Bytes per write or read; a multiple of [`ALIGNMENT`].
const BUFFER_BYTES: usize = 1 << 21;

/// Direct I/O needs addresses, offsets and lengths that are multiples of this: a page, enough for all common disks.
const ALIGNMENT: usize = 1 << 12;

/// Bytes of a file that go through the page cache. Most documents are smaller, and soon read again.
const CACHED_BYTES: usize = BUFFER_BYTES;

/// An I/O buffer whose address is a multiple of [`ALIGNMENT`].
struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Self {
        let memory = vec![0; BUFFER_BYTES + ALIGNMENT];
        // `align_offset` fails only in constant evaluation.
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..BUFFER_BYTES]
    }
}

/// A file that is written sequentially.
pub(super) struct LargeFile<F: AsFd + Write> {
    file: F,
    buffer: Buffer,
    filled: usize,
    written: usize,
    is_direct: bool,
}

impl<F: AsFd + Write> LargeFile<F> {
    pub(super) fn new(file: F) -> Self {
        Self { file, buffer: Buffer::new(), filled: 0, written: 0, is_direct: false }
    }

    /// Writes what is buffered and returns the file. Ends the writing; can be called again after an error.
    pub(super) fn finish(&mut self) -> io::Result<&F> {
        // The last bytes need not be a multiple of the alignment.
        self.set_direct(false);
        self.write_buffer()?;
        Ok(&self.file)
    }

    /// Finishes the file and returns it.
    pub(super) fn into_finished(mut self) -> io::Result<F> {
        self.finish()?;
        Ok(self.file)
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let mut at = 0;
        let result = self.write_buffer_from(&mut at);
        // After an error, another `finish` continues from here.
        self.buffer.bytes().copy_within(at..self.filled, 0);
        self.written += at;
        self.filled -= at;
        result
    }

    fn write_buffer_from(&mut self, at: &mut usize) -> io::Result<()> {
        while *at < self.filled {
            match self.file.write(&self.buffer.bytes()[*at..self.filled]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => *at += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The flag is accepted but the write is not: an unusual disk, or an unaligned rest after a short write.
                Err(error) if error.kind() == ErrorKind::InvalidInput && self.is_direct => {
                    self.set_direct(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Turns direct I/O on or off. Without support by the file system nothing changes.
    fn set_direct(&mut self, on: bool) {
        if self.is_direct != on {
            self.is_direct = set_direct(&self.file, on) && on;
        }
    }
}

impl<F: AsFd + Write> Write for LargeFile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let free = &mut self.buffer.bytes()[self.filled..];
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

    /// Does nothing: the file has no reader before it is finished.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `file`, opened at its start, holds exactly `bytes`.
pub(super) fn holds(mut file: File, bytes: &[u8]) -> io::Result<bool> {
    if file.metadata()?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut is_direct = bytes.len() > CACHED_BYTES && set_direct(&file, true);
    let mut buffer = Buffer::new();
    let mut expected = bytes;
    while !expected.is_empty() {
        interrupt::check()?;
        match file.read(buffer.bytes()) {
            Ok(read) => match expected.split_at_checked(read) {
                Some((head, rest)) if read > 0 && *head == buffer.bytes()[..read] => expected = rest,
                _ => return Ok(false),
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::InvalidInput && is_direct => {
                is_direct = false;
                set_direct(&file, false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Returns whether the file system accepted the change.
fn set_direct(file: &impl AsFd, on: bool) -> bool {
    let set = |mut flags: OFlags| {
        flags.set(OFlags::DIRECT, on);
        fcntl_setfl(file, flags)
    };
    fcntl_getfl(file).and_then(set).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::BorrowedFd;

    use super::*;

    /// A file that accepts at most `most` bytes per write and counts direct writes.
    struct Short {
        file: File,
        most: usize,
        direct_bytes: usize,
        /// Writes left before one fails.
        fails_in: Option<usize>,
    }

    impl AsFd for Short {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.file.as_fd()
        }
    }

    impl Write for Short {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fails_now = self.fails_in == Some(0);
            self.fails_in = self.fails_in.and_then(|writes| writes.checked_sub(1));
            if fails_now {
                return Err(ErrorKind::StorageFull.into());
            }
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
        fcntl_getfl(file).unwrap().contains(OFlags::DIRECT)
    }

    /// Writes `length` bytes to a file in `folder`; returns how many bypassed the cache.
    fn assert_writes(folder: &tempfile::TempDir, length: usize, most: usize) -> usize {
        let path = folder.path().join("file");
        let mut bytes: Vec<u8> = (0u32..).flat_map(u32::to_le_bytes).take(length).collect();
        let short = Short { file: File::create(&path).unwrap(), most, direct_bytes: 0, fails_in: None };
        let mut file = LargeFile::new(short);
        bytes.chunks(700_001).for_each(|chunk| file.write_all(chunk).unwrap());
        let file = file.into_finished().unwrap();
        assert!(!is_direct(&file.file));
        assert!(fs::read(&path).unwrap() == bytes, "{length} bytes, {most} at a time");
        let is_held = |bytes: &[u8]| holds(File::open(&path).unwrap(), bytes).unwrap();
        assert!(is_held(&bytes));
        assert!(!is_held(&[&bytes[..], b"x"].concat()));
        if let [.., last] = &mut bytes[..] {
            *last ^= 1;
            assert!(!is_held(&bytes));
        }
        file.direct_bytes
    }

    #[test]
    fn what_is_written_is_there_however_long_it_is_and_wherever() {
        // One folder on disk, and one in memory, whose file system may not support direct I/O.
        for folder in [tempfile::tempdir_in(".").unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()] {
            let takes_direct = takes_direct_writes(&folder);
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
                let whole = (length - CACHED_BYTES) / BUFFER_BYTES * BUFFER_BYTES;
                let expected = if takes_direct { whole } else { 0 };
                assert_eq!(assert_writes(&folder, length, usize::MAX), expected);
            }
        }
    }

    #[test]
    fn finishing_goes_on_where_it_has_failed() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("file");
        let short = Short { file: File::create(&path).unwrap(), most: 2, direct_bytes: 0, fails_in: Some(1) };
        let mut file = LargeFile::new(short);
        file.write_all(b"seven!!").unwrap();
        assert_eq!(file.finish().err().map(|error| error.kind()), Some(ErrorKind::StorageFull));
        file.finish().unwrap();
        file.into_finished().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"seven!!");
    }

    /// Whether the file system supports direct I/O, found by a write.
    fn takes_direct_writes(folder: &tempfile::TempDir) -> bool {
        let mut file = File::create(folder.path().join("probe")).unwrap();
        set_direct(&file, true) && file.write(Buffer::new().bytes()).is_ok()
    }

    #[test]
    fn a_write_that_is_cut_short_is_gone_on_with() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let takes_direct = takes_direct_writes(&folder);
        let length = CACHED_BYTES + 2 * BUFFER_BYTES + 1;
        // First short writes that leave the rest aligned, then writes that are unaligned or leave the rest so.
        let direct_bytes = assert_writes(&folder, length, 3 * ALIGNMENT);
        assert_eq!(direct_bytes, if takes_direct { 2 * BUFFER_BYTES } else { 0 });
        for most in [3 * 512, BUFFER_BYTES - 1, 300_000, ALIGNMENT + 1] {
            assert_writes(&folder, length, most);
        }
    }
}
