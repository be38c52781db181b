//! The functions as they are deployed, on the local cloud.

mod delay;
mod hostile_requests;
mod leads_reach_the_mailbox;
mod limits;
mod local_cloud_keeps_its_promises;
mod notifier;
mod operations;
mod release;
mod roles;
mod strict_service;
mod validation;
