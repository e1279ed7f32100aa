//! The check of how records are fetched: that what stands in braces is known.

use super::super::{Auth, Endpoint, Method, Pull};
use crate::error::Error;
use crate::mapping::Compiler;
use serde_json::Value;

/// What a request for a list or a record knows beside settings and secrets.
const OF_REQUEST: &[&str] = &["since", "page", "offset", "cursor", "size", "id"];

pub(super) fn check(compiler: &Compiler<'_>, pull: &Pull, auth: &Auth) -> Result<(), Error> {
    let is_setting = |name: &str| knows(&auth.settings, name);
    let is_known = |name: &str| is_setting(name) || knows(&auth.secrets, name);
    for (header, text) in &pull.headers {
        check_text(compiler, text, is_known, &format!("pull.headers.{header}"))?;
    }
    for (name, endpoint) in &pull.endpoints {
        let at = format!("pull.endpoints.{name}");
        for (header, text) in &endpoint.headers {
            let is_known = |name: &str| name == "since" || is_known(name);
            check_text(compiler, text, is_known, &format!("{at}.headers.{header}"))?;
        }
        check_bodies(compiler, endpoint, is_setting, &at)?;
    }
    Ok(())
}

/// Whether a schema has such a property; one that says nothing of properties may have any.
fn knows(schema: &Value, name: &str) -> bool {
    schema.get("properties").is_none_or(|properties| properties.get(name).is_some())
}

fn check_text(
    compiler: &Compiler<'_>,
    text: &str,
    is_known: impl Fn(&str) -> bool,
    at: &str,
) -> Result<(), Error> {
    let mut names = text.split('{').skip(1).map(|tail| tail.split('}').next().unwrap_or_default());
    match names.find(|name| !is_known(name)) {
        Some(name) => Err(compiler.error(at, format!("names {{{name}}}, which is no setting"))),
        None => Ok(()),
    }
}

fn check_bodies(
    compiler: &Compiler<'_>,
    endpoint: &Endpoint,
    is_setting: impl Fn(&str) -> bool,
    at: &str,
) -> Result<(), Error> {
    let is_known = |name: &str| OF_REQUEST.contains(&name) || is_setting(name);
    for (body, method, name) in [
        (&endpoint.body, endpoint.method, "body"),
        (&endpoint.single_body, endpoint.single_method, "single_body"),
    ] {
        let Some(body) = body else { continue };
        let at = format!("{at}.{name}");
        if method == Method::Get {
            return Err(compiler.error(&at, "is for the method POST"));
        }
        if let Some(name) = unknown_name(body, &is_known) {
            return Err(compiler.error(&at, format!("names {{{name}}}, which is unknown")));
        }
    }
    Ok(())
}

/// The first text of a body that is a name in braces alone and is not known.
fn unknown_name<'a>(body: &'a Value, is_known: &impl Fn(&str) -> bool) -> Option<&'a str> {
    match body {
        Value::String(text) => {
            let name = text.strip_prefix('{')?.strip_suffix('}')?;
            let is_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            (is_name && !is_known(name)).then_some(name)
        }
        Value::Array(items) => items.iter().find_map(|item| unknown_name(item, is_known)),
        Value::Object(members) => members.values().find_map(|member| unknown_name(member, is_known)),
        _ => None,
    }
}
