//! A release as its user has it: the folder, the AWS CLI and Python, and no Rust. From nothing to the first mail, each
//! command of `leads` once, and nothing left.

use local_cloud::proxy::{Fault, Reply, Seen};
use local_cloud::{LocalCloud, MAIL_FROM, MAIL_TO, MicrosoftLead, Options, for_emulator, xml_values};
use pack::Architecture;
use pack::workspace::Workspace;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

const CUSTOMER: &str = "ana.lima@fabrikam.example";

/// A folder that a person works in, and what is in `PATH` there.
struct User {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
    began: Instant,
    /// Ends with this value.
    _aws: Child,
}

impl User {
    /// With Python and the AWS CLI in `PATH`, and nothing else.
    async fn new(cloud: &LocalCloud) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (programs, socket) = (folder.path().join("programs"), folder.path().join("aws.socket"));
        fs::create_dir(&programs).unwrap();
        let cli = include_str!("../../../operator/aws_cli.py");
        fs::write(programs.join("aws"), format!("#!{} -IS\n{cli}", cloud.python().display())).unwrap();
        fs::set_permissions(programs.join("aws"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = [programs.as_path(), cloud.python().parent().unwrap()].map(|path| path.display().to_string());
        let environment = vec![
            ("PATH", path.join(":")),
            ("HOME", folder.path().display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("AWS_WARM", socket.display().to_string()),
            ("AWS_ENDPOINT_URL", cloud.aws().endpoint().to_owned()),
            ("AWS_ACCESS_KEY_ID", cloud.access_key().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", cloud.secret_key().to_owned()),
        ];
        let mut aws = Command::new(cloud.python());
        aws.arg("-c").arg(cli).arg(&socket).env_clear().envs(environment.iter().cloned()).kill_on_drop(true);
        let aws = aws.stdin(Stdio::null()).spawn().unwrap();
        let since = Instant::now();
        while !socket.exists() {
            assert!(since.elapsed() < Duration::from_secs(60), "the AWS CLI does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { folder, environment, began: Instant::now(), _aws: aws }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Uses the command of a release from now on, as a person puts its folder into `PATH`.
    fn use_release(&mut self, name: &str) {
        let (folder, path) = (self.path(name), &mut self.environment[0].1);
        *path = format!("{}:{path}", folder.display());
    }

    /// Gives a command of `leads`, types lines, and gives what it printed. It must end with a status and say something.
    async fn leads(&self, command: &str, typed: &str, status: i32, said: &str) -> String {
        let since = Instant::now();
        // A shell finds the program, as it does for a person. Python starts it, whose environment names another `PATH`.
        let program = std::env::split_paths(&self.environment[0].1).map(|folder| folder.join("leads"));
        let program = program.into_iter().find(|path| path.is_file()).unwrap();
        let mut child = Command::new(program)
            .args(command.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        println!(
            "{:6.1} s  {:5.1} s  leads {command}",
            self.began.elapsed().as_secs_f32(),
            since.elapsed().as_secs_f32()
        );
        assert_eq!(output.status.code(), Some(status), "leads {command}\n{out}\n{err}");
        assert!(format!("{out}{err}").contains(said), "leads {command} does not say `{said}`:\n{out}\n{err}");
        out
    }
}

/// Writes a release of the functions as tests have them, and the one before: with a setting that this one does not have
/// any more, and another lead-notifier.
fn make_releases(cloud: &LocalCloud, folder: &Path) {
    let (workspace, binaries) = (Workspace::find().unwrap(), tempfile::tempdir().unwrap());
    for (name, zip) in cloud.packages() {
        let mut program = Vec::new();
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        archive.by_name("bootstrap").unwrap().read_to_end(&mut program).unwrap();
        fs::write(binaries.path().join(name), program).unwrap();
    }
    let architecture = if cfg!(target_arch = "aarch64") { Architecture::Arm } else { Architecture::X86 };
    let builds = BTreeMap::from([(architecture, binaries.path().to_owned())]);
    let (new, old) = (folder.join("release-new"), folder.join("release"));
    pack::release::make_at(&workspace, &builds, &new, 1).unwrap();
    let template = fs::read_to_string(new.join("template.yaml")).unwrap();
    let template = for_emulator(&template, cloud.aws().endpoint());
    fs::write(new.join("template.yaml"), &template).unwrap();
    sum(&new, &["template.yaml"]);

    fs::create_dir(&old).unwrap();
    for entry in fs::read_dir(&new).unwrap().flatten() {
        fs::copy(entry.path(), old.join(entry.file_name())).unwrap();
    }
    let retired = "\nParameters:\n  Retired:\n    Type: String\n    Default: ''\n";
    fs::write(old.join("template.yaml"), template.replacen("\nParameters:\n", retired, 1)).unwrap();
    let name = format!("lead-notifier-{architecture}.zip");
    let notifier = fs::File::options().read(true).write(true).open(old.join(&name)).unwrap();
    let mut notifier = zip::ZipWriter::new_append(notifier).unwrap();
    notifier.set_comment("the version before").unwrap();
    notifier.finish().unwrap();
    sum(&old, &["template.yaml", &name]);
}

/// Writes the checksums of the files of a release that were changed.
fn sum(release: &Path, changed: &[&str]) {
    let sums = release.join(pack::release::SUMS);
    let before = fs::read_to_string(&sums).unwrap();
    let lines = before.lines().map(|line| match line.split_once("  ").unwrap() {
        (_, name) if changed.contains(&name) => {
            format!("{}  {name}\n", hex::encode(Sha256::digest(fs::read(release.join(name)).unwrap())))
        }
        _ => format!("{line}\n"),
    });
    fs::write(&sums, lines.collect::<String>()).unwrap();
}

/// The names of everything that a stack could leave in an account.
async fn account(cloud: &LocalCloud) -> BTreeMap<&'static str, Vec<String>> {
    let aws = cloud.aws();
    let query = async |service: &str, action: &str, version: &str, name: &str| {
        xml_values(&aws.query(service, action, version, &[]).await.unwrap(), name)
    };
    let names = |list: &Value, name: &str| {
        let entries = list.as_array().into_iter().flatten();
        entries.map(|entry| entry.get(name).unwrap_or(entry).as_str().unwrap().to_owned()).collect()
    };
    let rest = async |service: &str, path: &str, list: &str, name: &str| -> Vec<String> {
        names(&aws.rest(service, Method::GET, path, None).await.unwrap()[list], name)
    };
    let asked = async |service: &str, action: &str, list: &str, name: &str| -> Vec<String> {
        names(&aws.json(service, action, json!({})).await.unwrap()[list], name)
    };
    let buckets = aws.send("s3", Method::GET, "/", &[], Vec::new()).await.unwrap().text();
    BTreeMap::from([
        ("alarms", query("monitoring", "DescribeAlarms", "2010-08-01", "AlarmName").await),
        ("buckets", xml_values(&buckets, "Name")),
        ("configuration sets", rest("ses", "/v2/email/configuration-sets", "ConfigurationSets", "").await),
        ("dashboards", query("monitoring", "ListDashboards", "2010-08-01", "DashboardName").await),
        ("functions", rest("lambda", "/2015-03-31/functions/", "Functions", "FunctionName").await),
        ("identities", rest("ses", "/v2/email/identities", "EmailIdentities", "IdentityName").await),
        ("logs", asked("logs", "Logs_20140328.DescribeLogGroups", "logGroups", "logGroupName").await),
        ("parameters", asked("ssm", "AmazonSSM.DescribeParameters", "Parameters", "Name").await),
        ("queues", asked("sqs", "AmazonSQS.ListQueues", "QueueUrls", "").await),
        ("roles", query("iam", "ListRoles", "2010-05-08", "RoleName").await),
        ("schedules", rest("scheduler", "/schedules", "Schedules", "Name").await),
        ("stacks", query("cloudformation", "DescribeStacks", "2010-05-15", "StackName").await),
        ("topics", query("sns", "ListTopics", "2010-03-31", "TopicArn").await),
    ])
}

/// Microsoft writes a lead into the table.
async fn lead(cloud: &LocalCloud, email: &str) {
    let lead = MicrosoftLead {
        source: "AzureMarketplace".to_owned(),
        action: "INS".to_owned(),
        offer: "contoso.backup-suite".to_owned(),
        offer_name: "Backup Suite".to_owned(),
        customer: json!({ "FirstName": "Ana", "LastName": "Lima", "Email": email }),
        description: String::new(),
    };
    cloud.table().insert_microsoft_lead(cloud.leads_table(), &lead, jiff::Timestamp::now()).await.unwrap();
}

/// The line of an output in which an address with an intake key is.
fn address(out: &str) -> String {
    out.split_whitespace().find(|word| word.contains("/leads?code=")).unwrap().to_owned()
}

async fn post(cloud: &LocalCloud, address: &str) -> u16 {
    let url = url::Url::parse(address).unwrap();
    let id = url.host_str().unwrap().split('.').next().unwrap();
    let local = format!("{}/_aws/lambda-url/{id}/leads?{}", cloud.aws().endpoint(), url.query().unwrap());
    let body = include_str!("../../../fixtures/leads/documented.json");
    reqwest::Client::new().post(local).body(body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_release_alone_leads_to_the_first_mail_through_every_command_and_back_to_nothing() {
    let cloud = LocalCloud::start(Options { proxies: true, empty: true, ..Options::default() }).await.unwrap();
    let since = Instant::now();
    let mut user = User::new(&cloud).await;
    make_releases(&cloud, user.folder.path());
    println!("the releases were made in {:.1} s", since.elapsed().as_secs_f32());
    let before = account(&cloud).await;
    let connection = format!("{}\n", cloud.table().connection_string());

    user.began = Instant::now();
    user.use_release("release");
    let setup = format!(
        "--region eu-west-1 --yes setup --mail-from {MAIL_FROM} --mail-to {MAIL_TO} --alarm-email ops@contoso.example \
         --set Cadence=immediately --set IntervalMinutes=60 --set Retired=soon"
    );
    let printed = user.leads(&setup, &connection, 0, "SES has accepted its mail: look into the inbox.").await;
    println!("from nothing to the first mail: {:.1} s", user.began.elapsed().as_secs_f32());
    let mails = cloud.inbox().mails().await.unwrap();
    assert_eq!((mails.len(), mails[0].destination.to.as_slice()), (1, [MAIL_TO.to_owned()].as_slice()));
    let old_address = address(&printed);
    let with_stack = account(&cloud).await;
    assert!(with_stack.iter().filter(|(kind, names)| before[*kind] != **names).count() > 8, "{with_stack:?}");

    looking(&user).await;
    notifying(&cloud, &user).await;
    files(&cloud, &user).await;
    settings_and_receivers(&user).await;

    user.leads("--yes setup --signature", "", 0, "a shared access signature made of the connection string").await;
    user.leads("rotate storage-key", &connection, 0, "The functions use the new key.").await;
    let new_address = address(&user.leads("rotate intake-key", "", 0, "Both keys are valid now").await);
    user.leads("--yes rotate intake-key --finish", "", 0, "Only the new key is valid now.").await;
    cloud.restart_function("leads-lead-intake").await.unwrap();
    assert_eq!((post(&cloud, &old_address).await, post(&cloud, &new_address).await), (401, 201));

    user.use_release("release-new");
    user.leads("--yes update", "", 0, "This release has no setting Retired any more").await;
    user.leads("--yes update", "", 0, "The stack is at this release already.").await;
    user.leads("settings get Cadence", "", 0, "immediately").await;

    let rows = cloud.table().rows(cloud.leads_table()).await.unwrap();
    user.leads("--yes remove", "", 0, "the storage account with the leads").await;
    let mails = cloud.inbox().mails().await.unwrap();
    assert!(mails.last().unwrap().body.text.contains("someone@contoso.com"), "what had come was mailed first");
    assert_eq!(account(&cloud).await, before);
    assert_eq!(cloud.table().rows(cloud.leads_table()).await.unwrap(), rows);
    assert!(!user.path(".leads.json").exists());
    println!("all commands: {:.1} s", user.began.elapsed().as_secs_f32());
}

async fn looking(user: &User) {
    user.leads("status", "", 0, "No alarm is on.").await;
    user.leads("validate", "", 0, "round-trip").await;
    user.leads("logs notifier", "", 0, "NotifierRuns").await;
}

async fn notifying(cloud: &LocalCloud, user: &User) {
    lead(cloud, CUSTOMER).await;
    user.leads("dry-run", "", 0, "A run would send 1 digest with 1 new lead").await;
    user.leads("pause", "", 0, "The notifier is paused").await;
    user.leads("resume", "", 0, "The pause is over.").await;
    user.leads("run", "", 0, "1 new lead, 1 lead sent in 1 mail").await;
    user.leads("history --last 5", "", 0, "1 lead sent in 1 mail").await;
    user.leads("test --to me@contoso.example", "", 0, "Sent 1 mail with a made-up digest by the route default.").await;
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let backfill = format!("--yes backfill --since {today} --until 2999-01-01 --to colleague@contoso.example");
    user.leads(&backfill, "", 0, "marked as sent again").await;
    let mails = cloud.inbox().mails().await.unwrap();
    let to: Vec<_> = mails.iter().skip(1).flat_map(|mail| mail.destination.to.clone()).collect();
    assert_eq!(to, [MAIL_TO, "me@contoso.example", "colleague@contoso.example"]);

    // A mail that SES refuses is owed: giving it up ends that, and retrying it helps once SES takes it.
    let refuse = |seen: &Seen| {
        let refused = Reply::aws_error(400, "MessageRejected", "Email address is not verified.");
        seen.target.starts_with("/v2/email/outbound-emails").then_some(Fault::Answer(refused))
    };
    for ends_by_retrying in [false, true] {
        lead(cloud, "ben@fabrikam.example").await;
        cloud.aws_proxy().unwrap().set_faults(refuse);
        user.leads("run", "", 2, "leads validate looks for the cause").await;
        cloud.aws_proxy().unwrap().clear_faults();
        if ends_by_retrying {
            user.leads("retry", "", 0, "The next run tries 1 channel at once").await;
            user.leads("run", "", 0, "1 lead sent in 1 mail").await;
        } else {
            let owed: Value = serde_json::from_str(&user.leads("--json outbox", "", 0, "").await).unwrap();
            let channel = owed["channels"][0]["channel"].as_str().unwrap();
            user.leads(&format!("--yes discard {channel}"), "", 0, "Gave up 1 lead.").await;
        }
    }
    user.leads("outbox", "", 0, "Nothing is owed to anybody").await;
}

async fn files(cloud: &LocalCloud, user: &User) {
    user.leads("export --output leads.csv", "", 0, "Wrote leads.csv").await;
    assert!(fs::read_to_string(user.path("leads.csv")).unwrap().contains(CUSTOMER));
    let today = jiff::Timestamp::now().strftime("%m/%d/%Y");
    fs::write(user.path("list.csv"), format!("Email,Offer,Date\n{CUSTOMER},Backup Suite,{today}\n")).unwrap();
    user.leads("reconcile list.csv --dates month-first", "", 0, "1 of 1 lead").await;
    user.leads("erase --confirm", &format!("{CUSTOMER}\n"), 0, "Removed").await;
    let rows = cloud.table().rows(cloud.leads_table()).await.unwrap();
    assert!(!rows.is_empty() && !json!(rows).to_string().contains(CUSTOMER), "{rows:?}");
}

async fn settings_and_receivers(user: &User) {
    user.leads("--yes settings set TimeZone=Europe/Berlin", "", 0, "TimeZone is Europe/Berlin now; it was UTC.").await;
    user.leads("settings get TimeZone", "", 0, "Europe/Berlin").await;
    user.leads("destination add crm --kind teams", "https://crm.contoso.invalid/hook\n", 0, "is kept").await;
    user.leads("destination list", "", 0, "crm: teams, used by no route").await;
    user.leads(&format!("--yes route add --id figures --to {MAIL_TO} --summary"), "", 0, "summary weekly").await;
    user.leads("--yes route add --id crm --offer Other --to crm", "", 0, "2 routes in all").await;
    // There is nobody at this address.
    user.leads("destination test crm", "", 1, "crm: the destination is unavailable").await;
    user.leads("route list", "", 0, "crm: to crm; offers Other").await;
    user.leads("route remove crm", "", 0, "Removed the route crm.").await;
    user.leads("destination remove crm", "", 0, "Removed the destination crm.").await;
}
