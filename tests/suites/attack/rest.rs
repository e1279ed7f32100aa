//! Attempts by REST, derived from `/openapi.json`: every operation with the victim's ids in its path, its filters and
//! its body. A new operation is attacked without a change here.

use super::attempt::{Answer, Attempt, Breach, shown};
use super::party::Party;
use super::twins::Twins;
use nexus_tests::site::answer;
use reqwest::{Client, Method};
use serde_json::{Map, Value, json};
use url::form_urlencoded::byte_serialize;

/// A key that attacks.
pub struct Assault<'a> {
    /// What key, for people.
    pub name: &'a str,
    /// The gateway.
    pub base_url: &'a str,
    /// What sends.
    pub http: &'a Client,
    /// The key.
    pub key: &'a str,
    /// What it may see, and what it may not.
    pub twins: Twins<'a>,
}

impl Assault<'_> {
    /// Makes every attempt; the breaches.
    pub async fn make(&self, attempts: &[Attempt]) -> Vec<String> {
        let mut breaches = Vec::new();
        for attempt in attempts {
            let (question, answer) = self.ask(attempt, false).await;
            let mut found = shown(&question, &answer, self.twins.victim);
            if attempt.breach == Breach::Succeeds {
                found.extend(answer.failure.is_none().then(|| format!("it succeeded: {}", answer.said)));
            } else if attempt.names_the_victim() {
                let (_, other) = self.ask(attempt, true).await;
                found.extend(self.twins.difference(&answer, &other));
            }
            // 422 and 400 are about the request: it would have failed for anybody.
            if attempt.breach == Breach::Succeeds
                && ["422", "400"].contains(&answer.failure.as_deref().unwrap_or_default())
            {
                found.push(format!("it tried nothing: {}", answer.said));
            }
            if !found.is_empty() {
                breaches.push(format!("{}: {attempt}\n    {}", self.name, found.join("\n    ")));
            }
        }
        breaches
    }

    /// Attempts that tell nothing of the victim even to this key, its own: they prove nothing.
    pub async fn blunt(&self, attempts: &[Attempt]) -> Vec<String> {
        let mut blunt = Vec::new();
        for attempt in attempts.iter().filter(|attempt| attempt.breach == Breach::Shows) {
            let (question, answer) = self.ask(attempt, false).await;
            let (_, other) = self.ask(attempt, true).await;
            if shown(&question, &answer, self.twins.victim).is_empty()
                && self.twins.difference(&answer, &other).is_none()
            {
                blunt.push(format!("{attempt}: {}", answer.said));
            }
        }
        blunt
    }

    /// Sends the request; what was asked, and what came.
    async fn ask(&self, attempt: &Attempt, as_nobody: bool) -> (String, Answer) {
        let (head, body) = attempt.statement.split_once("\n\n").unwrap_or((&attempt.statement, ""));
        let mut lines = head.lines();
        let (method, path) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a path");
        let render = |text, encode: fn(&str) -> String| self.twins.render(attempt, text, as_nobody, encode);
        let url =
            format!("{}{}", self.base_url, render(path, |value| byte_serialize(value.as_bytes()).collect()));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method.clone(), &url).header("x-api-key", self.key);
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            request = request.header(name, render(value, str::to_owned));
        }
        if !body.is_empty() {
            let escape = |value: &str| Value::from(value).to_string().trim_matches('"').to_owned();
            request = request.header("content-type", "application/json").body(render(body, escape));
        }
        let came = answer(request).await;
        let is_refused = came.status >= 400;
        let body = came.body.to_string();
        // What was made differs each time; what is shown, and why not, must not.
        let said = if is_refused || method == Method::GET {
            format!("{} {body}", came.status)
        } else {
            came.status.to_string()
        };
        let aside = format!("{:?} {body}", came.headers);
        let failure = is_refused.then(|| came.status.to_string());
        (
            self.twins.render(attempt, &attempt.statement, as_nobody, str::to_owned),
            Answer { said, aside, failure },
        )
    }
}

/// Every operation of the description, aimed at this victim.
pub fn attempts(description: &Value, victim: &Party) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let operation = Operation { description, method: method.to_uppercase(), path, operation, victim };
            attempts.extend(operation.attempts());
        }
    }
    assert!(attempts.len() > 100, "{} attempts", attempts.len());
    // What is made has the victim's ids in it, and would be found by those that look for them.
    attempts.sort_by_key(|attempt| !attempt.name.starts_with("GET"));
    attempts
}

/// Pages of the victim's lists, asked for with its own cursors.
pub async fn replays(victim: &Assault<'_>, attempts: &[Attempt]) -> Vec<Attempt> {
    let mut replays = Vec::new();
    for list in
        attempts.iter().filter(|attempt| attempt.breach == Breach::Shows && !attempt.names_the_victim())
    {
        let first = Attempt::new(&list.name, Breach::Shows, format!("{}?limit=1", list.statement));
        let (_, answer) = victim.ask(&first, false).await;
        let page: Value =
            serde_json::from_str(answer.said.split_once(' ').expect("a status").1).unwrap_or_default();
        if let Some(cursor) = page["next_cursor"].as_str() {
            let replay = format!("{}?limit=200&cursor={cursor}", list.statement);
            replays.push(Attempt::new(format!("the cursor of {}", list.name), Breach::Shows, replay));
        }
    }
    assert!(replays.len() >= 4, "{replays:?}");
    let idempotency_key = "idempotency-key: \"{idempotency_request.idempotency_key}\"";
    let flow = json!({ "name": "again {flow.name}", "definition": { "kinds": ["sales_order"], "execution_url": "{webhook_subscription.url}" } });
    let again = format!("POST /api/v1/flows\n{idempotency_key}\n\n{flow}");
    replays.push(Attempt::new("the victim's Idempotency-Key", Breach::Tells, again));
    replays
}

/// The attempts of a key that may read at what takes more: they must be refused.
pub fn beyond_reading(description: &Value, victim: &Party) -> Vec<Attempt> {
    let needs = |attempt: &Attempt| {
        let (method, path) = attempt.name.split_once(' ').expect("a method and a path");
        let operation = &description["paths"][path][method.to_lowercase()];
        operation["description"].as_str().unwrap_or_default().to_owned()
    };
    let refused = |needs: &str| {
        !needs.starts_with("Open") && !needs.contains("`read`") && !needs.contains("Authorised")
    };
    let mut attempts = attempts(description, victim);
    attempts.retain(|attempt| {
        let needs = needs(attempt);
        // Whoever asks for what is for platform keys is refused for that.
        refused(&needs)
            && !attempt.statement.contains("\"tenant_id\"")
            && !(attempt.name.starts_with("GET") && needs.contains("Needs a key that is in force"))
    });
    attempts.iter_mut().for_each(|attempt| attempt.breach = Breach::Succeeds);
    assert!(attempts.len() > 15, "{attempts:?}");
    attempts
}

struct Operation<'a> {
    description: &'a Value,
    method: String,
    path: &'a str,
    operation: &'a Value,
    victim: &'a Party,
}

impl Operation<'_> {
    fn attempts(&self) -> Vec<Attempt> {
        let name = format!("{} {}", self.method, self.path);
        let mut line = name.clone();
        for parameter in self.parameters("path") {
            let place = format!("{{{}}}", self.place_or_any(parameter["name"].as_str().unwrap()));
            line = line.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), &place);
        }
        let bodies = self.bodies();
        let mut attempts: Vec<Attempt> = bodies
            .iter()
            .map(|body| Attempt::new(&name, Breach::Tells, format!("{line}\n\n{body}")))
            .collect();
        if bodies.is_empty() {
            attempts.push(Attempt::new(&name, self.breach(), &line));
        }
        for parameter in self.parameters("query") {
            let (filter, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let value = match (schema["type"].as_str(), schema["format"].as_str()) {
                (Some("boolean"), _) => "true".to_owned(),
                (Some("integer"), _) => "200".to_owned(),
                (_, Some("date-time")) => "2020-01-01T00:00:00Z".to_owned(),
                (_, Some("uuid")) => format!("{{{}}}", self.place_or_any(filter)),
                _ => self.victim.place(filter).map_or_else(|| "x".to_owned(), |place| format!("{{{place}}}")),
            };
            attempts.push(Attempt::new(&name, Breach::Tells, format!("{line}?{filter}={value}")));
        }
        attempts
    }

    /// A list and a single object show the victim to who may see it.
    fn breach(&self) -> Breach {
        let is_scoped = self.operation["description"].as_str().unwrap_or_default().contains("scope");
        let is_list = self.parameters("query").any(|parameter| parameter["name"] == "cursor");
        let mut in_path =
            self.parameters("path").map(|parameter| parameter["name"].as_str().unwrap()).peekable();
        let is_single = in_path.peek().is_some() && in_path.all(|name| name.ends_with("_id"));
        if self.method == "GET" && is_scoped && (is_list || is_single) {
            Breach::Shows
        } else {
            Breach::Tells
        }
    }

    fn parameters(&self, place: &str) -> impl Iterator<Item = &Value> {
        self.operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(move |parameter| parameter["in"] == place)
    }

    /// The victim's id of this name; of a name that nothing has, any id.
    fn place_or_any(&self, name: &str) -> String {
        self.victim.place(name).unwrap_or_else(|| "customer.customer_id".to_owned())
    }

    /// Bodies as the description asks for, with the victim's values: with what is for platform keys, and without.
    fn bodies(&self) -> Vec<Value> {
        let Some(content) = self.operation["requestBody"]["content"].as_object() else {
            return Vec::new();
        };
        let Some(reference) =
            content.get("application/json").and_then(|json| json["schema"]["$ref"].as_str())
        else {
            return vec![json!({ "id": "{customer.customer_id}" })];
        };
        let schema = self.description.pointer(reference.trim_start_matches('#')).expect("a schema");
        let members = || schema["properties"].as_object().into_iter().flatten();
        let is_platforms =
            |schema: &Value| schema["description"].as_str().unwrap_or_default().contains("platform key");
        let body = |members: &mut dyn Iterator<Item = (&String, &Value)>| -> Value {
            members
                .map(|(name, schema)| (name.clone(), self.member(name, schema)))
                .collect::<Map<_, _>>()
                .into()
        };
        let mut bodies =
            vec![body(&mut members()), body(&mut members().filter(|(_, schema)| !is_platforms(schema)))];
        bodies.dedup();
        bodies
    }

    fn member(&self, name: &str, schema: &Value) -> Value {
        let types = schema["type"].to_string();
        match name {
            "connector_type" => json!("shopify"),
            "settings" => json!({ "shop": "spy.myshopify.com", "currency": "EUR" }),
            "secrets" => json!({ "webhook_secret": "spied" }),
            "definition" => json!({ "kinds": ["sales_order"], "execution_url": "https://example.com/",
                                    "connector_ids": ["{connector.connector_id}"] }),
            "url" => json!("https://example.com/{customer.customer_id}"),
            "event_types" => json!(["*"]),
            "scopes" => json!(["read", "write", "admin"]),
            "slug" => json!("spy-{customer.customer_id}"),
            "environment" => json!("test"),
            "status" => json!("failed"),
            "name" => json!("{connector.name}"),
            "ordering" => json!("none"),
            "envelope" => json!("nexus"),
            "signature" => json!("v1"),
            "outcome" => json!("dead"),
            "pinned_version" | "expires_at" | "filter" | "retry" => Value::Null,
            _ if schema["format"] == "date-time" => json!("2020-01-01T00:00:00Z"),
            _ if types.contains("boolean") => json!(false),
            _ if types.contains("integer") => json!(1),
            _ if types.contains("array") => json!([]),
            _ if types.contains("object") => json!({}),
            _ => json!(format!("{{{}}}", self.place_or_any(name))),
        }
    }
}
