//! Where the servers of this process run: proxies and gateways.
//!
//! They have a runtime of their own. A test's runtime ends with the test, and a cloud may serve several tests.

use crate::failure::{OrFail, Result};
use std::sync::LazyLock;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("servers").enable_all().build();
    runtime.unwrap_or_else(|error| panic!("the operating system gives no threads: {error}"))
});

/// Listens on a port of the loopback interface, a free one where it is zero, and gives the port.
pub(crate) fn listen(step: &str, port: u16) -> Result<(TcpListener, u16)> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).or_fail(step)?;
    listener.set_nonblocking(true).or_fail(step)?;
    let port = listener.local_addr().or_fail(step)?.port();
    let _entered = RUNTIME.enter();
    Ok((TcpListener::from_std(listener).or_fail(step)?, port))
}

/// Runs a server until it is aborted or the process ends.
pub(crate) fn spawn(server: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    RUNTIME.spawn(server)
}
