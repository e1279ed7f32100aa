//! Which flows hear of a change, and the jobs they get.

use super::create::Changed;
use super::{Batch, Request, Told};
use crate::error::{Result, internal};
use crate::functions::{from_core, to_core};
use crate::jsonb::Jsonb;
use crate::outbox::{Deliveries, Delivery, Of};
use crate::plan::{self, column};
use nexus_core::identity::Scope;
use nexus_core::routing::{self, Flow};
use pgrx::Uuid as PgUuid;
use pgrx::spi::{SpiClient, SpiHeapTupleData};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use uuid::Uuid;

/// A tenant's active flows, with their environments.
#[derive(Default)]
pub struct Flows(Vec<(Uuid, Uuid, Rc<Flow>)>);

thread_local! {
    /// Flows by id and the hash of their definition: a backend compiles each once.
    static COMPILED: RefCell<HashMap<Uuid, (i64, Rc<Flow>)>> = RefCell::default();
}

/// A record's row holds the document of its last change.
const INSERT_JOBS: &str = "
    insert into nexus.job (tenant_id, job_id, environment_id, flow_id, event_id, trace_id, entity_kind, entity_id,
                           birth_id, normalized_payload, created_at, updated_at)
    select $1, r.job_id, r.environment_id, r.flow_id, r.event_id, r.trace_id, r.entity_kind, r.entity_id, r.birth_id,
           coalesce(r.document, (select s.document from nexus.source_record s
                                 where s.tenant_id = $1 and s.birth_id = r.birth_id)), now(), now()
    from (select unnest($2) as job_id, unnest($3) as environment_id, unnest($4) as flow_id, unnest($5) as event_id,
                 unnest($6) as trace_id, unnest($7) as entity_kind, unnest($8) as entity_id, unnest($9) as birth_id,
                 unnest($10) as document) r";

impl Flows {
    /// Adds the flow of a row: (…, flow_id, environment_id, definition, its hash).
    pub fn add(&mut self, row: &SpiHeapTupleData<'_>) -> Result<()> {
        let (Some(flow_id), Some(environment_id), Some(hash)) = (
            row.get::<PgUuid>(2).map_err(internal)?.map(to_core),
            row.get::<PgUuid>(3).map_err(internal)?.map(to_core),
            row.get::<i64>(5).map_err(internal)?,
        ) else {
            return Ok(());
        };
        let known = COMPILED.with_borrow(|compiled| compiled.get(&flow_id).cloned());
        let flow = match known.filter(|(of, _)| *of == hash) {
            Some((_, flow)) => Ok(flow),
            None => {
                let definition = row.get::<Jsonb>(4).map_err(internal)?;
                let definition = definition.map_or(Ok(Value::Null), |definition| definition.read())?;
                Flow::from_json(&definition).map(Rc::new)
            }
        };
        match flow {
            Ok(flow) => {
                COMPILED.with_borrow_mut(|compiled| compiled.insert(flow_id, (hash, Rc::clone(&flow))));
                self.0.push((flow_id, environment_id, flow));
            }
            // create_flow refuses these; one written past it must not stop the tenant's events.
            Err(error) => pgrx::warning!("flow {flow_id} is left out: {error}"),
        }
        Ok(())
    }

    /// In the order of their ids, so that jobs are made in one order.
    pub fn sort(&mut self) {
        self.0.sort_unstable_by_key(|(flow_id, ..)| *flow_id);
    }

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

/// Makes a job for each change and each flow that wants it, and notes on the requests why none was made; the jobs'
/// deliveries.
pub fn enqueue(
    client: &mut SpiClient<'_>,
    batch: &mut Batch,
    flows: &Flows,
    changes: &[Changed],
) -> Result<Deliveries> {
    let jobs: Vec<Job<'_>> = changes.iter().flat_map(|change| Job::of(batch, change)).collect();
    if !jobs.is_empty() {
        let arguments = [
            from_core(batch.tenant_id).into(),
            column(&jobs, |job| from_core(job.job_id)),
            column(&jobs, |job| from_core(job.environment_id)),
            column(&jobs, |job| from_core(job.flow_id)),
            column(&jobs, |job| from_core(job.request.event_id)),
            column(&jobs, |job| &*job.request.trace.trace_id),
            column(&jobs, |job| job.change.kind.name),
            column(&jobs, |job| from_core(job.change.entity_id)),
            column(&jobs, |job| from_core(job.change.birth_id)),
            column(&jobs, |job| job.change.document.as_ref()),
        ];
        plan::run(client, INSERT_JOBS, &arguments)?;
    }
    let deliveries = jobs.iter().map(Job::delivery).collect();
    explain(batch, flows, changes);
    Ok(deliveries)
}

/// A flow's job for a change.
struct Job<'a> {
    job_id: Uuid,
    flow_id: Uuid,
    environment_id: Uuid,
    request: &'a Request,
    change: &'a Changed,
}

impl<'a> Job<'a> {
    fn of(batch: &'a Batch, change: &'a Changed) -> impl Iterator<Item = Self> {
        let request = &batch.requests[change.place];
        let flows = request.source.iter().flat_map(|source| change.flows.iter().map(move |id| (source, *id)));
        flows.map(move |(source, flow_id)| {
            let environment_id = source.scope.environment_id;
            Self { job_id: Uuid::now_v7(), flow_id, environment_id, request, change }
        })
    }

    fn delivery(&self) -> Delivery {
        Delivery {
            delivery_id: Uuid::now_v7(),
            environment_id: self.environment_id,
            destination_id: self.flow_id,
            of: Of::Job(self.job_id),
        }
    }
}

fn explain(batch: &mut Batch, flows: &Flows, changes: &[Changed]) {
    for request in batch.requests.iter_mut().filter(|request| !request.results.is_empty()) {
        if changes.iter().any(|change| change.place == request.place) {
            continue;
        }
        request.no_job = Some(if !request.results.iter().any(Told::has_changed) {
            "nothing changed: the claims were known, or older than what is known"
        } else if flows.0.is_empty() {
            "the tenant has no active flow"
        } else {
            "no flow of this environment wants it; nexus.explain_routing tells why"
        });
    }
}
