//! The order service as its clients and its operator meet it: a child process, HTTP over TCP, signals, files.

#[path = "order_service/audit.rs"]
mod audit;
#[path = "order_service/auditing.rs"]
mod auditing;
#[path = "order_service/brokers.rs"]
mod brokers;
#[path = "order_service/child.rs"]
mod child;
#[path = "order_service/http.rs"]
mod http;
#[path = "order_service/requests.rs"]
mod requests;
#[path = "order_service/starting.rs"]
mod starting;
#[path = "order_service/stopping.rs"]
mod stopping;

use http::{Reply, exchange};
use std::net::SocketAddr;

fn order(id: &str) -> String {
    format!(r#"{{"id":"{id}","item":"teapot","quantity":2}}"#)
}

fn post(address: SocketAddr, body: &str) -> Reply {
    exchange(address, "POST", "/orders", body).expect("an answer")
}

fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(address, "GET", path, "").expect("an answer")
}
