//! Deterministic simulation: the functions' own code in worlds where every service fails in every way that its
//! documentation allows.
//!
//! A world is made of one seed. Its services are simulated behind the library's ports; its clock is tokio's paused one,
//! and passes only through the driver ([`world`]), which polls the functions' futures by itself and decides of each call
//! on a service when it is answered, and how. Nothing in the code under test knows of it.
//!
//! # Invariants
//! They hold all along, and at the end of each quiet time, when the faults have stopped for long enough:
//! 1. Every lead that was written or acknowledged is in at least one mail for everybody who should have it, its row is in the
//!    table, and none that comes with a valid key is refused. Who asks for the same again days later is mailed again.
//! 2. It comes a second time only in a mail that says so, and never to somebody who should not have it.
//!    Nor outside the hours of a route, and an event that is sent again to a webhook has the id that it had before.
//! 3. No limit of a service is hit by what is sent.
//! 4. No invocation outlives its deadline, intake answers within its budget, and none panics.
//! 5. What a command says is so: after `pause`, no run that begins then mails anything; after `erase`, none that
//!    begins then mails what there was of the person, no row of theirs is left, and every other row is.
//! 6. Whatever one destination, row or text does: everything else that runs look for is mailed within six hours, or eight
//!    runs, after the other faults.
//! 7. Nothing that is logged, and no error, holds a person or a secret.
//! 8. The state of the version before is moved over: what waited comes, marked, what was sent does not, and the version before
//!    would do nothing.
//! 9. An export is whole or visibly broken off: it holds every row that was there all the time, as it was, once.
//!
//! In a world where nothing goes wrong, no lead comes twice, no run fails, and a lead is mailed within two intervals and a
//! quarter of an hour. A destination may be broken for ever in such a world: that changes nothing for the others.

pub mod breakage;
pub mod config;
pub mod coverage;
pub mod desk;
mod event;
mod export;
mod faults;
mod idle;
mod invocations;
mod lambda;
pub mod leads;
mod logs;
pub mod mail;
pub mod model;
mod operator;
mod promise;
pub mod proof;
pub mod queue;
pub mod receivers;
pub mod routing;
mod senders;
pub mod sent;
pub mod shrink;
pub mod table;
pub mod tape;
pub mod total;
mod upgrade;
mod workload;
pub mod world;
