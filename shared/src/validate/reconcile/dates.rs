//! The dates of a list. Whether the day or the month comes first is a matter of the whole file, not of one date.

use crate::lead::{DateOrder, plausible, read_time};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// How the dates of a list were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing had to be decided.
    Plain,
    /// The file or the request shows which number comes first.
    Known(DateOrder),
    /// Every date could be read in two ways. They were read with the month first, as Partner Center writes them.
    Ambiguous,
    /// Some dates can only have the day first, others only the month. Those that could have both were not read.
    Mixed,
}

/// A date as it is written.
enum Written {
    /// There is none, or it cannot be read.
    Unreadable,
    /// A date that is the same in every order.
    Plain(Date),
    /// The dates that it is with the month first, and with the day first.
    Numbers([Option<Date>; 2]),
}

/// Reads the dates of a list: each text's day, and how they were read. No lead is from the future, so that an order in
/// which a date lies after tomorrow is not the right one.
pub(super) fn read(texts: &[&str], wanted: Option<DateOrder>, now: Timestamp) -> (Vec<Option<Date>>, Order) {
    let written: Vec<_> = texts.iter().map(|text| parse(text)).collect();
    let numbers: Vec<_> = written.iter().filter_map(Written::numbers).collect();
    let order = match wanted {
        Some(order) => Order::Known(order),
        None => decide(&numbers, now),
    };
    let days = written.iter().map(|date| date.day(order)).collect();
    (days, order)
}

fn decide(numbers: &[[Option<Date>; 2]], now: Timestamp) -> Order {
    let tomorrow = now.to_zoned(TimeZone::UTC).date().saturating_add(1.day());
    let is_past = |date: Option<Date>| date.is_some_and(|date| date <= tomorrow);
    // What the numbers alone allow weighs more than a date that may be a mistake.
    let by_numbers = numbers.iter().map(|[month, day]| (month.is_some(), day.is_some()));
    let by_time = numbers.iter().map(|[month, day]| (is_past(*month), is_past(*day)));
    let decide = |allowed: &mut dyn Iterator<Item = (bool, bool)>| {
        let (mut only_month, mut only_day) = (false, false);
        for (month, day) in allowed {
            only_month |= month && !day;
            only_day |= day && !month;
        }
        match (only_month, only_day) {
            (true, true) => Some(Order::Mixed),
            (true, false) => Some(Order::Known(DateOrder::MonthFirst)),
            (false, true) => Some(Order::Known(DateOrder::DayFirst)),
            (false, false) => None,
        }
    };
    match decide(&mut by_numbers.into_iter()) {
        Some(order) => order,
        None if numbers.iter().all(|[month, day]| month == day) => Order::Plain,
        // Dates that contradict each other here do not show anything.
        None => decide(&mut by_time.into_iter()).filter(|order| *order != Order::Mixed).unwrap_or(Order::Ambiguous),
    }
}

impl Written {
    fn numbers(&self) -> Option<[Option<Date>; 2]> {
        match self {
            Self::Numbers(dates) => Some(*dates),
            Self::Unreadable | Self::Plain(_) => None,
        }
    }

    fn day(&self, order: Order) -> Option<Date> {
        match (self, order) {
            (Self::Unreadable, _) => None,
            (Self::Plain(date), _) => Some(*date),
            (Self::Numbers([_, day]), Order::Known(DateOrder::DayFirst)) => *day,
            (Self::Numbers([Some(month), Some(day)]), Order::Mixed) => (month == day).then_some(*month),
            (Self::Numbers([month, day]), Order::Mixed) => month.or(*day),
            (Self::Numbers([month, _]), _) => *month,
        }
    }
}

fn parse(text: &str) -> Written {
    let text = text.trim();
    let start = text.split([' ', ',', 'T', '\u{a0}', '\u{202f}']).next().unwrap_or_default();
    let dates = |separator: char| {
        let parts: Vec<_> = start.split(separator).collect();
        let [first, second, year] = parts[..] else { return None };
        let numbers = [first, second, year].map(|part| part.parse::<i16>().ok());
        let [Some(first), Some(second), Some(year)] = numbers else { return None };
        let date = |month: i16, day: i16| {
            let date = Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?;
            (2000..=2100).contains(&year).then_some(date)
        };
        Some([date(first, second), date(second, first)])
    };
    // Where dots separate the numbers, the day comes first in every country that writes so.
    if let Some([_, day]) = dates('.') {
        return day.map_or(Written::Unreadable, Written::Plain);
    }
    match dates('/').or_else(|| dates('-')) {
        Some(dates) if dates != [None, None] => Written::Numbers(dates),
        _ => plain(text),
    }
}

/// A date in a form in which nothing has to be decided.
fn plain(text: &str) -> Written {
    let time = read_time(text, DateOrder::MonthFirst).and_then(plausible);
    time.map_or(Written::Unreadable, |time| Written::Plain(time.to_zoned(TimeZone::UTC).date()))
}
