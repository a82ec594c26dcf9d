//! Bytes of the rings to [`KernelRecord`]s. Safe code: a record is believed only as far as its lengths add up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zastava_common::abi::{
    Ancestor, CgroupBody, ExecBody, ExitBody, FileBody, FileOp, ListenBody, MAX_ANCESTORS, MappingBody,
    PathLens, RecordHeader, RecordKind, Tier, exec_flag,
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::record::{
    Arguments, Cgroup, Exec, Exit, FileChange, KernelPath, KernelRecord, Listen, Mapping, Origin, ProcessKey,
    Sequence, What,
};

/// Why a record was not believed. Counted by name, never fatal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum DecodeError {
    #[error("shorter than its fixed part")]
    Short,
    #[error("its own length differs from the ring's")]
    Length,
    #[error("unknown kind")]
    Kind,
    #[error("unknown tier")]
    Tier,
    #[error("a length in it exceeds the record")]
    Tail,
    #[error("unknown file operation")]
    FileOp,
    #[error("unknown address family")]
    Family,
}

/// Decodes one record as it stands in the ring.
pub fn decode(bytes: &[u8]) -> Result<KernelRecord, DecodeError> {
    let mut tail = Tail(bytes);
    let header: RecordHeader = tail.fixed()?;
    if header.len as usize != bytes.len() {
        return Err(DecodeError::Length);
    }
    let origin = Origin {
        tier: Tier::from_u8(header.tier).ok_or(DecodeError::Tier)?,
        boot_ns: header.boot_ns,
        process: ProcessKey { tgid: header.tgid, start_boot_ns: header.start_boot_ns },
        tid: header.tid,
        cgroup_id: Some(header.cgroup_id),
        mnt_ns: (header.mnt_ns != 0).then_some(header.mnt_ns),
        sequence: Some(Sequence { cpu: header.cpu, lane: header.lane, number: header.seq }),
    };
    let what = match RecordKind::from_u8(header.kind).ok_or(DecodeError::Kind)? {
        RecordKind::Exec => What::Exec(Box::new(exec(&mut tail)?)),
        RecordKind::Exit => {
            let ExitBody { status, ppid, comm } = tail.fixed()?;
            What::Exit(Exit { status: Some(status), ppid, comm: comm_bytes(&comm) })
        }
        RecordKind::Mapping => {
            let MappingBody { file, image, path, prot: _, by_protect } = tail.fixed()?;
            What::Mapping(Mapping {
                file: Some(file),
                image,
                path: tail.path(path)?,
                build_id: None,
                by_protect: by_protect != 0,
            })
        }
        RecordKind::File => {
            let FileBody { file, path, op, reserved: _ } = tail.fixed()?;
            let op = FileOp::from_u32(op).ok_or(DecodeError::FileOp)?;
            What::File(FileChange { op, file: Some(file), path: tail.path(path)? })
        }
        RecordKind::Listen => What::Listen(listen(tail.fixed()?)?),
        RecordKind::CgroupMkdir => What::CgroupMkdir(cgroup(&mut tail)?),
        RecordKind::CgroupRmdir => What::CgroupRmdir(cgroup(&mut tail)?),
    };
    Ok(KernelRecord { origin, what })
}

fn exec(tail: &mut Tail<'_>) -> Result<Exec, DecodeError> {
    let ExecBody {
        file,
        script,
        image,
        exe,
        cwd,
        comm,
        uid,
        gid,
        ppid,
        flags,
        filename_len,
        argv_len,
        argc,
        argv_total,
        ancestors,
    } = tail.fixed()?;
    if ancestors as usize > MAX_ANCESTORS {
        return Err(DecodeError::Tail);
    }
    let ancestors = (0..ancestors).map(|_| tail.fixed::<Ancestor>()).collect::<Result<_, _>>()?;
    Ok(Exec {
        file: Some(file),
        image,
        exe: tail.path(exe)?,
        cwd: tail.path(cwd)?,
        filename: tail.bytes(filename_len.into())?.to_vec(),
        is_script: flags & exec_flag::SCRIPT != 0,
        script: (flags & exec_flag::SCRIPT_IDENTITY != 0).then_some(script),
        comm: comm_bytes(&comm),
        uid,
        gid,
        ppid,
        args: Arguments { bytes: tail.bytes(argv_len.into())?.to_vec(), count: argc, total: argv_total },
        ancestors,
        build_id: None,
        existing: flags & exec_flag::EXISTING != 0,
    })
}

fn listen(body: ListenBody) -> Result<Listen, DecodeError> {
    let ListenBody { address, port, family, protocol } = body;
    let address = match family {
        2 => IpAddr::V4(Ipv4Addr::new(address[0], address[1], address[2], address[3])),
        10 => IpAddr::V6(Ipv6Addr::from(address)),
        _ => return Err(DecodeError::Family),
    };
    Ok(Listen { address: SocketAddr::new(address, port), protocol })
}

fn cgroup(tail: &mut Tail<'_>) -> Result<Cgroup, DecodeError> {
    let CgroupBody { cgroup_id, hierarchy, path_len } = tail.fixed()?;
    Ok(Cgroup { id: cgroup_id, hierarchy, path: tail.bytes(path_len as usize)?.to_vec() })
}

/// `comm` up to its NUL.
fn comm_bytes(comm: &[u8]) -> Vec<u8> {
    comm.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// What is left of a record.
struct Tail<'a>(&'a [u8]);

impl<'a> Tail<'a> {
    fn fixed<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Result<T, DecodeError> {
        let (value, rest) = T::read_from_prefix(self.0).map_err(|_| DecodeError::Short)?;
        self.0 = rest;
        Ok(value)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Tail)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Turns the components, leaf first, round.
    fn path(&mut self, lens: PathLens) -> Result<KernelPath, DecodeError> {
        let raw = self.bytes(lens.len.into())?;
        let truncated = lens.truncated != 0;
        let mut bytes = Vec::with_capacity(raw.len() + 1);
        let components = raw.strip_suffix(b"\0").unwrap_or(raw);
        for component in components.rsplit(|byte| *byte == 0) {
            if !(truncated && bytes.is_empty()) {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(component);
        }
        Ok(KernelPath { bytes, truncated })
    }
}

#[cfg(test)]
mod tests;
