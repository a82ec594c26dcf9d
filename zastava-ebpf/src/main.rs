//! The kernel programs: one body per hook, compiled for each way of attaching it.
//!
//! Read [`hooks`] first: it is the list of what attaches where. [`kernel`] is how a program looks into the
//! kernel's structs, [`typed`] the same where the verifier knows their types, [`record`] how it writes what it saw, [`walk`] how it finds a path.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod hooks;
mod kept;
mod kernel;
mod maps;
mod record;
mod typed;
mod walk;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
