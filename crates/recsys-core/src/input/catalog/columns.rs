//! The optional columns of a catalogue, and how to spot misspelt ones.

use std::fmt;

use serde::Serialize;

/// Which optional columns a catalogue has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns {
    /// The column `tags`.
    pub tags: bool,
    /// The column `price`.
    pub price: bool,
    /// The column `created_at`.
    pub created_at: bool,
}

impl Columns {
    /// All optional columns are present.
    pub const ALL: Self = Self { tags: true, price: true, created_at: true };

    /// The union: a column is present if either has it.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            tags: self.tags || other.tags,
            price: self.price || other.price,
            created_at: self.created_at || other.created_at,
        }
    }

    /// The names of the missing columns.
    pub fn absent(self) -> impl Iterator<Item = &'static str> {
        let names = [("tags", self.tags), ("price", self.price), ("created_at", self.created_at)];
        names.into_iter().filter(|(_, is_there)| !is_there).map(|(name, _)| name)
    }
}

/// A column that the catalogue lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AbsentColumn {
    /// The name of the missing column.
    pub column: &'static str,
    /// An existing column with a similar name, perhaps meant to be this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similar: Option<String>,
}

impl fmt::Display for AbsentColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, similar } = self;
        match similar {
            Some(similar) => write!(f, "{column} (its {similar:?} has another name)"),
            None => f.write_str(column),
        }
    }
}

/// Whether `name` may be a misspelling or variant of `column`.
pub(super) fn is_similar(name: &str, column: &str) -> bool {
    let name = name.trim().to_lowercase();
    let begins = |stem: &str| name.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with(stem));
    let shares_a_word = match column {
        // `contains` would also match words such as stage and percentage.
        "tags" => begins("tag"),
        "created_at" => name.contains("created"),
        "available" => begins("avail"),
        other => name.contains(other),
    };
    shares_a_word || strsim::damerau_levenshtein(&name, column) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_somebody_may_have_meant() {
        for (name, column) in [
            ("price_eur", "price"),
            ("Unit Price", "price"),
            ("pirce", "price"),
            ("tag", "tags"),
            ("item_tags", "tags"),
            ("tgas", "tags"),
            ("created", "created_at"),
            ("create_at", "created_at"),
            ("is_available", "available"),
            ("Availability", "available"),
            ("availible", "available"),
            ("surface_id", "surface"),
            ("namespaces", "namespace"),
        ] {
            assert!(is_similar(name, column), "{name} for {column}");
        }
        for (name, column) in [
            ("title", "tags"),
            ("cost", "price"),
            ("brand", "created_at"),
            ("stage", "tags"),
            ("in_stock", "available"),
            ("unavailable", "available"),
        ] {
            assert!(!is_similar(name, column), "{name} for {column}");
        }
    }
}
