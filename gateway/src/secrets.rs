//! Sealing new secrets. Opening stored ones is part of loading the configuration.

use crate::db::{Database, Failure, Parameters};
use crate::error::Error;
use crate::sql;
use nexus_core::error::Code;
use nexus_core::secret::{DataKey, MasterKey, Place};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(Code::Internal, format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// Whose secrets they are.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The tenant.
    pub tenant_id: Uuid,
    /// `connector`, `flow`, `webhook_subscription`.
    pub kind: &'a str,
    /// The connector, flow or subscription.
    pub id: Uuid,
}

/// Holds the master keys: the first wraps, all unwrap.
#[derive(Debug)]
pub struct Vault {
    master_keys: Vec<MasterKey>,
}

impl Vault {
    /// A vault of at least one key.
    pub fn new(master_keys: Vec<MasterKey>) -> Self {
        Self { master_keys }
    }

    /// Seals a text for its place.
    pub async fn seal(&self, database: &Database, place: &Place<'_>, text: &[u8]) -> Result<Vec<u8>, Error> {
        let (_, data_key) = self.data_key(database, place.tenant_id).await?;
        Ok(data_key.seal(place, text, random()?)?)
    }

    /// Opens what [`Self::seal`] sealed.
    pub async fn open(
        &self,
        database: &Database,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (_, data_key) = self.data_key(database, place.tenant_id).await?;
        Ok(data_key.open(place, sealed)?.to_vec())
    }

    /// Seals a secret and stores it as the current one; the former stays valid for `overlap_seconds`. The
    /// actor is who the activity log names; empty, it is the login.
    pub async fn put(
        &self,
        database: &Database,
        actor: &str,
        place: &Place<'_>,
        secret: &[u8],
        overlap_seconds: f64,
    ) -> Result<(), Error> {
        let owner = Owner { tenant_id: place.tenant_id, kind: place.owner_kind, id: place.owner_id };
        self.put_all(database, actor, owner, &[(place.name, secret)], overlap_seconds).await
    }

    /// The same for several secrets of one owner, by name: all of them are stored, or none.
    pub async fn put_all(
        &self,
        database: &Database,
        actor: &str,
        owner: Owner<'_>,
        secrets: &[(&str, &[u8])],
        overlap_seconds: f64,
    ) -> Result<(), Error> {
        let Owner { tenant_id, kind, id } = owner;
        let (data_key_id, data_key) = self.data_key(database, tenant_id).await?;
        let mut sealed = Vec::with_capacity(secrets.len());
        for (name, secret) in secrets {
            let place = Place { tenant_id, owner_kind: kind, owner_id: id, name };
            sealed.push(data_key.seal(&place, secret, random()?)?);
        }
        let names: Vec<&str> = secrets.iter().map(|(name, _)| *name).collect();
        let parameters: &Parameters<'_> = &[
            (&tenant_id, Type::UUID),
            (&kind, Type::TEXT),
            (&id, Type::UUID),
            (&names, Type::TEXT_ARRAY),
            (&data_key_id, Type::UUID),
            (&sealed, Type::BYTEA_ARRAY),
            (&overlap_seconds, Type::FLOAT8),
        ];
        database.act(actor, sql::PUT_SECRETS, parameters).await?;
        Ok(())
    }

    /// The tenant's data key; a new one if it has none.
    async fn data_key(&self, database: &Database, tenant_id: Uuid) -> Result<(Uuid, DataKey), Error> {
        if let Some(standing) = self.standing_data_key(database, tenant_id).await? {
            return Ok(standing);
        }
        let Some(master_key) = self.master_keys.first() else {
            return Err(Error::new(Code::SecretUnreadable, "there is no master key"));
        };
        let (data_key, data_key_id) = (DataKey::new(random()?), Uuid::now_v7());
        let wrapped = master_key.wrap(tenant_id, &data_key, random()?)?;
        let parameters: &Parameters<'_> = &[
            (&tenant_id, Type::UUID),
            (&data_key_id, Type::UUID),
            (&wrapped, Type::BYTEA),
            (&master_key.id, Type::TEXT),
        ];
        let stands: Uuid = database.row(sql::PUT_DATA_KEY, parameters).await?.try_get(0)?;
        if stands == data_key_id {
            return Ok((data_key_id, data_key));
        }
        // Another gateway was faster.
        let standing = self.standing_data_key(database, tenant_id).await?;
        standing.ok_or_else(|| Failure::Empty.into())
    }

    async fn standing_data_key(
        &self,
        database: &Database,
        tenant_id: Uuid,
    ) -> Result<Option<(Uuid, DataKey)>, Error> {
        let rows = database.rows(sql::DATA_KEY, &[(&tenant_id, Type::UUID)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (id, wrapped, master_key_id): (Uuid, Vec<u8>, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let data_key = MasterKey::unwrap(&self.master_keys, &master_key_id, tenant_id, &wrapped)?;
        Ok(Some((id, data_key)))
    }
}
