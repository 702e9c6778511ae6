//! `vivarium`: the server as one binary. All of it is in the library beside this file.

/// Entries are made by the loop's thread and dropped by the disk's, a pattern that costs the system's allocator a sixth
/// of all the time that a busy server has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    vivarium_net_real::cli::main()
}
