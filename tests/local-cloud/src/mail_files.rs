//! The mails as files that a browser opens.

use crate::failure::{OrFail, Result};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder with the HTML of each mail: `1.html`, `2.html`, and the last one as `newest.html`.
pub(crate) struct MailFiles {
    folder: PathBuf,
    written: AtomicUsize,
}

impl MailFiles {
    pub(crate) fn create(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).or_fail("make a folder for the mails")?;
        Ok(Self { folder, written: AtomicUsize::new(0) })
    }

    /// Writes a mail, given the request that SES was sent. A file that cannot be written fails no mail: the inbox has it.
    pub(crate) fn write(&self, request: &[u8]) {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let html = request["Content"]["Simple"]["Body"]["Html"]["Data"].as_str().unwrap_or_default();
        let number = self.written.fetch_add(1, Ordering::Relaxed) + 1;
        for name in [format!("{number}.html"), "newest.html".to_owned()] {
            let _ = fs::write(self.folder.join(name), html);
        }
    }
}
