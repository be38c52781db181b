//! How long a lead takes from its row in the table to an accepted mail, and who gets it where the mail service drops mails.

use jiff::{SignedDuration, Timestamp};
use local_cloud::proxy::{Fault, Reply, Seen};
use local_cloud::{LocalCloud, MAIL_TO, MicrosoftLead, Options, borrow};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How many leads come, in how many intervals, and how long one is.
#[derive(Debug, Clone, Copy)]
struct Size {
    leads: usize,
    ticks: usize,
    interval: Duration,
}

const SMALL: Size = Size { leads: 24, ticks: 3, interval: Duration::from_secs(2) };
/// As it is deployed by default: a tick every minute.
const FULL: Size = Size { leads: 500, ticks: 5, interval: Duration::from_secs(60) };

/// One tick of the schedule: when it began and ended, and the names that its mails hold.
struct Tick {
    began: Timestamp,
    ended: Timestamp,
    mails: String,
}

#[tokio::test]
async fn every_lead_is_in_the_mail_of_the_first_tick_after_its_row_was_written() {
    let is_full = std::env::var("LEADS_TRUST").is_ok_and(|value| value == "full");
    let size = if is_full { FULL } else { SMALL };
    let cloud = borrow().await.unwrap();
    // The first run begins the notifier's memory.
    tick(&cloud).await;
    let mut ticks = Vec::new();
    let each = size.leads / size.ticks;
    for round in 0..size.ticks {
        let next = tokio::time::Instant::now() + size.interval;
        for number in round * each..(round + 1) * each {
            let since = tokio::time::Instant::now();
            // Every other lead comes by HTTPS, the rest as Microsoft writes it.
            if number % 2 == 0 {
                post(&cloud, number).await
            } else {
                write(&cloud, number).await
            }
            // They come evenly over the first nine tenths of the interval.
            let pause = size.interval.mul_f64(0.9) / u32::try_from(each).unwrap();
            tokio::time::sleep(pause.saturating_sub(since.elapsed())).await;
        }
        tokio::time::sleep_until(next).await;
        ticks.push(tick(&cloud).await);
    }
    let written = written(&cloud).await;
    assert_eq!(written.len(), each * size.ticks);
    let (mut whole, mut after_the_tick) = (Vec::new(), Vec::new());
    for (name, row) in &written {
        let holding: Vec<_> = (0..ticks.len()).filter(|tick| ticks[*tick].mails.contains(name)).collect();
        let first = ticks.iter().position(|tick| *row < tick.began).unwrap();
        assert_eq!(holding, [first], "{name} was written at {row}");
        whole.push(ticks[first].ended.duration_since(*row));
        after_the_tick.push(ticks[first].ended.duration_since(ticks[first].began));
    }
    println!(
        "{} leads in {} intervals of {:?}: from row to accepted mail p50 {:.1} s, p99 {:.1} s; of that from the tick p50 {:.1} s, \
         p99 {:.1} s",
        whole.len(),
        size.ticks,
        size.interval,
        percentile(&mut whole, 50),
        percentile(&mut whole, 99),
        percentile(&mut after_the_tick, 50),
        percentile(&mut after_the_tick, 99),
    );
    let validation = cloud.output("ValidationFunction").unwrap();
    let report = cloud.invoke(validation, &json!({ "checks": ["notifier"] })).await.unwrap().payload.to_string();
    assert!(report.contains(&format!("over {} leads to be sent at once", whole.len())), "{report}");
}

/// The name by which a lead is found in a mail.
fn name(number: usize) -> String {
    format!("Delay{number:04}x")
}

/// A lead by HTTPS.
async fn post(cloud: &LocalCloud, number: usize) {
    let name = name(number);
    let body = json!({
        "UserDetails": { "FirstName": name, "LastName": "Doe", "Email": format!("{name}@fabrikam.example") },
        "LeadSource": "AzureMarketplace-INS|contoso.backup-suite", "ActionCode": "INS", "OfferTitle": "Backup Suite",
    });
    let answer = reqwest::Client::new().post(cloud.intake_url().unwrap()).body(body.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

/// A lead as Microsoft writes it.
async fn write(cloud: &LocalCloud, number: usize) {
    let lead = MicrosoftLead::of(&name(number));
    cloud.table().insert_microsoft_lead(cloud.leads_table(), &lead, Timestamp::now()).await.unwrap();
}

/// One run, and what it mailed.
async fn tick(cloud: &LocalCloud) -> Tick {
    cloud.inbox().clear().await.unwrap();
    let began = Timestamp::now();
    let answer = cloud.invoke(cloud.output("NotifierFunction").unwrap(), &json!({ "command": "run" })).await.unwrap();
    // All mails are accepted before the run ends, so that no lead took longer.
    let ended = Timestamp::now();
    assert_eq!((answer.function_error, &answer.payload["owed"]), (None, &json!(0)), "{}", answer.payload);
    let mails = cloud.inbox().mails().await.unwrap();
    let mails = mails.into_iter().map(|mail| mail.body.text + &mail.attachments.iter().map(text).collect::<String>());
    Tick { began, ended, mails: mails.collect() }
}

fn text(attachment: &local_cloud::Attachment) -> String {
    String::from_utf8(attachment.bytes()).unwrap()
}

/// When the row of each lead was written, by the table service's clock.
async fn written(cloud: &LocalCloud) -> BTreeMap<String, Timestamp> {
    let rows = cloud.table().rows(cloud.leads_table()).await.unwrap();
    let of = |row: serde_json::Map<String, Value>| {
        let customer: Value = serde_json::from_str(row["CustomerInfo"].as_str().unwrap()).unwrap();
        (customer["FirstName"].as_str().unwrap().to_owned(), row["Timestamp"].as_str().unwrap().parse().unwrap())
    };
    rows.into_iter().map(of).collect()
}

/// The value in seconds that so many percent do not exceed.
fn percentile(values: &mut [SignedDuration], percent: usize) -> f64 {
    values.sort();
    values[(values.len() * percent).div_ceil(100) - 1].as_secs_f64()
}

#[tokio::test]
async fn the_deployed_notifier_leaves_out_a_recipient_on_the_suppression_list_and_names_it_to_the_operator() {
    const GONE: &str = "gone@contoso.example";
    const OPERATOR: &str = "operator@contoso.example";
    let routes = json!([
        { "id": "both", "offers": ["contoso.backup-suite"], "to": [MAIL_TO, GONE] },
        { "id": "gone", "offers": ["contoso.backup-suite"], "to": [GONE] },
    ]);
    let parameters = [("RoutesParameter", "/marketplace-leads/routes"), ("OperatorEmail", OPERATOR)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cloud = LocalCloud::start(Options { proxies: true, parameters, ..Options::default() }).await.unwrap();
    let parameter = json!({ "Name": "/marketplace-leads/routes", "Value": routes.to_string(), "Type": "String" });
    cloud.aws().json("ssm", "AmazonSSM.PutParameter", parameter).await.unwrap();
    // The emulator knows no address that is on the list. It is answered for as SES documents it:
    // https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetSuppressedDestination.html
    let listed =
        json!({ "SuppressedDestination": { "EmailAddress": GONE, "Reason": "BOUNCE", "LastUpdateTime": 1.7e9 } });
    cloud.aws_proxy().unwrap().set_faults(move |seen: &Seen| {
        let is_question = seen.target.starts_with("/v2/email/suppression/addresses/gone");
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        is_question.then(|| Fault::Answer(Reply { status: 200, headers, body: listed.to_string().into_bytes() }))
    });
    write(&cloud, 1).await;
    let notifier = cloud.output("NotifierFunction").unwrap();
    let answer = cloud.invoke(notifier, &json!({ "command": "run" })).await.unwrap();
    assert_eq!(answer.function_error, None, "{}", answer.payload);
    let mails = cloud.inbox().mails().await.unwrap();
    let of_lead: Vec<_> = mails.iter().filter(|mail| mail.body.text.contains(&name(1))).collect();
    assert_eq!(of_lead.iter().map(|mail| &mail.destination.to[..]).collect::<Vec<_>>(), [[MAIL_TO], [MAIL_TO]]);
    let told: Vec<_> = mails.iter().filter(|mail| mail.destination.to == [OPERATOR]).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].subject.contains(GONE) && told[0].body.text.contains("Routes: both, gone."));
    assert!(!cloud.logs().await.unwrap().contains(GONE), "a log holds an address");
}
