//! Reads all members of a gzip file and skips the padding behind the last.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::mem;

use flate2::bufread::GzDecoder;

type Input = Box<dyn BufRead + Send>;

/// The decompressed content of all members of a file.
///
/// Zeros behind a member are padding up to the end of the file, as in gzip(1): tapes and block devices leave them. Any
/// other bytes there are an error.
pub(super) struct Members {
    decoder: GzDecoder<Input>,
}

impl Members {
    pub(super) fn new(reader: impl Read + Send + 'static) -> Self {
        Self { decoder: GzDecoder::new(Box::new(BufReader::with_capacity(1 << 15, reader))) }
    }

    /// Goes to the next member, if there is one.
    fn next(&mut self) -> io::Result<bool> {
        let input = self.decoder.get_mut();
        let mut is_padded = false;
        loop {
            let bytes = input.fill_buf()?;
            match bytes.first() {
                None => return Ok(false),
                Some(0) => {
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    input.consume(zeros);
                    is_padded = true;
                }
                Some(0x1f) if !is_padded => break,
                Some(_) => return Err(io::Error::new(ErrorKind::InvalidData, "other bytes follow its end")),
            }
        }
        let input = mem::replace(input, Box::new(io::empty()));
        self.decoder.reset(input);
        Ok(true)
    }
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() || !self.next()? {
                return Ok(read);
            }
        }
    }
}
