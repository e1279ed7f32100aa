//! The check of how webhooks are received.

use super::super::{
    BodyFormat, Handshake, HandshakeKind, HeaderFormat, KeySource, Receive, Scheme, Signature,
};
use super::Mistakes;
use crate::error::Error;
use crate::mapping::{Compiler, Path};
use crate::signature::key_origin;
use serde_json::Value;

pub(super) fn check(compiler: &Compiler<'_>, receive: &Receive, mistakes: &mut Mistakes) {
    mistakes.take(check_signature(compiler, &receive.signature, "receive.signature"));
    for (name, signature) in &receive.signatures {
        mistakes.take(check_signature(compiler, signature, &format!("receive.signatures.{name}")));
    }
    for (index, handshake) in receive.handshakes.iter().enumerate() {
        mistakes.take(check_handshake(compiler, receive, handshake, &format!("receive.handshakes[{index}]")));
    }
    if receive.body != BodyFormat::Form && !receive.json_fields.is_empty() {
        mistakes.0.push(compiler.error("receive.json_fields", "is for body = \"form\" only"));
    }
    if receive.response_status.is_some_and(|status| !(200..300).contains(&status)) {
        mistakes.0.push(compiler.error("receive.response_status", "must be a 2xx status"));
    }
}

/// Whether an instance's settings can choose every signature that there is to choose.
pub(super) fn check_choice(
    compiler: &Compiler<'_>,
    receive: &Receive,
    settings: &Value,
) -> Result<(), Error> {
    let allowed = settings["properties"]["signature"]["enum"].as_array();
    let is_open = settings.get("additionalProperties") != Some(&Value::Bool(false));
    let can_be_chosen = |name: &str| allowed.map_or(is_open, |names| names.iter().any(|one| one == name));
    match receive.signatures.keys().find(|name| !can_be_chosen(name)) {
        Some(name) => {
            let reason = format!("must allow \"{name}\", which is one of receive.signatures");
            Err(compiler.error("auth.settings.properties.signature", reason))
        }
        None => Ok(()),
    }
}

fn check_signature(compiler: &Compiler<'_>, signature: &Signature, at: &str) -> Result<(), Error> {
    let lacks = |name: &str| Err(compiler.error(at, format!("lacks {name}")));
    let in_header = signature.header.is_some();
    match signature.scheme {
        Scheme::Hmac | Scheme::EcdsaP256 | Scheme::Rsa
            if !in_header && signature.query_parameter.is_none() && signature.body_member.is_none() =>
        {
            return lacks("header");
        }
        Scheme::StaticHeader | Scheme::Jwt if !in_header => return lacks("header"),
        Scheme::BodyToken => match &signature.path {
            None => return lacks("path"),
            Some(path) => {
                Path::compile(path).map_err(|error| error.at(format!("{at}.path")))?;
            }
        },
        _ => {}
    }
    if signature.header_format == HeaderFormat::Plain && signature.signature_part.is_some() {
        return Err(compiler.error(&format!("{at}.signature_part"), "is for a header of several parts"));
    }
    if let Some(source) = &signature.key_source {
        check_source(compiler, signature, source, &format!("{at}.key_source"))?;
    }
    if let Some(recipient) = &signature.recipient {
        compiler.check_setting(&recipient.setting, &format!("{at}.recipient.setting"))?;
        if recipient.paths.is_empty() {
            return Err(compiler.error(&format!("{at}.recipient.paths"), "must not be empty"));
        }
    }
    for (index, path) in signature.recipient.iter().flat_map(|recipient| &recipient.paths).enumerate() {
        Path::compile(path).map_err(|error| error.at(format!("{at}.recipient.paths[{index}]")))?;
    }
    check_content(compiler, signature, &format!("{at}.content"))
}

fn check_source(
    compiler: &Compiler<'_>,
    signature: &Signature,
    source: &KeySource,
    at: &str,
) -> Result<(), Error> {
    if !matches!(signature.scheme, Scheme::EcdsaP256 | Scheme::Rsa | Scheme::Jwt) {
        return Err(compiler.error(at, "is for schemes with a public key"));
    }
    if key_origin(source).is_none() {
        return Err(compiler.error(&format!("{at}.url"), "must be an HTTPS URL on a host that it names"));
    }
    Ok(())
}

fn check_content(compiler: &Compiler<'_>, signature: &Signature, at: &str) -> Result<(), Error> {
    let content = signature.content.as_deref().unwrap_or("{body}");
    let mut rest = content;
    while let Some((_, tail)) = rest.split_once('{') {
        let (name, tail) = tail.split_once('}').unwrap_or((tail, ""));
        let is_known = match name {
            "body" | "body_base64" | "url" | "query" => true,
            "id" => signature.id_header.is_some(),
            "timestamp" => signature.timestamp_header.is_some(),
            _ => name.strip_prefix("body.").is_some_and(|member| !member.is_empty()),
        };
        if !is_known {
            let reason = format!("names {{{name}}}, which is unknown or whose header is not given");
            return Err(compiler.error(at, reason));
        }
        rest = tail;
    }
    let signs = matches!(signature.scheme, Scheme::Hmac | Scheme::EcdsaP256 | Scheme::Rsa);
    if signs && !content.contains("{body") && !content.contains("{query}") {
        return Err(compiler.error(at, "does not sign the body"));
    }
    if signature.body_member.is_some() && !content.contains("{body.") {
        return Err(compiler.error(at, "must name a member of the body: it cannot sign its own signature"));
    }
    Ok(())
}

fn check_handshake(
    compiler: &Compiler<'_>,
    receive: &Receive,
    handshake: &Handshake,
    at: &str,
) -> Result<(), Error> {
    let is_registration = handshake.kind == HandshakeKind::ShopwareRegistration;
    if handshake.field.is_empty() && !is_registration {
        return Err(compiler.error(at, "lacks field"));
    }
    if !(200..300).contains(&handshake.status) {
        return Err(compiler.error(&format!("{at}.status"), "must be a 2xx status"));
    }
    if let Some(setting) = &handshake.app_name {
        compiler.check_setting(setting, &format!("{at}.app_name"))?;
    }
    let confirms = |one: &Handshake| one.kind == HandshakeKind::ShopwareConfirmation;
    if is_registration && !receive.handshakes.iter().any(confirms) {
        return Err(compiler.error(at, "needs a handshake of kind shopware_confirmation beside it"));
    }
    Ok(())
}
