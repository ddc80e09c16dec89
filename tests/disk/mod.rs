//! Disks that fail: full, read-only, slow, torn, without power, with flipped bits, copied. Never a wrong document.
//!
//! The real binary runs over a [`faults::Disk`], which stands between it and its state directory; its documents are compared
//! with those of a fold in plain Rust.

mod copies;
mod failing;
mod faults;
mod flips;
mod formats;
mod power;

pub use faults::Disk;
