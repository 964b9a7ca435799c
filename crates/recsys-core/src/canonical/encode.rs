//! Rows as canonical lines.
//!
//! Every string is turned into JSON once for the day, not once for each event; a line is then a dozen
//! copies. Events are in the order of time, so neighbours mostly share their second, too.

use std::io;

use rayon::prelude::*;

use super::rows::{DayRows, Names, Row};
use crate::dictionary::Strings;
use crate::id::Scope;
use crate::json;
use crate::timestamp;

/// Rows that one thread turns into text at a time.
const CHUNK_ROWS: usize = 1 << 14;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// The strings of a day as JSON, quotes included.
struct Quoted {
    scope: Vec<u8>,
    sessions: Strings,
    requests: Strings,
    items: Strings,
    users: Strings,
    segments: Strings,
}

impl Quoted {
    fn new(scope: &Scope, names: &Names) -> io::Result<Self> {
        let mut fields = b"\",\"tenant\":".to_vec();
        json::write(&scope.tenant, &mut fields)?;
        fields.extend_from_slice(b",\"surface\":");
        json::write(&scope.surface, &mut fields)?;
        Ok(Self {
            scope: fields,
            sessions: names.sessions.strings().quoted(),
            requests: names.requests.strings().quoted(),
            items: names.items.strings().quoted(),
            users: names.users.strings().quoted(),
            segments: names.segments.strings().quoted(),
        })
    }
}

/// The text of the second that was written last.
#[derive(Default)]
struct Second {
    ns: Option<i64>,
    text: Vec<u8>,
}

/// Hands the lines of a day to `out`, in order, many at a time.
pub(super) fn write_lines(
    scope: &Scope,
    day: &DayRows,
    mut out: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let quoted = Quoted::new(scope, &day.names)?;
    let threads = rayon::current_num_threads();
    let mut texts: Vec<Vec<u8>> = vec![Vec::new(); threads];
    for batch in day.rows.chunks(CHUNK_ROWS * threads) {
        texts.par_iter_mut().zip(batch.par_chunks(CHUNK_ROWS)).try_for_each(|(text, rows)| {
            let mut second = Second::default();
            rows.iter().try_for_each(|row| write_line(&quoted, row, &mut second, text))
        })?;
        for text in &mut texts {
            out(text)?;
            text.clear();
        }
    }
    Ok(())
}

fn write_line(quoted: &Quoted, row: &Row, second: &mut Second, out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(b"{\"v\":1,\"ts\":\"");
    if row.ts % NS_PER_SECOND != 0 {
        timestamp::write(row.ts, out)?;
    } else {
        if second.ns != Some(row.ts) {
            second.ns = Some(row.ts);
            second.text.clear();
            timestamp::write(row.ts, &mut second.text)?;
        }
        out.extend_from_slice(&second.text);
    }
    out.extend_from_slice(&quoted.scope);
    let mut field = |name: &[u8], strings: &Strings, id: u32| {
        out.extend_from_slice(name);
        out.extend_from_slice(strings.get(id).as_bytes());
    };
    if row.segment > 0 {
        field(b",\"segment\":", &quoted.segments, row.segment - 1);
    }
    if row.user > 0 {
        field(b",\"user_id\":", &quoted.users, row.user - 1);
    }
    field(b",\"session_id\":", &quoted.sessions, row.session);
    if row.request > 0 {
        field(b",\"request_id\":", &quoted.requests, row.request - 1);
    }
    field(b",\"item_id\":", &quoted.items, row.item);
    if row.rank >= 0 {
        out.extend_from_slice(b",\"rank\":");
        json::write(&row.rank, &mut *out)?;
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}
