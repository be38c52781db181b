//! A language is one file.

use crate::harmless::assert_harmless;
use crate::samples::made_up::{self, CODE, FORMS};
use crate::samples::{self, digest, do_not_contact, ordinary};
use marketplace_leads::mail::{Language, Silence, render, render_reduced, render_silence};

#[test]
fn a_language_that_is_only_a_text_writes_every_mail() {
    assert_eq!(Language::from_json(CODE, &made_up::file()).unwrap().code(), CODE);
    for (name, digest, _) in samples::all() {
        let mail = render(&digest, &made_up::settings());
        assert_harmless(&mail, digest.leads.len());
        assert!(mail.html.contains("<html lang=\"ar-XB\" dir=\"rtl\">"), "{name}");
        assert!(mail.html.contains("text-align:right"), "{name}");
        assert_harmless(&render_reduced(&digest, &made_up::settings()), 0);
    }
    let marked = render(&digest(vec![do_not_contact()]), &made_up::settings());
    assert!(marked.html.contains("border-right:5px solid"), "{}", marked.html);
}

#[test]
fn each_number_gets_the_plural_form_of_the_language() {
    let form = |subject: &str| {
        let form = subject.split('[').nth(1).unwrap().split(']').next().unwrap().to_owned();
        assert!(FORMS.contains(&form.as_str()), "{subject}");
        form
    };
    for (count, expected) in
        [(1, "one"), (2, "two"), (3, "few"), (10, "few"), (11, "many"), (99, "many"), (100, "other")]
    {
        // The subject of a single lead has no number; the heading has one always.
        let mail = render(&digest(ordinary(count)), &made_up::settings());
        let heading = mail.text.lines().next().unwrap();
        assert!(heading.starts_with(&count.to_string()), "{heading}");
        assert_eq!(form(heading), expected, "{count}");
        assert!(count == 1 || mail.subject.starts_with(heading), "{}", mail.subject);
    }
    for (days, expected) in [(0, "zero"), (102, "other"), (103, "few"), (111, "many")] {
        let silence = Silence { id: "s".into(), days, last_lead: None };
        assert_eq!(form(&render_silence(&silence, &made_up::settings()).subject), expected, "{days}");
    }
}
