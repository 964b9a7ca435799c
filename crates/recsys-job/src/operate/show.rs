//! `show`: the contents of a current artifact.

use clap::Args;
use recsys_core::artifact::outline::Items;
use recsys_core::artifact::{Artifact, ItemCount, Kind, Payload};
use recsys_core::domain::id::{Scope, Segment};
use recsys_core::domain::window::Window;
use recsys_core::publish::BlobBytes;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;

use super::{Operator, table};
use crate::shell::cli::{CommonArgs, ScopeArgs, flags, parse_count};
use crate::shell::error::JobError;
use crate::shell::output::Output;
use crate::watch::metrics::Run;

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowJob {
    /// What to show: popularity, cooc, implicit, `content_sim` or `session_seq`
    #[arg(value_name = "KIND")]
    pub(super) kind: Kind,

    #[command(flatten)]
    pub(super) scope: ScopeArgs,

    /// Only this item: its neighbours in cooc, its tags in `content_sim`, its place in popularity
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    pub(super) item: Option<String>,

    /// Only this user, in implicit and `session_seq`
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,

    /// Show at most so many
    #[arg(long, value_name = "N", default_value = "20", value_parser = parse_count::<NonZeroUsize>)]
    pub(super) top: NonZeroUsize,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(scope: ShowJob);

#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    scope: &'a Scope,
    kind: Kind,
    version: &'a str,
    uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<Segment>,
    window: Window,
    built_at: &'a str,
    /// Rows of the artifact's outermost list.
    rows: usize,
    /// The item or user asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(flatten)]
    selection: Selection<'a>,
}

/// The selected part of an artifact.
#[derive(Debug, Serialize)]
struct Selection<'a> {
    /// Header of the column of values.
    #[serde(skip)]
    header: &'static str,
    /// Full length of the list that `list` is the top of.
    length: usize,
    list: Vec<ListEntry<'a>>,
}

/// An entry of a list.
#[derive(Debug, Serialize)]
struct ListEntry<'a> {
    rank: usize,
    item_id: &'a str,
    #[serde(flatten)]
    value: Value<'a>,
}

/// What an artifact says about an item.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Value<'a> {
    Count(u64),
    Score(f64),
    Tags(&'a [Cow<'a, str>]),
    /// Neighbours of the item, best first.
    Neighbors(Vec<Neighbor<'a>>),
}

#[derive(Debug, Serialize)]
struct Neighbor<'a> {
    item_id: &'a str,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Score(score) => score.fmt(f),
            Self::Tags(tags) => f.write_str(&tags.join(", ")),
            Self::Neighbors(neighbors) => {
                let value =
                    |neighbor: &Neighbor| neighbor.score.map_or(Self::Count(neighbor.count), Self::Score);
                let each =
                    neighbors.iter().map(|neighbor| format!("{} {}", neighbor.item_id, value(neighbor)));
                f.write_str(&each.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl<'a> Selection<'a> {
    /// The first `top` items, or only the item that is wanted; the error names it if it is missing.
    fn new(
        header: &'static str,
        items: impl ExactSizeIterator<Item = (&'a str, Value<'a>)>,
        wanted: Option<&str>,
        top: usize,
    ) -> Result<Self, String> {
        let length = wanted.map_or(items.len(), |_| 1);
        let lines = items.zip(1..).map(|((item_id, value), rank)| ListEntry { rank, item_id, value });
        let lines = lines.filter(|line| wanted.is_none_or(|wanted| wanted == line.item_id));
        let list: Vec<_> = lines.take(top).collect();
        match wanted {
            Some(item) if list.is_empty() => Err(no_item(item)),
            _ => Ok(Self { header, length, list }),
        }
    }
}

fn no_item(item: &str) -> String {
    format!("item {item:?}")
}

pub(crate) fn show(flags: &ShowJob, run: &Run) -> anyhow::Result<()> {
    check(flags)?;
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let scope = flags.scope.scope();
    let manifest = operator.manifest(&scope)?;
    let uri = manifest.current.get(&flags.kind).ok_or_else(|| {
        let named: Vec<&str> = manifest.current.keys().map(|kind| kind.as_str()).collect();
        let line = format!("nothing is current of {} of {scope}; there is {}", flags.kind, named.join(", "));
        JobError::Usage(line)
    })?;
    let blob: BlobBytes = operator.blob(&scope, flags.kind, uri)?;
    let artifact = blob.artifact()?;
    let of = || format!("{} of {scope} ({})", flags.kind, artifact.key.window);
    let selection =
        selection(&artifact, flags).map_err(|what| JobError::Usage(format!("{} has no {what}", of())))?;
    let output = Output::new(flags.common.json);
    let rows = artifact.payload.len();
    output.line(format_args!(
        "{}, {rows} rows, {:.12}, built at {}",
        of(),
        artifact.build.version,
        artifact.build.built_at
    ));
    let mut table = table(["RANK", "ITEM", selection.header]);
    for line in &selection.list {
        table.add_row([&line.rank.to_string(), line.item_id, &line.value.to_string()]);
    }
    output.line(table.trim_fmt());
    let more = selection.length - selection.list.len();
    if more > 0 {
        output.line(format_args!("... and {more} more; --top N shows more of them"));
    }
    output.end(
        &Shown {
            scope: &scope,
            kind: flags.kind,
            version: &artifact.build.version,
            uri,
            segment: artifact.key.segment.clone(),
            window: artifact.key.window,
            built_at: &artifact.build.built_at,
            rows,
            item: flags.item.as_deref(),
            user: flags.user.as_deref(),
            selection,
        },
        Ok(()),
    )
}

/// Rejects `--item` or `--user` if the kind is not by it.
fn check(flags: &ShowJob) -> anyhow::Result<()> {
    let is_of_users = matches!(flags.kind, Kind::Implicit | Kind::SessionSeq);
    let (wrong, right) = if is_of_users { ("item", "user") } else { ("user", "item") };
    let given = if is_of_users { &flags.item } else { &flags.user };
    match given {
        Some(_) => Err(JobError::Usage(format!("{} is not by {wrong}; give --{right}", flags.kind)).into()),
        None => Ok(()),
    }
}

/// The entries selected by the flags; the error names the item or user that is missing.
fn selection<'a>(artifact: &'a Artifact<'a>, flags: &ShowJob) -> Result<Selection<'a>, String> {
    let (item, top) = (flags.item.as_deref(), flags.top.get());
    let counts = |items: &'a [ItemCount<'a>]| {
        let value = |item: &ItemCount| item.score.map_or(Value::Count(item.count), Value::Score);
        items.iter().map(move |item| (&*item.item_id, value(item)))
    };
    let title =
        |items: &[ItemCount]| if items.iter().any(|item| item.score.is_some()) { "SCORE" } else { "COUNT" };
    match (&artifact.payload, item, &flags.user) {
        (Payload::Popularity(items), ..) => Selection::new(title(items), counts(items), item, top),
        (Payload::Cooc(rows), Some(item), _) => {
            let row = rows.iter().find(|row| row.item_id == item).ok_or_else(|| no_item(item))?;
            Selection::new(title(&row.items), counts(&row.items), None, top)
        }
        (Payload::Cooc(rows), None, _) => {
            let neighbor = |item: &'a ItemCount<'a>| Neighbor {
                item_id: &item.item_id,
                count: item.count,
                score: item.score,
            };
            let rows = rows.iter().map(|row| {
                let neighbors = row.items.iter().take(top).map(neighbor);
                (&*row.item_id, Value::Neighbors(neighbors.collect()))
            });
            Selection::new("NEIGHBOURS", rows, None, top)
        }
        (Payload::ContentSim(items), ..) => {
            let tags = items.iter().map(|item| (&*item.item_id, Value::Tags(&item.tags)));
            Selection::new("TAGS", tags, item, top)
        }
        (Payload::Implicit(users) | Payload::SessionSeq(users), _, Some(user)) => {
            let found = users.iter().find(|row| row.user_id == *user);
            let found = found.ok_or_else(|| format!("user {user:?}"))?;
            let scores = found.items.iter().map(|item| (&*item.item_id, Value::Score(item.score)));
            Selection::new("SCORE", scores, None, top)
        }
        // All items by the sum of their scores: user ids are personal data.
        (Payload::Implicit(_) | Payload::SessionSeq(_), _, None) => {
            let mut items: Vec<_> = match artifact.payload.outline().items {
                Items::Weighed(weights) => weights.into_iter().collect(),
                Items::Tagged(_) => Vec::new(),
            };
            items.sort_unstable_by(|(one, a), (other, b)| b.cmp(a).then(one.cmp(other)));
            let scores = items.into_iter().map(|(item, weight)| (item, Value::Score(weight.as_score())));
            Selection::new("SCORE OF ALL USERS", scores, None, top)
        }
    }
}
