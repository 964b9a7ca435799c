//! Raw files: which are read, how they are decompressed, and that an unreadable one is never an empty day.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::path::{Path, PathBuf};

use recsys_core::canonical::ReadCounts;
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use recsys_core::input::event::LineFault;
use recsys_core::input::lines::{LineError, LineFile, LinesError, for_each_line};
use recsys_core::input::raw::{CorruptFile, Raw, RawError};
use recsys_core::storage::{LocalStore, StoreError};
use recsys_testkit::days::read_days;
use recsys_testkit::folder::Folder;
use recsys_testkit::generate::plain_line;
use recsys_testkit::pack::gz;
use recsys_testkit::scope::scope;

const DAY: &str = "2026-01-01";

fn day() -> Day {
    DAY.parse().unwrap()
}

fn line(item: &str) -> String {
    plain_line(DAY, item) + "\n"
}

fn zst(text: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(text.as_ref(), 3).unwrap()
}

/// A raw folder.
struct RawFolder {
    folder: Folder,
    scope: Scope,
}

impl RawFolder {
    /// A folder that is not empty: an empty one is none.
    fn new() -> Self {
        let folder = Folder::new();
        fs::create_dir(folder.path("nobody")).unwrap();
        Self { folder, scope: scope() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path(key)
    }

    fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(key).parent().unwrap()).unwrap();
        fs::write(self.path(key), bytes).unwrap();
    }

    /// A file of the day, `extension` from `jsonl` to `jsonl.zst`.
    fn put_day(&self, extension: &str, bytes: impl AsRef<[u8]>) {
        self.put(&format!("demo/home/exposure.{DAY}.{extension}"), bytes);
    }

    fn raw(&self) -> Raw<'_> {
        Raw::new(&self.folder.store, &self.scope).unwrap()
    }

    /// The flat files, or those of the day: what ingest takes.
    fn files(&self) -> Result<Vec<LineFile>, RawError> {
        let flat = self.raw().flat()?;
        if flat.is_empty() { self.raw().day(day()) } else { Ok(flat) }
    }

    /// The lines of all files, sorted.
    fn lines(&self) -> Result<Vec<String>, LinesError> {
        let take = |taken: &mut Vec<String>, line: &str| {
            taken.push(line.to_owned());
            Ok::<_, LineFault>(())
        };
        let mut lines =
            for_each_line(self.files().unwrap(), rayon::current_num_threads(), None, Vec::new, take)?
                .concat();
        lines.sort();
        Ok(lines)
    }

    /// Whether the files cannot be read to their ends, and the one that is to blame is named.
    fn is_unreadable(&self, name: &Path) -> bool {
        let read = read_days(self.files().unwrap(), &self.scope, day(), day(), &Budget::default());
        matches!(read, Err(LinesError::Store(error)) if Path::new(&error.target) == name)
    }
}

fn names(files: &[LineFile]) -> Vec<&str> {
    files.iter().map(|file| file.name.rsplit_once("exposure.").unwrap().1).collect()
}

#[test]
fn a_missing_root_is_an_error() {
    let folder = RawFolder::new();
    let missing = folder.path("not here");
    let store = LocalStore::new(&missing).unwrap();
    let error = Raw::new(&store, &folder.scope).unwrap_err();
    assert!(matches!(error, RawError::MissingRoot(_)));
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    // A file is no root either.
    fs::write(&missing, "").unwrap();
    assert!(Raw::new(&store, &folder.scope).is_err());
    fs::remove_file(&missing).unwrap();
    fs::create_dir(&missing).unwrap();
    // An empty folder is what a mount leaves that is not there.
    assert!(matches!(Raw::new(&store, &folder.scope), Err(RawError::MissingRoot(_))));
    assert_eq!(fs::read_dir(&missing).unwrap().count(), 0, "reading creates nothing");
    fs::create_dir(missing.join("demo")).unwrap();
    assert!(Raw::new(&store, &folder.scope).is_ok());
}

#[test]
fn a_missing_day_has_no_files() {
    let folder = RawFolder::new();
    assert!(folder.raw().flat().unwrap().is_empty());
    assert!(folder.raw().day(day()).unwrap().is_empty());
    folder.put_day("jsonl", line("A"));
    assert!(folder.raw().flat().unwrap().is_empty());
    assert_eq!(folder.raw().day(day()).unwrap().len(), 1);
    assert!(folder.raw().day(day().next().unwrap()).unwrap().is_empty());
}

#[test]
fn files_by_day_are_those_of_the_tenant_and_surface() {
    let folder = RawFolder::new();
    folder.put_day("jsonl", line("A"));
    folder.put(&format!("demo/cart/exposure.{DAY}.jsonl"), line("B"));
    folder.put(&format!("other/home/exposure.{DAY}.jsonl"), line("C"));
    folder.put(&format!("demo/home/outcome.{DAY}.jsonl"), line("D"));
    folder.put("demo/home/exposure.2026-01-02.jsonl", line("E"));
    folder.put("demo/home/exposure.jsonl", line("F"));
    assert_eq!(folder.lines().unwrap(), [line("A").trim_end()]);
}

#[test]
fn a_flat_file_wins_over_files_by_day() {
    for (name, bytes) in [
        ("exposure.jsonl", line("flat").into_bytes()),
        ("exposure.jsonl.gz", gz(line("flat"))),
        ("exposure.jsonl.zst", zst(line("flat"))),
    ] {
        let folder = RawFolder::new();
        folder.put_day("jsonl", line("by day"));
        folder.put(name, bytes);
        assert_eq!(folder.lines().unwrap(), [line("flat").trim_end()], "{name}");
    }
    // Even an empty one: it is there.
    let folder = RawFolder::new();
    folder.put_day("jsonl", line("by day"));
    folder.put("exposure.jsonl", "");
    assert_eq!(folder.lines().unwrap(), [""; 0]);
}

#[test]
fn plain_and_compressed_files_are_read_together() {
    for stem in ["exposure".to_owned(), format!("demo/home/exposure.{DAY}")] {
        let folder = RawFolder::new();
        folder.put(&format!("{stem}.jsonl"), line("A"));
        folder.put(&format!("{stem}.jsonl.gz"), gz(line("B")));
        folder.put(&format!("{stem}.jsonl.zst"), zst(line("C")));
        let lines = [line("A"), line("B"), line("C")];
        assert_eq!(folder.lines().unwrap(), lines.each_ref().map(|line| line.trim_end()));
        fs::remove_file(folder.path(&format!("{stem}.jsonl"))).unwrap();
        assert_eq!(
            folder.lines().unwrap(),
            lines[1..].iter().map(|line| line.trim_end()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn names_of_files_are_those_on_the_disk() {
    let folder = RawFolder::new();
    folder.put_day("jsonl", line("A"));
    folder.put_day("jsonl.gz", gz(line("B") + "{\n"));
    let files = folder.files().unwrap();
    assert_eq!(names(&files), [format!("{DAY}.jsonl"), format!("{DAY}.jsonl.gz")]);
    let error = read_days(files, &folder.scope, day(), day(), &Budget::default()).unwrap_err().to_string();
    let name = folder.path(&format!("demo/home/exposure.{DAY}.jsonl.gz"));
    assert!(error.starts_with(&format!("{}:2:", name.display())), "{error}");
}

#[test]
fn every_member_and_every_frame_is_read() {
    // The second part begins in the middle of a line, and one is empty.
    let text = [line("A"), line("B"), line("C")].concat();
    let (head, tail) = text.split_at(line("A").len() + 20);
    let parts = [head, "", tail];
    let expected: Vec<&str> = text.lines().collect();

    let folder = RawFolder::new();
    folder.put_day("jsonl.gz", parts.map(gz).concat());
    assert_eq!(folder.lines().unwrap(), expected);

    let folder = RawFolder::new();
    folder.put_day("jsonl.zst", parts.map(zst).concat());
    assert_eq!(folder.lines().unwrap(), expected);
    // A skippable frame, as parallel compressors write them, holds no data.
    let skippable = [&0x184D_2A50u32.to_le_bytes()[..], &4u32.to_le_bytes(), b"what"].concat();
    folder.put_day("jsonl.zst", [zst(head), skippable, zst(tail)].concat());
    assert_eq!(folder.lines().unwrap(), expected);
}

#[test]
fn a_file_cut_short_is_unreadable_wherever_it_is_cut() {
    let text = [line("A"), line("B"), line("C")].concat();
    let (head, tail) = text.split_at(line("A").len());
    let gz = [gz(head), gz(tail)];
    let zst = [zst(head), zst(tail)];
    for (extension, parts) in [("jsonl.gz", gz), ("jsonl.zst", zst)] {
        let folder = RawFolder::new();
        let name = folder.path(&format!("demo/home/exposure.{DAY}.{extension}"));
        let whole = parts.concat();
        for end in 0..whole.len() {
            folder.put_day(extension, &whole[..end]);
            // Between two parts, nothing tells that there should be another.
            let complete = end == parts[0].len();
            assert_eq!(folder.is_unreadable(&name), !complete, "{extension} cut after {end} bytes");
        }
        folder.put_day(extension, &whole);
        assert_eq!(folder.lines().unwrap(), text.lines().collect::<Vec<_>>());
    }
}

#[test]
fn damaged_and_misnamed_files_are_unreadable() {
    for extension in ["jsonl.gz", "jsonl.zst"] {
        let folder = RawFolder::new();
        let name = folder.path(&format!("demo/home/exposure.{DAY}.{extension}"));
        folder.put_day(extension, line("A"));
        assert!(folder.is_unreadable(&name), "plain text as {extension}");
        let mut damaged = if extension == "jsonl.gz" { gz(line("A")) } else { zst(line("A")) };
        damaged.extend_from_slice(b"and more");
        folder.put_day(extension, &damaged);
        assert!(folder.is_unreadable(&name), "rubbish after {extension}");
    }
    // The checksum at the end of a gzip member is looked at.
    let folder = RawFolder::new();
    let mut wrong = gz(line("A"));
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    folder.put_day("jsonl.gz", wrong);
    assert!(folder.is_unreadable(&folder.path(&format!("demo/home/exposure.{DAY}.jsonl.gz"))));
}

/// What breaks off may still be on its way. What is broken stays so, and no retry heals it.
#[test]
fn only_an_early_end_may_heal() {
    let text = line("A").repeat(100);
    let mut wrong = gz(&text);
    let checksum = wrong.len() - 8;
    wrong[checksum] ^= 1;
    let mut torn = zst(&text);
    let middle = torn.len() / 2;
    torn[middle] ^= 0xff;
    let early = [("jsonl.gz", gz(&text)), ("jsonl.zst", zst(&text))];
    let early = early.map(|(extension, bytes)| (extension, bytes[..bytes.len() / 2].to_vec(), None));
    let broken = [
        ("jsonl.gz", wrong, "its gzip data is broken ("),
        ("jsonl.zst", torn, "its zstd data is broken ("),
        (
            "jsonl.gz",
            [gz(&text), b"and more".to_vec()].concat(),
            "its gzip data is broken (other bytes follow its end)",
        ),
        (
            "jsonl.zst",
            [zst(&text), b"and more".to_vec()].concat(),
            "its zstd data is broken (Unknown frame descriptor)",
        ),
        ("jsonl.gz", zst(&text), "it is not gzip: the file is zstd; its name must end in .zst"),
        ("jsonl.zst", gz(&text), "it is not zstd: the file is gzip; its name must end in .gz"),
        (
            "jsonl.gz",
            text.clone().into_bytes(),
            "it is not gzip: it begins with other bytes; if it is not compressed, ",
        ),
        (
            "jsonl.zst",
            text.clone().into_bytes(),
            "it is not zstd: it begins with other bytes; if it is not compressed, ",
        ),
    ];
    let broken = broken.map(|(extension, bytes, told)| (extension, bytes, Some(told)));
    for (extension, bytes, told) in early.into_iter().chain(broken) {
        let folder = RawFolder::new();
        folder.put_day(extension, bytes);
        let Err(LinesError::Store(StoreError { source, .. })) = folder.lines() else {
            panic!("{extension} {told:?} was read")
        };
        assert_eq!(CorruptFile::is_cause(&source), told.is_some(), "{extension} {told:?}: {source}");
        assert!(source.to_string().starts_with(told.unwrap_or_default()), "{source}");
    }
}

#[test]
fn zeros_behind_a_gzip_member_are_padding_up_to_the_end() {
    for zeros in [1, 512, 100_000] {
        let padded = [gz(line("A")), gz(line("B")), vec![0; zeros]].concat();
        let folder = RawFolder::new();
        folder.put_day("jsonl.gz", &padded);
        assert_eq!(folder.lines().unwrap(), [line("A").trim_end(), line("B").trim_end()], "{zeros}");
        for more in [gz(line("C")), b"x".to_vec()] {
            folder.put_day("jsonl.gz", [padded.clone(), more].concat());
            assert!(folder.lines().is_err(), "{zeros}");
        }
    }
}

/// What `gzip -k` leaves, also when one of the two was changed since.
#[test]
fn a_file_beside_its_copy_is_refused() {
    let text: String = (0..20_000).map(|number| line(&format!("item-{number}"))).collect();
    let longer = text.clone() + &line("late");
    let edited = text.replace("item-0\"", "item-x\"");
    let marked = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    for stem in ["exposure".to_owned(), format!("demo/home/exposure.{DAY}")] {
        for copy in [&text, &longer, &edited, &marked] {
            for (extension, bytes) in [("gz", gz(copy)), ("zst", zst(copy))] {
                let folder = RawFolder::new();
                folder.put(&format!("{stem}.jsonl"), &text);
                folder.put(&format!("{stem}.jsonl.{extension}"), bytes);
                let Err(error) = folder.files() else { panic!("{stem} beside its {extension} was taken") };
                assert!(matches!(error, RawError::Copies { .. }), "{error}");
                let name = folder.path(&stem).display().to_string();
                let told = format!("{name}.jsonl and {name}.jsonl.{extension} hold the same events");
                assert!(error.to_string().starts_with(&told), "{error}");
            }
        }
    }
    let folder = RawFolder::new();
    folder.put_day("jsonl.gz", gz(&text));
    folder.put_day("jsonl.zst", zst(&text));
    assert!(matches!(folder.files(), Err(RawError::Copies { .. })));
}

/// A delivery that was repeated in another file counts once, so a few common lines are none of a copy.
#[test]
fn parts_of_a_day_may_have_lines_in_common() {
    let part = |range: std::ops::Range<u32>| range.map(|item| line(&item.to_string())).collect::<String>();
    let folder = RawFolder::new();
    folder.put_day("jsonl", part(0..100));
    folder.put_day("jsonl.gz", gz(part(60..160)));
    folder.put_day("jsonl.zst", zst(""));
    assert_eq!(folder.lines().unwrap().len(), 200);
}

#[test]
fn an_unreadable_file_spoils_a_day_that_has_others() {
    let folder = RawFolder::new();
    folder.put_day("jsonl", line("A").repeat(10_000));
    let whole = gz(line("B").repeat(10_000));
    folder.put_day("jsonl.gz", &whole[..whole.len() - 1]);
    folder.put_day("jsonl.zst", zst(line("C")));
    assert!(folder.is_unreadable(&folder.path(&format!("demo/home/exposure.{DAY}.jsonl.gz"))));
}

#[test]
fn a_folder_in_place_of_a_file_is_an_error() {
    for extension in ["jsonl", "jsonl.gz", "jsonl.zst"] {
        for stem in ["exposure".to_owned(), format!("demo/home/exposure.{DAY}")] {
            let folder = RawFolder::new();
            let path = folder.path(&format!("{stem}.{extension}"));
            fs::create_dir_all(&path).unwrap();
            let files = folder.files();
            assert!(files.is_err() || folder.is_unreadable(&path), "{}", path.display());
        }
    }
}

#[test]
fn a_file_in_place_of_a_folder_is_an_error() {
    for key in ["demo", "demo/home"] {
        let folder = RawFolder::new();
        folder.put(key, "");
        assert!(folder.raw().flat().unwrap().is_empty());
        assert!(matches!(folder.raw().day(day()), Err(RawError::Store(_))), "{key}");
    }
}

/// Such as to a disk that is not mounted.
#[test]
fn a_link_to_nothing_in_any_place_is_an_error() {
    for key in ["demo", "demo/home", &format!("demo/home/exposure.{DAY}.jsonl"), "exposure.jsonl"] {
        let folder = RawFolder::new();
        folder.put("other/file", "");
        let path = folder.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        let Err(error) = folder.files() else { panic!("{key} is an empty day") };
        let RawError::Store(error) = error else { panic!("{error}") };
        let told = error.source.to_string();
        assert!(error.target.starts_with(path.to_str().unwrap()), "{error}");
        assert!(told.contains("a link to a f") && told.contains("that does not exist"), "{told}");
        // A link to a folder that lacks the day is an empty day.
        if !key.ends_with("jsonl") {
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(folder.path("other"), &path).unwrap();
            assert!(folder.files().unwrap().is_empty(), "{key}");
        }
    }
}

#[test]
fn a_link_to_itself_is_an_error() {
    let folder = RawFolder::new();
    fs::create_dir_all(folder.path("demo/home")).unwrap();
    let path = folder.path(&format!("demo/home/exposure.{DAY}.jsonl"));
    std::os::unix::fs::symlink(&path, &path).unwrap();
    assert!(matches!(folder.raw().day(day()), Err(RawError::Store(_))));
}

#[test]
fn byte_order_marks_and_line_ends_do_not_count_in_compressed_files() {
    let text =
        format!("\u{feff}{}\r\n \t\r\n{}\r\n\r\n{}", line("A").trim(), line("B").trim(), line("C").trim());
    for (extension, bytes) in
        [("jsonl", text.clone().into_bytes()), ("jsonl.gz", gz(&text)), ("jsonl.zst", zst(&text))]
    {
        let folder = RawFolder::new();
        folder.put_day(extension, bytes);
        let expected = [line("A"), line("B"), line("C")];
        assert_eq!(folder.lines().unwrap(), expected.each_ref().map(|line| line.trim_end()), "{extension}");
        let (days, counts) =
            read_days(folder.files().unwrap(), &folder.scope, day(), day(), &Budget::default()).unwrap();
        assert_eq!(days[0].len(), 3);
        assert_eq!(counts, ReadCounts { lines: 3, ..ReadCounts::default() });
    }
    // The mark begins each file, not only the first.
    let folder = RawFolder::new();
    folder.put_day("jsonl", format!("\u{feff}{}", line("A")));
    folder.put_day("jsonl.gz", gz(format!("\u{feff}{}", line("B"))));
    folder.put_day("jsonl.zst", zst("\u{feff}"));
    assert_eq!(folder.lines().unwrap(), [line("A").trim_end(), line("B").trim_end()]);
    // Anywhere else it is not skipped.
    let folder = RawFolder::new();
    folder.put_day("jsonl", format!("{}\u{feff}{}", line("A"), line("B")));
    let error =
        read_days(folder.files().unwrap(), &folder.scope, day(), day(), &Budget::default()).unwrap_err();
    assert!(matches!(error, LinesError::Line(LineError { line: 2, .. })), "{error}");
}
