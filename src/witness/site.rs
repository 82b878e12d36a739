//! The witness over HTTP: a log adds a checkpoint; whoever verifies asks for the last one.
//! Not here: what is decided (`audit/witnessing.rs`). The addresses are below the prefix `/`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::memory::{Fault, Memory};
use crate::audit::witnessing::{Refusal, SIZE_TYPE};
use crate::clock::Clock;

/// The largest request body in bytes: 16 signatures, which every note may have, of any kind there is, and a proof are less.
const BODY_BYTES_MAX: usize = 256 * 1024;

#[derive(Clone)]
struct Site {
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
}

/// Its addresses.
pub fn router(memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add))
        .route("/{log}/checkpoint", get(last))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Site { memory, clock })
}

async fn add(State(Site { memory, clock }): State<Site>, body: Bytes) -> Response {
    let added = tokio::task::spawn_blocking(move || {
        let body = std::str::from_utf8(&body).map_err(|_| Refusal::Malformed("the body is not UTF-8"))?;
        memory.add(body, clock.now())
    });
    match added.await {
        Ok(Ok(line)) => line.into_response(),
        Ok(Err(fault)) => refused(fault),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The last checkpoint cosigned of the log whose origin has that SHA-256, in hexadecimal.
async fn last(State(Site { memory, .. }): State<Site>, Path(log): Path<String>) -> Response {
    match tokio::task::spawn_blocking(move || memory.last_of(&log)).await {
        Ok(Ok(Some(note))) => note.into_response(),
        Ok(Ok(None)) => (StatusCode::NOT_FOUND, "no checkpoint of such a log was cosigned\n").into_response(),
        Ok(Err(fault)) => refused(fault),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(fault: Fault) -> Response {
    match fault {
        Fault::Refused(Refusal::Conflict(size)) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, SIZE_TYPE)], format!("{size}\n")).into_response()
        }
        Fault::Refused(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, format!("{refusal}\n")).into_response()
        }
        Fault::Memory(error) => {
            tracing::error!(%error, "the witness cannot use what it remembers");
            (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot use what it remembers\n").into_response()
        }
    }
}
