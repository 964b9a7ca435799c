//! The one temporary file of a budget, in which the blocks of all runs lie.
//!
//! The number of runs grows with the data and the number of files that a process may open does not, so runs share a
//! file. Threads write and read at the same time, each at places of its own. The file has no name: it is gone when the
//! process is, however it ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};

/// Blocks begin at multiples of this, because file systems give back whole pages only.
const PAGE_BYTES: u64 = 1 << 12;

/// A temporary file of blocks.
#[derive(Debug)]
pub(super) struct TempFile {
    file: File,
    space: Mutex<Space>,
}

/// How much of the file is used, in bytes.
#[derive(Debug, Default)]
struct Space {
    /// Where the next block begins.
    end: u64,
    /// By blocks that are not given back.
    used: u64,
}

/// The place of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) bytes: u32,
}

impl Extent {
    /// With the rest of its last page.
    fn whole_pages(self) -> u64 {
        u64::from(self.bytes).next_multiple_of(PAGE_BYTES)
    }
}

impl TempFile {
    /// Creates a file in `dir`, which is created, too, if need be.
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { file: tempfile::tempfile_in(dir)?, space: Mutex::default() })
    }

    /// Writes a block to a place of its own.
    pub(super) fn write(&self, block: &[u8]) -> io::Result<Extent> {
        let bytes = u32::try_from(block.len()).map_err(io::Error::other)?;
        let extent = {
            let mut space = self.space.lock();
            let extent = Extent { offset: space.end, bytes };
            space.end += extent.whole_pages();
            space.used += extent.whole_pages();
            extent
        };
        let written = self.file.write_all_at(block, extent.offset);
        written.inspect_err(|_| self.give_back([extent])).map(|()| extent)
    }

    /// Reads a block.
    pub(super) fn read(&self, extent: Extent) -> io::Result<Vec<u8>> {
        let mut block = vec![0; extent.bytes as usize];
        self.file.read_exact_at(&mut block, extent.offset)?;
        Ok(block)
    }

    /// Flips bits of a byte, as a disk may.
    #[cfg(test)]
    pub(super) fn flip(&self, offset: u64, bits: u8) {
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, offset).unwrap();
        self.file.write_all_at(&[byte[0] ^ bits], offset).unwrap();
    }

    /// Gives the space of blocks that were read back to the disk. Where the file system does not know how to
    /// make a hole, the space of all blocks is given back with the last of them.
    pub(super) fn give_back(&self, extents: impl IntoIterator<Item = Extent>) {
        let mut bytes = 0;
        for extent in extents {
            bytes += extent.whole_pages();
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.file, flags, extent.offset, extent.whole_pages());
        }
        // After the holes are made: places are handed out anew from here on.
        let mut space = self.space.lock();
        space.used -= bytes;
        if space.used == 0 && self.file.set_len(0).is_ok() {
            space.end = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn blocks_of_many_threads_keep_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let file = TempFile::create(&dir.path().join("new/folder")).unwrap();
        let block = |number: usize| vec![u8::try_from(number % 251).unwrap(); 1 + number * 37 % 9000];
        thread::scope(|scope| {
            for thread in 0..4 {
                let file = &file;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for number in (0..200).map(|number| thread * 200 + number) {
                        let extent = file.write(&block(number)).unwrap();
                        // Every other one is given back at once, beside those that stay.
                        if number % 2 == 0 { file.give_back([extent]) } else { kept.push((number, extent)) }
                    }
                    for (number, extent) in kept {
                        assert_eq!(file.read(extent).unwrap(), block(number));
                        file.give_back([extent]);
                    }
                });
            }
        });
        assert_eq!(file.file.metadata().unwrap().len(), 0);
        let extent = file.write(b"again").unwrap();
        assert_eq!((extent.offset, file.read(extent).unwrap()), (0, b"again".to_vec()));
        assert_eq!(fs::read_dir(dir.path().join("new/folder")).unwrap().count(), 0, "it has no name");
    }

    #[test]
    fn what_cannot_be_written_takes_no_space() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"").unwrap();
        let file = TempFile { file: File::open(path).unwrap(), space: Mutex::default() };
        assert!(file.write(b"block").is_err());
        assert_eq!(file.space.lock().used, 0);
    }
}
