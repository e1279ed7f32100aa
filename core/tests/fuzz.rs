//! The seeds of the fuzz targets, as plain tests.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;

fn run(target: &str, function: fn(&[u8])) {
    let folder = format!("{}/../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        // The name of the file, should it panic.
        eprintln!("{}", path.display());
        function(&data);
        // Cut off anywhere, it is no worse.
        for end in (0..data.len()).step_by(data.len() / 16 + 1) {
            function(&data[..end]);
        }
        count += 1;
    }
    assert!(count > 0, "there are seeds in {folder}");
}

#[test]
fn engine() {
    run("engine", targets::engine);
}

#[test]
fn manifest() {
    run("manifest", targets::manifest);
}

#[test]
fn signature() {
    run("signature", targets::signature);
}
