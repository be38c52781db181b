//! Keeps secrets the way SSM does.

use crate::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Parameters = Arc<Mutex<HashMap<&'static str, String>>>;

/// The parameters, and a server that gives them. Dropping it ends it.
pub struct Ssm {
    port: u16,
    parameters: Parameters,
    server: JoinHandle<()>,
}

impl Ssm {
    /// Starts one without parameters.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let parameters = Parameters::default();
        let app = Router::new().route("/", post(give)).with_state(parameters.clone());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, parameters, server })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Keeps a value.
    pub fn set(&self, name: &'static str, value: &str) {
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value.to_owned());
    }
}

impl Drop for Ssm {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    names: Vec<String>,
}

/// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html>
async fn give(State(parameters): State<Parameters>, body: Bytes) -> Json<Value> {
    let asked: Asked = serde_json::from_slice(&body).unwrap_or(Asked { names: Vec::new() });
    let known = parameters.lock().unwrap_or_else(PoisonError::into_inner);
    let found = asked.names.iter().filter_map(|name| Some(json!({"Name": name, "Value": known.get(name.as_str())?})));
    Json(json!({"Parameters": found.collect::<Vec<_>>(), "InvalidParameters": []}))
}
