//! The first process of a test machine: mounts what a system has, runs one command, says how it ended, powers off.
//!
//! `cargo xtask vm` puts it, the command and the kernel's modules into the machine and reads the verdict from the
//! console.
#![forbid(unsafe_code)]

use std::{
    ffi::{CStr, OsString},
    fs::{self, File},
    os::unix::ffi::OsStringExt as _,
    panic,
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    mount::{MountFlags, mount, mount_bind, mount_move},
    net::{AddressFamily, SendFlags, SocketType, send, socket},
    process::{WaitOptions, chdir, chroot, wait},
    system::{RebootCommand, finit_module, reboot, sethostname},
};

const COMMAND: &str = "/etc/zastava-vm/command";
const MODULES: &str = "/etc/zastava-vm/modules";

/// Where the root directory is mounted on its way to be the root.
const ROOT: &str = "/root";

/// File system type and where it belongs, in the order to mount.
const MOUNTS: [(&str, &str); 12] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("tracefs", "/sys/kernel/tracing"),
    ("debugfs", "/sys/kernel/debug"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("securityfs", "/sys/kernel/security"),
];

fn main() {
    // The firmware leaves its last line open.
    println!("\nzastava-vm begins");
    let verdict = match panic::catch_unwind(live) {
        Ok(Ok(())) => "success".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "init panicked".to_owned(),
    };
    // On a line of its own, whatever was printed last.
    println!("\nzastava-vm: {verdict}");
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        // This process then ends, the kernel panics, and the emulator does not start it again.
        println!("cannot power off: {error}");
    }
}

fn live() -> Result<()> {
    take_root().context("cannot take the root directory as a mount of its own")?;
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("cannot create {place}"))?;
        mount(kind, place, kind, MountFlags::empty(), None::<&CStr>)
            .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    load_modules()?;
    loopback_up().context("cannot set up the loopback device")?;
    sethostname(b"zastava-vm").context("cannot set the host's name")?;
    run(&command()?)
}

/// The kernel's first file system cannot be pivoted away from (pivot_root(2)), as container runtimes do. The same files
/// as a mount of their own can.
fn take_root() -> Result<()> {
    mount_bind("/", ROOT)?;
    chdir(ROOT)?;
    mount_move(".", "/")?;
    chroot(".")?;
    Ok(())
}

/// Loads the modules by their names' order, which is the one they need each other in.
fn load_modules() -> Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(MODULES).with_context(|| format!("cannot read {MODULES}"))? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        let module = File::open(&path)?;
        finit_module(module, c"", 0).with_context(|| format!("cannot load {}", path.display()))?;
    }
    Ok(())
}

/// Sets IFF_UP on device 1 by one message of rtnetlink(7), protocol 0 of netlink; the kernel then adds 127.0.0.1 and ::1 itself.
fn loopback_up() -> Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port; family, padding and device type.
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(1_u32.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(socket, &message, SendFlags::empty())?;
    Ok(())
}

/// The program and its arguments, parted by NUL.
fn command() -> Result<Vec<OsString>> {
    let bytes = fs::read(COMMAND).with_context(|| format!("cannot read {COMMAND}"))?;
    Ok(bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect())
}

/// Runs the command to its end. Meanwhile whatever lost its parent is reaped here, as the first process must.
fn run(command: &[OsString]) -> Result<()> {
    let [program, arguments @ ..] = command else { bail!("no command") };
    let child = Command::new(program)
        .args(arguments)
        .current_dir("/root")
        .env_clear()
        .envs([("PATH", "/usr/bin:/usr/sbin"), ("HOME", "/root"), ("TERM", "dumb"), ("RUST_BACKTRACE", "1")])
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    loop {
        let Some((pid, status)) = wait(WaitOptions::empty())? else { continue };
        if pid.as_raw_nonzero().get().unsigned_abs() != child.id() {
            continue;
        }
        return match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => bail!("{} ended with exit code {code}", program.display()),
            (None, signal) => {
                bail!("{} was ended by signal {}", program.display(), signal.unwrap_or_default())
            }
        };
    }
}
