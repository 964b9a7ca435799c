//! Lines that repeat the one before them, but for time, item and rank.
//!
//! Who shows many items at once, or writes session by session, repeats the same fields line after line. To compare
//! two lines takes a fraction of the time of reading one.

use std::ops::Range;

use super::plain::{Cursor, is_plain};
use super::{Exposure, RawExposure, trim, trimmed};
use crate::timestamp;

/// The last line that was read field by field, up to the text of its item.
#[derive(Debug, Default)]
pub(crate) struct LastLine {
    start: String,
    fields: Option<Fields>,
}

/// Where in the line the fields of the event are.
#[derive(Debug)]
struct Fields {
    ts: Range<usize>,
    session_id: Range<usize>,
    user_id: Option<Range<usize>>,
    request_id: Option<Range<usize>>,
    segment: Option<Range<usize>>,
    rank: Rank,
}

#[derive(Debug)]
enum Rank {
    /// Before the item, or nowhere.
    Same(Option<i64>),
    AfterItem,
}

impl LastLine {
    /// Remembers a line that was read, and what it was read as.
    pub(crate) fn remember(&mut self, line: &str, raw: &RawExposure<'_>, event: Option<&Exposure<'_>>) {
        self.fields = event.and_then(|event| {
            let item = range_in(line, event.item_id)?;
            let mut rest = Cursor::new(line, item.start);
            rest.text()?;
            let rank = if rest.clone().ends_line() {
                Rank::Same(event.rank)
            } else {
                // Whatever else stands after the item is compared with nothing.
                rest.last_rank().map(|_| Rank::AfterItem)?
            };
            let fields = Fields {
                ts: range_in(line, trimmed(raw.ts.as_ref()?))?,
                session_id: range_in(line, event.session_id)?,
                user_id: optional_range_in(line, event.user_id)?,
                request_id: optional_range_in(line, event.request_id)?,
                segment: optional_range_in(line, event.segment)?,
                rank,
            };
            self.start.clear();
            self.start.push_str(&line[..item.start]);
            Some(fields)
        });
    }

    /// Reads a line that repeats the last one.
    pub(crate) fn read<'a>(&self, line: &'a str) -> Option<Exposure<'a>> {
        let Fields { ts, session_id, user_id, request_id, segment, rank } = self.fields.as_ref()?;
        let (last, bytes) = (self.start.as_bytes(), line.as_bytes().get(..self.start.len())?);
        if bytes[ts.end..] != last[ts.end..] || bytes[..ts.start] != last[..ts.start] {
            return None;
        }
        let ts = timestamp::plain_utc(&bytes[ts.clone()])?;
        let mut rest = Cursor::new(line, last.len());
        let item_id = rest.text().filter(|text| is_plain(text)).map(trim).filter(|text| !text.is_empty())?;
        let rank = match rank {
            Rank::Same(rank) => rest.ends_line().then_some(*rank)?,
            Rank::AfterItem => Some(rest.last_rank()?),
        };
        let optional = |place: &Option<Range<usize>>| place.clone().map(|place| &line[place]);
        Some(Exposure {
            ts,
            session_id: &line[session_id.clone()],
            item_id,
            user_id: optional(user_id),
            request_id: optional(request_id),
            segment: optional(segment),
            rank,
        })
    }
}

/// Where in `line` a text is that was borrowed from it; none when it holds escapes and was copied.
fn range_in(line: &str, text: &str) -> Option<Range<usize>> {
    let start = (text.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
    let end = start + text.len();
    (end <= line.len()).then_some(start..end)
}

/// The same for a field that may be absent; none only when it is there and was copied.
#[allow(clippy::option_option, reason = "what is absent is found nowhere, which is no reason to give up")]
fn optional_range_in(line: &str, text: Option<&str>) -> Option<Option<Range<usize>>> {
    text.map_or(Some(None), |text| range_in(line, text).map(Some))
}
