//! The `shardctl` binary: arguments to runtime to [`shardctl::cli::run`] to exit code.

/// Rows in flight are many small allocations made on one thread and freed on another, which the C
/// library's allocator serves at the cost of half of a fill's processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    shardctl::cli::main()
}
