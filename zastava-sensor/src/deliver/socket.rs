//! The unix socket that consumers connect to: one sensor serves it, and nobody else's socket is ever taken away.
//!
//! Between sensors a lock file decides, which the kernel releases however a sensor ends; what the path holds after
//! that is left over. Before it is replaced it is asked all the same, since a path can be given that is served by
//! something else than a sensor. The new socket is made beside the path and renamed into place, so that consumers
//! never meet one with other permissions.

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        fs::{
            DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
        },
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};

#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another sensor serves {0}; stop it, or give this one another --socket")]
    Served(PathBuf),
    #[error("{0} is served by another program; give another --socket")]
    Foreign(PathBuf),
    #[error("{0} exists and is not a socket; remove it, or give another --socket")]
    NotASocket(PathBuf),
    #[error("the path {0} names no file in a directory; give another --socket")]
    NoName(PathBuf),
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// A socket that is ours until dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode, to remove no other than ours.
    identity: (u64, u64),
    _lock: File,
}

impl Socket {
    /// Makes the socket, readable and writable for its owner alone, and its directory where there is none.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let (Some(directory), Some(_)) = (path.parent(), path.file_name()) else {
            return Err(SocketError::NoName(path.to_owned()));
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io_error("make the directory", directory))?;
        let lock = lock(path)?;
        ask(path)?;
        let (listener, identity) = replace(path)?;
        Ok(Self { listener, path: path.to_owned(), identity, _lock: lock })
    }

    /// Another handle on the listening socket, in non-blocking mode.
    pub fn listener(&self) -> Result<UnixListener, SocketError> {
        self.listener.set_nonblocking(true).map_err(io_error("set the mode of", &self.path))?;
        self.listener.try_clone().map_err(io_error("copy the handle of", &self.path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // It will be found to be left over otherwise.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The lock stays for as long as the file is open; the file itself stays for good, because a lock on a name that
/// someone removes would not exclude the next one.
fn lock(path: &Path) -> Result<File, SocketError> {
    let name = beside(path, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed())
        .open(&name)
        .map_err(io_error("open the lock", &name))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SocketError::Served(path.to_owned())),
        Err(errno) => Err(io_error("lock", &name)(errno.into())),
    }
}

/// Whether what stands at the path may be replaced.
fn ask(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("look at", path)(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        // Also a datagram socket (EPROTOTYPE) or one that we may not connect to: it is somebody's.
        Ok(_) | Err(_) => Err(SocketError::Foreign(path.to_owned())),
    }
}

fn replace(path: &Path) -> Result<(UnixListener, (u64, u64)), SocketError> {
    let new = beside(path, ".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_error("remove", &new)(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&new).map_err(io_error("make the socket", &new))?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))
        .map_err(io_error("set the permissions of", &new))?;
    let made = fs::symlink_metadata(&new).map_err(io_error("look at", &new))?;
    fs::rename(&new, path).map_err(io_error("put the socket at", path))?;
    Ok((listener, (made.dev(), made.ino())))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io { action, path, source }
}
