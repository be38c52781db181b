//! What `cargo local` says before long work, and what to try when everything runs.

use crate::shell::from_here;
use local_cloud::{LocalCloud, shell_word};
use std::path::Path;

pub(crate) const FIRST_START: &str =
    "  The first run takes about five minutes: it compiles everything, and installs emulators and the AWS CLI
  under target/local-cloud, from PyPI and npm. Later runs take some twenty seconds.\n";

/// What opens a file or an address in a browser.
const OPEN: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Steps to take, each with a command to copy.
pub(crate) fn text(cloud: &LocalCloud, env_file: &Path) -> String {
    format!(
        "
  Now try it. In another terminal, in this folder:

  0  know the addresses and `leads`   . {env_file}
  1  post a lead                      curl \"$INTAKE_URL\" -d @tests/fixtures/leads/campaign.json
  2  have it mailed                   leads run
  3  read the mail                    {OPEN} \"$MAILS/newest.html\"
  4  what Teams, Slack and a          {OPEN} \"$RECEIVED_URL\"
     webhook got
  5  look at everything, and see      leads validate
     what else there is to do         leads --help
  6  stop                             Ctrl-C in this terminal

  the mails  {mails}
  the logs   {logs}",
        env_file = sourced(env_file),
        mails = from_here(&cloud.mails_folder()).display(),
        logs = from_here(cloud.logs_folder()).display(),
    )
}

/// The file as a shell's dot command finds it. It looks for a name without a slash in PATH.
fn sourced(env_file: &Path) -> String {
    let slash = if env_file.components().count() > 1 { "" } else { "./" };
    let path = format!("{slash}{}", env_file.display());
    let is_plain = path.chars().all(|char| char.is_alphanumeric() || "/._-".contains(char));
    if is_plain { path } else { shell_word(&path) }
}
