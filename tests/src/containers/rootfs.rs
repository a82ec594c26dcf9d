//! What a container's root directory must be said to be made of.

use std::path::Path;

use zastava_common::event::v1::{Event, Rootfs};

use super::{
    images::{Images, Named},
    runtime::Kind,
};

/// Of an image with the layers of [`Images::main`].
#[derive(Clone, Debug)]
pub(super) struct Root {
    kind: Kind,
    diff_ids: Vec<String>,
    /// A file of each layer, the lowest first.
    files: Vec<&'static str>,
}

impl Root {
    pub(super) fn of(kind: Kind, images: &Images, image: &Named) -> Self {
        Self { kind, diff_ids: image.image.diff_ids.clone(), files: images.one_of_each_layer() }
    }

    /// What an event says otherwise.
    pub(super) fn faults(&self, event: &Event) -> Vec<String> {
        let Some(root) = event.workload.as_ref().and_then(|workload| workload.rootfs.clone()) else {
            return vec!["no workload.rootfs".to_owned()];
        };
        let mut faults = Vec::new();
        if root.diff_ids != self.diff_ids {
            faults.push(format!("rootfs.diffIds is {:?}, not {:?}", root.diff_ids, self.diff_ids));
        }
        let snapshotter = match self.kind {
            Kind::Containerd(_) | Kind::Cri(_) => "overlayfs",
            Kind::Docker => "overlay2",
            Kind::Podman => "overlay",
        };
        if root.snapshotter != snapshotter {
            faults.push(format!("rootfs.snapshotter is {:?}, not {snapshotter:?}", root.snapshotter));
        }
        if let Kind::Cri(_) = self.kind {
            if root
                != (Rootfs {
                    snapshotter: root.snapshotter.clone(),
                    diff_ids: root.diff_ids.clone(),
                    ..Rootfs::default()
                })
            {
                faults.push(format!("the CRI of containerd tells no directories: {root:?}"));
            }
        } else {
            faults.extend(self.directories(&root));
        }
        faults
    }

    /// Images stay in the store, whatever became of the container.
    fn directories(&self, root: &Rootfs) -> Vec<String> {
        let mut faults = Vec::new();
        let end = match self.kind {
            Kind::Containerd(_) | Kind::Cri(_) => "/rootfs",
            Kind::Docker | Kind::Podman => "/merged",
        };
        if !root.path.ends_with(end) {
            faults.push(format!("rootfs.path is {:?}", root.path));
        }
        let of = |path: &str| Path::new(path).parent().map(Path::to_owned);
        if root.upper.is_empty() || of(&root.upper) != of(&root.work) || root.lower.contains(&root.upper) {
            faults.push(format!("rootfs.upper is {:?} and work {:?}", root.upper, root.work));
        }
        // Docker has a layer of its own above those of the image.
        let own = usize::from(self.kind == Kind::Docker);
        if root.lower.len() != self.files.len() + own {
            faults.push(format!(
                "rootfs.lower has {:?}, and the image {} layers",
                root.lower,
                self.files.len()
            ));
        }
        for (lower, file) in root.lower.iter().rev().zip(&self.files) {
            if !Path::new(lower).join(file).is_file() {
                faults.push(format!("no {file} in the layer {lower}"));
            }
        }
        faults
    }
}
