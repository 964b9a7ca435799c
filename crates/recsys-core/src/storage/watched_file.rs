//! A local file that another process may be writing while it is read.
//!
//! Files of this project are renamed into place and never change, but raw files come from others. A file that shrinks
//! while it is read must not pass for a short one. A file that grows is good as far as it was read, unless that ends
//! within a line: such a line is incomplete, not invalid.

use std::fs::File;
use std::io::{self, Read};

/// An open file and what was read of it so far.
pub(super) struct WatchedFile {
    file: File,
    /// Its length when it was opened; `None` for a pipe and the like.
    opened_bytes: Option<u64>,
    read_bytes: u64,
    last: u8,
}

impl WatchedFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let opened_bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self { file, opened_bytes, read_bytes: 0, last: b'\n' })
    }

    /// At the end: compares the bytes read with the file's length at opening and now.
    fn check(&self) -> io::Result<()> {
        let (Some(opened), read) = (self.opened_bytes, self.read_bytes) else { return Ok(()) };
        let now = self.file.metadata()?.len();
        if read < opened || now < read {
            let problem = format!(
                "it became shorter while it was read: {opened} bytes when it was opened, {now} in the end, {read} read"
            );
            return Err(io::Error::other(problem));
        }
        if now > opened && self.last != b'\n' {
            let problem = format!(
                "somebody is writing it: it grew from {opened} to {now} bytes while it was read, and ended within a line"
            );
            return Err(io::Error::other(problem));
        }
        Ok(())
    }
}

impl Read for WatchedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read_bytes += read as u64;
        match buffer[..read].last() {
            Some(last) => self.last = *last,
            None if buffer.is_empty() => {}
            None => self.check()?,
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file of 1000 bytes of which 100 were read, and a handle to write it with.
    fn begun() -> (WatchedFile, File) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&b"123456789\n".repeat(100)).unwrap();
        let mut watched = WatchedFile::new(file.reopen().unwrap()).unwrap();
        watched.read_exact(&mut [0; 100]).unwrap();
        (watched, file.into_file())
    }

    fn rest(mut file: WatchedFile) -> Result<usize, String> {
        file.read_to_end(&mut Vec::new()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_that_nobody_touches_is_read() {
        assert_eq!(rest(begun().0), Ok(900));
        let empty = tempfile::tempfile().unwrap();
        assert_eq!(rest(WatchedFile::new(empty).unwrap()), Ok(0));
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_wherever_it_is_cut() {
        for length in [0, 50, 100, 500, 999] {
            let (watched, file) = begun();
            file.set_len(length).unwrap();
            let error = rest(watched).unwrap_err();
            assert!(error.contains("shorter") && error.contains("1000 bytes when"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_cut_and_written_again_is_an_error() {
        let (mut watched, file) = begun();
        watched.read_exact(&mut [0; 900]).unwrap();
        file.set_len(0).unwrap();
        assert!(rest(watched).unwrap_err().contains("shorter"));
    }

    #[test]
    fn a_file_that_grows_is_read_if_it_ends_with_a_line() {
        let (watched, mut file) = begun();
        file.write_all(b"more\n").unwrap();
        assert_eq!(rest(watched), Ok(905));
        let (watched, mut file) = begun();
        file.write_all(b"half a l").unwrap();
        assert!(rest(watched).unwrap_err().contains("ended within a line"));
    }
}
