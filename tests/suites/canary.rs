//! Secrets are nowhere but where they belong: after a run with rotations, replays and every kind of error, their
//! text is looked for in everything that is written.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use nexus_tests::cluster::{Cluster, Database, SHARED, connect, free_port};
use nexus_tests::gateway::{Gateway, admin, admin_command, master_key_file, new_master_key, serve_in_vain};
use nexus_tests::shop::{Webhook, fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::{Reply, Sink};
use nexus_tests::site::{Answer, Site, answer};
use nexus_tests::wait::{eventually, until};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;
use uuid::Uuid;

/// Everything a server can be told to write down.
const LOG_ALL: &str = "log_statement = all
log_min_duration_statement = 0
log_connections = on
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
";

/// What was told, and what was said.
#[derive(Default)]
struct Watch {
    secrets: Vec<(String, String)>,
    said: String,
}

impl Watch {
    /// A secret to look for in the end.
    fn keep(&mut self, name: &str, secret: &str) -> String {
        assert!(secret.len() >= 16, "{name} is too short to be looked for: {secret:?}");
        self.secrets.push((name.to_owned(), secret.to_owned()));
        secret.to_owned()
    }

    fn hear(&mut self, said: &str) {
        self.said.push_str(said);
        self.said.push('\n');
    }

    async fn ask(&mut self, request: RequestBuilder) -> Answer {
        let answer = answer(request).await;
        self.hear(&format!("{:?}\n{}", answer.headers, answer.body));
        answer
    }

    /// The same of an answer that shows a secret once, in this member.
    async fn ask_for(&mut self, name: &str, member: &str, request: RequestBuilder) -> (String, Answer) {
        let mut answer = answer(request).await;
        let shown = answer.body[member].take();
        self.hear(&format!("{:?}\n{}", answer.headers, answer.body));
        (self.keep(name, shown.as_str().unwrap_or_else(|| panic!("{name}: {answer:?}"))), answer)
    }

    /// Runs `nexus admin`, which shows a secret once, in this member of its answer.
    fn command(&mut self, database: &Database, arguments: &[&str], member: &str) -> (String, Value) {
        let mut made = admin(database, arguments, "");
        let shown = made[member].take();
        // A login's URL is what it is for, and has its password in it.
        made["sql_url"].take();
        self.hear(&made.to_string());
        (self.keep(arguments[0], shown.as_str().unwrap()), made)
    }

    fn ended(&mut self, output: &Output) {
        self.hear(&String::from_utf8_lossy(&output.stdout));
        self.hear(&String::from_utf8_lossy(&output.stderr));
    }

    /// The secrets in a text.
    fn found_in(&self, text: &str) -> Vec<&str> {
        let is_in = |secret: &str| spellings(secret).iter().any(|spelling| text.contains(spelling.as_str()));
        self.secrets.iter().filter(|(_, secret)| is_in(secret)).map(|(name, _)| name.as_str()).collect()
    }
}

/// A text as it may be written: as it is, its end, as bytes, or as the bytes that it stands for.
fn spellings(text: &str) -> Vec<String> {
    let end = &text[text.len().saturating_sub(24)..];
    let encoded = ["whsec_", "whsk_"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let encoded = encoded.trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(encoded).or_else(|_| URL_SAFE_NO_PAD.decode(encoded)).ok();
    let mut spellings =
        vec![end.to_owned(), hex::encode(text), STANDARD_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(text)];
    spellings.extend(bytes.iter().map(hex::encode));
    spellings
}

fn order() -> Webhook {
    shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1))
}

fn fresh(name: &str) -> String {
    format!("canary-{name}-{}", Uuid::new_v4().simple())
}

#[tokio::test]
async fn no_secret_is_written_down_anywhere() {
    let mut watch = Watch::default();
    let statements = "select from pg_available_extensions where name = 'pg_stat_statements'";
    let has_statements = !SHARED.database().admin().await.query(statements, &[]).await.unwrap().is_empty();
    let preload = if has_statements { "shared_preload_libraries = 'pg_stat_statements'" } else { "" };
    let cluster = Cluster::start_with("canary", &format!("{LOG_ALL}{preload}\n"));
    watch.keep("gateway password", &cluster.gateway_password);
    let database = cluster.database();
    let (old, new) = (fs::read_to_string(master_key_file()).unwrap(), new_master_key("canary-new"));
    for (name, line) in [("old master key", &old), ("new master key", &new)] {
        watch.keep(name, line.trim().split_once(':').unwrap().1);
    }
    let both = format!("{new}{old}");
    // At this level every module writes whatever it knows.
    let settings = [
        ("NEXUS_MASTER_KEY", both.as_str()),
        ("NEXUS_LOG_LEVEL", "trace"),
        ("NEXUS_LISTEN_URL", &database.gateway_url),
    ];
    let mut gateway = Gateway::start_with(&database.gateway_url, &settings);
    let site = Site::create(&database, &gateway).await;
    watch.keep("API key", &site.api_key);
    watch.keep("connector's secret", &site.shop.secret);

    let tenant = site.tenant.tenant_id.to_string();
    keys(&mut watch, &site, &database).await;
    connectors(&mut watch, &site).await;
    webhooks(&mut watch, &site).await;
    deliveries(&mut watch, &site, &database).await;
    starts(&mut watch, &database, &old);
    let (password, _) = watch.command(
        &database,
        &["create-analyst", "--role", "canary_analyst", "--tenant", &tenant],
        "password",
    );
    let analyst = connect(&database.url_of("canary_analyst", &password)).await;
    for mistake in
        ["select * from nexus.secret", "select nexus.data_key(null)", "select 1 / 0 from nexus.event"]
    {
        watch.hear(&format!("{:?}", analyst.query(mistake, &[]).await.map(drop)));
    }

    let rotate = admin_command(&database, &["rotate-master-key"], &[("NEXUS_MASTER_KEY", &both)]).output();
    watch.ended(&rotate.unwrap());
    assert_eq!(site.send(&order()).await.status, 202, "the new master key opens what the old one did");
    let metrics = watch.ask(site.request(Method::GET, "/metrics")).await;
    let activity = "select string_agg(a::text, ' ') from pg_stat_activity a";
    let activity: String = site.admin.query_one(activity, &[]).await.unwrap().get(0);
    gateway.terminate();
    eventually("the gateway has stopped", async || gateway.ended()).await;

    // Each place, and something that is known to stand there: a search that does not find it finds nothing.
    let connector = site.shop.connector_id.to_string();
    let tables = tables(&site).await;
    let mut places = vec![
        ("tables", tables.clone(), connector.as_str()),
        ("tables, as bytes", tables, "shipping_lines"),
        ("dump", cluster.run("pg_dump", &database.name, &[]), &connector),
        ("server's log", cluster.log(), &connector),
        ("gateway's log", gateway.log(), "/hooks/{connector_id}"),
        ("metrics", metrics.body.as_str().unwrap().to_owned(), "nexus_"),
        ("answers and output", std::mem::take(&mut watch.said), &connector),
        ("activity", activity, &database.name),
    ];
    if has_statements {
        let statements =
            "create extension pg_stat_statements; select string_agg(s::text, ' ') from pg_stat_statements s";
        let text = cluster.run("psql", "postgres", &["-Atc", statements]);
        places.push(("statements", text, "nexus.gateway_configuration"));
    }
    for (place, text, marker) in &places {
        assert!(
            spellings(marker).iter().any(|spelling| text.contains(spelling.as_str())),
            "{marker:?} is not in the {place}"
        );
        assert_eq!(watch.found_in(text), Vec::<&str>::new(), "in the {place}");
    }
    assert!(watch.secrets.len() > 20, "{}", watch.secrets.len());
}

/// Keys are made, used wrongly, replaced and ended.
async fn keys(watch: &mut Watch, site: &Site<'_>, database: &Database) {
    let (platform_key, made) = watch.command(database, &["create-key", "--platform"], "platform_key");
    let post = |path: &str, key: &str| site.request(Method::POST, path).header("x-api-key", key);
    let wanted = json!({ "name": "canary", "scopes": ["admin"] });
    let create = || post("/api/v1/api-keys", &site.api_key).header("idempotency-key", "canary").json(&wanted);
    let (key, first) = watch.ask_for("API key over REST", "api_key", create()).await;
    watch.ask_for("the same, replayed", "api_key", create()).await;
    let rotate = post(&format!("/api/v1/api-keys/{}/rotate", first.text("api_key_id")), &key);
    let (successor, second) = watch.ask_for("its successor", "api_key", rotate.json(&json!({}))).await;
    site.in_force().await;
    let of_tenant = json!({ "name": "canary", "tenant_id": site.tenant.tenant_id, "environment": "test" });
    let made_by_platform =
        post("/api/v1/api-keys", &platform_key).header("idempotency-key", "p").json(&of_tenant);
    watch.ask_for("a key by the platform", "api_key", made_by_platform).await;
    for members in [json!({ "expires_at": &key }), json!({ "scopes": &key }), json!({ "tenant_id": &key })] {
        let mut body = json!({ "name": "wrong" });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        assert_eq!(watch.ask(post("/api/v1/api-keys", &key).json(&body)).await.status, 422);
    }
    for wrong in [format!("{key}x"), format!("sk_live_{}", fresh("wrong")), platform_key.clone()] {
        assert_eq!(
            watch.ask(site.request(Method::GET, "/api/v1/events").bearer_auth(&wrong)).await.status,
            401
        );
    }
    let revoke = site.request(Method::DELETE, &format!("/api/v1/api-keys/{}", second.text("api_key_id")));
    assert_eq!(watch.ask(revoke.header("x-api-key", &site.api_key)).await.status, 204);
    assert_eq!(
        watch.ask(site.request(Method::GET, "/api/v1/events").bearer_auth(&successor)).await.status,
        401
    );
    let id = made["platform_key_id"].as_str().unwrap();
    watch.ended(&admin_command(database, &["revoke-key", "--platform", id], &[]).output().unwrap());
    watch.ask(site.request(Method::GET, "/api/v1/api-keys").header("x-api-key", &site.api_key)).await;
}

/// A connector is made with a secret, in many wrong ways too; its secret is replaced.
async fn connectors(watch: &mut Watch, site: &Site<'_>) {
    let secret = |watch: &mut Watch, name: &str| watch.keep(name, &fresh("secret"));
    let send = |method, path: &str, body: String| {
        let request = site.request(method, path).header("x-api-key", &site.api_key);
        request.header("idempotency-key", Uuid::new_v4().to_string()).body(body)
    };
    let path = "/api/v1/connectors";
    let refused = secret(watch, "secret of a refused connector");
    for (body, status) in [
        (json!({ "secrets": &refused }), 422),
        (json!({ "secrets": { "webhook_secret": [&refused] } }), 422),
        (json!({ "secrets": { "webhook_secret": { "value": &refused } } }), 422),
        (json!({ "secrets": { "Webhook Secret": &refused } }), 422),
        (json!({ "webhook_secret": &refused }), 422),
        (json!({ "connector_type": "no-such", "secrets": { "webhook_secret": &refused } }), 404),
        (json!({ "name": "nul\0", "secrets": { "webhook_secret": &refused } }), 422),
    ] {
        let mut members = json!({ "connector_type": "shopify", "name": "canary" });
        members.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let answer = watch.ask(send(Method::POST, path, members.to_string())).await;
        assert_eq!(answer.status, status, "{members}: {answer:?}");
    }
    let broken = format!("{{\"secrets\": {{\"webhook_secret\": \"{refused}\\x\"");
    assert_eq!(watch.ask(send(Method::POST, path, broken)).await.status, 400);

    let (current, former) = (secret(watch, "new connector's secret"), secret(watch, "its former one"));
    let made =
        json!({ "connector_type": "shopify", "name": "canary", "secrets": { "webhook_secret": former } });
    let answer = watch.ask(send(Method::POST, path, made.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(watch.ask(send(Method::POST, path, made.to_string())).await.status, 409);
    let one = format!("{path}/{}", answer.text("connector_id"));
    let change = json!({ "secrets": { "webhook_secret": current }, "secret_overlap_seconds": 60 });
    assert_eq!(watch.ask(send(Method::PATCH, &one, change.to_string())).await.status, 200);
    let wrong = json!({ "secrets": { "webhook_secret": refused }, "pinned_version": 99 });
    assert_eq!(watch.ask(send(Method::PATCH, &one, wrong.to_string())).await.status, 422);
}

/// Webhooks come rightly and wrongly signed, again, and broken; some platforms send the secret itself.
async fn webhooks(watch: &mut Watch, site: &Site<'_>) {
    let webhook = order();
    let signed = webhook.signed(&site.shop, &site.shop.secret);
    let shop = site.shop.connector_id.to_string();
    let unsigned =
        [("x-shopify-hmac-sha256".to_owned(), watch.keep("a wrong signature", &fresh("signature")))];
    for (headers, body, status) in [
        (signed.as_slice(), webhook.body.as_slice(), 202),
        (&signed, &webhook.body, 200),
        (&signed, b"{}", 401),
        (&unsigned, &webhook.body, 401),
    ] {
        let answer = site.send_raw(&shop, headers, body).await;
        watch.hear(&format!("{answer:?}"));
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let mut carrying = order();
    for (name, value) in
        [("authorization", format!("Bearer {}", site.api_key)), ("x-api-key", site.api_key.clone())]
    {
        carrying.headers.push((name.to_owned(), value));
    }
    assert_eq!(site.send(&carrying).await.status, 202);

    for connector_type in ["netsuite", "business-central"] {
        let mut connector = site.tenant.connector_in(&site.admin, site.tenant.test, connector_type).await;
        connector.secret = watch.keep(connector_type, &fresh("/token\""));
        site.set_secret(&connector);
        let headers = [
            ("x-nexus-token".to_owned(), connector.secret.clone()),
            ("x-copy".to_owned(), connector.secret.clone()),
        ];
        let body = json!({ "recordType": "salesorder", "eventType": "edit", "id": 1,
                           "value": [{ "clientState": connector.secret, "changeType": "updated",
                                       "resource": "api/v2.0/companies(1)/customers(2)" }] });
        let answer = eventually("the connector is known", async || {
            let answer = site
                .send_raw(&connector.connector_id.to_string(), &headers, body.to_string().as_bytes())
                .await;
            (answer.status != 401).then_some(answer)
        })
        .await;
        assert!((200..300).contains(&answer.status), "{connector_type}: {answer:?}");
        watch.hear(&format!("{answer:?}"));
    }
}

/// Jobs and webhooks go out, fail, are repeated by those who get them, and come back.
async fn deliveries(watch: &mut Watch, site: &Site<'_>, database: &Database) {
    let sink = Sink::start().await;
    let flow = site.flow(&sink.url("/jobs"), json!({ "retry": { "delays_seconds": [0] } })).await;
    watch.keep("flow's secret", &flow.secret);
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let lost = site.flow(&nobody, json!({ "retry": { "delays_seconds": [] } })).await;
    watch.keep("another flow's secret", &lost.secret);
    let subscription = site.subscribe(&sink, &["order.*"]).await;
    watch.keep("subscription's former secret", &subscription.secret);
    let renewed = format!("whsec_{}", STANDARD.encode(fresh("subscription")));
    let (tenant, owner) = (site.tenant.tenant_id.to_string(), subscription.id.to_string());
    let set = [
        "set-secret",
        "--tenant",
        &tenant,
        "--owner-kind",
        "subscription",
        "--owner",
        &owner,
        "--overlap-seconds",
        "60",
    ];
    watch.keep("subscription's secret", &renewed);
    watch.hear(&admin(database, &set, &renewed).to_string());
    let private = format!("whsk_{}", STANDARD.encode(Uuid::new_v4().simple().to_string()));
    watch.keep("subscription's private key", &private);
    watch.hear(&admin(database, &set, &private).to_string());
    site.in_force().await;
    let subscription = format!("/api/v1/portal/webhooks/{}", subscription.id);
    let shown = watch.ask(site.request(Method::GET, &subscription).header("x-api-key", &site.api_key)).await;
    assert_eq!(shown.body["public_keys"].as_array().map(Vec::len), Some(1), "{shown:?}");
    let try_it =
        site.request(Method::POST, &format!("{subscription}/test")).header("x-api-key", &site.api_key);
    assert_eq!(watch.ask(try_it.json(&json!({}))).await.body["delivered"], true);

    for reply in [Reply::echo(500), Reply::echo(202)] {
        sink.answer("/jobs", reply);
    }
    sink.answer("/webhooks", Reply::echo(503));
    let sent = site.send(&order()).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let received = sink.wait_for("/jobs", 2).await;
    assert!(sink.wait_for("/webhooks", 2).await[1].is_signed_with(&renewed));
    let tokens: Vec<String> = received
        .iter()
        .map(|received| watch.keep("callback token", received.json()["callback_token"].as_str().unwrap()))
        .collect();
    let job = received[0].json()["job_id"].as_str().unwrap().to_owned();
    let waiting = "select count(*) from nexus.job where tenant_id = $1 and status = 'awaiting_callback'";
    until("a job awaits its callback", async || site.count(waiting).await == 1).await;
    let path = format!("/api/v1/jobs/{job}/callback");
    let call = |token: &str, status: Value| {
        let echo = format!("called with {token}");
        site.request(Method::POST, &path).json(&json!({
            "callback_token": token, "status": status, "error": echo, "error_code": token,
            "transformed_output": { "request": { token: [echo] } },
        }))
    };
    for (token, status, answered) in [
        (site.api_key.as_str(), json!("failed"), 401),
        (&tokens[0], json!("failed"), 409),
        (&tokens[1], json!(&tokens[1]), 422),
        (&tokens[1], json!("failed"), 200),
        (&tokens[1], json!("failed"), 409),
    ] {
        let answer = watch.ask(call(token, status)).await;
        assert_eq!(answer.status, answered, "{answer:?}");
    }
    for path in [
        format!("/api/v1/jobs/{job}"),
        format!("/api/v1/traces/{}", sent.text("trace_id")),
        "/api/v1/integrations/webhooks".to_owned(),
        "/api/v1/integrations/events".to_owned(),
        "/api/v1/activity".to_owned(),
        "/api/v1/connectors".to_owned(),
        "/api/v1/events".to_owned(),
    ] {
        let answer = watch.ask(site.request(Method::GET, &path).header("x-api-key", &site.api_key)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

/// Programs that cannot start say why.
fn starts(watch: &mut Watch, database: &Database, master_key: &str) {
    let password = watch.keep("a wrong password", &fresh("password"));
    let wrong = database.url_of("nexus_gateway_login", &password);
    let cut = &master_key.trim()[..master_key.trim().len() - 3];
    for settings in [
        [("DATABASE_URL", wrong.as_str()), ("NEXUS_LOG_LEVEL", "trace")],
        [("DATABASE_URL", &wrong.replace("@127.0.0.1:", "@127.0.0.1:x")), ("NEXUS_LOG_LEVEL", "trace")],
        [("DATABASE_URL", &wrong.replace("postgres://", "")), ("NEXUS_LOG_LEVEL", "trace")],
        [("DATABASE_URL", &database.gateway_url), ("NEXUS_MASTER_KEY", cut)],
        [("DATABASE_URL", &database.gateway_url), ("NEXUS_MASTER_KEY", &master_key.replace(':', ";"))],
    ] {
        let output = serve_in_vain(&settings);
        assert!(!output.status.success() && !output.stderr.is_empty());
        watch.ended(&output);
    }
}

/// Every row of every table.
async fn tables(site: &Site<'_>) -> String {
    let tables = "select c.oid::regclass::text from pg_class c
                  where c.relnamespace in ('nexus'::regnamespace, 'public'::regnamespace) and c.relkind in ('r', 'p') and not c.relispartition
                  union all select 'pg_authid'";
    let mut text = String::new();
    for row in site.admin.query(tables, &[]).await.unwrap() {
        let sql = format!("select coalesce(string_agg(t::text, ' '), '') from {} t", row.get::<_, &str>(0));
        text.push_str(site.admin.query_one(&sql, &[]).await.unwrap().get(0));
    }
    text
}
