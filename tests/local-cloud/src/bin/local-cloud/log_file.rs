//! The file `functions.log` beside the logs of the parts.

use local_cloud::{FunctionLogs, LocalCloud};
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// The file. It follows what the functions log.
pub(crate) struct LogFile {
    path: PathBuf,
    logs: FunctionLogs,
}

impl LogFile {
    pub(crate) fn new(cloud: &LocalCloud) -> Self {
        Self { path: cloud.logs_folder().join("functions.log"), logs: FunctionLogs::new(cloud.aws()) }
    }

    /// Appends what is new. A log that cannot be read or written now does not end the local cloud.
    pub(crate) async fn update(&mut self) {
        if let Ok(lines) = self.logs.read_new().await {
            let file = fs::File::options().create(true).append(true).open(&self.path);
            let _ = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        }
    }
}
