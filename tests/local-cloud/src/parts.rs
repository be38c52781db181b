//! The emulators together, wired to each other.

use crate::aws::Aws;
use crate::failure::{OrFail, Result};
use crate::gateway::Gateway;
use crate::inbox::Inbox;
use crate::install::{self, Emulators};
use crate::mail_files::MailFiles;
use crate::ports::Ports;
use crate::processes::{Part, Process, free_port};
use crate::progress::Progress;
use crate::proxy::Proxy;
use crate::receivers::Receivers;
use crate::run::Run;
use crate::table::TableService;
use crate::workspace::Workspace;
use crate::{ACCESS_KEY, Options, REGION};
use std::path::Path;
use support::strict_table::{Settings, StrictTable};

/// How many times a part is started, should its port, which was free, be taken between its choice and its use.
const START_TRIES: u32 = 3;

/// The parts that have been started together.
pub(crate) struct Parts {
    pub(crate) aws_port: u16,
    pub(crate) inbox: Inbox,
    pub(crate) table: TableService,
    pub(crate) table_server: TableServer,
    pub(crate) table_proxy: Option<Proxy>,
    pub(crate) aws_proxy: Option<Proxy>,
    pub(crate) gateway: Gateway,
    pub(crate) aws_process: Process,
    pub(crate) inbox_process: Process,
    pub(crate) receivers: Option<Receivers>,
    pub(crate) receivers_process: Option<Process>,
}

impl Parts {
    pub(crate) async fn start(run: &Run, emulators: &Emulators, secret_key: &str, options: &Options) -> Result<Self> {
        // There are no other ports to try where they were asked for.
        let tries = if options.ports.is_some() { 1 } else { START_TRIES };
        let mut tried = 1;
        loop {
            match Self::start_once(run, emulators, secret_key, options).await {
                Err(_) if tried < tries => tried += 1,
                outcome => return outcome,
            }
        }
    }

    async fn start_once(run: &Run, emulators: &Emulators, secret_key: &str, options: &Options) -> Result<Self> {
        let proxies = options.proxies;
        let ports = Ports::choose(options.ports)?;
        let (aws_port, inbox_port, table_port) = (free_port()?, ports.inbox, ports.table);
        let endpoint = format!("http://127.0.0.1:{aws_port}");
        let inbox = Inbox::new(inbox_port);
        let aws = Aws::new(&endpoint, REGION, ACCESS_KEY, secret_key);
        let mails = if options.mail_files { Some(MailFiles::create(run.mails())?) } else { None };
        let gateway = Gateway::start(ports.gateway, aws, inbox.address(), mails).await?;
        let aws_proxy = if proxies { Some(Proxy::start(gateway.address()).await?) } else { None };
        let table_proxy =
            if proxies { Some(Proxy::start(format!("http://127.0.0.1:{table_port}")).await?) } else { None };
        let functions_endpoint = aws_proxy.as_ref().map_or_else(|| gateway.address(), Proxy::address);

        let aws_environment = [
            ("GATEWAY_PORT", aws_port.to_string()),
            ("BIND_HOST", "127.0.0.1".to_owned()),
            ("AUTH", "true".to_owned()),
            ("MINISTACK_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret_key.to_owned()),
            // The functions inherit it.
            ("AWS_ENDPOINT_URL", functions_endpoint),
            // They would listen on every interface.
            ("SFTP_ENABLED", "0".to_owned()),
            ("IOT_MTLS_ENABLED", "0".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ];
        let aws_process = Process::start(Part {
            name: "the AWS emulator",
            python: &emulators.python,
            command: words([emulators.python.as_path(), Path::new("-m"), Path::new("ministack")]),
            environment: aws_environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            folder: run.folder.join("data/aws"),
            log: run.log("aws"),
            ready: "Running on http",
        });
        let inbox_process = Process::start(Part {
            name: "the inbox",
            python: &emulators.python,
            command: words([
                emulators.node.as_path(),
                &emulators.node_modules.join("aws-ses-v2-local/dist/cli.js"),
                Path::new("--host"),
                Path::new("127.0.0.1"),
                Path::new("--port"),
                Path::new(&inbox_port.to_string()),
            ]),
            environment: Vec::new(),
            folder: run.folder.join("data/inbox"),
            log: run.log("inbox"),
            ready: "server running at",
        });
        let receivers =
            if options.destinations { Some(Receivers::new(ports.receivers, inbox.address())) } else { None };
        let receivers_process = async {
            match &receivers {
                Some(receivers) => receivers.start(run, emulators).await.map(Some),
                None => Ok(None),
            }
        };
        let table_server = TableServer::start(options.table, run, emulators, table_port);
        let (aws_process, inbox_process, table_server, receivers_process) =
            futures::join!(aws_process, inbox_process, table_server, receivers_process);
        Ok(Self {
            aws_port,
            inbox,
            table: TableService::new(table_port),
            table_server: table_server?,
            table_proxy,
            aws_proxy,
            gateway,
            aws_process: aws_process?,
            inbox_process: inbox_process?,
            receivers_process: receivers_process?,
            receivers,
        })
    }
}

/// Which table service a local cloud has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum TableKind {
    /// Microsoft's emulator.
    #[default]
    Azurite,
    /// The service of `tests/support`, which keeps the limits that the emulator does not keep.
    Strict,
}

/// The table service of a cloud. It keeps its rows while it is stopped.
pub(crate) enum TableServer {
    /// The emulator, while it runs.
    Azurite(Option<Process>),
    /// The strict service, in this process.
    Strict(StrictTable),
}

impl TableServer {
    async fn start(kind: TableKind, run: &Run, emulators: &Emulators, port: u16) -> Result<Self> {
        Ok(match kind {
            TableKind::Azurite => Self::Azurite(Some(start_azurite(run, emulators, port).await?)),
            TableKind::Strict => {
                let settings = Settings { port, ..Settings::default() };
                Self::Strict(StrictTable::start(settings).or_fail("start the strict table service")?)
            }
        })
    }

    /// Stops it; it keeps what it holds.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        match self {
            Self::Azurite(process) => match process.take() {
                Some(process) => process.stop().await,
                None => Ok(()),
            },
            Self::Strict(service) => {
                service.stop().await;
                Ok(())
            }
        }
    }

    /// Starts it again on its port, with what it held.
    pub(crate) async fn resume(&mut self, run: &Run, emulators: &Emulators, port: u16) -> Result<()> {
        match self {
            Self::Azurite(Some(_)) => Ok(()),
            Self::Azurite(process) => {
                *process = Some(start_azurite(run, emulators, port).await?);
                Ok(())
            }
            Self::Strict(service) => service.resume().or_fail("start the strict table service"),
        }
    }
}

async fn start_azurite(run: &Run, emulators: &Emulators, port: u16) -> Result<Process> {
    let (data, port) = (run.folder.join("data/table"), port.to_string());
    Process::start(Part {
        name: "the table service",
        python: &emulators.python,
        command: words([
            emulators.node.as_path(),
            &emulators.node_modules.join("azurite/dist/src/table/main.js"),
            Path::new("--tableHost"),
            Path::new("127.0.0.1"),
            Path::new("--tablePort"),
            Path::new(&port),
            Path::new("--location"),
            &data,
            Path::new("--silent"),
            Path::new("--disableTelemetry"),
        ]),
        environment: Vec::new(),
        folder: data.clone(),
        log: run.log("table"),
        ready: "successfully started",
    })
    .await
}

pub(crate) fn words<const N: usize>(words: [&Path; N]) -> Vec<String> {
    words.map(|word| word.to_string_lossy().into_owned()).to_vec()
}

/// The table service alone, for tests that need no more. Dropping it ends it.
pub struct LocalTable {
    service: TableService,
    _process: Process,
    _run: Run,
}

impl LocalTable {
    /// Installs what is not there yet and starts the table service, with no table in it.
    pub async fn start() -> Result<Self> {
        let workspace = Workspace::find().await?;
        let run = Run::create(&workspace.target)?;
        let emulators = install::install(workspace, &run.log("install"), &Progress::default()).await?;
        let mut tried = 1;
        loop {
            let port = free_port()?;
            match start_azurite(&run, &emulators, port).await {
                Err(_) if tried < START_TRIES => tried += 1,
                Err(failure) => return Err(failure),
                Ok(process) => return Ok(Self { service: TableService::new(port), _process: process, _run: run }),
            }
        }
    }

    /// The service, by plain REST.
    pub fn table(&self) -> &TableService {
        &self.service
    }
}
