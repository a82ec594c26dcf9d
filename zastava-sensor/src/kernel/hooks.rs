//! The tier table: what attaches where, what it gives, and what is lost without it.
//!
//! All knowledge of kernel differences stands here. Nothing is chosen by version: a hook is tried, and what the
//! kernel says is the reason that `doctor` shows.

use zastava_common::abi::{RecordKind, Tier};

/// What a hook tells, in words for people.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Gives {
    Exec,
    Exit,
    Listen,
    Cgroups,
    ScriptIdentity,
    Mappings,
    Protect,
    FileClose,
    FileRename,
    FileLink,
    FileChmod,
    /// perf's, not a program's.
    BuildIds,
}

impl Gives {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Listen => "listen",
            Self::Cgroups => "cgroups",
            Self::ScriptIdentity => "script identity",
            Self::Mappings => "executable mappings",
            Self::Protect => "mprotect to executable",
            Self::FileClose => "files created or written",
            Self::FileRename => "files renamed into place",
            Self::FileLink => "files linked into place",
            Self::FileChmod => "chmod to executable",
            Self::BuildIds => "build-ids read by the kernel",
        }
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attach {
    /// Minimum kernel 4.17.
    RawTracepoint(&'static str),
    /// A raw tracepoint whose program knows the types of its arguments. Needs BTF: 5.5.
    BtfTracepoint(&'static str),
    /// Needs BTF and BPF trampolines: x86-64 5.5, arm64 6.0.
    Fentry(&'static str),
    Fexit(&'static str),
    /// Needs `CONFIG_KPROBES`.
    Kprobe(&'static str),
    Kretprobe(&'static str),
}

impl Attach {
    /// The kernel function or tracepoint.
    pub const fn place(self) -> &'static str {
        match self {
            Self::RawTracepoint(place)
            | Self::BtfTracepoint(place)
            | Self::Fentry(place)
            | Self::Fexit(place)
            | Self::Kprobe(place)
            | Self::Kretprobe(place) => place,
        }
    }

    /// Kind and place, for people.
    pub fn describe(self) -> String {
        let kind = match self {
            Self::RawTracepoint(_) => "raw_tp",
            Self::BtfTracepoint(_) => "tp_btf",
            Self::Fentry(_) => "fentry",
            Self::Fexit(_) => "fexit",
            Self::Kprobe(_) => "kprobe",
            Self::Kretprobe(_) => "kretprobe",
        };
        format!("{kind}/{}", self.place())
    }
}

/// One program and its place.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    pub program: &'static str,
    pub attach: Attach,
    pub gives: Gives,
    pub need: Need,
}

impl Hook {
    /// What a run of the program tells, or helps to tell.
    pub fn record(&self) -> Option<RecordKind> {
        match self.gives {
            Gives::Exec => Some(RecordKind::Exec),
            Gives::Exit => Some(RecordKind::Exit),
            Gives::Listen => Some(RecordKind::Listen),
            Gives::Cgroups if self.program == "cgroup_rmdir" => Some(RecordKind::CgroupRmdir),
            Gives::Cgroups => Some(RecordKind::CgroupMkdir),
            Gives::Mappings | Gives::Protect => Some(RecordKind::Mapping),
            Gives::FileClose | Gives::FileRename | Gives::FileLink | Gives::FileChmod => {
                Some(RecordKind::File)
            }
            Gives::ScriptIdentity | Gives::BuildIds => None,
        }
    }
}

/// What it means when the kernel refuses a hook.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// The tier is refused.
    Required,
    /// The tier works, and says what is missing.
    Wanted,
    /// As [`Need::Wanted`]; but where the kernel has no such function, nothing is missing.
    WhereThere,
}

use Need::{Required, Wanted, WhereThere};

const fn hook(program: &'static str, attach: Attach, gives: Gives, need: Need) -> Hook {
    Hook { program, attach, gives, need }
}

/// Tracepoints that every BPF tier uses: stable and cheap. Those that fire often know types, which makes them cheaper.
const BASE: &[Hook] = &[
    hook("exec", Attach::BtfTracepoint("sched_process_exec"), Gives::Exec, Required),
    hook("exit", Attach::BtfTracepoint("sched_process_exit"), Gives::Exit, Required),
    hook("cgroup_mkdir", Attach::RawTracepoint("cgroup_mkdir"), Gives::Cgroups, Wanted),
    hook("cgroup_rmdir", Attach::RawTracepoint("cgroup_rmdir"), Gives::Cgroups, Wanted),
    hook("listen", Attach::RawTracepoint("inet_sock_set_state"), Gives::Listen, Wanted),
];

/// The hook most likely to be refused comes first: a refusal then costs one program load.
const TRAMPOLINE: &[Hook] = &[
    hook("mapping_fentry", Attach::Fentry("security_mmap_file"), Gives::Mappings, Required),
    hook("close_fentry", Attach::Fentry("locks_remove_file"), Gives::FileClose, Required),
    hook("script_fentry", Attach::Fentry("security_bprm_check"), Gives::ScriptIdentity, Wanted),
    hook("protect_fentry", Attach::Fentry("security_file_mprotect"), Gives::Protect, Wanted),
    // security_path_*: CONFIG_SECURITY_PATH, which AppArmor, TOMOYO and Landlock select.
    hook("rename_begin_fentry", Attach::Fentry("security_path_rename"), Gives::FileRename, Wanted),
    hook("rename_fentry", Attach::Fentry("d_move"), Gives::FileRename, Wanted),
    hook("exchange_fentry", Attach::Fentry("d_exchange"), Gives::FileRename, Wanted),
    hook("link_begin_fentry", Attach::Fentry("security_path_link"), Gives::FileLink, Wanted),
    hook("link_fentry", Attach::Fentry("d_instantiate"), Gives::FileLink, Wanted),
    // tmpfs and others whose tree is in memory alone, since about 7.0.
    hook("persist_fentry", Attach::Fentry("d_make_persistent"), Gives::FileLink, WhereThere),
    hook("chmod_fexit", Attach::Fexit("chmod_common"), Gives::FileChmod, Wanted),
];

const KPROBE: &[Hook] = &[
    hook("mapping_kprobe", Attach::Kprobe("security_mmap_file"), Gives::Mappings, Required),
    hook("close_kprobe", Attach::Kprobe("locks_remove_file"), Gives::FileClose, Required),
    hook("script_kprobe", Attach::Kprobe("security_bprm_check"), Gives::ScriptIdentity, Wanted),
    hook("protect_kprobe", Attach::Kprobe("security_file_mprotect"), Gives::Protect, Wanted),
    hook("rename_begin_kprobe", Attach::Kprobe("security_path_rename"), Gives::FileRename, Wanted),
    hook("rename_kprobe", Attach::Kprobe("d_move"), Gives::FileRename, Wanted),
    hook("exchange_kprobe", Attach::Kprobe("d_exchange"), Gives::FileRename, Wanted),
    hook("link_begin_kprobe", Attach::Kprobe("security_path_link"), Gives::FileLink, Wanted),
    hook("link_kprobe", Attach::Kprobe("d_instantiate"), Gives::FileLink, Wanted),
    hook("persist_kprobe", Attach::Kprobe("d_make_persistent"), Gives::FileLink, WhereThere),
    hook("chmod_begin_kprobe", Attach::Kprobe("chmod_common"), Gives::FileChmod, Wanted),
    hook("chmod_kretprobe", Attach::Kretprobe("chmod_common"), Gives::FileChmod, Wanted),
];

/// The BPF hooks of a tier.
pub fn hooks(tier: Tier) -> impl Iterator<Item = &'static Hook> {
    let (own, base): (&[Hook], &[Hook]) = match tier {
        Tier::Trampoline => (TRAMPOLINE, BASE),
        Tier::Kprobe => (KPROBE, BASE),
        Tier::Tracepoint => (&[], BASE),
        Tier::Sideband => (&[], &[]),
    };
    own.iter().chain(base)
}

/// What a tier cannot see by nature; shown by `doctor` and in the documentation.
pub const fn blind_spots(tier: Tier) -> &'static [&'static str] {
    match tier {
        Tier::Trampoline | Tier::Kprobe => &[],
        Tier::Tracepoint => &[
            "a script's inode: scripts are identified by path",
            "file changes come from fanotify: no cgroup of their own, no change inside a mount that fanotify cannot mark",
            "a memfd or deleted library that is unmapped before it is read",
        ],
        Tier::Sideband => &[
            "exit codes, arguments, working directory and listen: perf does not carry them",
            "a script's name: perf reports its interpreter",
            "file changes come from fanotify: no cgroup of their own, no change inside a mount that fanotify cannot mark",
            "a program or memfd that is gone before it is read",
            "cgroups: read from /proc while the process lives",
        ],
    }
}
