//! What a connector's records have come to, in a form that can be compared between connectors.

use nexus_core::canonical::KINDS;
use nexus_tests::tenant::Connector;
use serde_json::{Map, Value, json};
use tokio_postgres::Client;

/// Every source record of a connector and the golden rows they give, without what is derived from the
/// connector's id and without how often, when and by which event rows were written: of claims of one moment, any
/// may lend the record its stamp.
pub async fn state(client: &Client, connector: &Connector) -> Value {
    let ids: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&connector.tenant_id, &connector.connector_id];
    let records = "select coalesce(jsonb_agg(jsonb_build_object(
            'kind', r.kind, 'external_id', r.external_id, 'document', r.document, 'source_time', r.source_time,
            'observed_at', r.observed_at, 'is_deleted', r.is_deleted, 'deleted_at', jsonb_build_array(r.tombstone -> 1, r.tombstone -> 2),
            'groups', (select jsonb_object_agg(g.key, jsonb_build_array(g.value -> 1, g.value -> 2))
                       from jsonb_each(r.group_stamps) g
                       where to_timestamp((g.value ->> 1)::numeric / 1000000) <> r.source_time
                          or to_timestamp((g.value ->> 2)::numeric / 1000000) <> r.observed_at))
            order by r.kind, r.external_id), '[]')
        from nexus.source_record r where r.tenant_id = $1 and r.connector_id = $2";
    let records: Value = client.query_one(records, ids).await.unwrap().get(0);
    let mut tables = Map::new();
    for kind in KINDS {
        let (table, id) = (kind.name, kind.id_column());
        let entities = format!(
            "select coalesce(jsonb_agg(to_jsonb(t) order by r.external_id), '[]')
             from nexus.source_record r join nexus.{table} t on t.tenant_id = r.tenant_id and t.{id} = r.entity_id
             where r.tenant_id = $1 and r.connector_id = $2 and r.kind = '{table}'"
        );
        tables.insert(table.to_owned(), rows(client, &entities, ids).await);
        if let Some(children) = kind.children {
            let child = children.table;
            let rows_of_children = format!(
                "select coalesce(jsonb_agg(to_jsonb(c) order by r.external_id, c.position), '[]')
                 from nexus.source_record r join nexus.{child} c on c.tenant_id = r.tenant_id and c.{id} = r.entity_id
                 where r.tenant_id = $1 and r.connector_id = $2 and r.kind = '{table}'"
            );
            tables.insert(child.to_owned(), rows(client, &rows_of_children, ids).await);
        }
    }
    json!({ "records": records, "golden": tables })
}

async fn rows(client: &Client, sql: &str, ids: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Value {
    let mut rows: Value = client.query_one(sql, ids).await.unwrap().get(0);
    for row in rows.as_array_mut().unwrap() {
        let row = row.as_object_mut().unwrap();
        // A row's external id is its source's; every other id hangs on the connector's.
        row.retain(|name, _| {
            name == "external_id"
                || !(name.ends_with("_id")
                    || matches!(name.as_str(), "entity_version" | "created_at" | "updated_at"))
        });
        if let Some(deleted_at) = row.get_mut("deleted_at") {
            *deleted_at = json!(!deleted_at.is_null());
        }
    }
    rows
}
