//! The broker in memory keeps the contract, and the contract finds brokers that do not.
#![cfg(feature = "messaging")]

#[path = "messaging_memory/broken.rs"]
mod broken;
#[path = "messaging_memory/defects.rs"]
mod defects;
#[path = "messaging_memory/hostile.rs"]
mod hostile;
#[path = "messaging_memory/kept.rs"]
mod kept;
#[path = "messaging_memory/members.rs"]
mod members;
#[path = "messaging_memory/model.rs"]
mod model;
