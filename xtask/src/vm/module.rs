//! Kernel modules: which others one needs, and how it is packed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The modules of that name and what they need, in the order to load them, unpacked. Those that the kernel has built
/// in are not among them.
pub(super) fn with_dependencies(name: &str, below: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut modules = Vec::new();
    add(name, below, &mut modules)?;
    Ok(modules)
}

fn add(name: &str, below: &Path, modules: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    if modules.iter().any(|(known, _)| known == name) {
        return Ok(());
    }
    let Some(path) = find(name, below) else { return Ok(()) };
    let bytes = unpack(&path)?;
    for needed in depends(&bytes) {
        add(&needed, below, modules)?;
    }
    modules.push((name.to_owned(), bytes));
    Ok(())
}

fn find(name: &str, below: &Path) -> Option<PathBuf> {
    let mut directories = vec![below.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                directories.push(path);
            } else if is_module(&entry.file_name().to_string_lossy(), name) {
                return Some(path);
            }
        }
    }
    None
}

fn is_module(file: &str, name: &str) -> bool {
    file.split_once(".ko").is_some_and(|(stem, pack)| {
        stem.replace('-', "_") == name.replace('-', "_") && ["", ".xz", ".zst"].contains(&pack)
    })
}

fn unpack(path: &Path) -> Result<Vec<u8>> {
    let unpacker = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = Command::new(unpacker)
        .arg("-dc")
        .arg(path)
        .output()
        .with_context(|| format!("cannot start {unpacker}"))?;
    if !output.status.success() {
        bail!("{unpacker} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

/// What a module says of itself: `depends=a,b` among the strings of its section `.modinfo`.
fn depends(module: &[u8]) -> Vec<String> {
    let strings = module.split(|byte| *byte == 0);
    let list = strings.filter_map(|string| string.strip_prefix(b"depends=")).next_back().unwrap_or_default();
    let names = list.split(|byte| *byte == b',').filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{depends, is_module};

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(
            depends(b"\x7fELF\0license=GPL\0depends=exportfs,nls_base\0name=x\0"),
            ["exportfs", "nls_base"]
        );
        assert!(depends(b"license=GPL\0depends=\0").is_empty());
        assert!(depends(b"").is_empty());
    }

    #[test]
    fn a_module_is_found_by_name_however_it_is_packed() {
        assert!(is_module("overlay.ko", "overlay"));
        assert!(is_module("nf-tables.ko.xz", "nf_tables"));
        assert!(!is_module("overlayfs.ko", "overlay"));
    }
}
