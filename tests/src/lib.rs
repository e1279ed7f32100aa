//! What the suites stand on: a PostgreSQL cluster of their own, gateways that can be killed, shops that sign,
//! and a receiver that answers as told.
//!
//! Everything here panics when it cannot do its work: a suite without its surroundings has failed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test says that something is missing")]

pub mod authority;
pub mod cluster;
pub mod gateway;
pub mod ingest;
pub mod pooler;
pub mod random;
pub mod rogue;
pub mod shop;
pub mod sink;
pub mod site;
pub mod stream;
pub mod tenant;
pub mod wait;
