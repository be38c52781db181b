//! `$filter`: comparisons of keys and times, joined by `and`. Our clients send nothing else; anything else is answered 501.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/querying-tables-and-entities>

use super::clock::{Ticks, ticks};
use super::refusal::Refusal;
use jiff::Timestamp;
use std::ops::Bound;

/// Which rows a query wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    pub(crate) partition_key: Interval<String>,
    pub(crate) row_key: Interval<String>,
    pub(crate) written: Interval<Ticks>,
}

/// From where to where a value may lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interval<T> {
    pub(crate) lower: Bound<T>,
    pub(crate) upper: Bound<T>,
}

impl<T> Default for Interval<T> {
    fn default() -> Self {
        Self { lower: Bound::Unbounded, upper: Bound::Unbounded }
    }
}

impl<T: Ord + Clone> Interval<T> {
    /// Whether a value is not below the interval.
    pub(crate) fn is_reached(&self, value: &T) -> bool {
        match &self.lower {
            Bound::Included(lower) => value >= lower,
            Bound::Excluded(lower) => value > lower,
            Bound::Unbounded => true,
        }
    }

    fn narrow(&mut self, operator: &str, value: T) -> Option<()> {
        let (lower, upper) = match operator {
            "eq" => (Bound::Included(value.clone()), Bound::Included(value)),
            "ge" => (Bound::Included(value), Bound::Unbounded),
            "gt" => (Bound::Excluded(value), Bound::Unbounded),
            "le" => (Bound::Unbounded, Bound::Included(value)),
            "lt" => (Bound::Unbounded, Bound::Excluded(value)),
            _ => return None,
        };
        if is_tighter(&lower, &self.lower, |new, old| new > old) {
            self.lower = lower;
        }
        if is_tighter(&upper, &self.upper, |new, old| new < old) {
            self.upper = upper;
        }
        Some(())
    }
}

impl Interval<Ticks> {
    pub(crate) fn contains(&self, value: Ticks) -> bool {
        self.is_reached(&value) && is_below(&self.upper, &value)
    }
}

impl Interval<String> {
    /// Whether a key is not above the interval.
    pub(crate) fn is_below_upper(&self, key: &str) -> bool {
        match &self.upper {
            Bound::Included(upper) => key <= upper.as_str(),
            Bound::Excluded(upper) => key < upper.as_str(),
            Bound::Unbounded => true,
        }
    }
}

fn is_below<T: Ord>(upper: &Bound<T>, value: &T) -> bool {
    match upper {
        Bound::Included(upper) => value <= upper,
        Bound::Excluded(upper) => value < upper,
        Bound::Unbounded => true,
    }
}

/// Whether a new bound leaves less than an old one.
fn is_tighter<T: Ord>(new: &Bound<T>, old: &Bound<T>, is_further: impl Fn(&T, &T) -> bool) -> bool {
    match (new, old) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (Bound::Included(new) | Bound::Excluded(new), Bound::Included(old) | Bound::Excluded(old)) if new != old => {
            is_further(new, old)
        }
        (Bound::Excluded(_), Bound::Included(_)) => true,
        _ => false,
    }
}

impl Filter {
    /// Reads the text of a filter; an empty one wants every row.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut filter = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            rest = filter.comparison(rest).ok_or_else(|| {
                // The text is not repeated: it may hold a person's key.
                Refusal::not_implemented(
                    "a $filter other than comparisons (eq, ge, gt, le, lt) of PartitionKey, RowKey and Timestamp with \
                     literals, joined by `and`",
                )
            })?;
        }
        Ok(filter)
    }

    /// Reads one comparison, and gives what comes after it and its `and`.
    fn comparison<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (column, rest) = text.split_once(' ')?;
        let (operator, rest) = rest.trim_start().split_once(' ')?;
        let rest = rest.trim_start();
        let (literal, rest) = match rest.strip_prefix("datetime") {
            Some(rest) => quoted(rest)?,
            None => quoted(rest)?,
        };
        match (column, text[column.len()..].contains("datetime'")) {
            ("PartitionKey", _) => self.partition_key.narrow(operator, literal)?,
            ("RowKey", _) => self.row_key.narrow(operator, literal)?,
            ("Timestamp", true) => self.written.narrow(operator, ticks(literal.parse::<Timestamp>().ok()?))?,
            _ => return None,
        }
        let rest = rest.trim_start();
        match rest.strip_prefix("and ") {
            Some(rest) if !rest.trim().is_empty() => Some(rest.trim_start()),
            None if rest.is_empty() => Some(rest),
            _ => None,
        }
    }
}

/// Reads a text in single quotes, in which a quote is doubled; gives it and what comes after it.
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        value.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_our_clients_send_is_understood() {
        let filter = Filter::parse(
            "PartitionKey eq 'it''s' and RowKey ge 'a' and RowKey lt 'b' and \
             Timestamp ge datetime'2026-11-22T10:00:00.1234567Z' and Timestamp lt datetime'2026-11-22T11:00:00Z'",
        );
        let filter = filter.unwrap();
        assert_eq!(filter.partition_key.lower, Bound::Included("it's".to_owned()));
        assert_eq!(filter.partition_key.upper, Bound::Included("it's".to_owned()));
        assert_eq!(filter.row_key.lower, Bound::Included("a".to_owned()));
        assert_eq!(filter.row_key.upper, Bound::Excluded("b".to_owned()));
        let time = |text: &str| ticks(text.parse().unwrap());
        for (at, is_in) in [
            ("2026-11-22T10:00:00.1234566Z", false),
            ("2026-11-22T10:00:00.1234567Z", true),
            ("2026-11-22T10:59:59.9999999Z", true),
            ("2026-11-22T11:00:00Z", false),
        ] {
            assert_eq!(filter.written.contains(time(at)), is_in, "{at}");
        }
        let after = Filter::parse("PartitionKey gt 'a' and PartitionKey gt 'c' and PartitionKey ge 'b'").unwrap();
        assert_eq!(after.partition_key.lower, Bound::Excluded("c".to_owned()));
        assert_eq!(Filter::parse("").unwrap(), Filter::default());
    }

    #[test]
    fn any_other_filter_is_refused_as_not_implemented_and_not_repeated() {
        for text in [
            "PartitionKey eq 'ada' or PartitionKey eq 'b'",
            "(PartitionKey eq 'ada')",
            "not (PartitionKey eq 'ada')",
            "PartitionKey ne 'ada'",
            "Email eq 'ada'",
            "Timestamp ge '2026-11-22T10:00:00Z'",
            "Timestamp ge datetime'ada'",
            "PartitionKey eq ada",
            "PartitionKey eq 'ada",
            "PartitionKey eq 'ada' and",
            "PartitionKey eq 'ada' and ",
            "PartitionKey",
        ] {
            let refusal = Filter::parse(text).unwrap_err();
            assert_eq!((refusal.status, refusal.code.as_str()), (501, "NotImplemented"), "{text}");
            assert!(!refusal.message.contains("ada"), "{text}");
        }
    }
}
