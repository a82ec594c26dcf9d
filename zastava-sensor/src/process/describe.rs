//! From an exec record to the process that consumers see.

use crate::kernel::record::{Arguments, Exec, KernelPath, ProcessKey};
use crate::observation::{AncestorName, Process};

pub(super) fn process(
    key: ProcessKey,
    exec: &Exec,
    ancestors: Vec<AncestorName>,
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
    }
}

/// Lossy UTF-8, up to the first NUL.
pub(super) fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path cut on its root's side begins with an ellipsis, so that it cannot be taken for another one.
fn path(path: &KernelPath) -> String {
    if path.truncated {
        format!("…/{}", String::from_utf8_lossy(&path.bytes))
    } else {
        String::from_utf8_lossy(&path.bytes).into_owned()
    }
}

fn arguments(args: &Arguments) -> Vec<String> {
    let bytes = args.bytes.strip_suffix(b"\0").unwrap_or(&args.bytes);
    if args.bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}
