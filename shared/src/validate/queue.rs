//! The check `queue`: intake's queue and its dead-letter queue.

use super::findings::Findings;
use super::settings::span;
use crate::aws::SdkConfig;
use crate::aws::{Queue, QueueError};
use crate::settings::{ValidationSettings, variables};
use url::Url;

pub(super) async fn check(aws: &SdkConfig, settings: &ValidationSettings) -> (Findings, Option<()>) {
    let mut findings = Findings::default();
    if settings.queue_url.is_none() && settings.dead_letter_queue_url.is_none() {
        return (Findings::skip("neither queue's URL is set", "see `settings`"), None);
    }
    let state = async |url: &Option<Url>| match url {
        Some(url) => Some(Queue::new(aws.clone(), url.clone()).state().await),
        None => None,
    };
    let dead = state(&settings.dead_letter_queue_url).await;
    for (url, which, variable) in [
        (&settings.queue_url, "intake's queue", variables::QUEUE_URL),
        (&settings.dead_letter_queue_url, "the dead-letter queue", variables::DEAD_LETTER_QUEUE_URL),
    ] {
        if url.is_none() {
            findings.warn(format!("{which} was not looked at, since {} names none", variable.name), "see `settings`");
        }
    }
    match state(&settings.queue_url).await {
        None => {}
        Some(Err(error)) => unreachable(&mut findings, "intake's queue", &error),
        Some(Ok(queue)) => {
            let kept = queue.retention.map(|time| format!(", kept {}", span(time))).unwrap_or_default();
            let seen = format!("intake's queue: {} waiting, {} under way{kept}", queue.waiting, queue.in_flight);
            if queue.waiting > 0 {
                findings.warn(
                    seen,
                    "redelivery stores them once the table answers; if the number stays, see `storage` and \
                     lead-redelivery's logs. How old the oldest is, its metric ApproximateAgeOfOldestMessage says",
                );
            } else {
                findings.saw(seen);
            }
            let dead_arn = dead.as_ref().and_then(|dead| dead.as_ref().ok()).and_then(|dead| dead.arn.as_ref());
            match (&queue.dead_letter_arn, dead_arn) {
                (None, _) => findings.fail(
                    "it has no dead-letter queue: messages that keep failing are lost at the end of their time",
                    "deploy the template again: it gives the queue one",
                ),
                (Some(of_queue), Some(dead)) if of_queue != dead => findings.fail(
                    "its dead-letter queue is another than LEADS_DEAD_LETTER_QUEUE_URL",
                    "deploy the template again, so that validation looks at the right one",
                ),
                _ => {}
            }
        }
    }
    match dead {
        None => {}
        Some(Err(error)) => unreachable(&mut findings, "the dead-letter queue", &error),
        Some(Ok(dead)) if dead.waiting + dead.in_flight > 0 => findings.fail(
            format!("messages that could not be stored are in the dead-letter queue: {}", dead.waiting + dead.in_flight),
            format!(
                "see lead-redelivery's logs for why, mend it, and start the redrive (SQS console, the dead-letter queue, \
                 Start DLQ redrive){}",
                dead.retention.map(|time| format!(", within the {} that SQS keeps them", span(time))).unwrap_or_default()
            ),
        ),
        Some(Ok(_)) => findings.saw("the dead-letter queue is empty"),
    }
    (findings, None)
}

fn unreachable(findings: &mut Findings, which: &str, QueueError(code): &QueueError) {
    let cure = match code.as_str() {
        code if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") => {
            "deploy the template again: the queue is gone, or its URL is another region's or account's"
        }
        code if code.contains("AccessDenied") => "allow the function's role sqs:GetQueueAttributes on it",
        _ => "run this again; if it stays, look at AWS's health in this region and at the function's network",
    };
    findings.fail(format!("{which} cannot be reached ({code})"), cure);
}
