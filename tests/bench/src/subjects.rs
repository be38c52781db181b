//! What is measured: programs, and the stage on which they are.

use crate::peers::{self, Peers};
use crate::{Authority, Lambda, MailTaker, Result, leads};
use bench_floor::BareTable;
use local_cloud::LocalTable;
use marketplace_leads::table::azure::{AzureTable, AzureTables, Limits};
use marketplace_leads::table::{ConnectionString, Table as _};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The functions that are measured.
pub(crate) const FUNCTIONS: [&str; 5] =
    ["lead-intake", "lead-redelivery", "lead-notifier", "lead-validation", "lead-export"];

/// A program that can be run as a function.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it is called in tables.
    pub name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) folder: PathBuf,
}

/// Which build of the functions is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As deployed.
    Release,
    /// What tests run.
    Dev,
}

impl Subject {
    /// Our function of this name, built if it is not.
    pub async fn built(function: &str, build: Build) -> Result<Self> {
        build_functions(build, &[function]).await?;
        Self::of_ours("Rust (this project)", build, function)
    }

    fn of_ours(name: &'static str, build: Build, file: &str) -> Result<Self> {
        let folder = target()?.join(if build == Build::Release { "release" } else { "debug" });
        Ok(Self { name, program: folder.join(file), arguments: Vec::new(), folder })
    }
}

/// The table service, the taker of mails and all programs.
pub struct Stage {
    /// Azurite.
    pub table: LocalTable,
    /// Takes mails.
    pub mail: MailTaker,
    build: Build,
    peers: Peers,
}

/// The target folder that this program was built in.
pub(crate) fn target() -> Result<PathBuf> {
    let folder = std::env::current_exe()?;
    // target/<profile>/deps/<program>
    Ok(folder.ancestors().nth(3).ok_or("not in a target folder")?.to_owned())
}

impl Stage {
    /// Builds and installs what is missing, and starts the parts.
    pub async fn set(build: Build) -> Result<Self> {
        build_functions(build, &[&FUNCTIONS[..], &["bench-floor"]].concat()).await?;
        let (table, mail, peers) = (LocalTable::start().await?, MailTaker::start().await?, peers::install().await?);
        Ok(Self { table, mail, build, peers })
    }

    /// Where the functions' binaries are.
    pub fn binaries(&self) -> Result<PathBuf> {
        Ok(target()?.join(if self.build == Build::Release { "release" } else { "debug" }))
    }

    /// Our function of this name, such as `lead-intake`.
    pub fn ours(&self, function: &str) -> Result<Subject> {
        self.binary("Rust (this project)", function)
    }

    /// Intake as deployed, but that it trusts this authority in place of the public ones. A package of its own builds it,
    /// outside the workspace and into a folder of its own: nothing of it can get into what is deployed.
    pub async fn ours_trusting(&self, authority: &Authority) -> Result<Subject> {
        let folder = target()?.join("bench/tls-build");
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("tls-build");
        let mut command = cargo_build(&package);
        command
            .args(["--release", "--locked", "--target-dir"])
            .arg(&folder)
            .env("LEADS_TEST_AUTHORITY", authority.der());
        done(command).await?;
        let folder = folder.join("release");
        let program = folder.join("lead-intake");
        Ok(Subject { name: "Rust (this project)", program, arguments: Vec::new(), folder })
    }

    /// An empty handler on the same runtime.
    pub fn empty(&self) -> Result<Subject> {
        self.binary("empty handler", "floor-empty")
    }

    /// An empty handler that makes a bare insert.
    pub fn bare_insert(&self) -> Result<Subject> {
        self.binary("empty handler + bare insert", "floor-insert")
    }

    fn binary(&self, name: &'static str, file: &str) -> Result<Subject> {
        Subject::of_ours(name, self.build, file)
    }

    /// The peer in Python: `intake`, `notifier` or `export`.
    pub fn python(&self, module: &str) -> Subject {
        let Peers { python, python_folder, .. } = &self.peers;
        let arguments = ["-m", "awslambdaric", &format!("{module}.handler")].map(str::to_owned).to_vec();
        Subject { name: "Python", program: python.clone(), arguments, folder: python_folder.clone() }
    }

    /// The peer in Node.js: `intake`, `notifier` or `export`.
    pub fn node(&self, module: &str) -> Subject {
        let Peers { node, node_folder, .. } = &self.peers;
        let arguments = vec!["runtime.mjs".to_owned(), format!("./{module}.mjs")];
        Subject { name: "Node.js", program: node.clone(), arguments, folder: node_folder.clone() }
    }

    /// Our function and the two peers.
    pub fn all(&self, job: &str) -> Result<[Subject; 3]> {
        Ok([self.ours(&format!("lead-{job}"))?, self.node(job), self.python(job)])
    }

    /// A connection string of the table service behind a port: its own, or a proxy's.
    pub fn connection_string(&self, port: u16) -> String {
        let own = format!(":{}/", self.table.table().port());
        self.table.table().connection_string().replace(&own, &format!(":{port}/"))
    }

    /// Creates a table, and gives it.
    pub async fn create(&self, name: &str) -> Result<AzureTable> {
        let table = self.open(self.table.table().port(), name)?;
        table.create().await?;
        Ok(table)
    }

    /// A table behind a port.
    pub fn open(&self, port: u16, name: &str) -> Result<AzureTable> {
        let connection = ConnectionString::parse(&self.connection_string(port))?;
        Ok(AzureTables::new(&connection, Limits::default())?.table(name))
    }

    /// A bare client of a table behind a port.
    pub fn bare(&self, port: u16, table: &str) -> Result<BareTable> {
        BareTable::new(&self.connection_string(port), table)
    }

    /// The settings of all functions, with these tables behind this port.
    pub fn environment(&self, port: u16, table: &str, state: &str) -> Vec<(String, String)> {
        let connection = self.connection_string(port);
        [
            ("LEADS_STORAGE_CONNECTION_STRING", connection.as_str()),
            ("LEADS_TABLE", table),
            ("LEADS_STATE_TABLE", state),
            ("LEADS_INTAKE_KEYS", leads::KEY),
            ("LEADS_INTAKE_URL", "https://abc.lambda-url.eu-west-1.on.aws/leads"),
            ("LEADS_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/000000000000/leads"),
            ("LEADS_DEAD_LETTER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/000000000000/dead"),
            ("LEADS_MAIL_FROM", "leads@contoso.example"),
            ("LEADS_MAIL_TO", "sales@contoso.example"),
            ("LEADS_FIRST_LOOKBACK_MINUTES", "1"),
            ("LEADS_CADENCE", "immediately"),
            ("LEADS_OVERLAP_MINUTES", "1"),
            ("LEADS_SWEEP_HOURS", "0"),
            ("AWS_ENDPOINT_URL_SESV2", &self.mail.address()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Starts a subject with these tables.
    pub async fn start(&self, subject: &Subject, port: u16, table: &str, state: &str) -> Result<Lambda> {
        Lambda::start(subject, &self.environment(port, table, state)).await
    }
}

/// Builds the binaries of these packages.
async fn build_functions(build: Build, packages: &[&str]) -> Result<()> {
    match build {
        // Each package alone, as a deployment builds it: with nothing in it that another one needs.
        Build::Release => {
            for package in packages {
                cargo(&["--release", "--bins", "--package", package]).await?;
            }
            Ok(())
        }
        // All together, as the tests build them.
        Build::Dev => cargo(&["--workspace", "--bins"]).await,
    }
}

/// Builds binaries of the workspace.
async fn cargo(arguments: &[&str]) -> Result<()> {
    let mut command = cargo_build(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command.args(arguments);
    done(command).await
}

/// `cargo build` in a folder.
fn cargo_build(folder: &Path) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.arg("build").arg("--quiet").current_dir(folder);
    // What `cargo bench` and `cargo test` tell about the package that they run would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_PRIMARY_"].iter().any(|own| text.starts_with(own)) {
            command.env_remove(&name);
        }
    }
    command
}

async fn done(mut command: Command) -> Result<()> {
    let status = command.status().await?;
    if status.success() { Ok(()) } else { Err(format!("cargo ended with {status}").into()) }
}
