//! Diagnostics of a running process: `tracing` events to stderr, warnings and worse unless asked for more.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts to write events to stderr. `PROJECTOR_LOG` says which, else `RUST_LOG`, in the syntax of `tracing`'s filters.
pub(super) fn start() {
    let asked = ["PROJECTOR_LOG", "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok());
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or("warn")).unwrap_or_else(|_| EnvFilter::new("warn"));
    let events = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // On a terminal a person reads along and knows the time.
    if std::io::stderr().is_terminal() {
        let _ = events.without_time().with_target(false).try_init();
    } else {
        let _ = events.try_init();
    }
}
