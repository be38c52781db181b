//! The proof that the system does its main job: leads from both sources end in one mail.

use crate::failure::{Failure, OrFail, Result};
use crate::{LocalCloud, MicrosoftLead, Progress, Received};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The emulator checks its schedules every ten seconds. The limit is larger for machines that are slow or busy.
const DIGEST_LIMIT: Duration = Duration::from_secs(60);

/// Posts the documented lead to the intake, writes another as Microsoft does, fires the schedule, and finds both in the
/// digest.
pub async fn prove(cloud: &LocalCloud, progress: &Progress) -> Result<()> {
    let since = Instant::now();
    progress.set("posting the documented lead to the intake URL");
    let documented = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/leads/documented.json");
    let documented = fs::read_to_string(&documented).or_fail("read the documented lead")?;
    let step = "post a lead to the intake";
    let post = crate::aws::client().post(cloud.intake_url()?).header("content-type", "application/json");
    let answer = post.body(documented.clone()).send().await.or_fail(step)?;
    let status = answer.status();
    if status != 201 {
        let message = format!("expected status 201, got {status} {}", answer.text().await.unwrap_or_default());
        return Err(Failure::new(step, message).command("POST <intake URL>").log(cloud.run.log("aws")));
    }
    progress.done("lead posted to the intake URL", since);

    let since = Instant::now();
    let documented: Value = serde_json::from_str(&documented).or_fail("read the documented lead")?;
    let other = MicrosoftLead {
        source: "AzureMarketplace".to_owned(),
        action: "PLT".to_owned(),
        offer: "contoso.backup-suite".to_owned(),
        offer_name: "Backup Suite".to_owned(),
        customer: json!({
            "FirstName": "Ana", "LastName": "Lima", "Email": "ana.lima@fabrikam.example", "Phone": "+351 210 000 000",
            "Country": "PT", "Company": "Fabrikam", "Title": "CTO",
        }),
        description: "Written into the table as Microsoft does".to_owned(),
    };
    let now = Timestamp::now();
    let row = cloud.table().insert_microsoft_lead(cloud.leads_table(), &other, now).await;
    row.map_err(|failure| failure.log(cloud.run.log("table")))?;
    progress.done("another lead written into the table as Microsoft does", since);

    let since = Instant::now();
    progress.set("waiting for the schedule to fire and the digest to arrive");
    cloud.fire_schedule().await?;
    let user = &documented["UserDetails"];
    let expected = [&user["FirstName"], &user["LastName"], &documented["OfferTitle"]];
    let expected = expected.map(|value| value.as_str().unwrap_or_default());
    let expected = [expected.as_slice(), &["Ana", "Lima", "Backup Suite"]].concat();
    let found = cloud.inbox().wait_for(DIGEST_LIMIT, |mail| expected.iter().all(|text| mail.body.text.contains(text)));
    found.await.map_err(|failure| {
        let wanted = expected.join("`, `");
        let message = format!("{}; expected a digest whose text has `{wanted}`", failure.message);
        Failure::new("find both leads in the digest", message)
            .command("fire the schedule")
            .log(cloud.run.log("functions"))
    })?;
    progress.done("digest with both leads in the inbox", since);

    if let Some(receivers) = cloud.receivers() {
        let since = Instant::now();
        progress.set("waiting for what webhook, Teams and Slack get");
        let names = ["Ana", "Lima"];
        let has_lead = |message: &Received| {
            let text = message.body.to_string();
            names.iter().all(|name| text.contains(name))
        };
        let found = receivers.wait_for_all(DIGEST_LIMIT, has_lead).await;
        found.map_err(|failure| failure.log(cloud.run.log("receivers")))?;
        progress.done("the same leads at the webhook, in Teams and in Slack", since);
    }
    Ok(())
}
