//! The partitions a source has opened, by the index that its records carry.

use std::sync::Arc;

use crate::event::TopicPartition;

/// Partitions by index. INVARIANT: it only grows, so an index means the same partition for as long as the source runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Inputs {
    list: Arc<Vec<TopicPartition>>,
}

impl Inputs {
    /// The index of a partition, given to it now if it has none.
    pub fn index(&mut self, partition: &TopicPartition) -> u32 {
        let known = self.list.iter().position(|input| input == partition);
        known.unwrap_or_else(|| {
            Arc::make_mut(&mut self.list).push(partition.clone());
            self.list.len() - 1
        }) as u32
    }

    /// All of them, as a batch carries them.
    pub fn shared(&self) -> Arc<Vec<TopicPartition>> {
        Arc::clone(&self.list)
    }
}
