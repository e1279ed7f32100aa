//! `nexus admin`, which makes what the demo needs: only it and the gateway hold the key that seals secrets.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The command, and what it works on.
pub struct Admin {
    program: PathBuf,
    database_url: String,
    master_key_file: PathBuf,
    base_url: String,
}

impl Admin {
    /// The `nexus` that was built together with this program.
    pub fn new(database_url: &str, master_key_file: &Path, base_url: &str) -> Result<Self> {
        let own = std::env::current_exe().context("the path of this program is not known")?;
        let program = own.with_file_name("nexus");
        if !program.is_file() {
            bail!("there is no {}; build it: cargo build --release -p nexus-gateway", program.display());
        }
        Ok(Self {
            program,
            database_url: database_url.to_owned(),
            master_key_file: master_key_file.to_owned(),
            base_url: base_url.to_owned(),
        })
    }

    /// Runs `nexus admin <arguments> --json` and reads what it prints.
    pub async fn run(&self, arguments: &[&str]) -> Result<Value> {
        self.run_with(arguments, "").await
    }

    /// The same with something secret on standard input, where no other user of the machine sees it.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Result<Value> {
        let name = arguments.first().copied().unwrap_or_default();
        let mut child = Command::new(&self.program)
            .args(["admin", "--json"])
            .args(arguments)
            .env("DATABASE_URL", &self.database_url)
            .env("NEXUS_MASTER_KEY_FILE", &self.master_key_file)
            .env("NEXUS_PUBLIC_URL", &self.base_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads no input may have ended by now; what it says tells more than this.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!("nexus admin {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("nexus admin {name} did not print JSON"))
    }
}
