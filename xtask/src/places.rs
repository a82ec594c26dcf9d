//! Where things are: the workspace, what is built, and the cache that outlives a checkout.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The root of the workspace that this xtask was built from.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo builds: `CARGO_TARGET_DIR`, else `target` of the workspace.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where the sensor's build script looks for the kernel programs.
pub(crate) fn bpf_objects() -> PathBuf {
    root().join("target/bpf")
}

/// What is fetched or built once for a user: `$ZASTAVA_CACHE`, else `$XDG_CACHE_HOME/zastava`, else
/// `~/.cache/zastava`.
pub(crate) fn cache() -> Result<PathBuf> {
    let from = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("ZASTAVA_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("zastava")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/zastava")))
        .context("no place for the cache: set ZASTAVA_CACHE or HOME")
}

/// The program of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|candidate| candidate.is_file())
}
