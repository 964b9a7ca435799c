//! `show`: the contents of a current artifact.

use clap::Args;
use recsys_core::artifact::outline::Items;
use recsys_core::artifact::user_lists::UserItems;
use recsys_core::artifact::{Artifact, ItemCount, Kind, Payload};
use recsys_core::domain::id::Scope;
use recsys_core::domain::id::Segment;
use recsys_core::domain::window::Window;
use recsys_core::publish::BlobBytes;
use serde::Serialize;
use std::num::NonZeroUsize;

use super::{Operator, table};
use crate::shell::cli::{CommandFlags, CommonArgs, ScopeArgs, parse_count};
use crate::shell::error::JobError;
use crate::shell::output::Output;

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

impl CommandFlags for ShowJob {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn scope(&self) -> Option<Scope> {
        Some(self.scope.scope())
    }
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    tenant: &'a str,
    surface: &'a str,
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
    /// Full length of the list that `list` is the top of.
    length: usize,
    list: Vec<Line>,
}

/// An entry of a list.
#[derive(Debug, Serialize)]
struct Line {
    rank: usize,
    item_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    /// Neighbours of the item, best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbors: Option<Vec<Neighbor>>,
}

#[derive(Debug, Serialize)]
struct Neighbor {
    item_id: String,
    count: u64,
}

impl Line {
    fn new(rank: usize, item: &str) -> Self {
        let item_id = item.to_owned();
        Self { rank, item_id, count: None, score: None, tags: None, neighbors: None }
    }

    fn value(&self) -> String {
        if let Some(neighbors) = &self.neighbors {
            let each = neighbors.iter().map(|neighbor| format!("{} {}", neighbor.item_id, neighbor.count));
            return each.collect::<Vec<_>>().join(", ");
        }
        if let Some(tags) = &self.tags {
            return tags.join(", ");
        }
        let count = self.count.map(|count| count.to_string());
        count.or_else(|| self.score.map(|score| score.to_string())).unwrap_or_default()
    }
}

/// The selected part of an artifact: the column header, the number of entries, and the first of them.
struct Listing {
    header: &'static str,
    length: usize,
    list: Vec<Line>,
}

/// `recsys-pipelines show`.
pub(crate) fn show(flags: &ShowJob) -> anyhow::Result<()> {
    check(flags)?;
    let operator = Operator::new(&flags.common)?;
    let scope = flags.scope.scope();
    let manifest = operator.manifest(&scope)?;
    let uri = manifest.current.get(&flags.kind).ok_or_else(|| {
        let named: Vec<&str> = manifest.current.keys().map(|kind| kind.as_str()).collect();
        let line = format!("nothing is current of {} of {scope}; there is {}", flags.kind, named.join(", "));
        JobError::NotListed(line)
    })?;
    let blob: BlobBytes = operator.blob(&scope, flags.kind, uri)?;
    let artifact = blob.artifact()?;
    let of = || format!("{} of {scope} ({})", flags.kind, artifact.key.window);
    let listing =
        listing(&artifact, flags).map_err(|what| JobError::NotListed(format!("{} has no {what}", of())))?;
    let output = Output::new(flags.common.json);
    let rows = artifact.payload.len();
    output.line(format_args!(
        "{}, {rows} rows, {:.12}, built at {}",
        of(),
        artifact.build.version,
        artifact.build.built_at
    ));
    let mut table = table(["RANK", "ITEM", listing.header]);
    for line in &listing.list {
        table.add_row([&line.rank.to_string(), &line.item_id, &line.value()]);
    }
    output.line(table.trim_fmt());
    let more = listing.length - listing.list.len();
    if more > 0 {
        output.line(format_args!("... and {more} more; --top N shows more of them"));
    }
    output.end(
        &Shown {
            tenant: scope.tenant.as_str(),
            surface: scope.surface.as_str(),
            kind: flags.kind,
            version: &artifact.build.version,
            uri,
            segment: artifact.key.segment.clone(),
            window: artifact.key.window,
            built_at: &artifact.build.built_at,
            rows,
            item: flags.item.as_deref(),
            user: flags.user.as_deref(),
            length: listing.length,
            list: listing.list,
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
fn listing(artifact: &Artifact<'_>, flags: &ShowJob) -> Result<Listing, String> {
    let top = flags.top.get();
    let no_item = |item: &str| format!("item {item:?}");
    match (&artifact.payload, &flags.item, &flags.user) {
        (Payload::Popularity(items), Some(item), _) => {
            let found = items.iter().zip(1..).find(|(of, _)| of.item_id == *item);
            let found = found.map(counted_line).ok_or_else(|| no_item(item))?;
            Ok(Listing { list: vec![found], ..all_of("COUNT", 1) })
        }
        (Payload::Popularity(items), None, _) => Ok(counted(items, top)),
        (Payload::Cooc(rows), Some(item), _) => {
            let row = rows.iter().find(|row| row.item_id == *item).ok_or_else(|| no_item(item))?;
            Ok(counted(&row.items, top))
        }
        (Payload::Cooc(rows), None, _) => {
            let lines = rows.iter().zip(1..).take(top).map(|(row, rank)| {
                let neighbors = row.items.iter().take(top);
                let neighbor =
                    |item: &ItemCount<'_>| Neighbor { item_id: item.item_id.to_string(), count: item.count };
                Line { neighbors: Some(neighbors.map(neighbor).collect()), ..Line::new(rank, &row.item_id) }
            });
            Ok(Listing { list: lines.collect(), ..all_of("NEIGHBOURS", rows.len()) })
        }
        (Payload::ContentSim(items), wanted, _) => {
            let is_wanted = |id: &str| wanted.as_ref().is_none_or(|wanted| wanted == id);
            let lines = items.iter().zip(1..).filter(|(item, _)| is_wanted(&item.item_id)).take(top);
            let lines: Vec<Line> = lines
                .map(|(item, rank)| {
                    let tags = item.tags.iter().map(ToString::to_string).collect();
                    Line { tags: Some(tags), ..Line::new(rank, &item.item_id) }
                })
                .collect();
            match (wanted, &lines[..]) {
                (Some(item), []) => Err(no_item(item)),
                (Some(_), _) => Ok(Listing { list: lines, ..all_of("TAGS", 1) }),
                (None, _) => Ok(Listing { list: lines, ..all_of("TAGS", items.len()) }),
            }
        }
        (Payload::Implicit(users) | Payload::SessionSeq(users), _, user) => {
            of_users(users, artifact, user.as_deref(), top)
        }
    }
}

fn all_of(header: &'static str, length: usize) -> Listing {
    Listing { header, length, list: Vec::new() }
}

fn counted_line((item, rank): (&ItemCount<'_>, usize)) -> Line {
    Line { count: Some(item.count), ..Line::new(rank, &item.item_id) }
}

fn counted(items: &[ItemCount<'_>], top: usize) -> Listing {
    let list = items.iter().zip(1..).take(top).map(counted_line).collect();
    Listing { list, ..all_of("COUNT", items.len()) }
}

/// The items of a user. Without a user, all items by the sum of their scores: user ids are personal data.
fn of_users(
    users: &[UserItems<'_>],
    artifact: &Artifact<'_>,
    user: Option<&str>,
    top: usize,
) -> Result<Listing, String> {
    if let Some(user) = user {
        let found = users.iter().find(|row| row.user_id == user).ok_or_else(|| format!("user {user:?}"))?;
        let lines = found.items.iter().zip(1..).take(top);
        let list =
            lines.map(|(item, rank)| Line { score: Some(item.score), ..Line::new(rank, &item.item_id) });
        return Ok(Listing { list: list.collect(), ..all_of("SCORE", found.items.len()) });
    }
    let Items::Weighed(weights) = artifact.payload.outline().items else { return Ok(all_of("", 0)) };
    let mut items: Vec<_> = weights.into_iter().collect();
    items.sort_unstable_by(|(one, a), (other, b)| b.cmp(a).then(one.cmp(other)));
    let length = items.len();
    let lines = items.into_iter().zip(1..).take(top);
    let list =
        lines.map(|((item, weight), rank)| Line { score: Some(weight.as_score()), ..Line::new(rank, item) });
    Ok(Listing { list: list.collect(), ..all_of("SCORE OF ALL USERS", length) })
}
