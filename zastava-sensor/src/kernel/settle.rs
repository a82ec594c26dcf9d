//! Puts one drain's records in the order in which they make sense.
//!
//! The rings are read one after another, so times are mixed; and a program's loader is mapped *before* the kernel
//! announces its exec (fs/exec.c `exec_binprm`), although it belongs to the new program.

use std::collections::HashMap;

use super::record::{KernelRecord, What};

/// Sorts by time, mappings of a new program behind its exec.
pub fn settle(batch: &mut [KernelRecord]) {
    let mut execs: HashMap<u32, Vec<(u64, u64)>> = HashMap::new();
    for record in batch.iter() {
        if let What::Exec(exec) = &record.what {
            execs.entry(record.origin.process.tgid).or_default().push((exec.image, record.origin.boot_ns));
        }
    }
    batch.sort_by_cached_key(|record| {
        let at = record.origin.boot_ns;
        match &record.what {
            What::Mapping(mapping) => {
                let is_own = |(image, exec_at): &&(u64, u64)| *exec_at > at && *image == mapping.image;
                // perf has no numbers, and tells of a program's mappings behind its exec.
                let execs = execs.get(&record.origin.process.tgid).filter(|_| mapping.image != 0);
                let own = execs.and_then(|execs| execs.iter().find(is_own));
                (own.map_or(at, |(_, exec_at)| *exec_at), 1)
            }
            _ => (at, 0),
        }
    });
}

#[cfg(test)]
mod tests {
    use zastava_common::abi::Tier;

    use super::*;
    use crate::kernel::record::{Arguments, Exec, KernelPath, Mapping, Origin, ProcessKey};

    fn record(boot_ns: u64, tgid: u32, what: What) -> KernelRecord {
        let process = ProcessKey { tgid, start_boot_ns: 1 };
        let origin = Origin {
            tier: Tier::Trampoline,
            boot_ns,
            process,
            tid: tgid,
            cgroup_id: None,
            mnt_ns: None,
            sequence: None,
        };
        KernelRecord { origin, what }
    }

    fn mapping(image: u64) -> What {
        What::Mapping(Mapping {
            file: None,
            image,
            path: KernelPath::default(),
            build_id: None,
            by_protect: false,
        })
    }

    fn exec(image: u64) -> What {
        What::Exec(Box::new(Exec {
            file: None,
            image,
            exe: KernelPath::default(),
            cwd: KernelPath::default(),
            filename: Vec::new(),
            is_script: false,
            script: None,
            comm: Vec::new(),
            uid: 0,
            gid: 0,
            ppid: 0,
            args: Arguments::default(),
            ancestors: Vec::new(),
            build_id: None,
            existing: false,
        }))
    }

    fn times(batch: &[KernelRecord]) -> Vec<u64> {
        batch.iter().map(|record| record.origin.boot_ns).collect()
    }

    #[test]
    fn a_loader_mapped_before_its_exec_comes_behind_it() {
        let mut batch = vec![
            record(10, 7, mapping(2)),
            record(5, 7, mapping(1)),
            record(11, 7, exec(2)),
            record(12, 8, exec(9)),
        ];
        settle(&mut batch);
        assert_eq!(times(&batch), [5, 11, 10, 12]);
    }

    #[test]
    fn what_a_program_mapped_before_it_executed_another_stays_before_that() {
        let mut batch = vec![record(11, 7, exec(0)), record(10, 7, mapping(0)), record(11, 7, mapping(0))];
        settle(&mut batch);
        assert!(matches!(batch[0].what, What::Mapping(_)) && matches!(batch[1].what, What::Exec(_)));
    }

    #[test]
    fn another_process_s_exec_moves_nothing() {
        let mut batch = vec![record(10, 7, mapping(0)), record(11, 8, exec(0))];
        settle(&mut batch);
        assert_eq!(times(&batch), [10, 11]);
    }
}
