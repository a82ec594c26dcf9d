//! What ran above a process when it was executed.

use std::sync::Arc;

use zastava_common::abi::{Ancestor, MAX_ANCESTORS};

use super::super::describe;
use super::{ProcessTable, is_of, started_before};
use crate::kernel::record::{Exec, ProcessKey};
use crate::observation::{AncestorName, Process};

impl ProcessTable {
    /// The record's ancestors with their programs; of a record without any, the parent and what ran above that.
    pub(super) fn ancestors(&mut self, key: ProcessKey, exec: &Exec) -> Arc<[AncestorName]> {
        let Some(parent) = exec.ancestors.first() else {
            let parent = self.any(exec.ppid).filter(|parent| started_before(parent, key));
            return parent.map(|parent| below(&parent.process)).unwrap_or_default();
        };
        let latest = self.live.peek(&parent.tgid).and_then(|parent| parent.lineage.as_ref());
        if let Some(lineage) = latest.filter(|lineage| self.is_lineage(lineage, &exec.ancestors)) {
            return Arc::clone(lineage);
        }
        let lineage: Arc<[_]> = exec.ancestors.iter().map(|ancestor| self.ancestor(ancestor)).collect();
        if let Some(parent) = self.live.peek_mut(&parent.tgid) {
            parent.lineage = Some(Arc::clone(&lineage));
        }
        lineage
    }

    /// Whether these names would be made again.
    fn is_lineage(&self, names: &[AncestorName], ancestors: &[Ancestor]) -> bool {
        names.len() == ancestors.len()
            && names.iter().zip(ancestors).all(|(name, ancestor)| {
                name.key == key_of(ancestor)
                    && name.comm.as_bytes() == describe::until_nul(&ancestor.comm)
                    && name.exe.as_ref() == self.program(name.key)
            })
    }

    fn ancestor(&self, ancestor: &Ancestor) -> AncestorName {
        let key = key_of(ancestor);
        AncestorName { key, comm: describe::text(&ancestor.comm), exe: self.program(key).cloned() }
    }

    fn program(&self, key: ProcessKey) -> Option<&String> {
        let live = self.live.peek(&key.tgid).filter(|image| is_of(image, key));
        let past = || self.past.peek(&key.tgid).map(|past| &past.image).filter(|image| is_of(image, key));
        live.or_else(past).map(|image| &image.process.exe)
    }
}

/// The ancestors of a child of `parent`.
pub(super) fn below(parent: &Process) -> Arc<[AncestorName]> {
    let own = AncestorName { key: parent.key, comm: parent.comm.clone(), exe: Some(parent.exe.clone()) };
    std::iter::once(own).chain(parent.ancestors.iter().cloned()).take(MAX_ANCESTORS).collect()
}

fn key_of(ancestor: &Ancestor) -> ProcessKey {
    ProcessKey { tgid: ancestor.tgid, start_boot_ns: ancestor.start_boot_ns }
}
