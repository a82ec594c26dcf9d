//! An image's layers.

use std::fs;

use zastava_common::event::v1::{
    event::Kind,
    file::{Op, Origin},
};

use crate::{
    elf::Deed,
    expect::{Expected, file_of},
    sight::Sight,
    stage::{Stage, Stop},
};

/// `TMPFS_MAGIC` (include/uapi/linux/magic.h).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The file that is told is the one of the layer, not the overlay's.
pub(super) fn layers(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(stage.at(name))?;
    }
    let program = stage.program("lower/program", Deed::Exit(0))?;
    let other = stage.program("lower/other", Deed::Exit(0))?;
    stage.tester(["overlay".as_ref(), stage.directory.as_os_str()])?;
    let copied = other.bytes_at(&stage.at("upper/other"))?;
    let lower = program.at(stage.at("merged/program"));
    let upper = copied.at(stage.at("merged/other"));
    let from = |origin: Origin, exec: Expected| {
        exec.that("file.origin is the layer, or the file is not known", move |event| {
            let file = file_of(event);
            file.origin() == origin || (file.inode.is_none() && !file.identity_reason.is_empty())
        })
    };
    // On tmpfs an inode opens by its number only after somebody asked for its handle (mm/shmem.c shmem_encode_fh), and
    // the mounts that show its path end with the tester.
    let provable = rustix::fs::statfs(&stage.directory)?.f_type != TMPFS_MAGIC;
    let (exec, chmod) = if provable {
        (Expected::exec(stage.tier, &upper), Expected::created(stage.tier, Op::Chmod, &upper))
    } else {
        let exec = Expected::exec_of(stage.tier, &upper.path.to_string_lossy());
        let chmod = Expected::created_of(stage.tier, Op::Chmod, &upper.path);
        (
            exec.identity_or_reason(&upper).contents_or_reason(&upper),
            chmod.identity(&upper).contents_or_reason(&upper),
        )
    };
    // The lower file is known by then if its making was told.
    let known = provable || stage.unwatched.is_none();
    let exec_lower = if known {
        Expected::exec(stage.tier, &lower)
    } else {
        let exec = Expected::exec_of(stage.tier, &lower.path.to_string_lossy());
        exec.identity_or_reason(&lower).contents_or_reason(&lower)
    };
    let mut expected = vec![
        from(Origin::OverlayLower, exec_lower),
        Expected::exit(stage.tier, &lower.path).with_code(0),
        from(Origin::OverlayUpper, exec),
        Expected::exit(stage.tier, &upper.path).with_code(0),
    ];
    if Sight::UnwatchedMount.sees(stage.tier) {
        expected.push(chmod);
    }
    // How the overlay copies a file is its own affair.
    let [work, above] = ["work", "upper"].map(|name| stage.at(name).to_string_lossy().into_owned());
    expected.push(Expected::maybe(stage.tier, Kind::FileCreate, "the copy", move |event| {
        let path = file_of(event).path;
        path.starts_with(&work) || path.starts_with(&above)
    }));
    Ok(expected)
}
