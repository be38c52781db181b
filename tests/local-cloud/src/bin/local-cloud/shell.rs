//! What the user's shell gets: a file to source, and the operator's command.

use local_cloud::{Failure, LocalCloud, Result, shell_word};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The exit status of a command that cannot be carried out as it was given.
const WRONG_COMMAND: u8 = 2;

/// The file with addresses and credentials that a shell can source. It is removed when this value is dropped, unless a
/// later run has replaced it.
pub(crate) struct EnvFile {
    path: PathBuf,
    text: String,
}

impl EnvFile {
    pub(crate) async fn write(cloud: &LocalCloud, path: PathBuf) -> Result<Self> {
        let folder = |path: &Path| path.to_string_lossy().into_owned();
        let received = cloud.receivers().map_or_else(String::new, |receivers| receivers.address().to_owned());
        let variables = [
            ("INTAKE_URL", cloud.lasting_intake_url()),
            ("INBOX_URL", cloud.inbox().address().to_owned()),
            ("RECEIVED_URL", received),
            ("MAILS", folder(&cloud.mails_folder())),
            ("LEADS_STORAGE_CONNECTION_STRING", cloud.table().connection_string()),
            ("LEADS_TABLE", cloud.leads_table().to_owned()),
            ("AWS_ENDPOINT_URL", cloud.aws_endpoint()),
            ("AWS_REGION", cloud.aws().region().to_owned()),
            ("AWS_DEFAULT_REGION", cloud.aws().region().to_owned()),
            ("AWS_ACCESS_KEY_ID", cloud.access_key().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", cloud.secret_key().to_owned()),
        ];
        let variables = variables.map(|(name, value)| format!("export {name}={}\n", shell_word(&value))).concat();
        let programs = shell_word(&folder(&cloud.programs().await?));
        // No proxy reaches this machine.
        let direct =
            ["NO_PROXY", "no_proxy"].map(|name| format!("export {name}=\"127.0.0.1${{{name}:+,${name}}}\"\n")).concat();
        // Whatever account the shell was signed in to is not meant.
        let others = "unset AWS_PROFILE AWS_SESSION_TOKEN\n";
        let text = format!("{variables}export PATH={programs}:\"$PATH\"\n{direct}{others}");
        let failed = |error: std::io::Error| Failure::new("write the file with the addresses", error).log(&path);
        // It holds credentials, although they are valid on this machine alone.
        let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Self { path, text })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for EnvFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file `target/local-cloud/env` in the target folder that this program was built into.
pub(crate) fn default_env_file() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    from_here(&target.join("local-cloud/env"))
}

/// A path as it is typed in the present folder.
pub(crate) fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

/// Becomes the operator's command on the local cloud that wrote `env_file`. Comes back only if there is none.
pub(crate) fn leads(env_file: Option<PathBuf>, arguments: &[String]) -> ExitCode {
    let path = env_file.unwrap_or_else(default_env_file);
    if !path.exists() {
        eprintln!(
            "no local cloud runs (there is no {}): start `cargo local` in another terminal first",
            path.display()
        );
        return ExitCode::from(WRONG_COMMAND);
    }
    // A shell looks for a file without a slash in its name in PATH.
    let path = path.canonicalize().unwrap_or(path);
    let error = Command::new("sh").args(["-c", ". \"$0\" && exec leads \"$@\""]).arg(path).args(arguments).exec();
    eprintln!("the operator's command cannot be started: {error}");
    ExitCode::from(WRONG_COMMAND)
}
