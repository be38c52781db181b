//! Days as keys of partitions, in other forms than Microsoft's own: if leads come under one of them, the partitions of the
//! days around now are read in that form, too.

use crate::lead::Day;
use jiff::civil::Date;

/// The other forms, as patterns of `strftime`: padded, ISO, and both with other marks between.
const FORMS: [&str; 6] = ["%m:2F%d:2F%Y", "%Y-%m-%d", "%Y%m%d", "%m-%d-%Y", "%Y:2F%m:2F%d", "%-m-%-d-%Y"];

/// The keys of these days in the forms that some of these partitions have.
pub(super) fn alike(partitions: &[String], days: &[Day]) -> Vec<String> {
    let forms = FORMS.into_iter().filter(|form| partitions.iter().any(|key| is_day(form, key)));
    let mut keys: Vec<_> = forms.flat_map(|form| days.iter().map(move |day| day.in_form(form))).collect();
    keys.retain(|key| !partitions.contains(key) && Day::from_partition_key(key).is_none());
    keys.dedup();
    keys
}

fn is_day(form: &str, key: &str) -> bool {
    Day::from_partition_key(key).is_none()
        && Date::strptime(form, key).is_ok_and(|date| date.strftime(form).to_string() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_in_the_forms_in_which_leads_came() {
        let day = Day::of("2026-11-03T12:00:00Z".parse().unwrap());
        for (seen, read) in [
            ("2026-11-01", vec!["2026-11-03"]),
            ("01:2F02:2F2026", vec!["11:2F03:2F2026"]),
            ("20261101", vec!["20261103"]),
            ("leads", vec![]),
            ("11:2F1:2F2026", vec![]),
            ("2026-13-01", vec![]),
        ] {
            assert_eq!(alike(&[seen.to_owned()], &[day]), read, "{seen}");
        }
    }
}
