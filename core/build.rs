//! Compiles the manifests of `connectors/` in, so that adding a platform is adding a folder.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(io::Error::other);
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../connectors");
    println!("cargo:rerun-if-changed={}", folder.display());

    let mut manifests = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let manifest = entry?.path().join("connector.toml");
        if manifest.is_file() {
            println!("cargo:rerun-if-changed={}", manifest.display());
            manifests.push(manifest.canonicalize()?);
        }
    }
    manifests.sort();

    let mut source = String::from("&[\n");
    for manifest in manifests {
        let connector_type = manifest.parent().and_then(Path::file_name).unwrap_or_default();
        let line = format!("    ({:?}, include_str!({:?})),", connector_type, manifest);
        writeln!(source, "{line}").map_err(io::Error::other)?;
    }
    source.push_str("]\n");
    fs::write(Path::new(&variable("OUT_DIR")?).join("built_in.rs"), source)
}
