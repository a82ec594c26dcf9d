//! The compiled kernel programs, embedded by `build.rs`; empty when the sensor was built without them.

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};

/// Path walks as bounded loops: any kernel from 5.10.
static PLAIN: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zastava-ebpf.o"));
/// Path walks by `bpf_loop`: the verifier reads a tenth of the instructions, so the sensor starts sooner.
static LOOP: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zastava-ebpf-loop.o"));

/// The object for the running kernel.
pub(super) fn for_this_kernel() -> &'static [u8] {
    if has_loop() { LOOP } else { PLAIN }
}

/// Whether the kernel has `bpf_loop` (5.17).
fn has_loop() -> bool {
    is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_loop).unwrap_or(false)
}
