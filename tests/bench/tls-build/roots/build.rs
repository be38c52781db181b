//! Writes the authority's name and key as Rust code.

use rustls_pki_types::CertificateDer;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=LEADS_TEST_AUTHORITY");
    let file = env::var("LEADS_TEST_AUTHORITY").expect("LEADS_TEST_AUTHORITY names the authority's certificate (DER)");
    println!("cargo::rerun-if-changed={file}");
    let certificate = CertificateDer::from(fs::read(file).expect("the authority's certificate can be read"));
    let anchor = webpki::anchor_from_trusted_cert(&certificate).expect("it is the certificate of an authority");
    assert!(anchor.name_constraints.is_none(), "constraints on names are not passed on");
    let (subject, key) = (anchor.subject.as_ref(), anchor.subject_public_key_info.as_ref());
    let code = format!(
        "TrustAnchor {{ subject: Der::from_slice(&{subject:?}), subject_public_key_info: Der::from_slice(&{key:?}), \
         name_constraints: None }}"
    );
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("anchor.rs"), code)
        .expect("it is written");
}
