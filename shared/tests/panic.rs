//! What a panic leaves behind.

use marketplace_leads::function::Function;
use marketplace_leads::telemetry::{Telemetry, metric};
use std::process::Command;

/// Says to this program that it is the process that panics.
const CHILD: &str = "LEADS_TEST_PANICS";

#[tokio::test]
async fn a_panic_writes_its_place_and_the_metrics_and_nothing_of_its_message() {
    if std::env::var_os(CHILD).is_some() {
        let telemetry = Telemetry::start(Function::Notifier).unwrap();
        let work = async {
            metrics::counter!(metric::LEADS_FOUND).increment(7);
            let hidden = String::from("ada@fabrikam.example");
            panic!("{hidden}");
        };
        telemetry.invocation("r-1", work).await;
        return;
    }
    let name = "a_panic_writes_its_place_and_the_metrics_and_nothing_of_its_message";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "yes").output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let panicked = lines.iter().find(|line| line["message"] == "panicked").unwrap();
    assert!(panicked["place"].as_str().unwrap().contains("panic.rs"), "{panicked}");
    assert_eq!(panicked["span"]["request_id"], "r-1");
    let found: Vec<_> = lines.iter().filter(|line| line.get(metric::LEADS_FOUND).is_some()).collect();
    assert_eq!(found.len(), 1, "{text}");
    assert_eq!(found[0][metric::LEADS_FOUND], 7);
    assert!(lines.iter().all(|line| !line.to_string().contains("fabrikam")), "{text}");
}
