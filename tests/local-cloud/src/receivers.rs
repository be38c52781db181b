//! The receivers of destinations: a webhook, a channel of Teams and one of Slack, on one page with the mails.

use crate::aws::{Aws, AwsError, client};
use crate::deploy::{MAIL_TO, put_secret};
use crate::failure::{Failure, OrFail, Result};
use crate::install::Emulators;
use crate::parts::words;
use crate::processes::{Part, Process};
use crate::random_bytes;
use crate::run::Run;
use crate::workspace::Workspace;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// The SSM parameter with the routes.
pub(crate) const ROUTES: &str = "/marketplace-leads/routes";
/// A destination of each kind: its name, its kind, and the path on which it is received.
const DESTINATIONS: [(&str, &str, &str); 3] =
    [("crm", "webhook", "webhook"), ("teams-channel", "teams", "teams"), ("slack-channel", "slack", "slack")];

/// The page of what was received. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Receivers {
    http: reqwest::Client,
    port: u16,
    address: String,
    inbox: String,
    signing_key: String,
}

/// A message that was taken.
#[derive(Debug, Clone, Deserialize)]
pub struct Received {
    /// `webhook`, `teams` or `slack`.
    pub kind: String,
    /// The id of an event.
    #[serde(default)]
    pub id: Option<String>,
    /// Whether the official library verified the signature of an event.
    #[serde(default)]
    pub verified: Option<bool>,
    /// The message.
    pub body: Value,
}

impl Receivers {
    pub(crate) fn new(port: u16, inbox: &str) -> Self {
        let signing_key = format!("whsec_{}", BASE64.encode(random_bytes(32)));
        let address = format!("http://127.0.0.1:{port}/");
        Self { http: client(), port, address, inbox: inbox.to_owned(), signing_key }
    }

    /// The same receivers with a new HTTP client, for another runtime.
    pub(crate) fn anew(&self) -> Self {
        Self { http: client(), ..self.clone() }
    }

    pub(crate) async fn start(&self, run: &Run, emulators: &Emulators) -> Result<Process> {
        let environment = [
            ("PORT", self.port.to_string()),
            ("MODULES", emulators.node_modules.to_string_lossy().into_owned()),
            ("WEBHOOK_KEY", self.signing_key.clone()),
            ("INBOX", self.inbox.clone()),
        ];
        Process::start(Part {
            name: "the receivers",
            python: &emulators.python,
            command: words([emulators.node.as_path(), Path::new(&Workspace::emulators().join("receivers.mjs"))]),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            folder: run.folder.join("data/receivers"),
            log: run.log("receivers"),
            ready: "receivers listen",
        })
        .await
    }

    /// Writes the parameters with the destinations, and the one with a route that names all of them and the mailbox.
    pub(crate) async fn fill_account(&self, aws: &Aws) -> Result<(), AwsError> {
        for (name, kind, path) in DESTINATIONS {
            let mut destination = json!({ "kind": kind, "url": format!("{}{path}", self.address) });
            if kind == "webhook" {
                destination["secrets"] = json!([self.signing_key]);
            }
            put_secret(aws, &format!("destinations/{name}"), &destination.to_string()).await?;
        }
        let to: Vec<&str> = DESTINATIONS.iter().map(|(name, ..)| *name).chain([MAIL_TO]).collect();
        let routes = json!([{ "id": "everywhere", "to": to }]).to_string();
        let parameter = json!({ "Name": ROUTES, "Value": routes, "Type": "String", "Overwrite": true });
        aws.json("ssm", "AmazonSSM.PutParameter", parameter).await.map(drop)
    }

    /// The page.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Every message, oldest first.
    pub async fn messages(&self) -> Result<Vec<Received>> {
        const STEP: &str = "read what was received";
        let answer = self.http.get(format!("{}messages", self.address)).send().await.or_fail(STEP)?;
        answer.json().await.or_fail(STEP)
    }

    /// Waits until each kind has a message that `wanted` accepts.
    pub async fn wait_for_all(&self, limit: Duration, wanted: impl Fn(&Received) -> bool) -> Result<()> {
        let started = Instant::now();
        loop {
            let messages = self.messages().await?;
            let found = |kind: &str| messages.iter().any(|message| message.kind == kind && wanted(message));
            let missing: Vec<&str> =
                DESTINATIONS.iter().map(|(_, kind, _)| *kind).filter(|kind| !found(kind)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            if started.elapsed() > limit {
                let message = format!("nothing came within {} s for: {}", limit.as_secs(), missing.join(", "));
                return Err(Failure::new("find the leads at every destination", message));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Forgets all messages.
    pub async fn clear(&self) -> Result<()> {
        const STEP: &str = "clear the receivers";
        let answer = self.http.post(format!("{}clear", self.address)).send().await.or_fail(STEP)?;
        answer.error_for_status().or_fail(STEP).map(drop)
    }
}
