//! Which flows hear of a change, and the jobs they get.

use super::Batch;
use super::create::Changed;
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::plan;
use nexus_core::identity::Scope;
use nexus_core::routing::{self, Flow};
use pgrx::spi::SpiClient;
use pgrx::{JsonB, Uuid as PgUuid};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The tenant's active flows.
pub struct Flows(Vec<(Uuid, Uuid, Flow)>);

const FLOWS: &str = "
    select f.flow_id, f.environment_id, f.definition from nexus.flow f
    where f.tenant_id = $1 and f.is_active order by f.flow_id";

const ENQUEUE_JOBS: &str = "
    insert into nexus.job (tenant_id, job_id, environment_id, flow_id, event_id, trace_id, entity_kind, entity_id, birth_id,
                           normalized_payload, created_at, updated_at)
    select $1, r.job_id, r.environment_id, r.flow_id, r.event_id, r.trace_id, r.entity_kind, r.entity_id, r.birth_id,
           r.normalized_payload, now(), now()
    from jsonb_to_recordset($2) as r(job_id uuid, environment_id uuid, flow_id uuid, event_id uuid, trace_id text,
                                     entity_kind text, entity_id uuid, birth_id uuid, normalized_payload jsonb)";

const ENQUEUE_DELIVERIES: &str = "
    insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, job_id, trace_id, due_at, created_at)
    select $1, r.delivery_id, r.environment_id, 'job', r.flow_id, r.job_id, r.trace_id, now(), now()
    from jsonb_to_recordset($2) as r(delivery_id uuid, environment_id uuid, flow_id uuid, job_id uuid, trace_id text)";

pub fn flows(client: &mut SpiClient<'_>, batch: &Batch) -> Result<Flows> {
    let mut flows = Vec::new();
    for row in plan::run(client, FLOWS, &[from_core(batch.tenant_id).into()])? {
        let (Some(flow_id), Some(environment_id), Some(definition)) = (
            row.get::<PgUuid>(1).map_err(internal)?,
            row.get::<PgUuid>(2).map_err(internal)?,
            row.get::<JsonB>(3).map_err(internal)?,
        ) else {
            continue;
        };
        match Flow::from_json(&definition.0) {
            Ok(flow) => flows.push((to_core(flow_id), to_core(environment_id), flow)),
            // create_flow refuses these; one written past it must not stop the tenant's events.
            Err(error) => pgrx::warning!("flow {flow_id} is left out: {error}"),
        }
    }
    Ok(Flows(flows))
}

impl Flows {
    /// The flows of the record's environment that hear of this change of it.
    pub fn wanting(
        &self,
        scope: Scope,
        kind: &str,
        topic: Option<&str>,
        document: &Map<String, Value>,
    ) -> Vec<Uuid> {
        let change = routing::Change { kind, connector_id: scope.connector_id, topic, document };
        let wanting = self.0.iter().filter(|(_, environment_id, flow)| {
            *environment_id == scope.environment_id && flow.wants(&change).is_ok()
        });
        wanting.map(|(flow_id, ..)| *flow_id).collect()
    }
}

/// Queues a job for each change and each flow that wants it, and notes on the requests why none was made.
pub fn enqueue(
    client: &mut SpiClient<'_>,
    batch: &mut Batch,
    flows: &Flows,
    changes: &[Changed],
) -> Result<()> {
    let mut rows = Vec::new();
    for change in changes {
        let request = &batch.requests[change.place];
        let Some(source) = &request.source else {
            continue;
        };
        for flow_id in &change.flows {
            rows.push(json!({
                "job_id": Uuid::now_v7(),
                "delivery_id": Uuid::now_v7(),
                "environment_id": source.scope.environment_id,
                "flow_id": flow_id,
                "event_id": request.event_id,
                "trace_id": request.trace.trace_id,
                "entity_kind": change.kind.name,
                "entity_id": change.entity_id,
                "birth_id": change.birth_id,
                "normalized_payload": change.document,
            }));
        }
    }
    explain(batch, flows, changes);
    if !rows.is_empty() {
        let rows = JsonB(Value::Array(rows));
        let tenant_id = from_core(batch.tenant_id);
        plan::run(client, ENQUEUE_JOBS, &[tenant_id.into(), JsonB(rows.0.clone()).into()])?;
        plan::run(client, ENQUEUE_DELIVERIES, &[tenant_id.into(), rows.into()])?;
    }
    Ok(())
}

fn explain(batch: &mut Batch, flows: &Flows, changes: &[Changed]) {
    for request in batch.requests.iter_mut().filter(|request| !request.results.is_empty()) {
        if changes.iter().any(|change| change.place == request.place) {
            continue;
        }
        let has_changed =
            |result: &Value| matches!(result["result"].as_str(), Some("created" | "changed" | "deleted"));
        request.no_job = Some(if !request.results.iter().any(has_changed) {
            "nothing changed: the claims were known, or older than what is known"
        } else if flows.0.is_empty() {
            "the tenant has no active flow"
        } else {
            "no flow of this environment wants it; nexus.explain_routing tells why"
        });
    }
}
