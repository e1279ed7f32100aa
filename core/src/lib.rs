//! The rules of Nexus.
//!
//! Pure functions and the data they work on. Nothing in this crate does I/O, reads the clock or draws
//! random numbers; whatever needs them takes them as an argument. It can therefore be tested without a
//! database, and gives the same answer inside PostgreSQL, in the gateway and on an author's laptop.
//!
//! The modules follow a webhook on its way:
//!
//! | stage | module |
//! | --- | --- |
//! | validate | [`signature`] |
//! | normalize | [`connector`], [`mapping`], [`normalize`], [`canonical`] |
//! | deduplicate | [`idempotency`] |
//! | create | [`identity`], [`register`], [`resolution`], [`survivorship`], [`routing`] |
//! | dispatch | [`envelope`], [`retry`], [`callback`] |
//!
//! [`case`] holds a connector to what its author expects of it; [`secret`] seals what must stay unreadable at rest; [`error`] holds the stable error codes.

pub mod callback;
pub mod canonical;
pub mod case;
pub mod connector;
pub mod envelope;
pub mod error;
pub mod idempotency;
pub mod identity;
pub mod mapping;
pub mod normalize;
pub mod outbox;
pub mod person;
pub mod register;
pub mod resolution;
pub mod retry;
pub mod routing;
pub mod secret;
pub mod setting;
pub mod signature;
pub mod survivorship;
pub mod trace;
