/// Gives back to the kernel what the allocator holds and nobody uses (malloc_trim(3)): what start-up needed once.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes and gives plain numbers; the allocator does its own locking.
    unsafe {
        libc::malloc_trim(0);
    }
}
