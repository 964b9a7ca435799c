//! Helpers for the YAML files in `deploy/`.

use std::fs;
use std::path::PathBuf;

use recsys_testkit::golden::repository;
use serde_json::Value;

/// Path of a file in `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    repository().join("deploy").join(path)
}

/// Text of a file in `deploy/`.
pub(crate) fn text(path: &str) -> String {
    let path = deploy(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All documents of a file, with aliases and merges resolved.
pub(crate) fn documents(path: &str) -> Vec<Value> {
    let text = text(path);
    let mut documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    documents.retain(|document| !document.is_null());
    documents
}

/// The only document of a file.
pub(crate) fn document(path: &str) -> Value {
    let mut documents = documents(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

/// All files below a folder of `deploy/` whose names end in `ending`.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(deploy(folder)).unwrap() {
        let path = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
        let path = path.trim_start_matches("./").to_owned();
        if deploy(&path).is_dir() {
            found.extend(files(&path, ending));
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The strings of a list.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    let empty = Vec::new();
    list.as_array()
        .unwrap_or(&empty)
        .iter()
        .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
        .collect()
}

/// A value as text for an environment variable.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// All objects in a document, at any depth.
pub(crate) fn objects(document: &Value) -> Vec<&Value> {
    match document {
        Value::Object(fields) => {
            let mut found = vec![document];
            found.extend(fields.values().flat_map(objects));
            found
        }
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}
