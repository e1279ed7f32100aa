//! A tenant with a connector for each source, and what Nexus makes of what they say.

use super::history::SOURCES;
use nexus_core::canonical::KINDS;
use nexus_tests::tenant::{Connector, Tenant};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use uuid::Uuid;

/// The sources of one tenant.
pub struct Sources {
    pub tenant: Tenant,
    pub connectors: BTreeMap<&'static str, Connector>,
}

/// Every entity: the records it is made of, with the golden row and its child rows, in which every id is said by
/// what it names.
pub type Truth = BTreeMap<Vec<String>, (Value, Vec<Value>)>;

impl Sources {
    pub async fn create(client: &Client) -> Self {
        let tenant = Tenant::create(client).await;
        let mut connectors = BTreeMap::new();
        for (label, connector_type) in SOURCES {
            connectors.insert(label, tenant.connector(client, connector_type).await);
        }
        Self { tenant, connectors }
    }

    /// The source's name here.
    pub fn label(&self, connector_id: Uuid) -> &'static str {
        let found = self.connectors.iter().find(|(_, connector)| connector.connector_id == connector_id);
        found.expect("a connector of the tenant").0
    }

    /// A record, with the entity it contributes to.
    pub async fn record(&self, client: &Client, kind: &str, label: &str, external_id: &str) -> (Uuid, Uuid) {
        let sql = "select birth_id, entity_id from nexus.source_record
                   where tenant_id = $1 and connector_id = $2 and kind = $3 and external_id = $4";
        let connector = self.connectors[label].connector_id;
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.tenant.tenant_id, &connector, &kind, &external_id];
        let row = client.query_one(sql, &arguments).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Rebuilds every kind; how many entities that changed.
    pub async fn rebuild(&self, client: &Client) -> i64 {
        let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let sql = "select sum(r.changed)::bigint from unnest($2::text[]) k cross join lateral nexus.rebuild($1, k) r";
        client.query_one(sql, &[&self.tenant.tenant_id, &kinds]).await.unwrap().get(0)
    }

    /// What there is. Everything that must hold of any state holds of it.
    pub async fn truth(&self, client: &Client) -> Truth {
        let names = self.names(client).await;
        let mut truth = Truth::new();
        for kind in KINDS {
            let table = kind.name;
            let mut children: BTreeMap<Uuid, Vec<Value>> = BTreeMap::new();
            if let Some(of) = kind.children {
                let child = of.table;
                let sql = format!(
                    "select c.{table}_id, to_jsonb(c) - '{child}_id' - '{table}_id' from nexus.{child} c
                     where c.tenant_id = $1 order by c.{table}_id, c.position, c.external_id"
                );
                for row in client.query(&sql, &[&self.tenant.tenant_id]).await.unwrap() {
                    let row: (Uuid, Value) = (row.get(0), row.get(1));
                    children.entry(row.0).or_default().push(names.said(row.1));
                }
            }
            let sql = format!(
                "select g.{table}_id, to_jsonb(g) - '{table}_id' from nexus.{table} g where g.tenant_id = $1"
            );
            for row in client.query(&sql, &[&self.tenant.tenant_id]).await.unwrap() {
                let (entity_id, golden): (Uuid, Value) = (row.get(0), row.get(1));
                let members = names.members.get(&entity_id).expect("no golden row is nobody's");
                let children = children.remove(&entity_id).unwrap_or_default();
                let mut sources: Vec<&Value> = children.iter().map(|child| &child["connector_id"]).collect();
                sources.dedup();
                assert!(sources.len() <= 1, "the rows of {members:?} are of {sources:?}");
                truth.insert(members.clone(), (names.said(golden), children));
            }
            assert!(children.is_empty(), "{table}: child rows of nobody");
        }
        assert_eq!(truth.len(), names.members.len(), "every entity has its row");
        truth
    }

    async fn names(&self, client: &Client) -> Names {
        let mut names = Names { members: BTreeMap::new(), by_id: BTreeMap::new() };
        for (label, connector) in &self.connectors {
            names.by_id.insert(connector.connector_id, (*label).to_owned());
        }
        let sql = "select connector_id, kind, external_id, birth_id, entity_id from nexus.source_record where tenant_id = $1";
        for row in client.query(sql, &[&self.tenant.tenant_id]).await.unwrap() {
            let (source, kind, external_id): (Uuid, &str, &str) = (row.get(0), row.get(1), row.get(2));
            let label = format!("{kind} {} {external_id}", names.by_id[&source]);
            names.by_id.insert(row.get(3), label.clone());
            names.members.entry(row.get(4)).or_default().push(label);
        }
        for (entity_id, members) in &mut names.members {
            members.sort();
            // An entity bears the id of one of its records; what refers to it means all of them.
            names.by_id.insert(*entity_id, members.join(" + "));
        }
        names
    }
}

struct Names {
    members: BTreeMap<Uuid, Vec<String>>,
    by_id: BTreeMap<Uuid, String>,
}

impl Names {
    /// A row without what differs from tenant to tenant. `…_birth_id` names a record and says too little to tell
    /// it from its entity, so that only `…_id` is kept.
    fn said(&self, row: Value) -> Value {
        const OWN: [&str; 5] = ["tenant_id", "environment_id", "entity_version", "created_at", "updated_at"];
        let Value::Object(row) = row else { panic!("a row") };
        let kept =
            row.into_iter().filter(|(name, _)| !OWN.contains(&&**name) && !name.ends_with("_birth_id"));
        let said = |value: Value| match value.as_str().and_then(|text| text.parse::<Uuid>().ok()) {
            Some(id) => {
                Value::String(self.by_id.get(&id).cloned().unwrap_or_else(|| "nobody yet".to_owned()))
            }
            None => value,
        };
        Value::Object(kept.map(|(name, value)| (name, said(value))).collect::<Map<_, _>>())
    }
}
