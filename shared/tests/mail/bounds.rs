//! Whatever leads hold, mails are bounded: their size, their headers, their times.

use crate::harmless::assert_harmless;
use crate::samples::{self, ada, digest, english, hostile, ordinary, quarantined, unreadable};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use marketplace_leads::lead::StoredLead;
use marketplace_leads::mail::{
    Digest, DigestLead, MAX_ENTRIES, MAX_MESSAGE_BYTES, Message, Occasion, leads_that_fit, render, render_reduced,
};

/// A lead with this note and row key.
fn lead(description: &str, row_key: usize) -> DigestLead {
    let mut lead = ada();
    lead.stored.lead.description = description.to_owned();
    lead.stored.keys.row = format!("row-{row_key:04}");
    lead
}

#[test]
fn leads_of_characters_that_grow_are_split_into_mails_that_are_small_enough() {
    // 60 leads in bodies of 64 KiB: each of these characters takes 2 bytes there, and 8 in the file.
    let leads: Vec<_> = (0..60).map(|number| lead(&"\u{ad}".repeat(32_000), number)).collect();
    let mut rest = leads.as_slice();
    let mut mails = 0;
    while !rest.is_empty() {
        let fitting = leads_that_fit(rest);
        assert!(fitting > 0);
        let mail = render(&digest(rest[..fitting].to_vec()), &english());
        assert!(mail.size() <= MAX_MESSAGE_BYTES, "{} bytes", mail.size());
        // Not split finer than it must be: one more would be too large, but for what is kept free.
        if fitting < rest.len() {
            assert!(mail.size() > MAX_MESSAGE_BYTES - 1_500_000, "{} bytes", mail.size());
        }
        rest = &rest[fitting..];
        mails += 1;
    }
    assert_eq!(mails, 4);
}

#[test]
fn ordinary_leads_always_fit_into_one_mail() {
    let leads = ordinary(1_000);
    assert_eq!(leads_that_fit(&leads), 1_000);
    let mail = render(&digest(leads), &english());
    assert!(mail.size() < MAX_MESSAGE_BYTES / 10, "{} bytes", mail.size());
    assert_eq!(leads_that_fit(&[]), 0);
}

#[test]
fn a_lead_that_is_too_large_for_any_mail_goes_out_in_the_reduced_form() {
    // A row of the table holds up to 1 MiB; its `LeadSource` is in three columns of the file.
    let mut large = ada();
    large.stored.lead.lead_source = format!("X-Y|{}", "\u{ad}".repeat(500_000));
    large.stored.lead.offer_title = String::new();
    assert_eq!(leads_that_fit(&[large.clone(), ada()]), 0);
    let mail = render_reduced(&digest(vec![large]), &english());
    assert!(mail.size() < MAX_MESSAGE_BYTES / 10);
    assert!(mail.html.contains(&ada().stored.keys.row));
}

/// A mail as MIME has it, with its parts in the encoding that is given.
fn mime(message: &Message, encode: fn(&str) -> String) -> String {
    let Message { from, to, reply_to, subject, html, text, headers, attachments } = message;
    let word = |text: &str| format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(text));
    let mut mime = format!("From: {from}\r\nTo: {}\r\n", to.join(",\r\n "));
    mime.extend(reply_to.iter().map(|address| format!("Reply-To: {address}\r\n")));
    // A word has at most 75 characters.
    let words: Vec<_> =
        subject.chars().collect::<Vec<_>>().chunks(11).map(|part| word(&part.iter().collect::<String>())).collect();
    mime += &format!("Subject: {}\r\n", words.join("\r\n "));
    mime.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    mime += "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n--outer\r\n";
    mime += "Content-Type: multipart/alternative; boundary=\"inner\"\r\n\r\n";
    for (kind, part) in [("plain", text), ("html", html)] {
        mime += &format!("--inner\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n{}\r\n", encode(part));
    }
    mime += "--inner--\r\n";
    for file in attachments {
        let (name, content) = (&file.name, wrapped(&BASE64_STANDARD.encode(&file.content)));
        mime += &format!("--outer\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\r\n{content}\r\n");
    }
    mime + "--outer--\r\n"
}

fn wrapped(base64: &str) -> String {
    base64.as_bytes().chunks(76).map(|line| format!("{}\r\n", std::str::from_utf8(line).unwrap())).collect()
}

/// RFC 2045, 6.7.
fn quoted_printable(text: &str) -> String {
    let mut encoded = String::new();
    for line in text.split('\n') {
        let mut width = 0;
        for (at, byte) in line.bytes().enumerate() {
            let is_plain = (b'!'..=b'~').contains(&byte) && byte != b'=' || byte == b' ' && at + 1 < line.len();
            let unit = if is_plain { char::from(byte).to_string() } else { format!("={byte:02X}") };
            if width + unit.len() > 75 {
                encoded += "=\r\n";
                width = 0;
            }
            width += unit.len();
            encoded += &unit;
        }
        encoded += "\r\n";
    }
    encoded
}

#[test]
fn the_size_of_a_mail_is_a_close_bound_of_what_is_sent() {
    let recipients: Vec<_> = (0..50).map(|number| format!("{}{number}@contoso.example", "seller".repeat(9))).collect();
    let mut all = samples::all();
    // What takes the most bytes in each of the two encodings.
    for (name, text) in [("letters", "中"), ("equals signs", "="), ("lines", "a \n"), ("words", "word ")] {
        let leads = (0..10).map(|number| lead(&text.repeat(1_500), number)).collect();
        all.push((name, digest(leads), english()));
    }
    for (name, digest, settings) in all {
        let mail = render(&digest, &settings);
        for message in mail.messages("Leads of Contoso <leads@contoso.example>", &recipients) {
            assert!(message.size() <= mail.size(), "{name}");
            let base64 = mime(&message, |part| wrapped(&BASE64_STANDARD.encode(part))).len();
            let quoted = mime(&message, quoted_printable).len();
            let real = base64.max(quoted);
            assert!(real <= message.size(), "{name}: {real} bytes, and at most {}", message.size());
            assert!(message.size() < real + real / 4 + 30_000, "{name}: {real} bytes, and at most {}", message.size());
        }
    }
}

#[test]
fn an_address_that_is_too_long_in_ascii_gets_no_answers_and_no_link() {
    // 254 bytes as the customer wrote it, and 509 as a header would have it.
    let mut lead = ada();
    let domain = format!("{}{}.{}.example", "ü.".repeat(51), "a".repeat(40), "b".repeat(48));
    lead.stored.lead.customer.email = format!("ada@{domain}");
    let ascii = url::Host::parse(&domain).unwrap().to_string();
    let header = format!("ada@{ascii}");
    assert_eq!((lead.stored.lead.customer.email.len(), header.len()), (254, 509));
    let mail = render(&digest(vec![lead]), &english());
    assert_harmless(&mail, 1);
    assert_eq!(mail.reply_to, None);
    assert!(!mail.html.contains("mailto:"));
    assert!(mail.html.contains("tel:"), "the phone number is still linked");
}

#[test]
fn times_beyond_all_calendars_are_mailed_like_others() {
    let person = |created: &str, timestamp: Option<&str>| {
        let mut lead = ada();
        let StoredLead { lead: fields, received, timestamp: written, keys, .. } = &mut lead.stored;
        fields.created_time = created.to_owned();
        (*received, *written) = (None, timestamp.map(|time| time.parse().unwrap()));
        keys.row = created.to_owned();
        lead
    };
    for created in [
        "-9999-01-02",
        "-009999-01-02T00:00:00Z",
        "-009999-01-02T00:00:00",
        "9999-12-30",
        "9999-12-30T00:00:00Z",
        "1600-12-31T23:59:59Z",
        "9000-01-01T00:00:00Z",
        "01/01/0001 00:00:00",
        "1999-12-31T23:59:59Z",
        "2101-01-01T00:00:00Z",
    ] {
        let lead = person(created, None);
        assert_eq!(lead.stored.time(), None, "{created}");
        let written = person(created, Some("2026-11-12T09:41:00Z"));
        assert_eq!(written.stored.time(), Some(samples::newest()), "{created}");
        let mail = render(&digest(vec![written]), &samples::settings("en", "UTC"));
        // A year of four digits with a sign before it is in none of the forms.
        let shown = if created == "-9999-01-02" { created } else { "time unknown" };
        assert!(mail.text.contains(&format!(" · {shown}\n")), "{created}: {}", mail.text);
    }
    for created in ["2000-01-01T00:00:00Z", "2100-12-31T23:59:59Z"] {
        assert_eq!(person(created, None).stored.time(), Some(created.parse().unwrap()), "{created}");
    }

    let (first, last) = (person("-009999-01-02T00:00:00Z", None), person("9999-12-30T00:00:00Z", None));
    let past = |time: Timestamp, offer: &str| marketplace_leads::mail::PastAction {
        time,
        action_code: "INS".into(),
        offer: offer.into(),
    };
    let history = vec![past(Timestamp::MAX, "Contoso VM"), past(Timestamp::MIN, "Contoso Backup")];
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let extremes = Digest {
            occasion: Occasion::Backfill { since: Timestamp::MIN, until: Timestamp::MAX },
            quarantined: vec![marketplace_leads::mail::QuarantinedBody {
                received: Some(Timestamp::MIN),
                ..quarantined()
            }],
            unreadable: vec![marketplace_leads::mail::UnreadableLead {
                timestamp: Some(Timestamp::MAX),
                ..unreadable()
            }],
            ..digest(vec![DigestLead { history: history.clone(), ..first.clone() }, last.clone()])
        };
        let mail = render(&extremes, &samples::settings("en", zone));
        assert_harmless(&mail, 2);
        assert_eq!(mail.html.matches("time unknown").count(), 6, "{}", mail.html);
        assert!(
            mail.text.contains("Third action in 180 days; earlier: installed, installed (Contoso VM)"),
            "{}",
            mail.text
        );
        assert_harmless(&render_reduced(&extremes, &samples::settings("en", zone)), 0);
    }
}

#[test]
fn a_time_that_cannot_be_read_is_shown_as_it_came() {
    let person = |created: &str| {
        let mut lead = ada();
        lead.stored.received = None;
        lead.stored.timestamp = Some(samples::newest());
        lead.stored.lead.created_time = created.to_owned();
        lead
    };
    let settings = samples::settings("en", "UTC");
    // Microsoft writes the month first, and there is no month 13.
    let mail = render(&digest(vec![person("13/11/2025 20:02:52")]), &settings);
    assert!(mail.html.contains("13/11/2025 20:02:52"), "{}", mail.html);
    assert!(mail.text.contains("13/11/2025 20:02:52"), "{}", mail.text);
    let csv = String::from_utf8(mail.csv.unwrap().content).unwrap();
    assert!(csv.contains(",13/11/2025 20:02:52,"), "{csv}");

    let hostile = person(&format!("<b>=1+1\u{202e}\n{}", "x".repeat(100_000)));
    let mail = render(&digest(vec![hostile.clone()]), &settings);
    assert_harmless(&mail, 1);
    assert!(mail.html.contains("&#60;b&#62;=1+1") || mail.html.contains("&lt;b&gt;=1+1"), "{}", mail.html);
    // The form without anything from outside has no such text either.
    let reduced = render_reduced(&digest(vec![hostile]), &settings);
    assert!(!reduced.text.contains("1+1") && reduced.text.contains("time unknown"), "{}", reduced.text);
}

#[test]
fn the_reduced_form_names_every_row_and_says_nothing_else_of_the_leads() {
    let mut lead = ada();
    let fields = &mut lead.stored.lead;
    let customer = &mut fields.customer;
    for text in [
        &mut customer.first_name,
        &mut customer.last_name,
        &mut customer.phone,
        &mut customer.country,
        &mut customer.company,
        &mut customer.title,
        &mut fields.offer_title,
        &mut fields.description,
        &mut fields.action_code,
    ] {
        *text = "poison".to_owned();
    }
    fields.lead_source = "poison-poison|poison".to_owned();
    fields.customer.email = "poison@poison.example".to_owned();
    let poisoned = Digest {
        unreadable: vec![marketplace_leads::mail::UnreadableLead {
            reason: "poison".into(),
            columns: vec![("poison".into(), "poison".into())],
            ..unreadable()
        }],
        quarantined: vec![marketplace_leads::mail::QuarantinedBody {
            reason: "poison".into(),
            excerpt: "poison".into(),
            ..quarantined()
        }],
        ..digest(vec![lead])
    };
    let mail = render_reduced(&poisoned, &english());
    assert_harmless(&mail, 0);
    for part in [&mail.subject, &mail.html, &mail.text] {
        assert!(!part.contains("poison"), "{part}");
    }
    assert_eq!(mail.reply_to, None);
    for part in [&mail.html, &mail.text] {
        for key in
            [&ada().stored.keys.partition, &ada().stored.keys.row, &unreadable().keys.row, &quarantined().keys.row]
        {
            assert!(part.contains(key.as_str()), "{key}: {part}");
        }
        assert!(part.contains("Thu 12 Nov 2026, 10:41 CET"), "{part}");
    }
}

#[test]
fn the_reduced_form_of_any_number_of_leads_has_all_keys_and_stays_short() {
    for count in [1, 7, MAX_ENTRIES, 3_000] {
        let leads: Vec<_> = (0..count)
            .map(|number| {
                let mut lead = hostile();
                lead.stored.keys.row = format!("row-{number:04}-{}", "\u{ad}'".repeat(250));
                lead
            })
            .collect();
        let mail = render_reduced(&digest(leads), &english());
        assert!(mail.html.len() < marketplace_leads::mail::MAX_HTML_BYTES);
        assert!(mail.size() < MAX_MESSAGE_BYTES);
        for number in 0..count {
            let key = format!("row-{number:04}-");
            assert!(mail.text.contains(&key), "row {number} of {count} is missing in the text");
            assert!(count > MAX_ENTRIES || mail.html.contains(&key), "row {number} of {count} is missing");
        }
        if count == 1 {
            assert!(mail.text.contains(&"[U+00AD]'".repeat(250)), "the only key is whole");
        }
        if count > MAX_ENTRIES {
            assert!(mail.html.contains(" more are in the table."), "{count}");
        }
    }
}
