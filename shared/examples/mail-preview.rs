//! Writes the mails of all samples, and what Teams and Slack get of one, to `target/mail-preview`, to look at in a browser, and says how long a digest of 100
//! ordinary leads takes.
//!
//! `cargo run --release -p marketplace-leads --example mail-preview`

#[path = "../tests/mail/samples.rs"]
mod samples;

use marketplace_leads::destinations::{Destination, Reach};
use marketplace_leads::mail::{
    Silence, render, render_reduced, render_silence, render_summary, render_suppressed, render_trouble,
};
use marketplace_leads::secret::Secret;
use std::path::Path;
use std::time::Instant;
use std::{fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/mail-preview");
    fs::create_dir_all(&folder)?;
    let silence = Silence { id: "silence".into(), days: 7, last_lead: Some(samples::newest()) };
    let mut mails = vec![("silence", render_silence(&silence, &samples::english()))];
    mails.push(("summary", render_summary(&samples::summary(false), &samples::english())));
    mails.push(("summary-busy", render_summary(&samples::summary(true), &samples::english())));
    mails.push(("summary-chinese", render_summary(&samples::summary(false), &samples::settings("zh-Hans", "UTC"))));
    mails.push(("suppressed", render_suppressed(&samples::suppressed(), &samples::english())));
    for (name, trouble) in samples::troubles() {
        mails.push((name, render_trouble(&trouble, &samples::english())));
    }
    for (name, digest, settings) in samples::all() {
        mails.push((name, render(&digest, &settings)));
    }
    for (name, digest, settings) in samples::all_reduced() {
        mails.push((name, render_reduced(&digest, &settings)));
    }
    for (name, mail) in mails {
        let name = name.replace(' ', "-");
        eprintln!("{name}: {} bytes of HTML; {}", mail.html.len(), mail.subject);
        fs::write(folder.join(format!("{name}.html")), mail.html)?;
        fs::write(folder.join(format!("{name}.txt")), mail.text)?;
        if let Some(csv) = mail.csv {
            fs::write(folder.join(format!("{name}.csv")), csv.content)?;
        }
    }
    // What Teams and Slack get of the digest in the documentation's picture.
    let overview = samples::all().into_iter().find(|(name, ..)| *name == "overview");
    for (kind, (_, digest, settings)) in ["teams", "slack"].into_iter().zip(overview.iter().cycle()) {
        let destination = serde_json::json!({ "kind": kind, "url": "https://hooks.contoso.example/x" }).to_string();
        let destination = Destination::parse(&Secret::new(destination), Reach::Public);
        let message = destination.ok().and_then(|destination| destination.message(digest, settings, false));
        fs::write(
            folder.join(format!("overview-{kind}.json")),
            message.map(|message| message.body).unwrap_or_default(),
        )?;
    }
    let hundred = samples::digest(samples::ordinary(100));
    let settings = samples::english();
    render(&hundred, &settings);
    let start = Instant::now();
    for _ in 0..100 {
        std::hint::black_box(render(&hundred, &settings));
    }
    eprintln!("A digest of 100 leads takes {:?}.", start.elapsed() / 100);
    Ok(())
}
