//! Every interleaving of a few processes that share stores.
//!
//! A process is paused before each of its operations for as long as the others like. The explorer tries every order in
//! which the operations can happen, and looks at the contents of the stores after each of them.
//!
//! A process must be deterministic: its next operation depends on the answers to those before and on nothing else. So
//! what it does is found out once for each sequence of answers, by running it with these answers until it asks for one
//! more. What remains is to try the orders, and a state (contents, and where each process stands) that was met before is
//! not followed again.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use recsys_core::encoding::hash::sha256;
use recsys_core::storage::{
    Commit, Condition, Conditions, Listed, Pending, PendingWrite, Store, StoreError, Tag,
};

/// The contents of all stores.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Shared by all states between two writes.
    documents: Arc<BTreeMap<String, Document>>,
    /// When documents are written from now on.
    pub now: Timestamp,
}

/// A document: its bytes, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Document {
    bytes: Arc<[u8]>,
    etag: Arc<str>,
    modified: Timestamp,
}

/// The tag stands for the bytes.
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
    /// The bytes of a document; its key begins with the name of the store.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.documents.get(key).map(|document| &*document.bytes)
    }

    /// The bytes of all documents whose keys begin so.
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

/// What a process asks of a store. Keys begin with the name of the store.
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

/// What answers the operations of a process.
#[derive(Debug)]
enum Source {
    Contents(Contents),
    /// What a process has asked before, and the answers: its threads may ask in another order. What it asks besides is
    /// noted, and ends it.
    Script {
        answers: Vec<(Operation, Answer)>,
        next: Option<Operation>,
    },
}

/// Stores that are opened by name.
#[derive(Debug, Clone)]
pub struct Stores(Arc<Mutex<Source>>);

impl Stores {
    /// Stores with `contents`, for what comes before the processes.
    pub fn new(contents: Contents) -> Self {
        Self(Arc::new(Mutex::new(Source::Contents(contents))))
    }

    /// A store.
    pub fn open(&self, name: &'static str) -> SharedStore {
        SharedStore { stores: self.clone(), name }
    }

    /// What the stores hold; nothing in those of a process.
    pub fn contents(&self) -> Contents {
        match &*self.source() {
            Source::Contents(contents) => contents.clone(),
            Source::Script { .. } => Contents::default(),
        }
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.0.lock()
    }

    fn ask(&self, operation: Operation) -> Result<Answer, StoreError> {
        match &mut *self.source() {
            Source::Contents(contents) => Ok(contents.answer(&operation)),
            Source::Script { answers, next } => {
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

/// A process: it works with the stores that it is given. Whether it succeeded is its result.
pub type Process = dyn Fn(&Stores) -> bool;

/// A process after some answers.
struct Node {
    /// The node before, and the answer that led from it here.
    from: Option<(usize, Answer)>,
    /// What it does next; none when it has ended.
    next: Option<Operation>,
    has_succeeded: bool,
}

/// What a process does, as far as it is known.
struct Behaviour<'a> {
    process: &'a Process,
    number: u64,
    nodes: Vec<Node>,
    known: HashMap<(usize, Answer), usize>,
}

/// The nodes at which a process has ended without success and with it, however it came there.
const ENDED: [usize; 2] = [0, 1];

/// The node before the first operation.
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
        let stores = Stores(Arc::new(Mutex::new(Source::Script { answers, next: None })));
        // Names that a process makes up are the same in every run of it.
        fastrand::seed(self.number);
        let has_succeeded = (self.process)(&stores);
        let next = match &mut *stores.source() {
            Source::Script { answers, next } => {
                let unused = answers.first().map(|(asked, _)| asked);
                assert!(unused.is_none(), "a process is not deterministic: it did not ask {unused:?} again");
                next.take()
            }
            Source::Contents(_) => None,
        };
        if next.is_none() {
            return ENDED[usize::from(has_succeeded)];
        }
        self.nodes.push(Node { from, next, has_succeeded: false });
        self.nodes.len() - 1
    }
}

/// What was found when all interleavings were tried.
#[derive(Debug)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// In how many of them each process has succeeded.
    pub succeeded: Vec<usize>,
}

/// Runs `processes` in every interleaving on stores that begin with `contents`, or in each in which processes are paused at
/// most `most_pauses` times.
///
/// `is_constant` says of a document that is there, by its key, that no process ever changes it. A read of one is done at
/// once, and not in every order with the operations of others: its answer is the same.
///
/// # Errors
/// What `check` says of the contents, which it sees after each operation, with the order that led there.
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
        // To go to another process for it would be a pause.
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

/// A store among [`Stores`].
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

    fn look(&self, key: &str) -> Result<Option<Listed>, StoreError> {
        let listed = |document: Document| Listed {
            key: key.to_owned(),
            bytes: document.bytes.len() as u64,
            modified: document.modified,
        };
        Ok(self.document(key)?.map(listed))
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        self.list_after(folder, "")
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let folder = if folder.is_empty() { self.full("") } else { self.full(&format!("{folder}/")) };
        let listed = match self.stores.ask(Operation::List { folder, after: self.full(after) })? {
            Answer::List(listed) => listed.into_iter(),
            other => panic!("{other:?}"),
        };
        let key = |full: &str| full[self.name.len() + 1..].to_owned();
        Ok(listed.map(|(full, (bytes, modified))| Listed { key: key(&full), bytes, modified }).collect())
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
