//! Runs containers as processes. Buckets and the database are mapped to the test servers, and the process runs as an
//! unprivileged user who can write only to the volume for temporary files.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use recsys_core::artifact::Kind;
use recsys_testkit::golden::repository;
use recsys_testkit::postgres::Database;
use recsys_testkit::reader::read_published_at;
use recsys_testkit::s3::S3;
use recsys_testkit::sandbox::{Finished, Sandbox, Snapshot, binaries};

use crate::Outcome;
use crate::documents::{documents, plain};

/// User of the image.
const USER: u32 = 65532;

/// `PATH` in the image.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// World-writable folders of a machine.
const OPEN_TO_ALL: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Objects with their contents, and rows.
pub(crate) type State = (BTreeMap<String, Vec<u8>>, Vec<Vec<Option<String>>>);

/// A container as declared by a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// The binary and its arguments.
    pub(crate) command: Vec<String>,
    /// Its environment variables.
    pub(crate) env: BTreeMap<String, String>,
}

/// Environment for the containers of one manifest.
pub(crate) struct Site {
    pub(crate) sandbox: Sandbox,
    pub(crate) s3: S3,
    pub(crate) prefix: String,
    pub(crate) database: Database,
    /// User that containers run as.
    pub(crate) user: Cell<u32>,
    /// A binary to break: its name, and the variable and value that make it fail.
    broken: RefCell<Option<(&'static str, &'static str, &'static str)>>,
    /// Every command run so far.
    pub(crate) log: RefCell<Vec<String>>,
}

impl Site {
    /// Creates a site; `config` is the text of `/etc/recsys/config.yaml`.
    pub(crate) fn new(config: &str) -> Self {
        let sandbox = Sandbox::new();
        for (folder, mode) in [("", 0o755), ("bin", 0o755), ("etc", 0o755), ("scratch", 0o777)] {
            fs::create_dir_all(sandbox.join(folder)).unwrap();
            fs::set_permissions(sandbox.join(folder), fs::Permissions::from_mode(mode)).unwrap();
        }
        let site = Self {
            sandbox,
            s3: S3::from_env(),
            prefix: S3::unique_prefix(),
            database: Database::new(),
            user: Cell::new(USER),
            broken: RefCell::default(),
            log: RefCell::default(),
        };
        site.sandbox.write("etc/config.yaml", site.localized(config));
        site
    }

    /// A site of the Kubernetes manifests, with the sample.
    pub(crate) fn of_cluster() -> Self {
        let site = Self::new(&plain(&documents("kubernetes/base/config.yaml")[0]["data"]["config.yaml"]));
        site.upload_sample();
        site
    }

    /// The same, whose database has the pilot's tables and the tenant.
    pub(crate) fn with_tables() -> Self {
        let site = Self::of_cluster();
        let command = ["recsys-pipelines", "db", "init"].map(str::to_owned).to_vec();
        let env = BTreeMap::from([("RECSYS_PIPELINES__DB__DSN".to_owned(), String::new())]);
        site.run(&Container { command, env }).ok();
        let insert = "insert into tenants (id, external_id, name) values (gen_random_uuid(), 'demo', 'Demo')";
        site.database.execute(insert);
        site
    }

    /// Replaces server names and paths of the manifests with those of the test.
    pub(crate) fn localized(&self, text: &str) -> String {
        text.replace("/etc/recsys", self.sandbox.join("etc").to_str().unwrap())
            .replace("/scratch", self.sandbox.join("scratch").to_str().unwrap())
            .replace("s3://recsys-", &format!("s3://{}/{}/recsys-", self.s3.bucket, self.prefix))
            .replace("http://minio:9000", &self.s3.endpoint)
    }

    fn environment(&self, name: &str, declared: &str) -> String {
        match name {
            "RECSYS_PIPELINES__OBJECT_STORE__S3__ACCESS_KEY" | "AWS_ACCESS_KEY_ID" => {
                self.s3.access_key.clone()
            }
            "RECSYS_PIPELINES__OBJECT_STORE__S3__SECRET_KEY" | "AWS_SECRET_ACCESS_KEY" => {
                self.s3.secret_key.clone()
            }
            "RECSYS_PIPELINES__DB__DSN" => self.database.url(),
            _ => self.localized(declared),
        }
    }

    /// Makes a binary fail from now on, by a setting in its environment.
    pub(crate) fn break_binary(&self, binary: &'static str, variable: &'static str, value: &'static str) {
        self.broken.replace(Some((binary, variable, value)));
    }

    /// Makes all binaries work again.
    pub(crate) fn mend(&self) {
        self.broken.replace(None);
    }

    /// Runs a container to its end.
    pub(crate) fn run(&self, container: &Container) -> Finished {
        let (binary, arguments) = container.command.split_first().expect("a command");
        // A job starts the program next to it.
        for name in [binary.as_str(), "recsys-pipelines"] {
            let (built, here) = (binaries().join(name), self.sandbox.join("bin").join(name));
            if !here.exists() {
                // The build folder may be closed to other users, or on another file system.
                fs::hard_link(&built, &here).or_else(|_| fs::copy(&built, &here).map(drop)).unwrap();
            }
        }
        let here = self.sandbox.join("bin").join(binary);
        let root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let mut command = if root {
            let mut command = Command::new("setpriv");
            let user = format!("--reuid={}", self.user.get());
            let group = format!("--regid={}", self.user.get());
            command
                .args([&user, &group, "--clear-groups", "--no-new-privs", "--bounding-set=-all"])
                .arg(&here);
            command
        } else {
            Command::new(&here)
        };
        let arguments: Vec<String> = arguments.iter().map(|argument| self.localized(argument)).collect();
        command.args(&arguments).current_dir("/").stdin(Stdio::null()).env_clear().env("PATH", PATH);
        for (name, value) in &container.env {
            command.env(name, self.environment(name, value));
        }
        if let Some((broken, variable, value)) = *self.broken.borrow()
            && broken == binary
        {
            command.env(variable, value);
        }
        self.log.borrow_mut().push(container.command.join(" "));
        let before = self.image();
        let finished = Finished::from(command.output().unwrap());
        assert_eq!(self.image(), before, "{binary} wrote to the image");
        let left: Vec<_> = fs::read_dir(self.sandbox.join("scratch")).unwrap().collect();
        assert!(left.is_empty(), "{binary} left {left:?} behind");
        if root {
            assert_eq!(
                of_the_user(self.user.get()),
                Vec::<String>::new(),
                "{binary} wrote outside of its volume"
            );
        }
        finished
    }

    /// Like [`Self::run`], returning the outcome as a step.
    pub(crate) fn step(&self, container: &Container) -> Outcome {
        let finished = self.run(container);
        match finished.code {
            Some(0) => Outcome::Succeeded,
            code => {
                eprintln!("{}: {}", container.command.join(" "), finished.stderr);
                Outcome::Failed(code.unwrap_or(-1))
            }
        }
    }

    /// The parts of the image that exist in the test.
    fn image(&self) -> Snapshot {
        self.sandbox.snapshot("etc")
    }

    /// Uploads a file to the bucket that stands for `bucket`.
    pub(crate) fn put(&self, bucket: &str, key: &str, bytes: impl AsRef<[u8]>) {
        self.s3.put(&format!("{}/{bucket}/{key}", self.prefix), bytes);
    }

    /// Uploads a folder of the repository to the bucket that stands for `bucket`.
    pub(crate) fn upload(&self, folder: &str, bucket: &str, key: &str) {
        let from = repository().join(folder);
        for file in below(&from) {
            let name = Path::new(&file).strip_prefix(&from).unwrap().to_str().unwrap().to_owned();
            self.put(bucket, &format!("{key}/{name}"), fs::read(file).unwrap());
        }
    }

    /// Uploads the sample to the place that the Kubernetes manifests use.
    pub(crate) fn upload_sample(&self) {
        self.upload("testdata/events/shop", "recsys-raw", "events");
        let catalogue = fs::read(repository().join("testdata/catalog/shop.csv")).unwrap();
        self.put("recsys-raw", "catalog/shop.csv", catalogue);
    }

    /// The current artifacts, read by a client that knows only the manifest's location.
    pub(crate) fn published(&self) -> Option<BTreeMap<Kind, String>> {
        let bucket = format!("s3://{}/", self.s3.bucket);
        let manifest = self.localized("s3://recsys-artifacts/registry/current/demo/home/manifest.json");
        let published = read_published_at(&manifest, |uri| self.s3.get(uri.strip_prefix(&bucket).unwrap()))?;
        let objects = self.localized("s3://recsys-artifacts/objects/demo/home/");
        for uri in published.values() {
            assert!(uri.starts_with(&objects), "{uri}");
        }
        Some(published)
    }

    /// First digits of the current version of a kind.
    pub(crate) fn version(&self, kind: Kind) -> String {
        let published = self.published().expect("a manifest");
        published[&kind].rsplit('/').next().unwrap()[..12].to_owned()
    }

    /// Objects in a folder of the artifacts' bucket, with their contents.
    pub(crate) fn objects(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let root = format!("{}/recsys-artifacts/", self.prefix);
        let keys = self.s3.keys(&format!("{root}{folder}"));
        keys.into_iter().map(|key| (key[root.len()..].to_owned(), self.s3.get(&key).unwrap())).collect()
    }

    /// All objects of the bucket, and all rows with the columns that change on every write.
    pub(crate) fn state(&self) -> State {
        let rows = self.database.rows(
            "select 'popularity', item_id, '', ctid, xmin from item_popularity_daily union all
             select 'cooc', item_id, neighbor_id, ctid, xmin from item_covisit_daily union all
             select 'catalogue', item_id, '', ctid, xmin from item_tags order by 1, 2, 3",
        );
        (self.objects(""), rows)
    }

    /// Number of rows of a table.
    pub(crate) fn count(&self, table: &str) -> String {
        self.database.rows(&format!("select count(*) from {table}"))[0][0].clone().unwrap()
    }
}

/// All files below a folder.
fn below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found
}

/// Files of a user in the world-writable folders. Sandboxes belong to the user running the tests.
fn of_the_user(user: u32) -> Vec<String> {
    let entries = OPEN_TO_ALL.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    entries
        .filter(|entry| fs::symlink_metadata(entry.path()).is_ok_and(|metadata| metadata.uid() == user))
        .map(|entry| entry.path().display().to_string())
        .collect()
}
