//! The certificate authorities that the HTTP clients trust: the one of the measurements.

use rustls_pki_types::{Der, TrustAnchor};

/// All of them.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[include!(concat!(env!("OUT_DIR"), "/anchor.rs"))];
