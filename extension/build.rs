//! Keeps the section that `cargo pgrx schema` reads the extension's SQL from, where the linker would drop it.
//!
//! cargo-pgrx would do so everywhere and by RUSTFLAGS: the library gets several times as large, and every
//! dependency compiles twice. scripts/environment.sh tells it not to, and here it is done on the one platform that
//! needs it, for the library alone. Were it missing, `cargo pgrx package` would say so and fail.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key| std::env::var(key).unwrap_or_default();
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ARCH") == "aarch64" {
        println!("cargo::rustc-cdylib-link-arg=-Wl,--no-gc-sections");
    }
}
