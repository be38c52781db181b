//! Everything that Marketplace Leads needs of two clouds, on one machine: a table service (Azurite's, or the strict one of
//! `tests/support`), an AWS emulator that deploys the project's own template with IAM enforced, and a mailbox.
//!
//! [`LocalCloud::start`] installs, builds, starts and deploys. Its value stands for the running cloud. Dropping the value
//! ends every process. Any number of clouds can run side by side. Tests share clouds: [`borrow`] gives one that was reset.

mod aws;
mod deploy;
mod failure;
mod function_processes;
mod functions;
mod gateway;
mod ignored;
mod inbox;
mod install;
mod invocation;
mod logs;
mod mail_files;
mod parts;
mod pool;
mod ports;
mod processes;
mod programs;
mod progress;
mod proof;
pub mod proxy;
mod receivers;
mod reset;
mod run;
mod secrets;
mod servers;
mod table;
mod workspace;

pub use aws::{Answer, Aws, AwsError, xml_values};
pub use deploy::{MAIL_FROM, MAIL_TO, STACK, for_emulator};
pub use failure::{Failure, Result};
pub use function_processes::{FunctionProcesses, Resident};
pub use functions::Packages;
pub use inbox::{Attachment, Body, Destination, Header, Inbox, Mail};
pub use invocation::Invocation;
pub use logs::FunctionLogs;
pub use parts::{LocalTable, TableKind};
pub use pool::{Borrowed, borrow};
pub use programs::shell_word;
pub use progress::Progress;
pub use proof::prove;
pub use receivers::{Received, Receivers};
pub use table::{MicrosoftLead, TableService, partition_of};

use crate::failure::OrFail;
use crate::gateway::Gateway;
use crate::install::Emulators;
use crate::parts::{Parts, TableServer};
use crate::processes::Process;
use crate::proxy::Proxy;
use crate::run::Run;
use crate::secrets::Secrets;
use crate::workspace::Workspace;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::sync::Mutex;

const REGION: &str = "eu-west-1";
const ACCESS_KEY: &str = "local";
const LEADS_TABLE: &str = "MarketplaceLeads";
const STATE_TABLE: &str = "MarketplaceLeadsState";
/// The variable that lets destinations be on this machine: `marketplace_leads::settings::LOOPBACK`.
const LOOPBACK: &str = "LEADS_DESTINATIONS_LOOPBACK";

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Puts a [`Proxy`] between the functions and the table, and one between them and AWS.
    pub proxies: bool,
    /// The table service.
    pub table: TableKind,
    /// Starts the [`Receivers`], makes a destination of each kind, and a route that names all of them and the mailbox.
    pub destinations: bool,
    /// Deploys nothing: the account has a verified sender and nothing else. For tests of what deploys.
    pub empty: bool,
    /// Parameters of the template, each with its value. Sender, recipients and architecture are set already.
    pub parameters: Vec<(String, String)>,
    /// The first of the ports on which the cloud is reached; or else it takes any that are free. With the same ports it
    /// has the same addresses and secrets from run to run.
    pub ports: Option<u16>,
    /// Writes each mail as a file, too, into [`LocalCloud::mails_folder`].
    pub mail_files: bool,
    /// Shows the progress of the start.
    pub progress: Progress,
}

/// A running local cloud. Dropping it ends all its processes and removes its data; its logs stay.
pub struct LocalCloud {
    run: Run,
    aws: Aws,
    secrets: Secrets,
    table: TableService,
    table_server: Mutex<TableServer>,
    table_proxy: Option<Proxy>,
    aws_proxy: Option<Proxy>,
    inbox: Inbox,
    receivers: Option<Receivers>,
    outputs: BTreeMap<String, String>,
    packages: &'static Packages,
    emulators: Emulators,
    // Fields are dropped in the order of their declaration: these are the last.
    gateway: Gateway,
    _aws_process: Process,
    _inbox_process: Process,
    _receivers_process: Option<Process>,
}

impl LocalCloud {
    /// Fails if Python or Node.js is missing, with a sentence about each.
    pub async fn check_prerequisites() -> Result<()> {
        install::prerequisites().await.map(drop)
    }

    /// Fails if a port of the range that begins with `first` is taken, and names it.
    pub fn check_ports(first: u16) -> Result<()> {
        ports::check(first)
    }

    /// Whether nothing was installed yet, so that a start takes minutes.
    pub async fn is_first_start() -> Result<bool> {
        Ok(!install::is_installed(&Workspace::find().await?.target))
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
        let packages = functions::packages(workspace, &run.log("build"), progress).await?;
        progress.done("functions built", since);

        let since = Instant::now();
        progress.set("starting the table service, the AWS emulator and the inbox");
        let secrets = match options.ports {
            Some(first) => Secrets::of_ports(&workspace.target, first)?,
            None => Secrets::new(),
        };
        let parts = Parts::start(&run, &emulators, &secrets.secret_key, &options).await?;
        progress.done("table service, AWS emulator and inbox started", since);

        let aws = Aws::new(&format!("http://127.0.0.1:{}", parts.aws_port), REGION, ACCESS_KEY, &secrets.secret_key);
        let mut cloud = Self {
            run,
            aws,
            secrets,
            table: parts.table,
            table_server: Mutex::new(parts.table_server),
            table_proxy: parts.table_proxy,
            aws_proxy: parts.aws_proxy,
            inbox: parts.inbox,
            receivers: parts.receivers,
            outputs: BTreeMap::new(),
            packages,
            emulators,
            gateway: parts.gateway,
            _aws_process: parts.aws_process,
            _inbox_process: parts.inbox_process,
            _receivers_process: parts.receivers_process,
        };
        if options.empty {
            deploy::verify_sender(&cloud.aws, MAIL_FROM).await?;
        } else {
            let since = Instant::now();
            progress.set("deploying infra/aws/template.yaml");
            let log = cloud.run.log("aws");
            cloud.deploy(workspace, &options).await.map_err(|failure| failure.log(log))?;
            progress.done("infra/aws/template.yaml deployed", since);
        }
        Ok(cloud)
    }

    /// Fills the account and deploys the template.
    async fn deploy(&mut self, workspace: &Workspace, options: &Options) -> Result<()> {
        let connection_string = connection_string_of_functions(&self.table, &self.table_proxy);
        deploy::fill_account(&self.aws, &connection_string, &self.secrets.intake_key).await?;
        let mut parameters = options.parameters.clone();
        if let Some(receivers) = &self.receivers {
            receivers.fill_account(&self.aws).await?;
            parameters.push(("RoutesParameter".to_owned(), receivers::ROUTES.to_owned()));
        }
        for table in [LEADS_TABLE, STATE_TABLE] {
            self.table.create(table).await?;
        }
        self.outputs = deploy::deploy(&self.aws, workspace, self.packages, &parameters).await?;
        ignored::set(&self.aws).await?;
        if let Ok(address) = self.function_url("IntakeUrl") {
            self.gateway.show_intake(address.replacen(self.aws.endpoint(), "", 1));
        }
        if self.receivers.is_some() {
            // No template can set it: only someone who may change the functions themselves can.
            for function in ["NotifierFunction", "ValidationFunction"] {
                deploy::set_variable(&self.aws, self.output(function)?, LOOPBACK, "allow").await?;
            }
        }
        Ok(())
    }

    /// The intake URL with its key: what is pasted into Partner Center.
    pub fn intake_url(&self) -> Result<String> {
        Ok(format!("{}?code={}", self.function_url("IntakeUrl")?, self.intake_key()))
    }

    /// The same through the gateway, where it depends on port and key alone.
    pub fn lasting_intake_url(&self) -> String {
        format!("{}?code={}", self.gateway.intake_address(), self.intake_key())
    }

    /// Where AWS is reached as the functions reach it: through the gateway.
    pub fn aws_endpoint(&self) -> String {
        self.gateway.address()
    }

    /// The intake key.
    pub fn intake_key(&self) -> &str {
        &self.secrets.intake_key
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

    /// What webhooks, Teams and Slack were sent, with [`Options::destinations`].
    pub fn receivers(&self) -> Option<&Receivers> {
        self.receivers.as_ref()
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
        &self.secrets.secret_key
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

    /// The folder with the mails as files, with [`Options::mail_files`]: `1.html`, `2.html`, and `newest.html`.
    pub fn mails_folder(&self) -> PathBuf {
        self.run.mails()
    }

    /// Makes the folder with the operator's command, `leads`, and the AWS CLI that it needs; gives the folder.
    pub async fn programs(&self) -> Result<PathBuf> {
        programs::write(Workspace::find().await?, &self.emulators)
    }

    /// Every function's name and its zip, as built with the dev profile.
    pub fn packages(&self) -> &Packages {
        self.packages
    }

    /// Python with the AWS CLI in it, which is beside it.
    pub fn python(&self) -> &Path {
        &self.emulators.python
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

    /// Invokes a function by its name and waits for its answer. While it is at its reserved concurrency, tries again for up
    /// to a minute.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Invocation> {
        invocation::invoke(&self.aws, function, event).await.map_err(|failure| failure.log(self.run.log("aws")))
    }

    /// Overwrites one of the secrets in SSM, by the last part of its parameter's name. Functions read it when they start.
    pub async fn set_secret(&self, name: &str, value: &str) -> Result<()> {
        Ok(deploy::put_secret(&self.aws, name, value).await?)
    }

    /// Makes a function start afresh with its next invocation, by the stack's output that names it.
    pub async fn restart(&self, output: &str) -> Result<()> {
        self.restart_function(self.output(output)?).await
    }

    /// The same by the function's name. AWS does it with every change of a function, and the emulator with one of its
    /// variables alone.
    pub async fn restart_function(&self, name: &str) -> Result<()> {
        let started = Timestamp::now().to_string();
        Ok(deploy::set_variable(&self.aws, name, "RESTARTED", &started).await?)
    }

    /// The processes of a function, by the stack's output that names it.
    pub fn processes_of(&self, output: &str) -> Result<FunctionProcesses> {
        Ok(FunctionProcesses::new(&self.run.folder, self.output(output)?))
    }

    /// Fires the deployed schedule now, by a second schedule for this moment with the same target. The emulator checks its
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

    /// Stops the table service. It keeps its rows.
    pub async fn stop_table(&self) -> Result<()> {
        self.table_server.lock().await.stop().await
    }

    /// Starts the table service again, on the same port and with the same rows.
    pub async fn start_table(&self) -> Result<()> {
        self.table_server.lock().await.resume(&self.run, &self.emulators, self.table.port()).await
    }
}

/// The connection string for the functions. It leads through the proxy if there is one.
fn connection_string_of_functions(table: &TableService, proxy: &Option<Proxy>) -> String {
    table::connection_string(proxy.as_ref().map_or(table.port(), Proxy::port))
}

/// Hexadecimal digits of so many random bytes.
fn random_hex(bytes: usize) -> String {
    hex::encode(random_bytes(bytes))
}

fn random_bytes(bytes: usize) -> Vec<u8> {
    let mut random = vec![0; bytes];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    assert!(read.is_ok(), "the operating system gives no random numbers");
    random
}
