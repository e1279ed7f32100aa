//! What happened, for people.

use super::story::{Act, CUSTOMER, ORDERS, Told};
use super::text::{Style, WIDTH, table, wrap};
use crate::demo_file::DemoFile;
use jiff::Timestamp;
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;

/// Prints the report. A reader that has gone away is no error.
pub fn print(file: &DemoFile, demo_file: &Path, told: &Told) {
    let style = Style::of_stdout();
    let sections = [
        heading(style),
        webhooks(style, &told.acts),
        golden(style, told),
        delivered(style, file, told),
        timeline(style, &told.trace),
        next(style, file, demo_file, told),
    ];
    let _ = writeln!(std::io::stdout(), "\n{}\n", sections.join("\n\n"));
}

fn heading(style: Style) -> String {
    format!(
        "{}\n{}",
        style.bold("NEXUS: webhooks in, one consistent picture out"),
        "  Two tenants share this database. acme sells through Shopify and WooCommerce, globex through Shopify.\n  \
         Nothing below is prepared: each line tells what the gateway or the database has just answered."
    )
}

fn webhooks(style: Style, acts: &[Act]) -> String {
    let mut lines = vec![style.bold("1  Seven webhooks, sent as the platforms send them")];
    for (number, act) in acts.iter().enumerate() {
        let status = act.answer.status.as_u16();
        let outcome = act.answer.outcome();
        let origin = format!("{} {}", act.tenant, act.shop);
        lines.push(format!("\n   {}  {origin:<17} {:<15} {}", number + 1, act.topic, act.about));
        let answer = format!("{status} {outcome}");
        let padding = " ".repeat(33_usize.saturating_sub(answer.len()));
        lines.push(format!(
            "      {}{padding} {}",
            style.status(status, outcome, &answer),
            wrap(&act.result, 40)
        ));
    }
    lines.join("\n")
}

fn golden(style: Style, told: &Told) -> String {
    [
        style.bold("2  Golden rows, by SQL as acme_analyst"),
        String::new(),
        quoted(style, ORDERS),
        String::new(),
        table(&told.orders, 3),
        String::new(),
        quoted(style, CUSTOMER),
        String::new(),
        table(&told.customer, 3),
        String::new(),
        "   The first of these queries as globex_analyst:".to_owned(),
        String::new(),
        table(&told.orders_for_globex, 3),
        String::new(),
        format!(
            "   It sees the {} of globex and nothing else, whatever it asks: row-level security decides by its login.",
            counted(told.globex_sees, "order")
        ),
    ]
    .join("\n")
}

fn delivered(style: Style, file: &DemoFile, told: &Told) -> String {
    let Told { job, job_received, webhooks, .. } = told;
    let attempt = &job["attempts"][0];
    let fact = |name: &str, value: String| format!("   {name:<10} {}", wrap(&value, 14));
    let mut lines = vec![
        style.bold("3  What went out"),
        String::new(),
        fact(
            "job",
            format!(
                "{} for {}",
                string(&job["job_id"]),
                string(&job_received.body["normalized_payload"]["order_number"])
            ),
        ),
        fact(
            "sent",
            format!(
                "POST {} was answered {} in {} ms; the signature was checked and is right",
                string(&attempt["url"]),
                attempt["status_code"],
                attempt["latency_ms"]
            ),
        ),
        fact(
            "callback",
            format!(
                "{} after {} ms, with {}",
                string(&job["status"]),
                job["result"]["duration_ms"],
                job["result"]["transformed_output"]
            ),
        ),
    ];
    for webhook in webhooks {
        let body = &webhook.body;
        lines.push(fact(
            "webhook",
            format!(
                "{} (version {}) reached {}/webhooks, signed",
                string(&body["type"]),
                body["entity_version"],
                file.sink_url
            ),
        ));
    }
    lines.join("\n")
}

fn timeline(style: Style, trace: &Value) -> String {
    let steps = trace["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let at = |step: &Value| step["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let began = steps.first().and_then(at);
    let mut lines = vec![
        style.bold(&format!(
            "4  The first webhook from source to destination: trace {}",
            string(&trace["trace_id"])
        )),
        String::new(),
    ];
    for step in steps {
        let offset =
            began.zip(at(step)).map_or(0, |(began, at)| at.as_millisecond() - began.as_millisecond());
        let (stage, outcome) = (string(&step["stage"]), string(&step["outcome"]));
        let told = shorten(&told_of(&outcome, &step["detail"]), WIDTH - 40);
        lines.push(format!("   {offset:>5} ms  {stage:<11} {outcome:<17} {told}"));
    }
    lines.join("\n")
}

/// What a step's details say, in a few words.
fn told_of(outcome: &str, detail: &Value) -> String {
    let text = |name: &str| string(&detail[name]);
    let has = |name: &str| !detail[name].is_null();
    if has("bytes") {
        format!("{} bytes from {}", detail["bytes"], text("connector_type"))
    } else if has("documents") {
        format!("{}: {}", text("topic"), counted(detail["documents"].as_i64().unwrap_or(0), "document"))
    } else if has("event_type") {
        // The end of a job is an event too, of no entity.
        let version = if has("entity_version") {
            format!(", version {}", detail["entity_version"])
        } else {
            String::new()
        };
        text("event_type") + &version
    } else if has("latency_ms") {
        let answer =
            if has("status_code") { format!("HTTP {}", detail["status_code"]) } else { text("error_class") };
        format!("{}, attempt {}: {answer} in {} ms", text("kind"), detail["attempt"], detail["latency_ms"])
    } else if has("external_id") {
        format!("{} {}", text("kind"), text("external_id"))
    } else if outcome == "duplicate" {
        "the same delivery came again".to_owned()
    } else if has("delivery_key") {
        format!("delivery {}", text("delivery_key"))
    } else if has("result") {
        format!("job, attempt {}: {}", detail["attempt"], detail["result"]["transformed_output"])
    } else if outcome == "job.callback" {
        format!("{}, attempt {}", text("outcome"), detail["attempt"])
    } else if has("flow_id") {
        format!("job for the {}", text("entity_kind"))
    } else {
        text("reason")
    }
}

fn next(style: Style, file: &DemoFile, demo_file: &Path, told: &Told) -> String {
    let api_key = file.tenant("acme").map(|acme| acme.environments.prod.api_key.clone()).unwrap_or_default();
    let sql_url = file.tenant("acme").map(|acme| acme.sql_url.clone()).unwrap_or_default();
    let base = &file.base_url;
    let line =
        |about: &str, command: String| format!("   {}\n   {command}\n", style.faint(&format!("# {about}")));
    [
        style.bold("5  Where to look next"),
        String::new(),
        line(
            "acme's golden orders; likewise /nexus/customers, /events, /jobs",
            format!("curl -H 'X-API-Key: {api_key}' '{base}/api/v1/nexus/orders?limit=5'"),
        ),
        line(
            "the timeline above",
            format!(
                "curl -H 'X-API-Key: {api_key}' {base}/api/v1/traces/{}",
                string(&told.trace["trace_id"])
            ),
        ),
        line("what the receiver of jobs and webhooks has got", format!("curl {}/received", file.sink_url)),
        line(
            "SQL as acme_analyst; \\d+ nexus.sales_order explains every column",
            format!("psql '{sql_url}'"),
        ),
        line("all keys, secrets and addresses", format!("cat {}", demo_file.display())),
    ]
    .join("\n")
    .trim_end()
    .to_owned()
}

/// A statement, as one could type it.
fn quoted(style: Style, sql: &str) -> String {
    sql.lines().map(|line| format!("   {}", style.faint(line))).collect::<Vec<_>>().join("\n")
}

fn string(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn counted(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_step_is_told_in_a_few_words() {
        for (outcome, detail, expected) in [
            (
                "verified",
                json!({"bytes": 12, "connector_type": "shopify", "event_id": "e"}),
                "12 bytes from shopify",
            ),
            ("normalized", json!({"topic": "orders/create", "documents": 2}), "orders/create: 2 documents"),
            (
                "created",
                json!({"kind": "sales_order", "external_id": "1", "entity_id": "e"}),
                "sales_order 1",
            ),
            (
                "emitted",
                json!({"event_type": "order.created", "entity_version": 1}),
                "order.created, version 1",
            ),
            (
                "retry",
                json!({"kind": "job", "attempt": 1, "latency_ms": 3, "error_class": "dns"}),
                "job, attempt 1: dns in 3 ms",
            ),
            ("no_job", json!({"reason": "nothing changed"}), "nothing changed"),
        ] {
            assert_eq!(told_of(outcome, &detail), expected);
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!((shorten("abc", 3), shorten("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
    }
}
