//! `nexus connector try`.

use super::{named, unreadable};
use crate::cli::print;
use crate::error::StartError;
use clap::Args;
use nexus_core::connector::Connector;
use nexus_core::normalize::{Headers, Normalized, Outcome, Request, Unmapped, normalize_as, unmapped};
use nexus_core::{case, idempotency};
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

/// Characters of an example, on a line.
const MAX_EXAMPLE: usize = 60;

#[derive(Args)]
pub struct Try {
    /// A connector type, its folder, or a manifest
    connector: String,
    /// The payload's file; `-` for standard input
    payload: PathBuf,
    /// The topic; else the headers or the payload tell, or its shape
    #[arg(long)]
    topic: Option<String>,
    /// A request header, `name=value`; `:path` and `:query` are the request's own
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The connector's settings, a JSON object
    #[arg(long)]
    settings: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of the payload.
struct Tried {
    normalized: Normalized,
    key: String,
    unmapped: Vec<Unmapped>,
}

impl Try {
    pub fn run(self) -> Result<(), StartError> {
        let connector = named(&self.connector)?;
        let settings = self.settings(&connector)?;
        let headers = Headers::from_pairs(self.headers.iter().map(|(name, value)| (name, value.as_str())));
        let body = self.body()?;
        let request = Request { headers: &headers, body: &body, settings: &settings };
        let topic = self.topic.as_deref();
        let normalized = normalize_as(&connector, topic, &request);
        let key = hex::encode(idempotency::key(&connector, &request, &normalized));
        let unmapped = match &normalized.outcome {
            Outcome::Documents(_) => unmapped(&connector, topic, &request),
            // Of what is not understood, nothing is mapped.
            Outcome::Ignored { .. } | Outcome::Quarantined(_) => Vec::new(),
        };
        let tried = Tried { normalized, key, unmapped };
        print(&if self.json { tried.to_json().to_string() } else { tried.to_string() })?;
        match &tried.normalized.outcome {
            Outcome::Quarantined(error) => Err(StartError::command(format!("quarantined: {error}"))),
            _ => Ok(()),
        }
    }

    /// The settings as the gateway would have them: checked, with defaults. Without any, what is required is not.
    fn settings(&self, connector: &Connector) -> Result<Value, StartError> {
        match &self.settings {
            None => Ok(connector.settings(&json!({})).unwrap_or_default()),
            Some(text) => {
                let given = serde_json::from_str(text)
                    .map_err(|error| StartError::command(format!("--settings is not JSON: {error}")))?;
                connector.settings(&given).map_err(|error| StartError::command(error.to_string()))
            }
        }
    }

    fn body(&self) -> Result<Vec<u8>, StartError> {
        if self.payload.as_os_str() != "-" {
            return fs::read(&self.payload).map_err(|error| unreadable(&self.payload, &error));
        }
        let mut body = Vec::new();
        let read = std::io::stdin().read_to_end(&mut body);
        read.map_err(|error| StartError::command(format!("standard input cannot be read: {error}")))?;
        Ok(body)
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Tried {
    fn to_json(&self) -> Value {
        let Normalized { topic, delivery_id, emitted_at, shop, outcome, fetch } = &self.normalized;
        let fetch =
            fetch.iter().map(|record| json!({"kind": record.kind, "external_id": record.external_id}));
        let unmapped = self.unmapped.iter().map(|part| json!({"path": part.path, "example": part.example}));
        let mut tried = json!({
            "topic": topic,
            "idempotency_key": self.key,
            "delivery_id": delivery_id,
            "emitted_at": emitted_at.and_then(|time| jiff::Timestamp::from_microsecond(time).ok()),
            "shop": shop,
            "fetch": fetch.collect::<Vec<_>>(),
            "unmapped": unmapped.collect::<Vec<_>>(),
        });
        if let (Value::Object(tried), Value::Object(outcome)) = (&mut tried, case::as_expected(outcome)) {
            tried.extend(outcome);
        }
        tried
    }
}

impl std::fmt::Display for Tried {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Normalized { topic, outcome, fetch, .. } = &self.normalized;
        writeln!(formatter, "topic: {}", topic.as_deref().unwrap_or("none; the shape decides"))?;
        write!(formatter, "idempotency key: {}", self.key)?;
        match outcome {
            Outcome::Ignored { reason } => write!(formatter, "\nignored: {reason}")?,
            Outcome::Quarantined(error) => write!(formatter, "\nquarantined: {error}")?,
            Outcome::Documents(documents) => {
                for document in case::as_expected(outcome)["documents"].as_array().into_iter().flatten() {
                    write!(formatter, "\n{document:#}")?;
                }
                write!(formatter, "\ndocuments: {}", documents.len())?;
            }
        }
        for record in fetch {
            write!(formatter, "\nto be fetched: {} {}", record.kind, record.external_id)?;
        }
        for part in &self.unmapped {
            write!(formatter, "\nunmapped: {} {}", part.path, example(&part.example))?;
        }
        Ok(())
    }
}

fn example(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(MAX_EXAMPLE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
