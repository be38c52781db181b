//! Takes mails the way SES does, and counts them.

use crate::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A taker of mails. Dropping it ends it.
pub struct MailTaker {
    port: u16,
    counted: Arc<(AtomicUsize, AtomicUsize)>,
    server: JoinHandle<()>,
}

impl MailTaker {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let counted = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        // https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
        let app = Router::new()
            .route("/v2/email/outbound-emails", post(accept))
            // https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetSuppressedDestination.html
            .route("/v2/email/suppression/addresses/{address}", get(suppressed))
            .layer(DefaultBodyLimit::max(40 * 1024 * 1024))
            .with_state(counted.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, counted, server })
    }

    /// Its address, for `AWS_ENDPOINT_URL_SESV2`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Mails and bytes of their requests since the last call.
    pub fn taken(&self) -> (usize, usize) {
        (self.counted.0.swap(0, Ordering::Relaxed), self.counted.1.swap(0, Ordering::Relaxed))
    }
}

impl Drop for MailTaker {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// No address is on the suppression list.
async fn suppressed() -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    (StatusCode::NOT_FOUND, [("x-amzn-errortype", "NotFoundException")], "{}")
}

async fn accept(
    State(counted): State<Arc<(AtomicUsize, AtomicUsize)>>,
    mail: Bytes,
) -> ([(&'static str, &'static str); 1], String) {
    let number = counted.0.fetch_add(1, Ordering::Relaxed) + 1;
    counted.1.fetch_add(mail.len(), Ordering::Relaxed);
    ([("content-type", "application/json")], format!(r#"{{"MessageId":"{number}"}}"#))
}
