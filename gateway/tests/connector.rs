//! `nexus connector`, from outside: what is written, what is printed, how it ends.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of the test's own, gone with it.
struct Desk(PathBuf);

impl Desk {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn nexus(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nexus"))
            .arg("connector")
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// A command that must end well; what it prints.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.nexus(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A command that must not; what it prints, and says.
    fn bad(&self, arguments: &[&str]) -> (String, String) {
        let output = self.nexus(arguments, "");
        assert_eq!(output.status.code(), Some(15), "{arguments:?}: {}", text(&output.stdout));
        (text(&output.stdout), text(&output.stderr))
    }

    fn json(&self, arguments: &[&str], input: &str) -> Value {
        serde_json::from_slice(&self.nexus(arguments, input).stdout).unwrap()
    }

    fn change(&self, name: &str, from: &str, to: &str) {
        let before = fs::read_to_string(self.path(name)).unwrap();
        assert!(before.contains(from), "{name} has {from}");
        fs::write(self.path(name), before.replace(from, to)).unwrap();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const MANIFEST: &str = "connectors/tea-shop/connector.toml";
const CASE: &str = "connectors/tea-shop/cases/order.created/example.json";
const EXPECTED: &str = "connectors/tea-shop/cases/order.created/example.expected.json";

#[test]
fn what_is_begun_is_valid_and_is_never_overwritten() {
    let desk = Desk::new("new");
    assert_eq!(desk.good(&["new", "tea-shop"]), format!("{MANIFEST}\n{CASE}\n{EXPECTED}\n"));
    assert!(fs::read_to_string(desk.path(MANIFEST)).unwrap().contains("name = \"Tea Shop\""));
    assert_eq!(desk.good(&["check"]), format!("{MANIFEST}: tea-shop version 1, cases: 1, good\n"));
    fs::write(desk.path(MANIFEST), "mine").unwrap();
    assert!(desk.bad(&["new", "tea-shop"]).1.contains("connectors/tea-shop exists"));
    assert_eq!(fs::read_to_string(desk.path(MANIFEST)).unwrap(), "mine");
    assert!(desk.bad(&["new", "Tea Shop"]).1.contains("lower-case letters"));
    desk.good(&["new", "tea-shop", "--dir", "elsewhere"]);
    desk.good(&["check", "elsewhere/tea-shop", "elsewhere/tea-shop/connector.toml", "elsewhere"]);
}

#[test]
fn check_names_file_line_place_and_reason_of_every_mistake() {
    let desk = Desk::new("check");
    desk.good(&["new", "tea-shop"]);
    desk.good(&["new", "other"]);
    desk.change(MANIFEST, "source_status = \"$.status\"", "hue = \"$.hue\"");
    desk.change(MANIFEST, "idempotency = [\"delivery_id\"]", "idempotency = [\"emitted_at\"]");
    let (printed, said) = desk.bad(&["check"]);
    let lines: Vec<_> = printed.lines().collect();
    let line_of = |text: &str| {
        let manifest = fs::read_to_string(desk.path(MANIFEST)).unwrap();
        manifest.lines().position(|line| line.starts_with(text)).unwrap() + 1
    };
    assert_eq!(lines.len(), 3, "{printed}");
    assert!(lines[0].starts_with("connectors/other/connector.toml: other version 1"));
    let place = format!("{MANIFEST}:{}: receive.idempotency[0]: names a part", line_of("idempotency"));
    assert!(lines[1].starts_with(&place), "{}", lines[1]);
    let place = format!("{MANIFEST}:{}: entities.order.documents[1].fields.hue: ", line_of("hue"));
    assert!(lines[2].starts_with(&place) && lines[2].contains("no field \"hue\" (one of"), "{}", lines[2]);
    assert_eq!(said, "nexus: 2 mistakes\n");

    let told = desk.json(&["check", "--json", "connectors/tea-shop"], "");
    assert_eq!(told["mistakes"], json!(2));
    let mistake = &told["connectors"][0]["mistakes"][0];
    assert_eq!((&mistake["file"], &mistake["line"]), (&json!(MANIFEST), &json!(line_of("idempotency"))));
    assert_eq!(mistake["path"], json!("receive.idempotency[0]"));
    assert!(mistake["reason"].as_str().unwrap().starts_with("names a part"));
    assert_eq!(desk.json(&["check", "--json", "connectors/other"], "")["connectors"][0]["cases"], json!(1));
}

#[test]
fn check_runs_the_cases() {
    let desk = Desk::new("cases");
    desk.good(&["new", "tea-shop"]);
    desk.change(EXPECTED, "\"open\"", "\"shut\"");
    let lonely = "connectors/tea-shop/cases/order.created/lonely.expected.json";
    fs::write(desk.path(lonely), "{}").unwrap();
    let bare = "connectors/tea-shop/cases/order.updated/bare.json";
    fs::create_dir_all(desk.path(bare).parent().unwrap()).unwrap();
    fs::write(desk.path(bare), "{}").unwrap();
    let (printed, said) = desk.bad(&["check"]);
    let expected = [
        format!("{CASE}: documents[1].fields.source_status: expected \"shut\", given \"open\""),
        format!("{lonely}: has no payload beside it"),
        format!("{bare}: lacks bare.expected.json beside it"),
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(said, "nexus: 3 mistakes\n");
    fs::write(desk.path("connectors/tea-shop/cases/order.updated/bare.expected.json"), "{").unwrap();
    assert!(desk.bad(&["check"]).0.contains("what is expected is not JSON"));
}

#[test]
fn check_needs_something_to_check() {
    let desk = Desk::new("nothing");
    assert!(desk.bad(&["check"]).1.contains("connectors cannot be read"));
    assert!(desk.bad(&["check", "."]).1.contains("there is no connector.toml in ."));
    desk.good(&["new", "tea-shop"]);
    fs::rename(desk.path("connectors/tea-shop"), desk.path("connectors/coffee")).unwrap();
    assert!(desk.bad(&["check"]).0.contains("\"tea-shop\" is not the folder's name"));
}

#[test]
fn try_tells_what_a_payload_gives_and_what_it_leaves() {
    let desk = Desk::new("try");
    desk.good(&["new", "tea-shop"]);
    desk.change(CASE, "\"number\"", "\"hue\": \"red\", \"number\"");
    let headers = ["--header", "X-Topic=order.created", "--header", "X-Delivery-Id=d1"];
    let tried = desk.json(&[&["try", "tea-shop", CASE, "--json"], &headers[..]].concat(), "");
    assert_eq!((&tried["topic"], &tried["delivery_id"]), (&json!("order.created"), &json!("d1")));
    let expected: Value = serde_json::from_slice(&fs::read(desk.path(EXPECTED)).unwrap()).unwrap();
    assert_eq!(tried["documents"], expected["documents"]);
    assert_eq!(tried["unmapped"], json!([{"path": "$.hue", "example": "red"}]));
    let key = tried["idempotency_key"].as_str().unwrap().to_owned();
    assert_eq!(key.len(), 64);
    let printed = desk.good(&[&["try", "connectors/tea-shop", CASE], &headers[..]].concat());
    assert!(printed.starts_with(&format!("topic: order.created\nidempotency key: {key}\n{{\n")), "{printed}");
    assert!(printed.ends_with("documents: 2\nunmapped: $.hue \"red\"\n"), "{printed}");
}

#[test]
fn try_knows_the_connectors_that_come_with_nexus() {
    let desk = Desk::new("built-in");
    let body = r#"{"orderId": 1}"#;
    let stub = r#"{"eventNotifications": [{"realmId": "1", "dataChangeEvent": {"entities": [
        {"name": "Customer", "id": "7", "operation": "Create", "lastUpdated": "2026-03-01T10:00:00Z"}]}}]}"#;
    let tried = desk.json(&["try", "quickbooks", "-", "--json"], stub);
    assert_eq!(tried["fetch"], json!([{"kind": "customer", "external_id": "7"}]));
    let ignored = desk.nexus(&["try", "shopify", "-", "--topic", "moons/rise"], body);
    assert!(ignored.status.success() && text(&ignored.stdout).contains("\nignored: the manifest of"));
    let quarantined = desk.nexus(&["try", "shopify", "-", "--topic", "orders/create"], "{");
    assert_eq!(quarantined.status.code(), Some(15));
    assert!(text(&quarantined.stdout).contains("quarantined: line 1 column 1: the body is not JSON"));
    assert!(desk.bad(&["try", "none", "-"]).1.contains("there is no connector \"none\""));
    assert!(desk.bad(&["try", "shopify", "absent.json"]).1.contains("absent.json cannot be read"));
    let settings = ["try", "shopify", "-", "--settings", "{\"hue\": 1}"];
    assert!(desk.bad(&settings).1.contains("settings."), "settings are checked");
}

#[test]
fn show_prints_what_can_be_registered() {
    let desk = Desk::new("show");
    desk.good(&["new", "tea-shop"]);
    let manifest: Value = serde_json::from_str(&desk.good(&["show", "tea-shop"])).unwrap();
    assert_eq!((&manifest["type"], &manifest["version"]), (&json!("tea-shop"), &json!(1)));
    desk.change(MANIFEST, "version = 1", "version = 1.5");
    assert!(desk.bad(&["show", "tea-shop"]).1.contains("connector.toml:7: version: "));
}
