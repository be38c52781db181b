//! The list of everything that is linked into a function, as a CycloneDX document.

use crate::linked::{Graph, Id, Package};
use crate::{Architecture, workspace::text};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The document of one function for one architecture.
///
/// <https://cyclonedx.org/docs/1.6/json/>
pub fn document(graph: &Graph, function: &str, architecture: Architecture, rust: &str) -> Value {
    let reached = graph.reached_from(function);
    let (own, parts): (Vec<_>, Vec<_>) = reached.iter().partition(|(name, _)| name == function);
    let component = |id: &Id| component(id, &graph.packages[id], "library");
    let mut components: Vec<Value> = parts.iter().map(|id| component(id)).collect();
    components.push(standard_library(rust));
    let needs = |id: &Id| -> Vec<String> {
        let below = graph.needs.get(id).into_iter().flatten();
        below.map(reference).collect()
    };
    let mut dependencies: Vec<Value> =
        reached.iter().map(|id| json!({ "ref": reference(id), "dependsOn": needs(id) })).collect();
    for entry in &mut dependencies {
        if own.iter().any(|id| entry["ref"] == reference(id).as_str())
            && let Some(list) = entry["dependsOn"].as_array_mut()
        {
            list.push(json!(standard_library_reference(rust)));
        }
    }
    let described = own.first().map(|id| {
        let mut described = self::component(id, &graph.packages[id], "application");
        described["properties"] = json!([{ "name": "cdx:lambda:architecture", "value": architecture.name() }]);
        described
    });
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(graph, &reached, architecture)),
        "version": 1,
        "metadata": { "component": described },
        "components": components,
        "dependencies": dependencies,
    })
}

fn component(id: &Id, package: &Package, kind: &str) -> Value {
    let (name, version) = id;
    let mut component = json!({ "type": kind, "bom-ref": reference(id), "name": name, "version": version });
    if !package.licence.is_empty() {
        component["licenses"] = json!([{ "expression": package.licence }]);
    }
    if let Some(checksum) = &package.checksum {
        component["purl"] = json!(reference(id));
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

/// Rust's own library, which is linked into everything. `rust` is what `rustc --version --verbose` says.
fn standard_library(rust: &str) -> Value {
    json!({
        "type": "library",
        "bom-ref": standard_library_reference(rust),
        "name": "rust-std",
        "version": release(rust),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "externalReferences": [{ "type": "vcs", "url": "https://github.com/rust-lang/rust" }],
    })
}

fn standard_library_reference(rust: &str) -> String {
    format!("rust-std@{}", release(rust))
}

fn release(rust: &str) -> &str {
    rust.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or("unknown")
}

/// The package URL.
///
/// <https://github.com/package-url/purl-spec/blob/main/types-doc/cargo-definition.md>
fn reference((name, version): &Id) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

/// A UUID (version 8, RFC 9562) of what the document says, so that the same functions have the same document.
fn uuid(graph: &Graph, reached: &BTreeSet<Id>, architecture: Architecture) -> String {
    let mut bytes = graph.digest(reached);
    bytes[0] ^= architecture as u8;
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(&bytes[..16]);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// The names in a document, each with its version, for messages and tests.
pub fn names(document: &Value) -> BTreeSet<Id> {
    let components = document["components"].as_array().into_iter().flatten();
    components.map(|part| (text(&part["name"]).to_owned(), text(&part["version"]).to_owned())).collect()
}
