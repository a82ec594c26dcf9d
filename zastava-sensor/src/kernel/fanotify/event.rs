//! fanotify's events as bytes: the decoder (include/uapi/linux/fanotify.h). Nothing here trusts a length.

use thiserror::Error;

use crate::kernel::sys::handle::Handle;

/// `f_fsid` of `statfs(2)`: which file system a handle belongs to.
pub type Fsid = [u8; 8];

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event<'a> {
    /// `FAN_*` bits.
    pub mask: u64,
    /// Who did it, as the sensor's pid namespace numbers it; 0: a process outside.
    pub pid: u32,
    pub entry: Option<Entry<'a>>,
    /// The file itself. Kernels before 5.17 leave it out where an entry was created or moved.
    pub object: Option<(Fsid, Handle)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry<'a> {
    pub fsid: Fsid,
    pub directory: Handle,
    pub name: &'a [u8],
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum EventError {
    #[error("fanotify event is cut after {0} bytes")]
    Short(usize),
    #[error("fanotify event says that it has {0} bytes")]
    Length(u32),
    #[error("fanotify speaks version {0}, not 3")]
    Version(u8),
    #[error("fanotify event has an info record of {0} bytes")]
    Info(u16),
    #[error("fanotify event has a file handle of {0} bytes")]
    Handle(u32),
    #[error("fanotify event has a name without end")]
    Name,
}

const METADATA: usize = 24;
const INFO_HEADER: usize = 4;
const INFO_FID: u8 = 1;
const INFO_DFID_NAME: u8 = 2;

/// Decodes the first event and gives what stands behind it. After an error that leaves the next event's place
/// unknown, the rest is empty.
pub fn decode(bytes: &[u8]) -> (Result<Event<'_>, EventError>, &[u8]) {
    let Some(metadata) = bytes.first_chunk::<METADATA>() else {
        return (Err(EventError::Short(bytes.len())), &[]);
    };
    let [l0, l1, l2, l3, version, _, m0, m1, rest @ ..] = *metadata;
    let len = u32::from_ne_bytes([l0, l1, l2, l3]);
    let metadata_len = usize::from(u16::from_ne_bytes([m0, m1]));
    let Some((whole, behind)) =
        bytes.split_at_checked(len as usize).filter(|(whole, _)| whole.len() >= METADATA)
    else {
        return (Err(EventError::Length(len)), &[]);
    };
    if version != 3 {
        return (Err(EventError::Version(version)), behind);
    }
    let Some(infos) = whole.get(metadata_len..).filter(|_| metadata_len >= METADATA) else {
        return (Err(EventError::Length(len)), behind);
    };
    let [k0, k1, k2, k3, k4, k5, k6, k7, _, _, _, _, p0, p1, p2, p3] = rest;
    let mask = u64::from_ne_bytes([k0, k1, k2, k3, k4, k5, k6, k7]);
    let pid = u32::from_ne_bytes([p0, p1, p2, p3]);
    (with_infos(Event { mask, pid, entry: None, object: None }, infos), behind)
}

fn with_infos<'a>(mut event: Event<'a>, mut infos: &'a [u8]) -> Result<Event<'a>, EventError> {
    while let Some([kind, _, l0, l1]) = infos.first_chunk::<INFO_HEADER>() {
        let len = u16::from_ne_bytes([*l0, *l1]);
        let (info, rest) = infos
            .split_at_checked(usize::from(len))
            .filter(|(info, _)| info.len() >= INFO_HEADER)
            .ok_or(EventError::Info(len))?;
        infos = rest;
        if matches!(*kind, INFO_FID | INFO_DFID_NAME) {
            let (fsid, handle, tail) = file(&info[INFO_HEADER..], len)?;
            if *kind == INFO_FID {
                event.object = Some((fsid, handle));
            } else {
                let end = tail.iter().position(|byte| *byte == 0).ok_or(EventError::Name)?;
                event.entry = Some(Entry { fsid, directory: handle, name: &tail[..end] });
            }
        }
    }
    Ok(event)
}

/// fsid, handle, and what stands behind the handle.
fn file(info: &[u8], len: u16) -> Result<(Fsid, Handle, &[u8]), EventError> {
    let (fsid, rest) = info.split_first_chunk::<8>().ok_or(EventError::Info(len))?;
    let (handle_len, rest) = rest.split_first_chunk::<4>().ok_or(EventError::Info(len))?;
    let (kind, rest) = rest.split_first_chunk::<4>().ok_or(EventError::Info(len))?;
    let handle_len = u32::from_ne_bytes(*handle_len);
    let (bytes, tail) = rest.split_at_checked(handle_len as usize).ok_or(EventError::Handle(handle_len))?;
    let handle = Handle::new(i32::from_ne_bytes(*kind), bytes).ok_or(EventError::Handle(handle_len))?;
    Ok((*fsid, handle, tail))
}
