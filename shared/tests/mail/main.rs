//! Mails as people get them: whole, and whatever a lead holds.

mod bounds;
mod contrast;
mod harmless;
mod languages;
mod samples;

use harmless::assert_harmless;
use jiff::{Timestamp, ToSpan as _};
use marketplace_leads::columns::Column;
use marketplace_leads::lead::{Customer, Lead, Origin, StoredLead, UnknownField};
use marketplace_leads::mail::{
    Counts, DIGEST_HEADER, Digest, DigestLead, MAX_ENTRIES, MAX_HTML_BYTES, MAX_MESSAGE_BYTES, Occasion, PastAction,
    QuarantinedBody, RenderSettings, Rendered, Replies, Silence, Summary, UnreadableLead, leads_that_fit, render,
    render_reduced, render_silence, render_summary, render_suppressed, render_trouble,
};
use marketplace_leads::table::Keys;
use proptest::prelude::*;
use samples::{ada, digest, do_not_contact, english, hostile, known, ordinary, test_lead, unreadable, withheld};

/// Everything of a mail that a person or a program sees. A long file is left to tests of its own.
fn whole(mail: &Rendered) -> String {
    let mut whole = format!("Subject: {}\n", mail.subject);
    if let Some(reply_to) = &mail.reply_to {
        whole += &format!("Reply-To: {reply_to}\n");
    }
    for (name, value) in &mail.headers {
        whole += &format!("{name}: {value}\n");
    }
    whole += &format!("\n---- text\n{}\n\n---- html\n{}\n", mail.text, mail.html);
    if let Some(csv) = &mail.csv {
        whole += &format!("\n---- {} ({})\n", csv.name, csv.content_type);
        let content = std::str::from_utf8(&csv.content).unwrap();
        if content.len() < 8_000 {
            whole += &content.replace('\u{feff}', "<BOM>").replace("\r\n", "<CRLF>\n");
        } else {
            whole += "(long)\n";
        }
    }
    whole
}

fn assert_whole(name: &str, mail: &Rendered) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name.replace(' ', "-"), whole(mail)));
}

#[test]
fn whole_mails_are_as_they_were() {
    for (name, digest, settings) in samples::all() {
        if digest.leads.len() < 50 {
            assert_whole(name, &render(&digest, &settings));
        }
    }
    for (name, digest, settings) in samples::all_reduced() {
        assert_whole(name, &render_reduced(&digest, &settings));
    }
    for (name, language, last_lead) in
        [("silence", "en", Some(samples::newest())), ("silence chinese", "zh-Hans", Some(samples::newest()))]
    {
        let silence = Silence { id: "silence-2026-11-12".into(), days: 7, last_lead };
        assert_whole(name, &render_silence(&silence, &samples::settings(language, "Europe/Berlin")));
    }
    for (name, trouble) in samples::troubles() {
        assert_whole(name, &render_trouble(&trouble, &english()));
        let name = format!("{name} chinese");
        assert_whole(&name, &render_trouble(&trouble, &samples::settings("zh-Hans", "Asia/Shanghai")));
    }
    for (name, settings) in
        [("suppressed", english()), ("suppressed chinese", samples::settings("zh-Hans", "Asia/Shanghai"))]
    {
        assert_whole(name, &render_suppressed(&samples::suppressed(), &settings));
    }
    for (name, language) in [("summary", "en"), ("summary chinese", "zh-Hans")] {
        assert_whole(name, &render_summary(&samples::summary(false), &samples::settings(language, "Europe/Berlin")));
    }
}

#[test]
fn a_summary_with_hostile_names_is_harmless_and_counts_every_lead() {
    for settings in [english(), samples::made_up::settings()] {
        let summary = samples::summary(true);
        let mail = render_summary(&summary, &settings);
        assert_harmless(&mail, 0);
        assert!(mail.subject.starts_with(&summary.week.leads.to_string()), "{}", mail.subject);
        assert!(!mail.html.contains("<script>") && !mail.text.contains('\r'));
    }
}

#[test]
fn a_summary_compares_with_the_week_before_as_far_as_there_is_one() {
    let mail = render_summary(&samples::summary(false), &english());
    for line in [
        "14 leads in the last 7 days",
        "16 Nov to 22 Nov 2026",
        "- Contoso Backup: 7 (was 4)",
        "- Installed: 4 (was 0)",
    ] {
        assert!(mail.text.contains(line), "{line}: {}", mail.text);
    }
    let first = Summary { before: Vec::new(), ..samples::summary(false) };
    let mail = render_summary(&first, &english());
    assert!(!mail.text.contains("(was ") && !mail.text.contains("Week by week"), "{}", mail.text);
    let nothing = Summary { week: Counts::default(), before: Vec::new(), quiet_days: 7, ..first };
    let mail = render_summary(&nothing, &english());
    assert_eq!(mail.subject, "0 leads in the last 7 days: 16 Nov to 22 Nov 2026");
    assert!(mail.text.contains("On 7 days no lead came."), "{}", mail.text);
}

#[test]
fn a_silence_without_any_lead_before_says_so() {
    let silence = Silence { id: "s".into(), days: 1, last_lead: None };
    let mail = render_silence(&silence, &english());
    assert_eq!(mail.subject, "No lead for 1 day");
    assert!(mail.text.contains("No lead has been seen yet."), "{}", mail.text);
    assert!(mail.html.contains("No lead has been seen yet."));
}

#[test]
fn the_subject_names_offers_by_their_newest_lead_and_counts_what_is_special() {
    let subject = |digest: &Digest| render(digest, &english()).subject;
    let overview = digest(vec![do_not_contact(), known(), ada(), withheld()]);
    assert_eq!(
        subject(&overview),
        "4 new leads (1 asked to be contacted, 1 bought, 1 installed, 1 marked do not contact): Contoso Backup (2), \
         Contoso VM (2)"
    );
    assert_eq!(subject(&digest(vec![])), "No new leads");
    let rows = Digest { unreadable: vec![unreadable(), unreadable()], ..digest(vec![]) };
    assert_eq!(subject(&rows), "2 entries could not be read");
    let mixed = Digest { unreadable: vec![unreadable()], occasion: Occasion::MaybeRepeated, ..digest(vec![ada()]) };
    assert_eq!(
        subject(&mixed),
        "May be a repeat: New lead: Fabrikam Nordic AB · Asked to be contacted · Contoso Backup; 1 entry could not be read"
    );
    let mut offers = ordinary(30);
    for (number, lead) in offers.iter_mut().enumerate() {
        lead.stored.lead.offer_title = format!("An offer with quite a long name, number {number}");
    }
    let many = subject(&digest(offers));
    assert!(many.starts_with("30 new leads (8 asked to be contacted, 7 bought, 7 test drives, 8 installed): An offer with quite a long name, number 0, "), "{many}");
    assert!(many.ends_with(", 28 more offers"), "{many}");
}

#[test]
fn answers_go_to_the_customer_only_in_a_digest_of_one_who_may_be_contacted() {
    let reply_to = |digest: Digest| render(&digest, &english()).reply_to;
    let with_email = |email: &str| {
        let mut lead = ada();
        lead.stored.lead.customer.email = email.into();
        digest(vec![lead])
    };
    assert_eq!(reply_to(digest(vec![ada()])).as_deref(), Some("ada.lindqvist@fabrikam.com"));
    assert_eq!(reply_to(digest(vec![ada(), known()])), None);
    assert_eq!(reply_to(digest(vec![do_not_contact()])), None);
    assert_eq!(reply_to(digest(vec![test_lead()])), None);
    assert_eq!(reply_to(Digest { unreadable: vec![unreadable()], ..digest(vec![ada()]) }), None);
    for email in ["", "ada", "a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example", "zoë@b.example"] {
        assert_eq!(reply_to(with_email(email)), None, "{email:?}");
    }
    assert_eq!(reply_to(with_email("a@bücher.example")).as_deref(), Some("a@xn--bcher-kva.example"));
}

#[test]
fn every_mail_says_who_gets_the_answers() {
    let said = |digest: Digest, setting: &str| {
        let mail = render(&digest, &RenderSettings { replies: Replies::parse(setting).unwrap(), ..english() });
        let line = mail.text.lines().find(|line| line.starts_with("Replies")).unwrap().to_owned();
        assert!(mail.html.contains(&line), "{line}");
        (mail.reply_to, line)
    };
    let customer = Some("ada.lindqvist@fabrikam.com".to_owned());
    let sales = Some("sales@contoso.com".to_owned());
    let to_sender = "Replies to this mail go to its sender, and to no customer.";
    for (leads, setting, reply_to, line) in [
        (vec![ada()], "customer", customer, "Replies to this mail go to the customer, ada.lindqvist@fabrikam.com."),
        (vec![ada(), known()], "customer", None, to_sender),
        (vec![do_not_contact()], "customer", None, to_sender),
        (vec![ada()], "sender", None, to_sender),
        (vec![ada()], "sales@contoso.com", sales.clone(), "Replies to this mail go to sales@contoso.com."),
        (vec![do_not_contact(), known()], "sales@contoso.com", sales, "Replies to this mail go to sales@contoso.com."),
    ] {
        assert_eq!(said(digest(leads), setting), (reply_to, line.to_owned()), "{setting}");
    }
}

#[test]
fn other_mails_are_answered_to_the_address_of_the_settings_too() {
    let settings = samples::with_links();
    let silence = Silence { id: "s".into(), days: 1, last_lead: None };
    let [(_, trouble), _] = samples::troubles();
    for mail in [
        render_silence(&silence, &settings),
        render_summary(&samples::summary(false), &settings),
        render_trouble(&trouble, &settings),
        render_suppressed(&samples::suppressed(), &settings),
        render_reduced(&digest(vec![ada()]), &settings),
    ] {
        assert_eq!(mail.reply_to.as_deref(), Some("sales@contoso.com"), "{}", mail.subject);
    }
}

#[test]
fn a_link_to_the_crm_and_to_a_mail_hold_their_texts_encoded() {
    let mut lead = ada();
    lead.stored.lead.customer.email = "ada+'&x@fabrikam.com".into();
    lead.stored.lead.offer_title = "Backup & \"Restore\" <b>?&bcc=eve@evil.example".into();
    let mail = render(&digest(vec![lead]), &samples::with_links());
    assert_harmless(&mail, 1);
    let crm = "<a href=\"https://crm.example/search?q=ada%2B%27%26x%40fabrikam.com\">Search the CRM</a>";
    assert!(mail.html.contains(crm), "{}", mail.html);
    let write = "<a href=\"mailto:ada%2B%27%26x@fabrikam.com?subject=Backup%20%26%20%22Restore%22%20%3Cb%3E%3F%26bcc%3Deve%40e%E2%80%A6\"";
    assert!(mail.html.contains(write), "{}", mail.html);
    // Nobody is looked up by what is not plausibly an address.
    let hostile = render(&digest(vec![hostile()]), &samples::with_links());
    assert!(!hostile.html.contains("<a "), "{}", hostile.html);
}

#[test]
fn a_lead_that_came_days_ago_says_so() {
    let age = |hours: i64, occasion: Occasion| {
        let mut lead = ada();
        lead.stored.received = Some(samples::newest() - hours.hours());
        let mail = render(&Digest { occasion, ..digest(vec![lead]) }, &english());
        let ago = |text: &str| text.split_once("(came ").map(|(_, rest)| rest.split(')').next().unwrap().to_owned());
        assert_eq!(ago(&mail.text), ago(&mail.html));
        ago(&mail.text)
    };
    assert_eq!(age(23, Occasion::New), None);
    assert_eq!(age(24, Occasion::New).as_deref(), Some("1 day ago"));
    assert_eq!(age(75, Occasion::MaybeRepeated).as_deref(), Some("3 days ago"));
    let occasion = Occasion::Backfill { since: samples::newest() - 100.hours(), until: samples::newest() };
    assert_eq!(age(75, occasion), None);
}

#[test]
fn the_file_is_named_by_the_minute_in_which_the_digest_was_put_together() {
    for (id, zone, name) in [
        ("20261124T203642Z-8f43ab-0025", "UTC", "leads-2026-11-24-2036-25.csv"),
        ("20261124T203642Z-8f43ab-0001", "Asia/Shanghai", "leads-2026-11-25-0436-1.csv"),
        ("99991124T203642Z-8f43ab-0001", "UTC", "leads-99991124T203642Z-8f43ab-0001.csv"),
        ("validation-1", "UTC", "leads-validation-1.csv"),
    ] {
        let mail = render(&Digest { id: id.into(), ..digest(vec![ada()]) }, &samples::settings("en", zone));
        assert!(mail.text.contains(name), "{}", mail.text);
        assert_eq!(mail.csv.unwrap().name, name, "{id}");
    }
}

#[test]
fn test_leads_are_never_counted_as_new_ones() {
    let subject = |leads| render(&digest(leads), &english()).subject;
    assert_eq!(subject(vec![test_lead()]), "1 test lead: MSFT_TEST_636737558587117715");
    assert_eq!(subject(vec![test_lead(), ada()]), "1 new lead, 1 test lead: Contoso Backup");
    let several = subject(vec![test_lead(), test_lead(), ada(), known(), do_not_contact()]);
    let counts = "1 asked to be contacted, 1 installed, 1 marked do not contact";
    assert_eq!(several, format!("3 new leads, 2 test leads ({counts}): Contoso Backup (2), Contoso VM"));
}

#[test]
fn names_in_han_characters_are_written_family_name_first() {
    let name = |first: &str, last: &str| {
        let mut lead = ada();
        (lead.stored.lead.customer.first_name, lead.stored.lead.customer.last_name) = (first.into(), last.into());
        render(&digest(vec![lead]), &english()).text
    };
    for (first, last, shown) in
        [("小明", "王", "王小明"), ("Xiaoming", "王", "Xiaoming 王"), ("小明", "", "小明"), ("Ada", "King", "Ada King")]
    {
        assert!(name(first, last).contains(&format!("\n{shown}\n")), "{}", name(first, last));
    }
}

#[test]
fn an_overview_counts_every_lead_by_offer_and_action_and_says_what_is_urgent_first() {
    let mail = render(&digest(ordinary(40)), &english());
    assert!(mail.html.contains(">Overview</h2>"), "{}", mail.html);
    let order = ["Contact me", "Bought", "Test drive", "Installed", "All"];
    let places: Vec<_> = order.iter().map(|heading| mail.html.find(&format!(">{heading}</th>")).unwrap()).collect();
    assert!(places.is_sorted());
    assert!(mail.text.contains("- Contoso Backup: 3 asked to be contacted, 3 bought, 4 test drives, 4 installed\n"));
    assert!(!render(&digest(ordinary(10)), &english()).html.contains(">Overview</h2>"));
    let mut many = ordinary(30);
    for (number, lead) in many.iter_mut().enumerate() {
        lead.stored.lead.offer_title = format!("Offer {number}");
    }
    let mail = render(&digest(many), &english());
    assert!(mail.text.contains("- 18 more offers\n") && mail.html.contains("18 more offers"), "{}", mail.text);
}

#[test]
fn a_customer_who_must_not_be_contacted_has_no_link_at_all() {
    for (lead, settings) in [
        (do_not_contact(), english()),
        (test_lead(), english()),
        (do_not_contact(), samples::with_links()),
        (test_lead(), samples::with_links()),
    ] {
        let email = lead.stored.lead.customer.email.clone();
        let mail = render(&digest(vec![lead]), &settings);
        assert!(!mail.html.contains("mailto:") && !mail.html.contains("tel:"), "{}", mail.html);
        assert!(!mail.html.contains("<a "), "{}", mail.html);
        // Split, so that mail programs make no link of their own.
        assert!(mail.html.contains(&email.replace('@', "<span>@</span>")), "{}", mail.html);
        assert!(mail.text.contains(&email));
    }
}

#[test]
fn earlier_actions_are_told_in_the_order_in_which_they_happened() {
    let past = |time: &str, code: &str, offer: &str| PastAction {
        time: time.parse().unwrap(),
        action_code: code.into(),
        offer: offer.into(),
    };
    let text = |history: Vec<PastAction>, days: u32| {
        let lead = DigestLead { history, ..ada() };
        render(&digest(vec![lead]), &RenderSettings { contact_window_days: days, ..english() }).text
    };
    let two = vec![
        past("2026-11-09T12:00:00Z", "StartTestDrive", "Contoso Backup"),
        past("2026-11-03T12:00:00Z", "INS", "Contoso Backup"),
    ];
    let shown = text(two, 180);
    assert!(shown.contains("Third action in 180 days; earlier: installed on 3 Nov, test drive on 9 Nov\n"), "{shown}");
    let shown =
        text(vec![past("2025-12-31T23:30:00Z", "PLT", "Contoso VM"), past("2025-12-30T12:00:00Z", "New", "")], 400);
    // Half past midnight in Berlin.
    let expected =
        "Third action in 400 days; earlier: “New” on 30 Dec 2025, asked to be contacted on 1 Jan (Contoso VM)";
    assert!(shown.contains(expected), "{shown}");
    let fifteen = (0..15).map(|_| past("2026-11-03T12:00:00Z", "Create", "Contoso Backup")).collect();
    let shown = text(fifteen, 180);
    assert!(shown.contains("Action number 16 in 180 days; earlier: 3 older ones, bought on 3 Nov, "), "{shown}");
}

#[test]
fn leads_stand_by_offer_and_newest_first_whatever_their_order() {
    let mut leads = vec![ada(), known(), withheld(), do_not_contact()];
    let expected = render(&digest(leads.clone()), &english());
    let positions: Vec<_> = ["Ada Lindqvist", "Tomás Herrera", "Contoso VM (2)", "Noor de Vries", "student@school.edu"]
        .iter()
        .map(|text| expected.text.find(text).unwrap())
        .collect();
    assert!(positions.is_sorted(), "{}", expected.text);
    leads.reverse();
    let turned = render(&digest(leads), &english());
    assert!(turned == expected, "the order of the leads in the digest matters");
}

#[test]
fn more_than_fifty_recipients_get_several_messages() {
    let to: Vec<_> = (0..101).map(|number| format!("seller{number}@contoso.com")).collect();
    let mail = render(&digest(vec![ada()]), &english());
    let messages = mail.messages("Leads <leads@contoso.com>", &to);
    assert_eq!(messages.iter().map(|message| message.to.len()).collect::<Vec<_>>(), [50, 50, 1]);
    assert_eq!(messages.iter().flat_map(|message| message.to.clone()).collect::<Vec<_>>(), to);
    for message in &messages {
        assert_eq!(message.from, "Leads <leads@contoso.com>");
        assert_eq!(message.reply_to.as_deref(), Some("ada.lindqvist@fabrikam.com"));
        assert_eq!(message.attachments.len(), 1);
        assert!(message.headers.contains(&("Auto-Submitted".into(), "auto-generated".into())));
        assert!(message.headers.contains(&(DIGEST_HEADER.into(), "20261112T100000Z-1".into())));
    }
}

#[test]
fn a_hostile_lead_stays_text_everywhere() {
    let mail = render(&digest(vec![hostile()]), &english());
    assert_harmless(&mail, 1);
    assert_eq!(
        mail.subject,
        "New lead: -2+3+cmd|' /C calc'!A0 · Action “<i>new</i>… · Contoso Bcc: eve@evil.example [U+202E]VM <b>"
    );
    assert!(!mail.html.contains("<a "), "something implausible became a link");
    let lead = hostile().stored.lead;
    let csv = mail.csv.unwrap();
    let rows = cells(&csv.content);
    assert_eq!(rows.len(), 1);
    let cell = |column: Column| &rows[0][Column::ALL.iter().position(|other| *other == column).unwrap()];
    assert_eq!(cell(Column::LastName), "'=HYPERLINK(\"http://evil.example\",\"Ada\")");
    assert_eq!(cell(Column::Company), "'-2+3+cmd|' /C calc'!A0");
    assert_eq!(cell(Column::JobTitle), "'@SUM(A1)␀␇␛[31m");
    assert_eq!(cell(Column::Country), "[U+202E]ES[U+2066]");
    // The note is shortened in the mail, and whole in the file.
    assert!(lead.description.len() > 30_000);
    assert_eq!(*cell(Column::Description), lead.description);
    assert!(mail.text.contains("Shortened; the attached file has the whole lead."));
    assert!(mail.html.contains("Shortened; the attached file has the whole lead."));
}

#[test]
fn a_hundred_ordinary_leads_are_all_shown_as_cards() {
    let mail = render(&digest(ordinary(100)), &english());
    assert!(mail.html.len() < MAX_HTML_BYTES, "{} bytes", mail.html.len());
    assert_eq!(mail.html.matches("Please send us a quote").count(), 100);
    assert_eq!(mail.html.matches("mailto:").count(), 100);
    assert_eq!(mail.html.matches("tel:").count(), 100);
}

#[test]
fn no_lead_vanishes_however_long_the_leads_are() {
    for count in [2, 20, 100, MAX_ENTRIES] {
        let leads: Vec<_> = (0..count)
            .map(|number| {
                let mut lead = hostile();
                lead.stored.same_request = Some(samples::newest());
                let StoredLead { lead: Lead { customer, description, offer_title, .. }, keys, .. } = &mut lead.stored;
                let long = "\"'<&>".repeat(200);
                *description = "<&'\">\n".repeat(5_000);
                *offer_title = format!("{number}{long}");
                customer.first_name = format!("{number:04}");
                customer.email = format!("{}@{}.example", "&'".repeat(30), "bücher".repeat(8));
                for text in [&mut customer.first_name, &mut customer.company, &mut customer.title, &mut customer.phone]
                {
                    text.push_str(&long);
                }
                keys.row = format!("row-{number:04}-{long}");
                lead
            })
            .collect();
        let mail = render(&digest(leads), &english());
        assert_harmless(&mail, count);
        for number in 0..count {
            assert!(mail.html.contains(&format!("<bdi>{number:04}")), "lead {number} of {count} is missing");
            assert!(
                mail.text.contains(&format!("row-{number:04}-")),
                "lead {number} of {count} is missing in the text"
            );
        }
        let csv = mail.csv.unwrap();
        assert_eq!(cells(&csv.content).len(), count);
    }
}

#[test]
fn no_unreadable_row_vanishes_however_long_the_rows_are() {
    let long = "<&'\">".repeat(2_000);
    let row = |number: usize| UnreadableLead {
        keys: Keys::new(unreadable().keys.partition, format!("row-{number:04}-{long}")),
        reason: long.clone(),
        columns: (0..200).map(|column| (format!("{column}{long}"), long.clone())).collect(),
        ..unreadable()
    };
    let body = |number: usize| QuarantinedBody {
        keys: Keys::new("quarantine", format!("body-{number:04}-{long}")),
        reason: long.clone(),
        excerpt: long.clone(),
        ..samples::quarantined()
    };
    let half = MAX_ENTRIES / 2;
    let mail = render(
        &Digest {
            unreadable: (0..half).map(row).collect(),
            quarantined: (0..half).map(body).collect(),
            ..digest(vec![])
        },
        &english(),
    );
    assert_harmless(&mail, 0);
    for number in 0..half {
        assert!(mail.html.contains(&format!("row-{number:04}-")) && mail.html.contains(&format!("body-{number:04}-")));
    }
}

#[test]
fn of_more_than_fit_the_mail_says_how_many_are_in_the_file() {
    let mail = render(&digest(ordinary(3_000)), &english());
    assert_harmless(&mail, 3_000);
    let shown = mail.html.matches("Sam Exam").count();
    assert!(shown > MAX_ENTRIES, "only {shown} leads are shown");
    assert!(
        mail.html.contains(&format!("{} more leads are in the attached file.", 3_000 - shown + preheader_names(&mail)))
    );
}

/// The names in the hidden line that inbox lists show: they are no shown leads.
fn preheader_names(mail: &Rendered) -> usize {
    mail.html.split("mso-hide:all\">").nth(1).unwrap().split("</div>").next().unwrap().matches("Sam Exam").count()
}

#[test]
fn an_id_from_elsewhere_stays_one_word_in_headers_and_file_names() {
    let hostile = Digest { id: "x\r\nBcc: a@b.example; \"../é".into(), ..digest(vec![ada()]) };
    let mail = render(&hostile, &english());
    assert_eq!(mail.headers[2].1, "x--Bcc--a-b.example---..--");
    assert_eq!(mail.csv.unwrap().name, "leads-x--Bcc--a-b.example---..--.csv");
}

/// The rows of a file of leads, without its headings.
fn cells(file: &[u8]) -> Vec<Vec<String>> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap();
    let mut reader = csv::Reader::from_reader(file);
    assert_eq!(reader.headers().unwrap(), Column::ALL.map(Column::heading).as_slice());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Texts as people, programs and attackers write them.
fn text() -> impl Strategy<Value = String> {
    let fragments = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "\"><evil a='",
        "</td></table>",
        "<!--",
        "]]>",
        "{{ x }}",
        "{offer}",
        "&amp;",
        "\r\nBcc: x@y.z",
        "\n\n\n",
        "=1+1",
        "+1",
        "@A",
        "\t",
        "\0",
        "\u{202e}",
        "\u{200b}",
        "\u{1f469}\u{200d}\u{1f52c}",
        "café",
        "你好",
        "שלום",
        "a@b.example",
        "ada",
        " ",
        ",",
        ";",
        "'",
        "|",
        "-",
    ]);
    prop_oneof![
        4 => prop::collection::vec(fragments.clone().prop_map(str::to_owned), 0..5).prop_map(|parts| parts.concat()),
        2 => "\\PC{0,20}",
        1 => any::<String>(),
        1 => (fragments, 1..3_000_usize).prop_map(|(part, count)| part.repeat(count)),
    ]
}

fn unknown() -> impl Strategy<Value = Vec<UnknownField>> {
    let field = (text(), text())
        .prop_map(|(name, value)| UnknownField { name, json: serde_json::Value::from(value).to_string() });
    prop::collection::vec(field, 0..3)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_second()..=Timestamp::MAX.as_second()).prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn any_lead() -> impl Strategy<Value = DigestLead> {
    let texts = prop::collection::vec(text(), 14);
    let past = (time(), text(), text()).prop_map(|(time, action_code, offer)| PastAction { time, action_code, offer });
    let history = prop::collection::vec(past, 0..4);
    let times = (prop::option::of(time()), prop::option::of(time()));
    (texts, unknown(), unknown(), times, history).prop_map(|(texts, unknown, customer_unknown, times, history)| {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap();
        let customer = Customer {
            first_name: text(),
            last_name: text(),
            email: text(),
            phone: text(),
            country: text(),
            company: text(),
            title: text(),
            unknown: customer_unknown,
        };
        let lead = Lead {
            customer,
            lead_source: text(),
            action_code: text(),
            offer_title: text(),
            description: text(),
            created_time: text(),
            unknown,
        };
        let stored = StoredLead {
            lead,
            keys: Keys::new(text(), text()),
            timestamp: times.0,
            received: times.1,
            same_request: times.1,
            origin: Origin::Table,
        };
        DigestLead { stored, history }
    })
}

fn any_digest() -> impl Strategy<Value = Digest> {
    let row = (text(), text(), text(), prop::collection::vec((text(), text()), 0..4));
    let row = row.prop_map(|(partition_key, row_key, reason, columns)| UnreadableLead {
        keys: Keys::new(partition_key, row_key),
        timestamp: None,
        reason,
        columns,
    });
    let body = (text(), text(), text(), prop::option::of(time()), any::<usize>());
    let body = body.prop_map(|(row_key, reason, excerpt, received, size)| QuarantinedBody {
        keys: Keys::new("quarantine", row_key),
        received,
        reason,
        size,
        excerpt,
    });
    let lists = (
        prop::collection::vec(any_lead(), 0..6),
        prop::collection::vec(row, 0..3),
        prop::collection::vec(body, 0..3),
        text(),
    );
    lists.prop_map(|(leads, unreadable, quarantined, id)| Digest {
        id,
        occasion: Occasion::MaybeRepeated,
        is_redirected: false,
        more: 0,
        leads,
        unreadable,
        quarantined,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn any_digest_is_a_harmless_mail_in_every_language(digest in any_digest()) {
        for settings in [english(), samples::settings("zh-Hans", "Asia/Shanghai"), samples::made_up::settings()] {
            assert_harmless(&render_reduced(&digest, &settings), 0);
            let mail = render(&digest, &settings);
            assert_harmless(&mail, digest.leads.len());
            prop_assert!(mail.size() <= MAX_MESSAGE_BYTES);
            prop_assert_eq!(leads_that_fit(&digest.leads), digest.leads.len());
            if let Some(csv) = mail.csv {
                prop_assert_eq!(cells(&csv.content).len(), digest.leads.len());
            }
        }
    }

    #[test]
    fn cells_come_back_as_they_were_but_for_the_apostrophe_before_formulas(texts in prop::collection::vec("\\PC{0,30}", 7)) {
        let [first_name, last_name, email, phone, company, title, country] =
            <[String; 7]>::try_from(texts.clone()).unwrap();
        let customer = Customer { first_name, last_name, email, phone, country, company, title, unknown: vec![] };
        let stored = StoredLead::received(Lead { customer, ..Lead::default() }, samples::newest());
        let mail = render(&digest(vec![DigestLead { stored, history: vec![] }]), &english());
        let rows = cells(&mail.csv.unwrap().content);
        for (text, cell) in texts.iter().zip(&rows[0]) {
            // `\PC` leaves out control characters; of what else is replaced, nothing is left to compare.
            if !cell.contains("[U+") && !text.contains(['\u{200e}', '\u{200f}', '\u{61c}']) {
                // Nothing but apostrophes comes in.
                let mut left = text.chars().peekable();
                let added: String = cell.chars().filter(|character| left.next_if_eq(character).is_none()).collect();
                prop_assert!(left.next().is_none() && added.chars().all(|character| character == '\''), "{:?} {:?}", text, cell);
                let is_one_cell = !text.contains([',', ';', '|', '،', '؛']);
                let begin = text.trim_start_matches(|first: char| first.is_whitespace() || first == '"');
                let is_formula = begin.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
                let is_phone = text.strip_prefix('+').is_some_and(|number| {
                    number.contains(|part: char| part.is_ascii_digit())
                        && number.chars().all(|part| part.is_ascii_digit() || " ()[]-./".contains(part))
                });
                prop_assert!(!is_one_cell || added.is_empty() != (is_formula && !is_phone), "{:?} {:?}", text, cell);
            }
        }
    }
}
