//! The ports on which a local cloud is reached: any that are free, or a range that stays the same from run to run.

use crate::failure::{Failure, Result};
use crate::processes::free_port;
use std::io;
use std::net::TcpListener;

/// Who gets the ports of a range, in their order.
const PARTS: [&str; 4] = ["the AWS emulator and the intake", "the inbox", "the table service", "what was received"];

/// One port for each part.
pub(crate) struct Ports {
    /// Of the gateway. Zero is any free one.
    pub(crate) gateway: u16,
    pub(crate) inbox: u16,
    pub(crate) table: u16,
    pub(crate) receivers: u16,
}

impl Ports {
    /// The ports from `first` on, all of which must be free; or else any free ones.
    pub(crate) fn choose(first: Option<u16>) -> Result<Self> {
        let Some(first) = first else {
            return Ok(Self { gateway: 0, inbox: free_port()?, table: free_port()?, receivers: free_port()? });
        };
        check(first)?;
        Ok(Self { gateway: first, inbox: first + 1, table: first + 2, receivers: first + 3 })
    }
}

/// Fails if a port of the range cannot be used, and says which, and what to do.
pub(crate) fn check(first: u16) -> Result<()> {
    for (part, port) in PARTS.iter().zip(first..) {
        let Err(error) = listen(port) else { continue };
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program listens there; end it ({} names it)",
                if cfg!(target_os = "macos") {
                    format!("`lsof -nP -iTCP:{port}`")
                } else {
                    format!("`ss -ltnp sport = :{port}`")
                }
            ),
            _ => error.to_string(),
        };
        let other = match free_range_after(first) {
            Some(other) => format!(", or take other ports: `cargo local --ports {other}`"),
            None => String::new(),
        };
        return Err(Failure::new(format!("use port {port} for {part}"), format!("{why}{other}")));
    }
    Ok(())
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
}

/// The next range, in steps of a hundred, all of whose ports are free.
fn free_range_after(first: u16) -> Option<u16> {
    let is_free = |first: &u16| (*first..).take(PARTS.len()).all(|port| listen(port).is_ok());
    (first..=u16::MAX - PARTS.len() as u16).step_by(100).skip(1).find(is_free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_of_the_range_is_named_with_its_use_and_a_range_that_is_free() {
        // The port before it may be free or not: where it is taken, it is the one that is named.
        let taken = listen(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let said = check(port).unwrap_err().to_string();
        assert!(said.starts_with(&format!("could not use port {port} for the AWS emulator")), "{said}");
        let (_, other) = said.split_once("cargo local --ports ").unwrap();
        let other: u16 = other.trim_end_matches('`').parse().unwrap();
        assert!(other > port && check(other).is_ok(), "{said}");
    }
}
