//! Checkpoints → synced: the one thread of a process that writes the store.
//!
//! A round takes every checkpoint that is due: one atomic batch, one sync, one snapshot for all projections.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use crate::runtime::core::Input;
use crate::runtime::driver::projection::Message;
use crate::state::{CheckpointBatch, Store};

/// A checkpoint to write, and who waits for it.
pub(super) struct WriteRequest {
    pub batch: Box<CheckpointBatch>,
    pub reply: Sender<Message>,
}

/// Writes rounds until nobody is left to send any. After a failed round the store takes nothing more: then every projection
/// is told, those that had nothing to write as well.
pub(super) fn write_rounds(store: &Arc<dyn Store>, requests: &Receiver<WriteRequest>, everyone: &[Sender<Message>]) {
    while let Ok(first) = requests.recv() {
        let mut batches = Vec::new();
        let mut replies = Vec::new();
        for WriteRequest { batch, reply } in std::iter::once(first).chain(requests.try_iter()) {
            replies.push((batch.version, reply));
            batches.push(*batch);
        }
        match store.commit(&batches) {
            Ok(snapshot) => {
                for (version, reply) in replies {
                    // A projection that has ended waits for nothing.
                    let _ = reply.send(Message::Synced { version, snapshot: snapshot.clone() });
                }
            }
            Err(error) => {
                tracing::error!(%error, "a checkpoint could not be written");
                for projection in everyone {
                    let _ = projection.send(Message::Heard(Input::CommitFailed(error.to_string())));
                }
            }
        }
    }
}
