//! `.nexus/demo.json`: everything a program needs to talk to what the demo has set up.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use uuid::Uuid;

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DemoFile {
    /// The gateway.
    pub base_url: String,
    /// A superuser of the private cluster.
    pub admin_database_url: String,
    /// A key that acts on tenants.
    pub platform_key: String,
    /// The demo's receiver of jobs and webhooks; GET /received lists what came.
    pub sink_url: String,
    /// acme and globex.
    pub tenants: Vec<Tenant>,
}

/// A tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    /// Its short name.
    pub slug: String,
    /// Its id.
    pub tenant_id: Uuid,
    /// Its three environments.
    pub environments: Environments,
    /// Its shops.
    pub connectors: Vec<Connector>,
    /// What sends jobs to the sink.
    pub flows: Vec<Flow>,
    /// What sends domain events to the sink.
    pub subscriptions: Vec<Subscription>,
    /// A login bound to the tenant: it reads by SQL, and sees nothing of anyone else's.
    pub sql_url: String,
}

/// A tenant's environments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environments {
    /// Real business.
    pub prod: Environment,
    /// Trials.
    pub test: Environment,
    /// Development.
    pub dev: Environment,
}

/// An environment with a key of all scopes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environment {
    /// Its id.
    pub environment_id: Uuid,
    /// A key for it.
    pub api_key: String,
}

/// A connected shop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connector {
    /// Its id.
    pub connector_id: Uuid,
    /// Its platform, such as `shopify`.
    pub connector_type: String,
    /// The environment it belongs to.
    pub environment: String,
    /// Where the platform sends its webhooks.
    pub hook_url: String,
    /// What the platform signs them with.
    pub secret: String,
}

/// A flow and the secret its jobs are signed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    /// Its id.
    pub flow_id: Uuid,
    /// `whsec_…`
    pub secret: String,
}

/// A subscription and the secret its webhooks are signed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub subscription_id: Uuid,
    /// `whsec_…`
    pub secret: String,
}

impl DemoFile {
    /// What an earlier run wrote; `None` if there is nothing that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes the file for its owner's eyes only. By rename, so that nobody reads half of it.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let unfinished = path.with_extension("json.new");
        // Removed first: the mode below is for a file that is made, and one left behind may have another.
        let _ = fs::remove_file(&unfinished);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The tenant of this slug.
    pub fn tenant(&self, slug: &str) -> Result<&Tenant> {
        self.tenants
            .iter()
            .find(|tenant| tenant.slug == slug)
            .with_context(|| format!("there is no tenant {slug}"))
    }
}

impl Tenant {
    /// The first connector of this platform.
    pub fn connector(&self, connector_type: &str) -> Result<&Connector> {
        let found = self.connectors.iter().find(|connector| connector.connector_type == connector_type);
        found.with_context(|| format!("tenant {} has no {connector_type} connector", self.slug))
    }
}

impl Environments {
    /// The three of them by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Environment)> {
        [("prod", &self.prod), ("test", &self.test), ("dev", &self.dev)].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("nexus-demo-{}.json", Uuid::new_v4()));
        let file = DemoFile {
            base_url: "http://127.0.0.1:1".to_owned(),
            admin_database_url: String::new(),
            platform_key: "sk_platform_x".to_owned(),
            sink_url: String::new(),
            tenants: Vec::new(),
        };
        file.write(&path).expect("written");
        file.write(&path).expect("written again");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        let read = DemoFile::read(&path).expect("read");
        fs::remove_file(&path).expect("removed");
        assert_eq!((mode & 0o777, read.platform_key), (0o600, file.platform_key));
    }
}
