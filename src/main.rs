//! The `projector` command: arguments in, exit code out.

fn main() {}
