//! TLS for all sinks: one cryptography for the whole process.
//!
//! The clients of the targets bring two providers along, and `rustls` then wants to be told which one is meant.

use std::sync::Once;

/// Says which cryptography is used where a client does not say it itself. To be called before a client is made that may
/// speak TLS.
pub(crate) fn choose_cryptography() {
    static ONCE: Once = Once::new();
    // Whoever embeds the library may have chosen already: then theirs is used.
    ONCE.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
}
