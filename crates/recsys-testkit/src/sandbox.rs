//! The real binaries, run in a temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::end;

/// Every binary: the program, the jobs of a day in order, and the others.
pub const BINARIES: [&str; 11] = [
    "recsys-pipelines",
    "job_ingest",
    "job_validate",
    "job_popularity",
    "job_cooc",
    "job_implicit",
    "job_session_seq",
    "job_content_sim",
    "job_publish",
    "job_db_signals",
    "job_catalog",
];

/// Folder of the binaries; builds them first if they are out of date.
pub fn binaries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let folder = exe.ancestors().nth(2).unwrap().to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--workspace", "--bins"]);
        // Cargo sets it for a test, and rebuilds `ring` and all above it whenever it changes.
        build.env_remove("CARGO_MANIFEST_DIR");
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(crate::golden::repository()).status().unwrap();
        assert!(status.success(), "the binaries do not build");
        folder
    })
}

/// A folder in which binaries run; removed when dropped.
#[derive(Debug)]
pub struct Sandbox {
    dir: TempDir,
}

/// Outcome of a process.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output as text.
    pub stdout: String,
    /// Standard error as text.
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// Asserts success.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// The JSON document on standard output, whatever the exit code.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Asserts this exit code and exactly one line on standard error, which contains all of `parts`.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        // A slow machine has time for a line of progress.
        let mut lines = self.stderr.lines().filter(|line| !line.contains("recsys_job::watch::progress"));
        assert!(lines.next().is_some_and(|line| line.starts_with("error: ")), "{self:#?}");
        assert_eq!(lines.next(), None, "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {self:#?}");
        }
    }
}

/// Bytes and modification times of the files below a folder. Locks, the scratch folder and failure notes are left out:
/// no output depends on them.
pub type Snapshot = BTreeMap<String, (SystemTime, Vec<u8>)>;

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty folder, accessible to other users.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("recsys-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { dir }
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the folder.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file and creates its folders.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes `config.json`: raw events in `raw`, output in `out`, and `settings`, which may say otherwise.
    pub fn configure(&self, settings: &Value) {
        let mut config = json!({"out_dir": "out", "raw_events_dir": "raw"});
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        self.write("config.json", config.to_string());
    }

    /// Copies a file or folder of the repository.
    pub fn copy(&self, from: impl AsRef<Path>, to: &str) {
        copy(&crate::golden::repository().join(from), &self.join(to));
    }

    /// A command for a binary in the folder, without settings from the outside.
    pub fn command(&self, binary: &str) -> Command {
        let mut command = Command::new(binaries().join(binary));
        self.prepare(&mut command);
        command
    }

    /// Makes a command run in the folder, without settings from the outside.
    pub fn prepare(&self, command: &mut Command) {
        command.current_dir(self.path()).stdin(Stdio::null()).env_remove("RUST_LOG");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let from_outside = ["RECSYS_", "AWS_", "PG"].iter().any(|prefix| text.starts_with(prefix));
            if from_outside || text == "SOURCE_DATE_EPOCH" {
                command.env_remove(&name);
            }
        }
    }

    /// Runs a binary to its end; `line` holds its flags, separated by blanks.
    pub fn run(&self, binary: &str, line: &str) -> Finished {
        self.command(binary).args(line.split_whitespace()).output().unwrap().into()
    }

    /// Runs a binary at a time, in seconds since 1970, with a run id of its own.
    pub fn run_at(&self, epoch: i64, binary: &str, line: &str) -> Finished {
        let mut command = self.command(binary);
        command.env("SOURCE_DATE_EPOCH", epoch.to_string()).env("RECSYS_RUN_ID", "pinned");
        command.args(line.split_whitespace()).output().unwrap().into()
    }

    /// Runs a binary successfully at a time that is the same in every run.
    #[track_caller]
    pub fn run_pinned(&self, binary: &str, line: &str) -> Finished {
        let finished = self.run_at(1_767_400_000, binary, line);
        finished.ok();
        finished
    }

    /// Runs a binary as a user without privileges, so that file modes apply.
    pub fn run_unprivileged(&self, binary: &str, line: &str) -> Finished {
        let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        if !root {
            return self.run(binary, line);
        }
        // The build folder may be closed to other users, so copy the binaries; a job starts the program next to it.
        for name in [binary, "recsys-pipelines"] {
            fs::copy(binaries().join(name), self.join(name)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.join(binary));
        self.prepare(&mut command);
        command.args(line.split_whitespace()).output().unwrap().into()
    }

    /// Runs a binary and fails if it does not end by itself.
    pub fn run_bounded(&self, binary: &str, line: &str, environment: &[(&str, &str)]) -> Finished {
        let mut command = self.command(binary);
        command.args(line.split_whitespace()).envs(environment.iter().copied());
        end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).into()
    }

    /// Runs a binary to its end; also returns its peak memory in bytes.
    pub fn run_measured(&self, binary: &str, line: &str) -> (Finished, u64) {
        const MEASURE: &str = "import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)";
        let peak = self.join("peak");
        let mut command = Command::new("python3");
        command.args(["-c", MEASURE]).arg(&peak).arg(binaries().join(binary));
        self.prepare(&mut command);
        let finished = command.args(line.split_whitespace()).output().unwrap().into();
        let kib: u64 = fs::read_to_string(&peak).unwrap().parse().unwrap();
        (finished, kib << 10)
    }

    /// Snapshot of the files below `folder`.
    pub fn snapshot(&self, folder: &str) -> Snapshot {
        let mut files = Snapshot::new();
        visit(&self.join(folder), &self.join(folder), &mut files);
        files
    }
}

fn visit(root: &Path, folder: &Path, files: &mut Snapshot) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if path.ends_with("checkpoints/failures") {
                continue;
            }
            visit(root, &path, files);
        } else if !name.starts_with('.') && !path.components().any(|part| part.as_os_str() == ".scratch") {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            files.insert(name, (changed, fs::read(&path).unwrap()));
        }
    }
}

/// Copies a file, or a folder recursively.
pub fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}

/// The bytes of a snapshot, without the times.
pub fn bytes(snapshot: &Snapshot) -> BTreeMap<&str, &[u8]> {
    snapshot.iter().map(|(name, (_, bytes))| (name.as_str(), bytes.as_slice())).collect()
}
