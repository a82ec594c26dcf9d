//! One run of one machine: starts the emulator, streams its console, ends it when there is nothing to wait for.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    console::{Console, Verdict},
    kernels::Kernel,
};
use crate::step;

/// A guest's line may be as long as this; the rest of it is the next line.
const LINE: u64 = 64 * 1024;

/// Under emulation 6.12 can crash at boot when it mistrusts the TSC; `mitigations=off` saves much of the time.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on tsc=reliable \
                                   clocksource=tsc lsm=landlock,yama,apparmor,bpf";

/// How the emulator counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As it passes here.
    Wall,
    /// One nanosecond for an instruction: what else runs here does not show in a figure.
    Instructions,
}

/// What a machine has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) clock: Clock,
    /// MiB.
    pub(super) memory: u32,
}

/// Boots `kernel` with `initramfs` and waits for its verdict. Each line of the console goes to `show`.
pub(super) fn boot(
    kernel: &Kernel,
    initramfs: &Path,
    size: Size,
    timeout: Duration,
    mut show: impl FnMut(&str),
) -> Result<Verdict> {
    let mut emulator = emulator(kernel, initramfs, size);
    let child = emulator.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let mut machine = Machine(child.with_context(|| format!("cannot start {}", step::line(&emulator)))?);
    let Some(pipe) = machine.0.stdout.take() else { bail!("the emulator has no console") };
    let lines = read(pipe);
    let mut console = Console::default();
    let end = Instant::now() + timeout;
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let text = console.line(&line);
                if !text.trim().is_empty() {
                    show(&text);
                }
                if console.is_lost() {
                    break;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                return Ok(Verdict::Failure(format!("no verdict within {}", step::seconds(timeout))));
            }
        }
    }
    Ok(console.verdict())
}

/// A running emulator, which does not outlive its run.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, which is no error.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn emulator(kernel: &Kernel, initramfs: &Path, Size { clock, memory }: Size) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    // Never kvm: on machines that are guests themselves it may open and then hang.
    match clock {
        Clock::Wall => command.args(["-accel", "tcg,thread=multi", "-smp", "2"]),
        Clock::Instructions => {
            command.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"])
        }
    };
    command
        .args(["-M", "q35", "-cpu", "max", "-m", &memory.to_string()])
        .args(["-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", KERNEL_COMMAND_LINE]);
    command
}

fn read(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            let read = pipe.by_ref().take(LINE).read_until(b'\n', &mut line);
            if !read.is_ok_and(|bytes| bytes > 0) || sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
