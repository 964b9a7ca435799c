//! Explores every interleaving of a few processes that share stores.
//!
//! A process pauses before each operation while others run. The explorer tries every order of the operations and checks
//! the contents of the stores after each one.
//!
//! Processes must be deterministic: the next operation may depend only on the answers so far. So a process is run once
//! per sequence of answers, until it asks for one more, and its behaviour is remembered. The explorer then tries the
//! orders, and does not follow a state (contents plus position of each process) twice.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use recsys_core::encoding::hash::sha256;
use recsys_core::storage::{
    Commit, Condition, Conditions, DocumentMeta, Pending, PendingWrite, Store, StoreError, Tag,
};

/// Contents of all stores.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Shared by all states between two writes.
    documents: Arc<BTreeMap<String, Document>>,
    /// Modification time of documents written from now on.
    pub now: Timestamp,
}

/// A document: bytes, tag and modification time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Document {
    bytes: Arc<[u8]>,
    etag: Arc<str>,
    modified: Timestamp,
}

/// Hashes the tag in place of the bytes.
impl Hash for Document {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.etag, self.modified).hash(state);
    }
}

impl Document {
    fn tag(&self) -> Tag {
        Tag { etag: self.etag.to_string(), version: None }
    }
}

impl Contents {
    /// Bytes of a document. Keys begin with the name of the store.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.documents.get(key).map(|document| &*document.bytes)
    }

    /// Bytes of all documents whose keys begin with `folder`.
    pub fn below(&self, folder: &str) -> Vec<&[u8]> {
        let documents = self.documents.iter().filter(|(key, _)| key.starts_with(folder));
        documents.map(|(_, document)| &*document.bytes).collect()
    }

    fn answer(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Read(key) => Answer::Read(self.documents.get(key).cloned()),
            Operation::List { folder, after } => {
                let listed = self.documents.range(after.clone()..);
                let listed = listed.filter(|(key, _)| key.starts_with(folder) && *key > after);
                let size = |document: &Document| (document.bytes.len() as u64, document.modified);
                Answer::List(listed.map(|(key, document)| (key.clone(), size(document))).collect())
            }
            Operation::Write { key, bytes, condition } => {
                let current = || self.documents.get(key).map(Document::tag);
                let holds = match condition {
                    Condition::Always => true,
                    Condition::Absent => current().is_none(),
                    Condition::Still(expected) => current() == *expected,
                };
                if holds {
                    let (bytes, etag) = (Arc::clone(bytes), sha256(bytes).into());
                    let document = Document { bytes, etag, modified: self.now };
                    Arc::make_mut(&mut self.documents).insert(key.clone(), document);
                }
                Answer::Done(holds)
            }
            Operation::Remove(key) if self.documents.contains_key(key) => {
                Answer::Done(Arc::make_mut(&mut self.documents).remove(key).is_some())
            }
            Operation::Remove(_) => Answer::Done(false),
        }
    }
}

/// An operation on a store. Keys begin with the name of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operation {
    Read(String),
    List { folder: String, after: String },
    Write { key: String, bytes: Arc<[u8]>, condition: Condition },
    Remove(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Answer {
    Read(Option<Document>),
    List(Vec<(String, (u64, Timestamp))>),
    Done(bool),
}

/// Where a process gets its answers.
#[derive(Debug)]
enum AnswerSource {
    Contents(Contents),
    /// Operations asked before, with their answers; threads may repeat them in another order. The first new operation
    /// is recorded and ends the run.
    Script {
        answers: Vec<(Operation, Answer)>,
        next: Option<Operation>,
    },
}

/// A set of stores, opened by name.
#[derive(Debug, Clone)]
pub struct Stores(Arc<Mutex<AnswerSource>>);

impl Stores {
    /// Stores with `contents`, for preparations before the processes run.
    pub fn new(contents: Contents) -> Self {
        Self(Arc::new(Mutex::new(AnswerSource::Contents(contents))))
    }

    /// Opens a store.
    pub fn open(&self, name: &'static str) -> SharedStore {
        SharedStore { stores: self.clone(), name }
    }

    /// Contents of the stores; empty if a process runs on them.
    pub fn contents(&self) -> Contents {
        match &*self.source() {
            AnswerSource::Contents(contents) => contents.clone(),
            AnswerSource::Script { .. } => Contents::default(),
        }
    }

    fn source(&self) -> MutexGuard<'_, AnswerSource> {
        self.0.lock()
    }

    fn ask(&self, operation: Operation) -> Result<Answer, StoreError> {
        match &mut *self.source() {
            AnswerSource::Contents(contents) => Ok(contents.answer(&operation)),
            AnswerSource::Script { answers, next } => {
                if let Some(at) = answers.iter().position(|(asked, _)| *asked == operation) {
                    return Ok(answers.remove(at).1);
                }
                next.get_or_insert(operation);
                let source = io::Error::other("the script has ended");
                Err(StoreError { action: "use", target: "a shared store".to_owned(), source })
            }
        }
    }
}

/// A process that works on the given stores and returns whether it succeeded.
pub type Process = dyn Fn(&Stores) -> bool;

/// State of a process after a sequence of answers.
struct Node {
    /// The previous node, and the answer that led here.
    from: Option<(usize, Answer)>,
    /// The next operation; none if the process has ended.
    next: Option<Operation>,
    has_succeeded: bool,
}

/// The known behaviour of a process.
struct Behaviour<'a> {
    process: &'a Process,
    number: u64,
    nodes: Vec<Node>,
    known: HashMap<(usize, Answer), usize>,
}

/// Nodes of a process that failed and of one that succeeded, whatever the path there.
const ENDED: [usize; 2] = [0, 1];

/// Node before the first operation.
const START: usize = 2;

impl<'a> Behaviour<'a> {
    fn new(number: u64, process: &'a Process) -> Self {
        let ended = |has_succeeded| Node { from: None, next: None, has_succeeded };
        let nodes = vec![ended(false), ended(true)];
        let mut behaviour = Self { process, number, nodes, known: HashMap::new() };
        assert_eq!(behaviour.discover(None), START, "a process does something");
        behaviour
    }

    /// The node after `answer`.
    fn after(&mut self, node: usize, answer: Answer) -> usize {
        match self.known.entry((node, answer)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let from = new.into_key();
                let node = self.discover(Some(from.clone()));
                self.known.insert(from, node);
                node
            }
        }
    }

    /// Runs the process with the answers up to here.
    fn discover(&mut self, from: Option<(usize, Answer)>) -> usize {
        let mut answers = Vec::new();
        let mut step = from.as_ref();
        while let Some((before, answer)) = step {
            let Node { from, next, .. } = &self.nodes[*before];
            answers.extend(next.clone().map(|asked| (asked, answer.clone())));
            step = from.as_ref();
        }
        answers.reverse();
        let stores = Stores(Arc::new(Mutex::new(AnswerSource::Script { answers, next: None })));
        // Makes random names equal in every run of a process.
        fastrand::seed(self.number);
        let has_succeeded = (self.process)(&stores);
        let next = match &mut *stores.source() {
            AnswerSource::Script { answers, next } => {
                let unused = answers.first().map(|(asked, _)| asked);
                assert!(unused.is_none(), "a process is not deterministic: it did not ask {unused:?} again");
                next.take()
            }
            AnswerSource::Contents(_) => None,
        };
        if next.is_none() {
            return ENDED[usize::from(has_succeeded)];
        }
        self.nodes.push(Node { from, next, has_succeeded: false });
        self.nodes.len() - 1
    }
}

/// Result of an exploration.
#[derive(Debug)]
pub struct Explored {
    /// Number of distinct states.
    pub states: usize,
    /// For each process, the number of states in which it has succeeded.
    pub succeeded: Vec<usize>,
}

/// Runs `processes` in every interleaving on stores that start with `contents`; with `most_pauses`, only in those that
/// pause processes at most that often.
///
/// `is_constant` returns whether no process ever changes the document at a key once it exists. Reads of such a document
/// are not interleaved, since their answer is always the same.
///
/// # Errors
/// The error of `check`, which sees the contents after each operation, and the order of operations that led there.
pub fn explore(
    contents: Contents,
    processes: &[&Process],
    most_pauses: Option<usize>,
    is_constant: &dyn Fn(&str) -> bool,
    check: &dyn Fn(&Contents) -> Result<(), String>,
) -> Result<Explored, String> {
    let numbered = processes.iter().zip(0..);
    let mut behaviours: Vec<Behaviour<'_>> =
        numbered.map(|(process, number)| Behaviour::new(number, *process)).collect();
    let mut explored = Explored { states: 0, succeeded: vec![0; processes.len()] };
    let mut seen = HashSet::new();
    let mut to_try = vec![(contents, vec![START; processes.len()], Vec::new(), 0)];
    while let Some((contents, at, order, pauses)) = to_try.pop() {
        let running: Option<usize> = order.last().copied();
        let mut hasher = DefaultHasher::new();
        let of_pauses = most_pauses.map(|_| (running, pauses));
        (&contents.documents, &at, of_pauses).hash(&mut hasher);
        if !seen.insert(hasher.finish()) {
            continue;
        }
        let next = |number: usize| behaviours[number].nodes[at[number]].next.as_ref();
        let is_indifferent = |number: &usize| match next(*number) {
            Some(Operation::Read(key)) => is_constant(key) && contents.documents.contains_key(key),
            _ => false,
        };
        // Switching to another process for this read would count as a pause.
        let indifferent = (0..processes.len()).find(is_indifferent);
        let numbers = match indifferent.filter(|number| most_pauses.is_none() || running == Some(*number)) {
            Some(number) => number..number + 1,
            None => 0..processes.len(),
        };
        for number in numbers {
            let node = &behaviours[number].nodes[at[number]];
            explored.succeeded[number] += usize::from(node.has_succeeded);
            let Some(next) = &node.next else { continue };
            let is_pause = running.is_some_and(|running| {
                running != number && behaviours[running].nodes[at[running]].next.is_some()
            });
            let pauses = pauses + usize::from(is_pause);
            if most_pauses.is_some_and(|most| pauses > most) {
                continue;
            }
            let (mut contents, mut at, mut order) = (contents.clone(), at.clone(), order.clone());
            let answer = contents.answer(next);
            order.push(number);
            if matches!(next, Operation::Write { .. } | Operation::Remove(_)) {
                check(&contents).map_err(|problem| format!("{problem} after {order:?}"))?;
            }
            at[number] = behaviours[number].after(at[number], answer);
            to_try.push((contents, at, order, pauses));
        }
    }
    explored.states = seen.len();
    Ok(explored)
}

/// A store of [`Stores`].
#[derive(Debug)]
pub struct SharedStore {
    stores: Stores,
    name: &'static str,
}

impl SharedStore {
    fn full(&self, key: &str) -> String {
        format!("{}/{key}", self.name)
    }

    fn document(&self, key: &str) -> Result<Option<Document>, StoreError> {
        match self.stores.ask(Operation::Read(self.full(key)))? {
            Answer::Read(document) => Ok(document),
            other => panic!("{other:?}"),
        }
    }

    fn is_done(&self, operation: Operation) -> Result<bool, StoreError> {
        match self.stores.ask(operation)? {
            Answer::Done(is_done) => Ok(is_done),
            other => panic!("{other:?}"),
        }
    }
}

impl Store for SharedStore {
    fn uri(&self, key: &str) -> String {
        format!("memory://{}", self.full(key))
    }

    fn name(&self, key: &str) -> String {
        self.uri(key)
    }

    fn root_exists(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        let document = self.document(key)?;
        Ok(document.map(|document| Box::new(Cursor::new(document.bytes)) as Box<dyn Read + Send>))
    }

    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError> {
        Ok(self.document(key)?.map(|document| (document.bytes.to_vec(), document.tag())))
    }

    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError> {
        Ok(Box::new(SharedWrite { store: self, key: key.to_owned(), bytes: Vec::new() }))
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        self.is_done(Operation::Remove(self.full(key)))
    }

    fn stat(&self, key: &str) -> Result<Option<DocumentMeta>, StoreError> {
        let listed = |document: Document| DocumentMeta {
            key: key.to_owned(),
            bytes: document.bytes.len() as u64,
            modified: document.modified,
        };
        Ok(self.document(key)?.map(listed))
    }

    fn list(&self, folder: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        self.list_after(folder, "")
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        let folder = if folder.is_empty() { self.full("") } else { self.full(&format!("{folder}/")) };
        let listed = match self.stores.ask(Operation::List { folder, after: self.full(after) })? {
            Answer::List(listed) => listed.into_iter(),
            other => panic!("{other:?}"),
        };
        let key = |full: &str| full[self.name.len() + 1..].to_owned();
        Ok(listed
            .map(|(full, (bytes, modified))| DocumentMeta { key: key(&full), bytes, modified })
            .collect())
    }

    fn conditions(&self) -> Result<Conditions, StoreError> {
        Ok(Conditions::Honoured)
    }
}

struct SharedWrite<'a> {
    store: &'a SharedStore,
    key: String,
    bytes: Vec<u8>,
}

impl Write for SharedWrite<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pending for SharedWrite<'_> {
    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError> {
        let Self { store, key, bytes } = *self;
        let write = Operation::Write { key: store.full(&key), bytes: bytes.into(), condition };
        Ok(if store.is_done(write)? { Commit::Written } else { Commit::Refused })
    }
}
