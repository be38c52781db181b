//! Which row stands for which lead of a list. One row stands for one lead at most.

use super::headings::letters;
use super::list::{Deed, List, Listed};
use crate::lead::{Day, StoredLead};
use crate::table::Keys;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

/// The most rows that are compared with a list. An address that somebody uses without end must not fill the memory.
const MOST_ROWS: usize = 10_000;

/// A row of the table, as far as it is compared.
pub(super) struct Row {
    pub(super) keys: Keys,
    /// When the service wrote it.
    pub(super) written: Option<Timestamp>,
    offers: [String; 2],
    action: Option<Deed>,
    /// The lead's day, and the partition's.
    days: [Option<Date>; 2],
}

impl Row {
    fn new(stored: &StoredLead) -> Self {
        let lead = &stored.lead;
        let partition = Day::from_partition_key(&stored.keys.partition).map(Day::start);
        let day = |time: Timestamp| time.to_zoned(TimeZone::UTC).date();
        Self {
            keys: stored.keys.clone(),
            written: stored.timestamp,
            offers: [lead.offer_title.trim().to_lowercase(), lead.source().offer.to_lowercase()],
            action: Deed::of(&lead.action()),
            days: [stored.time().map(day), partition.map(day)],
        }
    }
}

/// How far a row and a lead agree in one respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// They say the same.
    Same,
    /// One of them says nothing, or the days are neighbours.
    Near,
    /// They say different things.
    Different,
}

/// How far a row and a lead of the same customer agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) offer: Agreement,
    pub(super) day: Agreement,
    pub(super) action: Agreement,
}

impl Fit {
    fn of(lead: &Listed, row: &Row) -> Self {
        let known = |are_known: bool, are_same: bool| match (are_known, are_same) {
            (false, _) => Agreement::Near,
            (true, true) => Agreement::Same,
            (true, false) => Agreement::Different,
        };
        // Lists name the offer's id with or without its publisher.
        let is_offer = |offer: &String| {
            let id = offer.split_once('.').map(|(_, id)| id);
            !offer.is_empty() && lead.offers.iter().any(|listed| listed == offer || Some(listed.as_str()) == id)
        };
        let has_offer = !lead.offers.is_empty() && row.offers.iter().any(|offer| !offer.is_empty());
        let is_near = |by: i64| row.days.iter().flatten().any(|day| lead.day == Some(day.saturating_add(by.days())));
        Self {
            offer: known(has_offer, row.offers.iter().any(is_offer)),
            day: match lead.day {
                None => Agreement::Near,
                Some(_) if is_near(0) => Agreement::Same,
                Some(_) if is_near(1) || is_near(-1) || row.days == [None; 2] => Agreement::Near,
                Some(_) => Agreement::Different,
            },
            action: known(lead.action.is_some() && row.action.is_some(), lead.action == row.action),
        }
    }

    /// Whether nothing that they say tells them apart.
    pub(super) fn may_be_same(&self) -> bool {
        self.rank() > 0
    }

    /// `same offer, day one off or unknown, …`
    pub(super) fn words(self) -> String {
        let words = |agreement: Agreement, what: &str, near: &str| match agreement {
            Agreement::Same => format!("same {what}"),
            Agreement::Near => format!("{what} {near}"),
            Agreement::Different => format!("another {what}"),
        };
        let parts = [
            words(self.offer, "offer", "unknown"),
            words(self.day, "day", "one off or unknown"),
            words(self.action, "action", "unknown"),
        ];
        parts.join(", ")
    }

    /// 2 where they agree in all that both say, 1 where they may be the same, 0 where they are not.
    fn rank(self) -> u8 {
        let parts = [self.offer, self.day, self.action];
        if parts.contains(&Agreement::Different) {
            0
        } else if self.day == Agreement::Same && self.offer == Agreement::Same {
            2
        } else {
            1
        }
    }
}

/// The rows of the customers of a list.
#[derive(Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    by_address: HashMap<String, Vec<usize>>,
    by_name: HashMap<String, Vec<usize>>,
    /// Whether there are more than are compared.
    pub(super) are_more: bool,
}

impl Rows {
    /// No rows yet, and places for those of the list's customers.
    pub(super) fn of(list: &List) -> Self {
        let mut rows = Self::default();
        for lead in &list.leads {
            if lead.address.is_empty() {
                rows.by_name.extend(lead.names().map(|name| (name, Vec::new())));
            } else {
                rows.by_address.insert(lead.address.clone(), Vec::new());
            }
        }
        rows
    }

    /// Takes in a row, if it is of a customer of the list.
    pub(super) fn add(&mut self, stored: &StoredLead) {
        let customer = &stored.lead.customer;
        let address = stored.lead.normalized_email();
        let mut names = vec![letters(&customer.company), letters(&customer.name())];
        names.dedup();
        let is_listed = |name: &String| self.by_name.contains_key(name);
        if !self.by_address.contains_key(&address) && !names.iter().any(is_listed) {
            return;
        }
        if self.rows.len() == MOST_ROWS {
            self.are_more = true;
            return;
        }
        let place = self.rows.len();
        self.rows.push(Row::new(stored));
        if let Some(places) = self.by_address.get_mut(&address) {
            places.push(place);
        }
        for name in &names {
            if let Some(places) = self.by_name.get_mut(name) {
                places.push(place);
            }
        }
    }

    /// Sorts the rows so that those that were mailed, for instance, stand for leads first.
    pub(super) fn prefer<K: Ord>(&mut self, rank: impl Fn(&Row) -> K) {
        let rows = &self.rows;
        for places in self.by_address.values_mut().chain(self.by_name.values_mut()) {
            places.sort_by_key(|place| rank(&rows[*place]));
        }
    }

    /// The rows of a lead's customer.
    fn of_customer(&self, lead: &Listed) -> Cow<'_, [usize]> {
        if !lead.address.is_empty() {
            return self.by_address.get(&lead.address).map_or_else(Cow::default, |places| places.as_slice().into());
        }
        let places = lead.names().filter_map(|name| self.by_name.get(&name)).flatten();
        let mut known = HashSet::new();
        places.copied().filter(|place| known.insert(*place)).collect()
    }

    /// Finds a row for as many leads as possible, and prefers rows that agree in everything.
    pub(super) fn pair(&self, leads: &[Listed]) -> Vec<Option<usize>> {
        let mut pairs = Pairs { row_of: vec![None; leads.len()], lead_of: vec![None; self.rows.len()] };
        for rank in [2, 1] {
            // A row from which a search found no way to a free row leads to none later either.
            let mut seen = vec![None; self.rows.len()];
            for start in 0..leads.len() {
                if pairs.row_of[start].is_none() {
                    let rows = |lead: usize| self.of_customer(&leads[lead]);
                    let fits = |lead: usize, row: usize| Fit::of(&leads[lead], &self.rows[row]).rank() >= rank;
                    pairs.find(start, &mut seen, rows, fits);
                }
            }
        }
        pairs.row_of
    }

    pub(super) fn row(&self, place: usize) -> &Row {
        &self.rows[place]
    }

    /// How a lead and a row agree.
    pub(super) fn fit(&self, lead: &Listed, place: usize) -> Fit {
        Fit::of(lead, &self.rows[place])
    }

    /// How the rows of a lead's customer fit to it.
    pub(super) fn fits(&self, lead: &Listed) -> Vec<Fit> {
        self.of_customer(lead).iter().map(|place| self.fit(lead, *place)).collect()
    }
}

/// Leads and the rows that stand for them.
struct Pairs {
    row_of: Vec<Option<usize>>,
    lead_of: Vec<Option<usize>>,
}

impl Pairs {
    /// Finds a row for one more lead, where other leads may get another row for it. `seen` holds the lead from which each
    /// row was reached. (This is an augmenting path in a bipartite graph.)
    fn find<'a>(
        &mut self,
        start: usize,
        seen: &mut [Option<usize>],
        rows: impl Fn(usize) -> Cow<'a, [usize]>,
        fits: impl Fn(usize, usize) -> bool,
    ) {
        let (mut leads, mut reached) = (VecDeque::from([start]), Vec::new());
        while let Some(lead) = leads.pop_front() {
            let rows = rows(lead);
            let is_next = |row: &&usize| seen[**row].is_none();
            // Most leads find a free row at once.
            let free = rows.iter().filter(is_next).find(|row| self.lead_of[**row].is_none() && fits(lead, **row));
            if let Some(free) = free {
                seen[*free] = Some(lead);
                reached.push(*free);
                self.give(*free, seen);
                reached.into_iter().for_each(|row| seen[row] = None);
                return;
            }
            for row in rows.iter() {
                if let Some(other) = self.lead_of[*row]
                    && seen[*row].is_none()
                    && fits(lead, *row)
                {
                    seen[*row] = Some(lead);
                    reached.push(*row);
                    leads.push_back(other);
                }
            }
        }
    }

    /// Gives a free row to the lead from which it was reached, and that lead's row to the one before it, and so on.
    fn give(&mut self, free: usize, seen: &[Option<usize>]) {
        let mut row = Some(free);
        while let Some((given, lead)) = row.and_then(|row| Some((row, seen[row]?))) {
            self.lead_of[given] = Some(lead);
            row = self.row_of[lead].replace(given);
        }
    }
}
