//! What a sink did, counted per request: for `status`, the metrics, and a budget in what the target charges.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one sink.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    documents: AtomicU64,
    bytes: AtomicU64,
    throttled: AtomicU64,
    charge_milli: AtomicU64,
}

/// The counters at one moment, since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metered {
    /// Requests that write, tries that were refused included.
    pub requests: u64,
    /// Documents that were written or deleted, duplicates included.
    pub documents: u64,
    /// Bytes of documents that were sent.
    pub bytes: u64,
    /// Items that the target was too busy for.
    pub throttled: u64,
    /// What the target charged, in thousandths of its unit (request units in Cosmos DB).
    pub charge_milli: u64,
}

impl Meter {
    /// Counts one request and what became of its items.
    pub fn request(&self, documents: u64, bytes: u64, throttled: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.documents.fetch_add(documents, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.throttled.fetch_add(throttled, Ordering::Relaxed);
    }

    /// Adds what a request cost, in the target's unit. What is no number costs nothing.
    pub fn charge(&self, units: f64) {
        self.charge_milli.fetch_add((units * 1000.0).round() as u64, Ordering::Relaxed);
    }

    pub fn read(&self) -> Metered {
        Metered {
            requests: self.requests.load(Ordering::Relaxed),
            documents: self.documents.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            charge_milli: self.charge_milli.load(Ordering::Relaxed),
        }
    }
}
