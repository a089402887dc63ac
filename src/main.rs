//! The `shardctl` binary: arguments to runtime to [`shardctl::cli::run`] to exit code.

fn main() -> std::process::ExitCode {
    shardctl::cli::main()
}
