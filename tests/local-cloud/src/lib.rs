//! Everything that Marketplace Leads needs of two clouds, on one machine: a table service (Azurite's, or the strict one of
//! `tests/support`), an AWS emulator that deploys the project's own template with IAM enforced, and a mailbox.
//!
//! [`LocalCloud::start`] installs, builds, starts and deploys; the value it gives stands for the running cloud, and
//! dropping it ends every process. Any number can run side by side.

mod aws;
mod deploy;
mod failure;
mod function_processes;
mod functions;
mod gateway;
mod ignored;
mod inbox;
mod install;
mod parts;
mod processes;
mod progress;
mod proof;
pub mod proxy;
mod run;
mod table;
mod workspace;

pub use aws::{Answer, Aws, AwsError, xml_values};
pub use deploy::{MAIL_FROM, MAIL_TO, STACK};
pub use failure::{Failure, Result};
pub use function_processes::{FunctionProcesses, Resident};
pub use inbox::{Attachment, Body, Destination, Header, Inbox, Mail};
pub use parts::{LocalTable, TableKind};
pub use progress::Progress;
pub use proof::prove;
pub use table::{MicrosoftLead, TableService, partition_of};

use crate::failure::OrFail;
use crate::gateway::Gateway;
use crate::install::Emulators;
use crate::parts::{Parts, TableServer};
use crate::processes::Process;
use crate::proxy::Proxy;
use crate::run::Run;
use crate::workspace::Workspace;
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const REGION: &str = "eu-west-1";
const ACCESS_KEY: &str = "local";
const LEADS_TABLE: &str = "MarketplaceLeads";
const STATE_TABLE: &str = "MarketplaceLeadsState";

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Puts a [`Proxy`] between the functions and the table, and one between them and AWS.
    pub proxies: bool,
    /// The table service.
    pub table: TableKind,
    /// Parameters of the template, besides sender, recipients and architecture: name and value.
    pub parameters: Vec<(String, String)>,
    /// Where to follow what is being done.
    pub progress: Progress,
}

/// A running local cloud. Dropping it ends all its processes and removes its data; its logs stay.
pub struct LocalCloud {
    run: Run,
    aws: Aws,
    secret_key: String,
    table: TableService,
    table_server: Mutex<TableServer>,
    table_proxy: Option<Proxy>,
    aws_proxy: Option<Proxy>,
    inbox: Inbox,
    outputs: BTreeMap<String, String>,
    intake_key: String,
    emulators: Emulators,
    // Dropped last, in this order.
    gateway: Gateway,
    _aws_process: Process,
    _inbox_process: Process,
}

/// What an invocation gave.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// `Handled` or `Unhandled` when the function failed.
    pub function_error: Option<String>,
    /// What the function answered.
    pub payload: Value,
}

impl LocalCloud {
    /// Says in one sentence each whether Python or Node.js is missing.
    pub async fn check_prerequisites() -> Result<()> {
        install::prerequisites().await.map(drop)
    }

    /// Installs and builds what is not there yet, starts all parts, and deploys the template.
    pub async fn start(options: Options) -> Result<Self> {
        let progress = &options.progress;
        let workspace = Workspace::find().await?;
        let run = Run::create(&workspace.target)?;

        let since = Instant::now();
        progress.set("looking at the emulators");
        let emulators = install::install(workspace, &run.log("install"), progress).await?;
        let installed = if emulators.installed_now { "emulators installed" } else { "emulators are installed" };
        progress.done(installed, since);

        let since = Instant::now();
        let binaries = functions::build(workspace, &run.log("build"), progress).await?;
        progress.done("functions built", since);

        let since = Instant::now();
        progress.set("starting the table service, the AWS emulator and the inbox");
        let secret_key = random_hex(20);
        let parts = Parts::start(&run, &emulators, &secret_key, &options).await?;
        progress.done("table service, AWS emulator and inbox started", since);

        let since = Instant::now();
        progress.set("deploying infra/aws/template.yaml");
        let aws = Aws::new(&format!("http://127.0.0.1:{}", parts.aws_port), REGION, ACCESS_KEY, &secret_key);
        let intake_key = random_hex(20);
        let functions_table = parts.table_proxy.as_ref().map_or(parts.table.port(), Proxy::port);
        let aws_log = run.log("aws");
        deploy::fill_account(&aws, &table::connection_string(functions_table), &intake_key)
            .await
            .map_err(|failure| failure.log(&aws_log))?;
        for table in [LEADS_TABLE, STATE_TABLE] {
            parts.table.create(table).await.map_err(|failure| failure.log(run.log("table")))?;
        }
        let outputs = deploy::deploy(&aws, workspace, &binaries, &run.folder.join("data"), &options.parameters)
            .await
            .map_err(|failure| failure.log(&aws_log))?;
        ignored::set(&aws).await.map_err(|failure| failure.log(&aws_log))?;

        let cloud = Self {
            run,
            aws,
            secret_key,
            table: parts.table,
            table_server: Mutex::new(parts.table_server),
            table_proxy: parts.table_proxy,
            aws_proxy: parts.aws_proxy,
            inbox: parts.inbox,
            outputs,
            intake_key,
            emulators,
            gateway: parts.gateway,
            _aws_process: parts.aws_process,
            _inbox_process: parts.inbox_process,
        };
        let address = cloud.function_url("IntakeUrl")?;
        deploy::set_variable(&cloud.aws, cloud.output("ValidationFunction")?, "LEADS_INTAKE_URL", &address).await?;
        progress.done("infra/aws/template.yaml deployed", since);
        Ok(cloud)
    }

    /// The intake URL with its key: what is pasted into Partner Center.
    pub fn intake_url(&self) -> Result<String> {
        Ok(format!("{}?code={}", self.function_url("IntakeUrl")?, self.intake_key))
    }

    /// The intake key.
    pub fn intake_key(&self) -> &str {
        &self.intake_key
    }

    /// The address on this machine of a function URL that is an output of the stack, path included.
    pub fn function_url(&self, output: &str) -> Result<String> {
        let url = url::Url::parse(self.output(output)?).or_fail("read a function URL")?;
        let id = url.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
        Ok(format!("{}/_aws/lambda-url/{id}{}", self.aws.endpoint(), url.path()))
    }

    /// An output of the stack, for instance `NotifierFunction`.
    pub fn output(&self, name: &str) -> Result<&str> {
        let missing = || Failure::new("read the stack's outputs", format!("there is no output `{name}`"));
        self.outputs.get(name).map(String::as_str).ok_or_else(missing)
    }

    /// The inbox.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The table service, by plain REST and not through any proxy.
    pub fn table(&self) -> &TableService {
        &self.table
    }

    /// The table with the leads.
    pub fn leads_table(&self) -> &str {
        LEADS_TABLE
    }

    /// The table with the functions' state.
    pub fn state_table(&self) -> &str {
        STATE_TABLE
    }

    /// The AWS emulator, with all rights.
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The secret key that goes with the access key `local`.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// The access key that has all rights.
    pub fn access_key(&self) -> &str {
        ACCESS_KEY
    }

    /// The proxy between functions and table, with [`Options::proxies`].
    pub fn table_proxy(&self) -> Option<&Proxy> {
        self.table_proxy.as_ref()
    }

    /// The proxy between functions and AWS (mail, queue, parameters), with [`Options::proxies`].
    pub fn aws_proxy(&self) -> Option<&Proxy> {
        self.aws_proxy.as_ref()
    }

    /// The folder with the logs.
    pub fn logs_folder(&self) -> &Path {
        &self.run.folder
    }

    /// AWS with the rights of a function's role, by the stack's output that names the function.
    pub async fn role_of(&self, output: &str) -> Result<Aws> {
        let path = format!("/2015-03-31/functions/{}/configuration", self.output(output)?);
        let configuration = self.aws.rest("lambda", Method::GET, &path, None).await?;
        let role = self.aws.assume_role(configuration["Role"].as_str().unwrap_or_default()).await?;
        Ok(role.at(&self.gateway.address()))
    }

    /// Invokes a function and waits for its answer; see [`invoke`].
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Invocation> {
        invoke(&self.aws, function, event).await.map_err(|failure| failure.log(self.run.log("aws")))
    }

    /// Overwrites one of the secrets in SSM, by the last part of its parameter's name. Functions read it when they start.
    pub async fn set_secret(&self, name: &str, value: &str) -> Result<()> {
        let name = format!("/marketplace-leads/{name}");
        let parameter = json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true });
        Ok(self.aws.json("ssm", "AmazonSSM.PutParameter", parameter).await.map(drop)?)
    }

    /// Makes a function start afresh with its next invocation, by the stack's output that names it.
    pub async fn restart(&self, output: &str) -> Result<()> {
        let started = Timestamp::now().to_string();
        Ok(deploy::set_variable(&self.aws, self.output(output)?, "RESTARTED", &started).await?)
    }

    /// The processes of a function, by the stack's output that names it.
    pub fn processes_of(&self, output: &str) -> Result<FunctionProcesses> {
        Ok(FunctionProcesses::new(&self.run.folder, self.output(output)?))
    }

    /// Fires the deployed schedule now: copies its target into a schedule for this moment. The emulator looks at
    /// schedules every ten seconds.
    pub async fn fire_schedule(&self) -> Result<()> {
        let path = format!("/schedules/{}", self.output("ScheduleName")?);
        let schedule = self.aws.rest("scheduler", Method::GET, &path, None).await?;
        let once = json!({
            "ScheduleExpression": Timestamp::now().strftime("at(%Y-%m-%dT%H:%M:%S)").to_string(),
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": schedule["Target"],
            "ActionAfterCompletion": "DELETE",
        });
        let path = format!("/schedules/now-{}", random_hex(4));
        self.aws.rest("scheduler", Method::POST, &path, Some(once)).await?;
        Ok(())
    }

    /// Stops the table service; it keeps what it holds.
    pub async fn stop_table(&self) -> Result<()> {
        self.table_server.lock().await.stop().await
    }

    /// Starts the table service again, on the same port, with what it held.
    pub async fn start_table(&self) -> Result<()> {
        self.table_server.lock().await.resume(&self.run, &self.emulators, self.table.port()).await
    }

    /// What the functions have logged so far, line by line. Stream by stream: the emulator's search over all of them ends
    /// after 10,000 lines.
    pub async fn function_logs(&self) -> Result<String> {
        let ask = async |action: &str, request: &Value| {
            self.aws.json("logs", &format!("Logs_20140328.{action}"), request.clone()).await
        };
        let mut logs = String::new();
        let groups = ask("DescribeLogGroups", &json!({ "logGroupNamePrefix": "/aws/lambda/" })).await?;
        for group in groups["logGroups"].as_array().into_iter().flatten() {
            let mut list = json!({ "logGroupName": group["logGroupName"] });
            loop {
                let streams = ask("DescribeLogStreams", &list).await?;
                for stream in streams["logStreams"].as_array().into_iter().flatten() {
                    let mut request = json!({
                        "logGroupName": group["logGroupName"],
                        "logStreamName": stream["logStreamName"],
                        "startFromHead": true,
                    });
                    loop {
                        let page = ask("GetLogEvents", &request).await?;
                        for event in page["events"].as_array().into_iter().flatten() {
                            logs.push_str(event["message"].as_str().unwrap_or_default().trim_end());
                            logs.push('\n');
                        }
                        // The same token again is the end.
                        if page["nextForwardToken"] == request["nextToken"] {
                            break;
                        }
                        request["nextToken"] = page["nextForwardToken"].clone();
                    }
                }
                match &streams["nextToken"] {
                    Value::String(token) => list["nextToken"] = token.as_str().into(),
                    _ => break,
                }
            }
        }
        Ok(logs)
    }

    /// What each part has logged.
    pub fn part_logs(&self) -> Result<String> {
        let mut logs = String::new();
        for entry in fs::read_dir(&self.run.folder).or_fail("read the logs")?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let mut bytes = Vec::new();
                let read = File::open(entry.path()).and_then(|mut file| file.read_to_end(&mut bytes));
                read.or_fail("read the logs")?;
                logs.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        Ok(logs)
    }

    /// Everything that was logged: by the functions and by each part.
    pub async fn logs(&self) -> Result<String> {
        Ok(self.function_logs().await? + &self.part_logs()?)
    }
}

/// Invokes a function and waits for its answer. While the function is at its reserved concurrency, tries again, as the AWS
/// SDKs do, for up to a minute.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
pub async fn invoke(aws: &Aws, function: &str, event: &Value) -> Result<Invocation> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let headers = [("content-type", "application/json")];
    let since = Instant::now();
    let answer = loop {
        let answer = aws.send("lambda", Method::POST, &path, &headers, event.to_string().into_bytes()).await?;
        if answer.status != StatusCode::TOO_MANY_REQUESTS || since.elapsed() > Duration::from_secs(60) {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    if !answer.status.is_success() {
        let message = format!("{} {}", answer.status, answer.text());
        return Err(Failure::new("invoke a function", message).command(path));
    }
    let error = answer.headers.get("x-amz-function-error").and_then(|value| value.to_str().ok());
    Ok(Invocation { function_error: error.map(str::to_owned), payload: answer.json() })
}

/// Hexadecimal digits of so many random bytes.
fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    assert!(read.is_ok(), "the operating system gives no random numbers");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
