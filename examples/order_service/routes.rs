//! The routes, and what each answers.

use crate::answers;
use crate::body;
use crate::intake::Intake;
use crate::order::Order;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header::CONNECTION};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

type Shared = State<Arc<Intake>>;

pub(crate) fn routes(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/orders", post(post_order))
        .route("/orders/{id}", get(get_order))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(async || answers::not_found("no such page"))
        .layer(map_response_with_state(Arc::clone(&intake), last_of_its_connection))
        .with_state(intake)
}

async fn post_order(State(intake): Shared, request: Request) -> Response {
    let body = match body::read(request).await {
        Ok(body) => body,
        Err(why) => return answers::unread(&why),
    };
    match Order::parse(&body) {
        Ok(order) => intake.take(order).await,
        Err(invalid) => answers::invalid(&invalid),
    }
}

async fn get_order(State(intake): Shared, Path(id): Path<String>) -> Response {
    match intake.store.find(id).await {
        Ok(Some(order)) => answers::found(&order),
        Ok(None) => answers::not_found("no such order"),
        Err(why) => answers::unavailable(&format!("{why:#}")),
    }
}

/// Up while the process is: nothing would be won by having it killed while it drains.
async fn healthz(State(intake): Shared) -> Response {
    answers::healthy(intake.in_flight())
}

/// Whether to send traffic here: from the moment everything runs to the moment shutdown begins.
async fn readyz(State(intake): Shared) -> Response {
    match () {
        () if intake.handle.is_stopping() => (StatusCode::SERVICE_UNAVAILABLE, "closing\n").into_response(),
        () if intake.handle.is_ready() => "ready\n".into_response(),
        () => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
    }
}

/// While closing, each answer is the last on its connection: clients leave by themselves, none is cut off mid-request.
async fn last_of_its_connection(State(intake): Shared, mut response: Response) -> Response {
    if intake.handle.is_stopping() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
