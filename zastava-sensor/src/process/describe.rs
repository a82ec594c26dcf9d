//! From an exec record to the process that consumers see.

use std::sync::{Arc, OnceLock};

use crate::kernel::record::{Arguments, Exec, KernelPath, ProcessKey};
use crate::observation::{AncestorName, Process};

pub(super) fn process(
    key: ProcessKey,
    exec: &Exec,
    ancestors: Arc<[AncestorName]>,
    diagnostics: bool,
) -> Process {
    Process {
        key,
        ppid: exec.ppid,
        comm: text(&exec.comm),
        exe: path(&exec.exe),
        cwd: path(&exec.cwd),
        uid: exec.uid,
        gid: exec.gid,
        argc: exec.args.count,
        args_len: exec.args.total,
        argv: diagnostics.then(|| arguments(&exec.args)),
        ancestors,
        existing: exec.existing,
        entered: OnceLock::new(),
    }
}

/// Lossy UTF-8, up to the first NUL.
pub(super) fn text(bytes: &[u8]) -> String {
    lossy(until_nul(bytes))
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|byte| *byte == 0).map_or(bytes, |end| &bytes[..end])
}

fn lossy(bytes: &[u8]) -> String {
    // Checking first is several times faster than the lossy way, and nearly all names pass.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}

/// A path cut on its root's side begins with an ellipsis, so that it cannot be taken for another one.
fn path(path: &KernelPath) -> String {
    if path.truncated { format!("…/{}", lossy(&path.bytes)) } else { lossy(&path.bytes) }
}

fn arguments(args: &Arguments) -> Vec<String> {
    let bytes = args.bytes.strip_suffix(b"\0").unwrap_or(&args.bytes);
    if args.bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(lossy).collect()
}
