//! What attaches where. One file per subject; each hook is `attach point -> try_hook() -> Result`.

mod cgroup;
mod exec;
mod exit;
mod files;
mod listen;
mod mapping;

use crate::kernel::Try;

/// Ends a hook: a failure is counted, never anything else, for no program here decides over what it sees.
#[inline(always)]
fn done(result: Try<()>) {
    if let Err(fail) = result {
        fail.count();
    }
}
