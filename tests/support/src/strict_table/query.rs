//! Queries: one page after the other.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination>

use super::filter::Filter;
use super::refusal::Refusal;
use super::row::Metadata;
use super::store::Store;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use marketplace_leads::table::MAX_PAGE_ROWS;
use std::ops::Bound;

/// A query for one page.
#[derive(Debug)]
pub(crate) struct PageRequest {
    pub(crate) filter: Filter,
    pub(crate) select: Option<Vec<String>>,
    pub(crate) top: Option<usize>,
    pub(crate) from: Option<Token>,
    pub(crate) metadata: Metadata,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) partition_key: String,
    /// At a partition's beginning there is none.
    pub(crate) row_key: Option<String>,
}

/// One page of a query.
#[derive(Debug)]
pub(crate) struct PageAnswer {
    /// The rows: JSON objects with commas between them.
    pub(crate) rows: String,
    pub(crate) returned: usize,
    pub(crate) looked_at: usize,
    pub(crate) next: Option<Token>,
}

/// When pages end early.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageLimits {
    pub(crate) looked_at: usize,
    pub(crate) begins_empty: bool,
}

impl Token {
    /// The form in which the service hands out a key: its characters are those of a header, whatever the key's are.
    pub(crate) fn encode(key: &str) -> String {
        let text = BASE64_STANDARD.encode(key);
        format!("1!{}!{text}", text.len())
    }

    /// The key in a part of a token.
    pub(crate) fn decode(part: &str) -> Result<String, Refusal> {
        let invalid = || Refusal::invalid_input("A continuation token was not given out by this service.");
        let (length, text) = part.strip_prefix("1!").and_then(|rest| rest.split_once('!')).ok_or_else(invalid)?;
        if length.parse() != Ok(text.len()) {
            return Err(invalid());
        }
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| invalid())?;
        String::from_utf8(bytes).map_err(|_| invalid())
    }
}

impl PageRequest {
    /// Reads the parameters of a query.
    ///
    /// <https://learn.microsoft.com/rest/api/storageservices/query-entities>
    pub(crate) fn parse(parameters: &[(String, String)], metadata: Metadata) -> Result<Self, Refusal> {
        let mut request = Self { filter: Filter::default(), select: None, top: None, from: None, metadata };
        let mut row_key = None;
        for (name, value) in parameters {
            match name.as_str() {
                "$filter" => request.filter = Filter::parse(value)?,
                "$select" => request.select = columns(value)?,
                "$top" => {
                    let top = value.parse().ok().filter(|top| (1..=MAX_PAGE_ROWS as usize).contains(top));
                    let message = "$top is a number from 1 to 1000.";
                    request.top = Some(top.ok_or_else(|| Refusal::invalid_input(message))?);
                }
                "NextPartitionKey" => {
                    request.from = Some(Token { partition_key: Token::decode(value)?, row_key: None });
                }
                "NextRowKey" if !value.is_empty() => row_key = Some(Token::decode(value)?),
                _ if name.starts_with('$') => return Err(Refusal::not_implemented(name)),
                _ => {}
            }
        }
        match &mut request.from {
            Some(from) => from.row_key = row_key,
            None if row_key.is_some() => {
                return Err(Refusal::invalid_input("NextRowKey came without NextPartitionKey."));
            }
            None => {}
        }
        Ok(request)
    }

    /// Reads one page: rows of one partition, as many as the limits allow.
    pub(crate) fn run(&self, store: &mut Store, table: &str, limits: PageLimits) -> Result<PageAnswer, Refusal> {
        let now = store.now();
        let filter = &self.filter;
        let partitions = &store.table(table)?.partitions;
        let is_wanted = |key: &str| filter.partition_key.is_below_upper(key);
        let lower = match &self.from {
            Some(from) => Bound::Included(from.partition_key.as_str()),
            None => as_str(&filter.partition_key.lower),
        };
        let mut page = PageAnswer { rows: String::new(), returned: 0, looked_at: 0, next: None };
        let mut found = partitions.range::<str, _>((lower, Bound::Unbounded)).take_while(|(key, _)| is_wanted(key));
        let Some((partition_key, partition)) = found.next() else { return Ok(page) };
        if limits.begins_empty && self.from.is_none() {
            page.next = Some(Token { partition_key: partition_key.to_string(), row_key: None });
            return Ok(page);
        }
        // A token's row key holds in its partition alone.
        let from = self.from.as_ref().filter(|from| *from.partition_key == **partition_key);
        let lower = match from.and_then(|from| from.row_key.as_deref()) {
            Some(row_key) => Bound::Included(row_key),
            None => as_str(&filter.row_key.lower),
        };
        let most = self.top.unwrap_or(MAX_PAGE_ROWS as usize);
        for (row_key, row) in partition.rows.range::<str, _>((lower, Bound::Unbounded)) {
            if !filter.row_key.is_below_upper(row_key) {
                break;
            }
            if row.visible > now {
                continue;
            }
            if page.returned == most || page.looked_at == limits.looked_at {
                page.next =
                    Some(Token { partition_key: partition_key.to_string(), row_key: Some(row_key.to_string()) });
                break;
            }
            page.looked_at += 1;
            if !filter.written.contains(row.written) {
                continue;
            }
            if page.returned > 0 {
                page.rows.push(',');
            }
            page.rows.push('{');
            page.rows += &row.shown(partition_key, row_key).fields(self.metadata, self.select.as_deref());
            page.rows.push('}');
            page.returned += 1;
        }
        if page.next.is_none() {
            page.next = found.next().map(|(key, _)| Token { partition_key: key.to_string(), row_key: None });
        }
        let partition_key = partition_key.to_string();
        store.throttle(table, &partition_key, page.returned)?;
        Ok(page)
    }
}

fn as_str(bound: &Bound<String>) -> Bound<&str> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// The columns of `$select`; `None` for all of them. A column that is named twice is refused.
fn columns(text: &str) -> Result<Option<Vec<String>>, Refusal> {
    let mut columns: Vec<String> = Vec::new();
    for column in text.split(',').map(str::trim) {
        if column == "*" {
            return Ok(None);
        }
        if column.is_empty() || columns.iter().any(|earlier| earlier == column) {
            return Err(Refusal::invalid_input("$select names a column twice, or none."));
        }
        columns.push(column.to_owned());
    }
    Ok(Some(columns))
}
