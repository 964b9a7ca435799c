//! scratch
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]
use std::io::{Cursor, Read, Write};
use std::sync::mpsc::channel;
use std::time::Duration;
use recsys_core::lines::*;
use recsys_core::catalog::*;
use recsys_core::id::Surface;
use recsys_core::limit::Limits;
use recsys_core::storage::*;

#[test]
fn panic_hang() {
    let (tx, rx) = channel();
    std::thread::spawn(move || {
        let r = std::panic::catch_unwind(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            pool.install(|| {
                let f = LineFile { name: "x".into(), reader: Box::new(Cursor::new("line\n".repeat(2_000_000))) };
                for_each_line(vec![f], || (), |_, _| panic!("boom")).map(|_| ())
            })
        });
        tx.send(r.is_err()).unwrap();
    });
    println!("{:?}", rx.recv_timeout(Duration::from_secs(20)));
}

fn cat(text: &str, f: CatalogFormat) {
    match Catalog::read("c", f, text.as_bytes(), &Surface::new("home").unwrap(), &Limits::default()) {
        Ok(c) => println!("{text:?}: {:?}", c.items),
        Err(e) => println!("{text:?}: ERR {e}"),
    }
}

#[test]
fn csv_lines() {
    use CatalogFormat::*;
    cat("id,tags\na,x\na,y\n", Csv);
    cat("id,tags\r\na,x\r\na,y\r\n", Csv);
    cat("id,tags\n\n\na,x\n\na,y\n", Csv);
    cat("\n\nid,tags\na,x\na,y\n", Csv);
    cat("id,tags\n\"a\",\"x\ny\nz\"\na,y\n", Csv);
    cat("id,tags\r\n\"a\",\"x\r\ny\"\r\na,y\r\n", Csv);
    cat("id,tags\na,x\nb\n", Csv);
    cat("id,tags\r\na,x\r\nb\r\n", Csv);
    cat("id,tags\ra,x\ra,y\r", Csv);
    cat("id,tags\na,x\n\nb\n", Csv);
    cat("id,tags\na,x\n\nb,c,d\n", Csv);
    cat("id,tags\n\"a,x\nb,y\n", Csv);
    cat("", Csv);
    cat("\n", Csv);
    cat("id\na\n \nb\n", Csv);
    cat("id,id\na,b\n", Csv);
    cat("{\"item_id\":\"a\"}\n{\"item_id\":}\n", Jsonl);
    cat("{\"item_id\":\"a\",\"item_id\":\"b\"}\n", Jsonl);
    cat("[\"a\",[\"x\"],null]\n", Jsonl);
    cat("{\"item_id\":1}\n", Jsonl);
}

#[test]
fn truncation() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path()).unwrap();
    let text = "line one\nline two\nline three\n".repeat(3);
    let mut gz = Vec::new();
    for part in [&text[..40], &text[40..]] {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(part.as_bytes()).unwrap();
        gz.extend(e.finish().unwrap());
    }
    let mut zst = zstd::encode_all(text[..40].as_bytes(), 3).unwrap();
    let l1 = zst.len();
    zst.extend(zstd::encode_all(text[40..].as_bytes(), 3).unwrap());
    println!("{} {l1}", zst.len());
    for (name, bytes) in [("x.gz", gz), ("x.zst", zst)] {
        for cut in 0..=bytes.len() {
            std::fs::write(dir.path().join(name), &bytes[..cut]).unwrap();
            let mut out = Vec::new();
            let r = recsys_core::raw::open_decompressed(&store, name).unwrap().unwrap().read_to_end(&mut out);
            if r.is_ok() { println!("{name} {cut}/{} ok: {r:?}", bytes.len()); }
        }
    }
}
