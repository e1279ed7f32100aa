//! The check of how records are fetched and written.

use super::super::{CompiledPush, PaginationKind, Pull, Push};
use super::Mistakes;
use crate::canonical::Kind;
use crate::error::{Code, Error};
use crate::mapping::{Compiler, FieldMapping, Path};
use std::collections::BTreeMap;

const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

pub(super) fn check_pull(compiler: &Compiler<'_>, pull: &Pull, mistakes: &mut Mistakes) {
    mistakes.take(check_url(compiler, &pull.base_url, "pull.base_url"));
    for (name, endpoint) in &pull.endpoints {
        let at = format!("pull.endpoints.{name}");
        if endpoint.list.is_empty() && endpoint.single.is_none() {
            mistakes.0.push(compiler.error(&at, "lacks list or single: there is nothing to fetch"));
        }
    }
    let pagination = &pull.pagination;
    if let Some(next) = &pagination.next {
        mistakes.take(path(next, "pull.pagination.next"));
    }
    let needs_next = matches!(pagination.kind, PaginationKind::Cursor | PaginationKind::NextLink);
    if needs_next && pagination.next.is_none() {
        mistakes.0.push(compiler.error("pull.pagination", "lacks next: where the cursor or link is"));
    }
}

pub(super) fn compile_push(
    compiler: &Compiler<'_>,
    push: &Push,
    mistakes: &mut Mistakes,
) -> BTreeMap<&'static str, CompiledPush> {
    mistakes.take(check_url(compiler, &push.base_url, "push.base_url"));
    let mut requests = BTreeMap::new();
    for (name, request) in &push.requests {
        let at = format!("push.requests.{name}");
        let kind = Kind::named(name).map_err(|error| Error { code: Code::InvalidManifest, ..error }.at(&at));
        if !METHODS.contains(&request.method.as_str()) {
            let error =
                compiler.error(&format!("{at}.method"), format!("\"{}\" does not write", request.method));
            mistakes.0.push(error.hint(format!("one of {}", METHODS.join(", "))));
        }
        let kind = mistakes.take(kind);
        let body = mistakes.take(FieldMapping::compile(compiler, &request.body, &format!("{at}.body")));
        let id = request.id.as_deref().and_then(|id| mistakes.take(path(id, &format!("{at}.id"))));
        if let (Some(kind), Some(body)) = (kind, body) {
            requests.insert(kind.name, CompiledPush { body, id });
        }
    }
    requests
}

fn path(text: &str, at: &str) -> Result<Path, Error> {
    Path::compile(text).map_err(|error| error.at(at))
}

/// A URL whose placeholders are settings.
fn check_url(compiler: &Compiler<'_>, url: &str, at: &str) -> Result<(), Error> {
    if !url.starts_with("https://") && !url.starts_with('{') {
        return Err(compiler.error(at, "must begin with https:// or a setting, {name}"));
    }
    let mut rest = url;
    while let Some((_, tail)) = rest.split_once('{') {
        let Some((name, tail)) = tail.split_once('}') else {
            return Err(compiler.error(at, "has an open brace"));
        };
        compiler.check_setting(name, at)?;
        rest = tail;
    }
    Ok(())
}
