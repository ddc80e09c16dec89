//! The `projector` command: arguments in, exit code out.

fn main() -> std::process::ExitCode {
    projector::cli::main()
}
