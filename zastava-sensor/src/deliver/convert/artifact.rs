//! A file, in the envelope's words.

use zastava_common::{
    abi::{FileIdentity, FileOp, file_flag},
    event::v1::{
        self,
        file::{self, Op},
    },
};

use super::{TIER_CANNOT_TELL, text};
use crate::observation::{Artifact, Content, FileOrigin, Known, Strength};

const NO_PATH: &str = "the kernel gave no path";
const OVERLAY_ITSELF: &str = "inode of the overlay itself: the one below could not be read";

pub(super) fn file(artifact: Artifact, op: Op) -> v1::File {
    let Artifact { path, raw_path, path_truncated, identity, build_id, sha256, content, origin } = artifact;
    let (build_id, build_id_reason) = match build_id {
        Known::Is(build_id) => (String::from(&*build_id), None),
        Known::Not(reason) => (String::new(), Some(reason)),
    };
    let (sha256, strength, sha256_reason) = match sha256 {
        Known::Is(digest) => (String::from(&*digest.sha256), how(digest.strength), None),
        Known::Not(reason) => (String::new(), file::Strength::Unspecified, Some(reason)),
    };
    v1::File {
        path_reason: text::reason(path.is_empty().then_some(NO_PATH)),
        path,
        raw_path: raw_path.map(|bytes| text::hex(&bytes)).unwrap_or_default(),
        path_truncated,
        inode: identity.map(|identity| identity.ino),
        device: identity.map(|identity| device(identity.dev)).unwrap_or_default(),
        generation: identity.map(|identity| identity.generation),
        size: identity.map(|identity| identity.size),
        nlink: identity.map(|identity| identity.nlink),
        identity_reason: text::reason(doubt(identity.as_ref())),
        build_id,
        build_id_reason: text::reason(build_id_reason),
        sha256,
        sha256_strength: strength.into(),
        sha256_reason: text::reason(sha256_reason),
        content: what(content).into(),
        origin: whence(origin).into(),
        op: op.into(),
    }
}

pub(super) fn op(op: FileOp) -> Op {
    match op {
        FileOp::Create => Op::Create,
        FileOp::Write => Op::Write,
        FileOp::Rename => Op::Rename,
        FileOp::Link => Op::Link,
        FileOp::Chmod => Op::Chmod,
    }
}

fn doubt(identity: Option<&FileIdentity>) -> Option<&'static str> {
    match identity {
        None => Some(TIER_CANNOT_TELL),
        Some(identity) => (identity.flags & file_flag::OVERLAY_UNRESOLVED != 0).then_some(OVERLAY_ITSELF),
    }
}

fn how(strength: Strength) -> file::Strength {
    match strength {
        Strength::Inode => file::Strength::ByInode,
        Strength::Running => file::Strength::ByProcess,
        Strength::PathChecked => file::Strength::ByPathChecked,
        Strength::Path => file::Strength::ByPath,
    }
}

fn what(content: Content) -> file::Content {
    match content {
        Content::Elf => file::Content::Elf,
        Content::Script => file::Content::Script,
        Content::Other => file::Content::Other,
        Content::Unknown => file::Content::Unspecified,
    }
}

fn whence(origin: FileOrigin) -> file::Origin {
    match origin {
        FileOrigin::Plain => file::Origin::Plain,
        FileOrigin::OverlayLower => file::Origin::OverlayLower,
        FileOrigin::OverlayUpper => file::Origin::OverlayUpper,
        FileOrigin::Memory => file::Origin::Memory,
        FileOrigin::Tmpfs => file::Origin::Tmpfs,
        FileOrigin::Unknown => file::Origin::Unspecified,
    }
}

/// `major:minor` of the kernel's own encoding (include/linux/kdev_t.h).
fn device(dev: u32) -> String {
    let mut text = String::with_capacity("4095:1048575".len());
    text::push_decimal(&mut text, dev >> 20);
    text.push(':');
    text::push_decimal(&mut text, dev & 0xf_ffff);
    text
}
