//! Stage 6: the event itself, with what came of it, and a line for each duplicate.

use super::{Batch, Request, Source, Told};
use crate::error::Result;
use crate::functions::from_core;
use crate::instant::timestamptz;
use crate::jsonb::Jsonb;
use crate::plan::{self, column};
use pgrx::datum::DatumWithOid;
use pgrx::spi::SpiClient;
use serde::Serialize;
use std::rc::Rc;
use uuid::Uuid;

/// What came of events, as [`outcomes`] hands it over.
macro_rules! outcomes {
    () => {
        "unnest($2) as event_id, unnest($3) as is_erased, unnest($4) as manifest_version, unnest($5) as topic,
         unnest($6) as status, unnest($7) as reason_code, unnest($8) as reason, unnest($9) as outcome"
    };
}

const INSERT_EVENTS: &str = concat!(
    "insert into nexus.event (tenant_id, event_id, manifest_version, topic, status, reason_code, reason, outcome, erased_at,
        environment_id, connector_id, connector_type, trace_id, parent_span_id, delivery_key, emitted_at, received_at,
        headers, body, is_verified)
    select $1, r.event_id, r.manifest_version, r.topic, r.status, r.reason_code, r.reason, r.outcome,
        case when r.is_erased then now() end, r.environment_id, r.connector_id, r.connector_type, r.trace_id,
        r.parent_span_id, r.delivery_key, r.emitted_at, r.received_at, coalesce(r.headers, '{}'), r.body, $20
    from (select ", outcomes!(), ", unnest($10) as environment_id, unnest($11) as connector_id,
              unnest($12) as connector_type, unnest($13) as trace_id, unnest($14) as parent_span_id,
              unnest($15) as delivery_key, unnest($16) as emitted_at, unnest($17) as received_at,
              unnest($18) as headers, unnest($19) as body) r"
);

const INSERT_DUPLICATES: &str = "
    insert into nexus.activity_log (tenant_id, activity_log_id, environment_id, stage, action, trace_id, event_id, detail)
    select $1, r.activity_log_id, r.environment_id, 'deduplicate', 'duplicate', r.trace_id, r.event_id,
           jsonb_build_object('duplicate_of', r.event_id, 'connector_id', r.connector_id)
    from (select unnest($2) as activity_log_id, unnest($3) as environment_id, unnest($4) as trace_id,
                 unnest($5) as event_id, unnest($6) as connector_id) r";

pub fn run(client: &mut SpiClient<'_>, batch: &Batch, is_verified: bool) -> Result<()> {
    let events: Vec<_> = batch.events().collect();
    if !events.is_empty() {
        let mut arguments = outcomes(batch.tenant_id, &events);
        arguments.extend([
            column(&events, |(_, source)| from_core(source.scope.environment_id)),
            column(&events, |(request, _)| from_core(request.connector_id)),
            column(&events, |(_, source)| &*source.connector_type),
            column(&events, |(request, _)| &*request.trace.trace_id),
            column(&events, |(request, _)| request.trace.parent_span_id.as_deref()),
            column(&events, |(request, _)| request.delivery_key.as_deref()),
            column(&events, |(request, _)| request.emitted_at.map(timestamptz)),
            column(&events, |(request, _)| timestamptz(request.received_at)),
            column(&events, |(request, _)| request.headers.as_ref().filter(|_| !request.is_erased)),
            column(&events, |(request, _)| if request.is_erased { &[][..] } else { &request.body }),
            is_verified.into(),
        ]);
        plan::run(client, INSERT_EVENTS, &arguments)?;
    }
    let duplicates: Vec<(&Request, &Rc<Source>, Uuid)> = batch
        .requests
        .iter()
        .filter_map(|request| Some((request, request.source.as_ref()?, request.duplicate_of?)))
        .collect();
    if !duplicates.is_empty() {
        let arguments = [
            from_core(batch.tenant_id).into(),
            column(&duplicates, |_| from_core(Uuid::now_v7())),
            column(&duplicates, |(_, source, _)| from_core(source.scope.environment_id)),
            column(&duplicates, |(request, ..)| &*request.trace.trace_id),
            column(&duplicates, |(.., original)| from_core(*original)),
            column(&duplicates, |(request, ..)| from_core(request.connector_id)),
        ];
        plan::run(client, INSERT_DUPLICATES, &arguments)?;
    }
    Ok(())
}

const UPDATE_EVENTS: &str = concat!(
    "update nexus.event e set manifest_version = r.manifest_version, topic = r.topic, status = r.status,
        reason_code = r.reason_code, reason = r.reason, outcome = r.outcome,
        erased_at = case when r.is_erased then now() else e.erased_at end,
        headers = case when r.is_erased then '{}' else e.headers end,
        body = case when r.is_erased then '' else e.body end
    from (select ",
    outcomes!(),
    ") r where e.tenant_id = $1 and e.event_id = r.event_id"
);

/// Notes on events that were read again what came of them now.
pub fn update(client: &mut SpiClient<'_>, batch: &Batch) -> Result<()> {
    let events: Vec<_> = batch.events().collect();
    if !events.is_empty() {
        plan::run(client, UPDATE_EVENTS, &outcomes(batch.tenant_id, &events))?;
    }
    Ok(())
}

/// What came of an event, beside its status.
#[derive(Serialize)]
struct Outcome<'a> {
    documents: &'a [Told],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fetch: Vec<Fetch<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_job: Option<&'static str>,
}

#[derive(Serialize)]
struct Fetch<'a> {
    kind: &'static str,
    external_id: &'a str,
}

/// What events' rows say of what came of them.
fn outcomes(tenant_id: Uuid, events: &[(&Request, &Rc<Source>)]) -> Vec<DatumWithOid<'static>> {
    let statuses: Vec<_> = events.iter().map(|(request, _)| request.status()).collect();
    let outcome = |request: &Request| {
        let fetch = request.fetch.iter();
        Jsonb::of(&Outcome {
            documents: &request.results,
            fetch: fetch.map(|of| Fetch { kind: of.kind, external_id: &of.external_id }).collect(),
            no_job: request.no_job,
        })
    };
    vec![
        from_core(tenant_id).into(),
        column(events, |(request, _)| from_core(request.event_id)),
        column(events, |(request, _)| request.is_erased),
        column(events, |(_, source)| source.version),
        column(events, |(request, _)| request.topic.as_deref()),
        column(&statuses, |(status, ..)| *status),
        column(&statuses, |(_, code, _)| *code),
        column(&statuses, |(.., reason)| reason.as_deref()),
        column(events.iter().zip(&statuses), |((request, _), (status, ..))| {
            (*status == "accepted").then(|| outcome(request))
        }),
    ]
}
