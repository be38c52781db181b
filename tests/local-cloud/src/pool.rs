//! Clouds that tests share, one after the other: a start costs seconds, a reset does not.
//!
//! A test borrows a cloud that no other test uses at the time, and finds it as if it had just been started. When the
//! process ends, its clouds end with it: static values are not dropped, but the supervisors of their processes end these
//! when the process is gone, and the next start on this machine removes the data.

use crate::failure::Result;
use crate::{LocalCloud, Options};
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

/// Clouds that wait for the next test, all with proxies and without parameters.
static WAITING: Mutex<Vec<LocalCloud>> = Mutex::new(Vec::new());

/// A cloud that one test has for itself. Dropping it gives it back, or ends it when the test fails.
pub struct Borrowed(Option<LocalCloud>);

/// Borrows a cloud with proxies and the template's own parameters. Starts one when all others are in use.
///
/// A test that changes the deployed stack (roles, queues, settings) starts a cloud of its own: a reset leaves the stack
/// as it is.
pub async fn borrow() -> Result<Borrowed> {
    // Taken in a statement of its own: the pool must not be locked during the reset.
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(mut cloud) = waiting {
        match cloud.reset().await {
            Ok(()) => return Ok(Borrowed(Some(cloud))),
            // It is ended here, and a new one is started below.
            Err(failure) => eprintln!("a local cloud is not used again: {failure}"),
        }
    }
    let cloud = LocalCloud::start(Options { proxies: true, ..Options::default() }).await?;
    Ok(Borrowed(Some(cloud)))
}

impl Deref for Borrowed {
    type Target = LocalCloud;

    fn deref(&self) -> &LocalCloud {
        match &self.0 {
            Some(cloud) => cloud,
            None => unreachable!("the cloud is there until this value is dropped"),
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // What a failed test has left behind is not for the next one.
        if let Some(cloud) = self.0.take()
            && !std::thread::panicking()
        {
            WAITING.lock().unwrap_or_else(PoisonError::into_inner).push(cloud);
        }
    }
}
