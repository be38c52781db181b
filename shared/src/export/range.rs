//! What is read with one request, and what is left to be read after it.

use crate::table::{Continuation, Damage, Entity, Page, Query, Table, TableError};

/// A piece of work that takes one request, mostly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// Finds the next partition.
    Hop(Hop),
    /// Reads a page of rows.
    Rows(Range),
}

/// What a piece of work found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows, in the order of their keys.
    pub(super) rows: Vec<Entity>,
    /// What is left to be done, in the order of the file, and all of it behind the rows.
    pub(super) rest: Vec<Work>,
}

/// The partitions between two keys. Each request finds one, whatever the partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// Only partitions behind this one.
    after: Option<String>,
    /// Only partitions up to this one.
    until: Option<String>,
}

/// Where Microsoft's partitions begin, by the month of their day: the hops through a table start at all of these at the
/// same time. They are in the order of the service's keys, in which a digit comes before a colon.
const MONTHS: [&str; 12] =
    ["10:2F", "11:2F", "12:2F", "1:2F", "2:2F", "3:2F", "4:2F", "5:2F", "6:2F", "7:2F", "8:2F", "9:2F"];

impl Hop {
    /// The hops that find every partition of a table behind this one, or every partition at all.
    pub(super) fn through_table(after: Option<&str>) -> Vec<Work> {
        let starts = [None].into_iter().chain(MONTHS.map(Some));
        let ends = MONTHS.map(Some).into_iter().chain([None]);
        let stretches = starts.zip(ends).filter(|(_, end)| end.is_none_or(|end| after.is_none_or(|after| after < end)));
        let hop = |(start, end): (Option<&str>, Option<&str>)| {
            Work::Hop(Self { after: start.max(after).map(str::to_owned), until: end.map(str::to_owned) })
        };
        stretches.map(hop).collect()
    }

    /// Finds the first of the partitions.
    pub(super) async fn run<T: Table>(self, table: &T) -> Result<Found, TableError> {
        let Self { after, until } = self;
        let query = Query {
            partition_key_after: after.clone(),
            select: vec![KEYS_ALONE],
            page_size: Some(1),
            ..Query::default()
        };
        let mut from = None;
        loop {
            let page = table.page(&query, from.as_ref()).await?;
            if let Some(row) = page.entities.into_iter().next() {
                let key = row.partition_key;
                if after.as_ref() == Some(&key) {
                    // A service that finds the same partition again would be asked for ever.
                    return Err(TableError::Rejected { status: 200, code: "PartitionNotBehind".to_owned() });
                }
                if until.as_ref().is_some_and(|until| key > *until) {
                    return Ok(Found::default());
                }
                let rows = Work::Rows(Range::partition(key.clone(), None));
                return Ok(Found { rows: Vec::new(), rest: vec![rows, Work::Hop(Self { after: Some(key), until })] });
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(Found::default()),
            }
        }
    }
}

/// A query for this column gives a row's keys and its time alone: those come with every row.
const KEYS_ALONE: &str = "PartitionKey";

/// Rows of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    partition_key: String,
    /// Only rows from this key on.
    row_key_from: Option<String>,
    /// Whether the row with just that key is left out, because it was read before.
    is_after: bool,
    /// Only rows before this key.
    row_key_before: Option<String>,
    /// Where the service said that the rest begins.
    from: Option<Continuation>,
    /// At most so many rows a page, since a page of more could not be read.
    most_rows: Option<u32>,
}

impl Range {
    /// All rows of a partition, or those behind a row.
    pub(super) fn partition(partition_key: String, after_row: Option<String>) -> Self {
        let is_after = after_row.is_some();
        Self { partition_key, row_key_from: after_row, is_after, row_key_before: None, from: None, most_rows: None }
    }

    /// Reads the range's first page, of at most `most_rows` rows.
    ///
    /// A page that cannot be read is asked for again with a quarter of its rows, until only the row is left that makes it
    /// so. Of that one the keys are read alone, and it counts as [unreadable](Damage::Unreadable).
    pub(super) async fn run<T: Table>(mut self, table: &T, most_rows: u32) -> Result<Found, TableError> {
        let mut asked = self.most_rows.unwrap_or(most_rows).min(most_rows);
        let mut query = Query {
            partition_key: Some(self.partition_key.clone()),
            row_key_from: self.row_key_from.clone(),
            row_key_before: self.row_key_before.clone(),
            page_size: Some(asked),
            ..Query::default()
        };
        let Page { entities: mut rows, next } = loop {
            match table.page(&query, self.from.as_ref()).await {
                Err(error) if error.is_unreadable_answer() && query.select.is_empty() => {
                    if asked == 1 {
                        query.select = vec![KEYS_ALONE];
                    }
                    asked = (asked / 4).max(1);
                    query.page_size = Some(asked);
                    self.most_rows = Some(asked);
                }
                page => break page?,
            }
        };
        if !query.select.is_empty() {
            rows.iter_mut().for_each(|row| row.damage = Some(Damage::Unreadable));
        }
        let Some(next) = next else { return Ok(Found { rows: self.without_read(rows), rest: Vec::new() }) };
        // Where a page was made smaller, the next one is tried with twice the rows.
        let most_rows = self.most_rows.map(|_| asked.saturating_mul(2)).filter(|twice| *twice < most_rows);
        let parts = if self.most_rows.is_none() { self.split(&rows) } else { None };
        let rows = self.without_read(rows);
        let rest = parts.unwrap_or_else(|| vec![Self { from: Some(next), most_rows, ..self }]);
        Ok(Found { rows, rest: rest.into_iter().map(Work::Rows).collect() })
    }

    /// The rows without the one behind which the range begins.
    fn without_read(&self, mut rows: Vec<Entity>) -> Vec<Entity> {
        if self.is_after && rows.first().map(|row| &row.row_key) == self.row_key_from.as_ref() {
            rows.remove(0);
        }
        rows
    }

    /// Splits what is behind a page into ranges of about a page each, which can be read at the same time; `None` where the
    /// keys do not show how many rows there are. Those of intake are hashes, and Microsoft's are random, too, so the share
    /// of all keys that a page takes tells how many pages follow. However wrong that is, each row is in one of the ranges.
    fn split(&self, rows: &[Entity]) -> Option<Vec<Self>> {
        let last = rows.last().map(|row| row.row_key.as_str()).filter(|key| key.len() >= SHORTEST_RANDOM_KEY)?;
        let start = self.row_key_from.as_deref().map_or(Some(0), position)?;
        let here = position(last)?;
        let end = self.row_key_before.as_deref().map_or(Some(POSITIONS), position)?;
        let seen = here.checked_sub(start).filter(|seen| *seen > 0)?;
        let left = end.checked_sub(here).filter(|left| *left > MOST_PARTS * 2)?;
        let page = rows.len() as u64;
        // A part is a little smaller than a page, so that its rows fit into one even where it has more than its share.
        let rows_left = page * left / seen;
        let parts = rows_left.div_ceil((page * 9 / 10).max(1)).min(MOST_PARTS);
        if parts < 2 || rows_left > MOST_ROWS {
            return None;
        }
        let boundary = |part: u64| format!("{:08x}", here + left * part / parts);
        let range = |part: u64| Self {
            row_key_from: Some(if part == 0 { last.to_owned() } else { boundary(part) }),
            is_after: part == 0,
            row_key_before: if part + 1 == parts { self.row_key_before.clone() } else { Some(boundary(part + 1)) },
            from: None,
            ..self.clone()
        };
        Some((0..parts).map(range).collect())
    }
}

/// The length from which on a hexadecimal row key counts as random: that of a hash or an identifier of 128 bits.
const SHORTEST_RANDOM_KEY: usize = 32;

/// The most parts into which a range is split. Each of them is split again where it is still large.
const MOST_PARTS: u64 = 16;

/// The most rows that a day is believed to have. Where there seem to be more, the keys are rather numbers in order than random.
const MOST_ROWS: u64 = 1_000_000;

/// How many positions [`position`] tells apart.
const POSITIONS: u64 = 1 << 32;

/// Where a hexadecimal key is among all of them, by its first eight digits; `None` for other keys.
fn position(key: &str) -> Option<u64> {
    let digits = key.get(..8).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_start_in_the_order_of_keys_and_cover_the_table_once() {
        assert!(MONTHS.is_sorted());
        for after in [None, Some(""), Some("0"), Some("11:2F3:2F2026"), Some("12:2F"), Some("9:2F"), Some("elsewhere")]
        {
            let hops: Vec<_> = Hop::through_table(after)
                .into_iter()
                .map(|work| match work {
                    Work::Hop(Hop { after, until }) => (after, until),
                    Work::Rows(_) => panic!("rows"),
                })
                .collect();
            assert_eq!(hops.first().unwrap().0.as_deref(), after);
            assert_eq!(hops.last().unwrap().1, None);
            assert!(hops.windows(2).all(|pair| pair[0].1.is_some() && pair[0].1 == pair[1].0), "{hops:?}");
        }
    }

    #[test]
    fn keys_that_are_no_hashes_are_read_one_page_after_the_other() {
        let range = Range::partition("p".to_owned(), None);
        let rows = |key: fn(usize) -> String| (0..1_000).map(|row| Entity::new("p", key(row))).collect::<Vec<_>>();
        let numbered = |row| format!("{row:08}-5b2f-4b8e-9d0c-0123456789ab");
        for key in [|row| format!("{row:08}"), |row| format!("lead-{row:040}"), |row| format!("{row:064x}"), numbered] {
            assert_eq!(range.split(&rows(key)), None, "{}", key(1));
        }
        let parts = range.split(&rows(|row| format!("{:08x}{row:056}", row * 400_000))).unwrap();
        assert_eq!(parts.len(), 11);
        assert!(parts.windows(2).all(|pair| pair[0].row_key_before == pair[1].row_key_from));
    }
}
