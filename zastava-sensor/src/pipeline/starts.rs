//! A last look at a container's first process before its start is told.

use std::{collections::HashSet, io};

use metrics::counter;
use zastava_common::metric;

use super::observer::{Observer, payer};
use crate::{
    container::{Opening, Sample, reason},
    file::Purpose,
    kernel::record::{Mapping, Origin},
    observation::Process,
};

impl Observer {
    /// Tells the starts that are due. What the first process has mapped, and no record told of yet, is read from procfs.
    pub(super) fn tell_starts(&mut self, now_ns: u64) {
        while let Some(opening) = self.containers.next_start() {
            let sample = self.sample(&opening);
            self.containers.start(&opening.id, sample, now_ns);
        }
    }

    fn sample(&mut self, opening: &Opening) -> Sample {
        let without = |reason| Sample { reason: Some(reason), ..Sample::default() };
        let Some(most) = opening.most else { return without(reason::NOT_COLLECTED) };
        let Some((process, origin)) = &opening.process else { return without(reason::MAPPINGS_GONE) };
        let pays = opening.kernel.as_deref().map_or(&*opening.id, payer);
        let known: HashSet<&[u8]> =
            opening.known.iter().map(String::as_bytes).chain([process.exe.as_bytes()]).collect();
        let read = self.mapped.read(process.key, |path| known.contains(path));
        let (result, sample) = match read {
            Ok(mappings) => {
                // Of an unlinked file the name is known without the mark that procfs puts behind it.
                let new = mappings.iter().filter(|mapping| !known.contains(mapping.path.bytes.as_slice()));
                ("ok", self.named(pays, process, origin, new, most.saturating_sub(opening.known.len())))
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                ("refused", without(reason::MAPPINGS_REFUSED))
            }
            Err(_) => ("gone", without(reason::MAPPINGS_GONE)),
        };
        counter!(metric::PROC_MAPS_SAMPLES, "result" => result).increment(1);
        sample
    }

    fn named<'a>(
        &mut self,
        pays: &str,
        process: &Process,
        origin: &Origin,
        mappings: impl Iterator<Item = &'a Mapping>,
        most: usize,
    ) -> Sample {
        let origin = Origin { process: process.key, ..*origin };
        let mut sample = Sample::default();
        for mapping in mappings {
            if sample.libraries.len() == most {
                sample.left_out += 1;
                continue;
            }
            let artifact =
                self.identify(&origin, Some(pays), mapping.file, &mapping.path, None, Purpose::Library);
            sample.libraries.push(artifact);
        }
        sample
    }
}
