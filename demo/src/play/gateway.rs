//! The gateway as a shop and an API user see it.

use crate::shop::Webhook;
use anyhow::{Context as _, Result, bail};
use reqwest::StatusCode;
use serde_json::Value;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the gateway, and of the sink.
#[derive(Clone)]
pub struct Gateway {
    base_url: String,
    client: reqwest::Client,
}

/// What a request was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Answer {
    /// What became of a webhook, or the code of a problem.
    pub fn outcome(&self) -> &str {
        // A problem has a status too, which is a number.
        self.body["status"].as_str().or(self.body["code"].as_str()).unwrap_or_default()
    }
}

impl Gateway {
    pub fn new(base_url: &str) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { base_url: base_url.trim_end_matches('/').to_owned(), client })
    }

    /// Sends a webhook as the platform would.
    pub async fn send(&self, hook_url: &str, webhook: &Webhook) -> Result<Answer> {
        let mut request = self.client.post(hook_url).body(webhook.body.clone());
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        answer(request).await
    }

    /// Whether a key is in force.
    pub async fn accepts(&self, api_key: &str) -> Result<bool> {
        let answer = self.ask("/api/v1/connectors?limit=1", api_key).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::UNAUTHORIZED => Ok(false),
            status => bail!("the gateway answered {status} to GET /api/v1/connectors: {}", answer.body),
        }
    }

    /// A path of the API, which must be there.
    pub async fn get(&self, path: &str, api_key: &str) -> Result<Value> {
        let answer = self.ask(path, api_key).await?;
        if answer.status != StatusCode::OK {
            bail!("the gateway answered {} to GET {path}: {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    async fn ask(&self, path: &str, api_key: &str) -> Result<Answer> {
        answer(self.client.get(format!("{}{path}", self.base_url)).header("x-api-key", api_key)).await
    }

    /// What the sink has received.
    pub async fn received(&self, sink_url: &str) -> Result<Vec<crate::sink::Received>> {
        let answer = answer(self.client.get(format!("{sink_url}/received"))).await?;
        serde_json::from_value(answer.body).context("the sink answered strangely")
    }

    /// Tells the sink which secrets to check signatures with.
    pub async fn teach(&self, sink_url: &str, secrets: &[&str]) -> Result<()> {
        let answer = answer(self.client.put(format!("{sink_url}/secrets")).json(secrets)).await?;
        if !answer.status.is_success() {
            bail!("the sink at {sink_url} answered {} to PUT /secrets", answer.status);
        }
        Ok(())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    // What is not JSON is shown as it is.
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}
