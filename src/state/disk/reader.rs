//! A view of the database at one synced round.

use std::ops::ControlFlow;
use std::sync::Arc;

use fjall::Readable;

use crate::event::{Generation, ProjectionName, Version};
use crate::state::backup::BackupMark;
use crate::state::disk::Tables;
use crate::state::disk::entry::{self, ChunkKey, ListKind};
use crate::state::record::ProjectionRecord;
use crate::state::{DeadLetter, ProjectionState, Snapshot, StoreError, StoredRow};

/// What readers see. INVARIANT: taken after a sync and before the next batch, by the one writer.
pub struct DiskSnapshot {
    tables: Tables,
    view: fjall::Snapshot,
}

impl DiskSnapshot {
    /// What lies in the database now.
    pub fn new(tables: &Tables) -> DiskSnapshot {
        DiskSnapshot { view: tables.db.snapshot(), tables: tables.clone() }
    }

    pub fn record(&self, name: &ProjectionName) -> Result<Option<ProjectionRecord>, StoreError> {
        let get = |key: Vec<u8>| self.view.get(&self.tables.records, key).map_err(|e| self.tables.read_failed(e));
        let Some(record) = get(entry::record_key(name))? else { return Ok(None) };
        let damaged = |error| self.tables.damaged(&format!("the record of `{name}`"), error);
        let plan = get(entry::plan_key(name))?.unwrap_or_default();
        let plan = entry::read_plan(&plan).map_err(damaged)?;
        entry::read_record(&record, plan).map(Some).map_err(damaged)
    }

    /// The keys that the lists after `settled` name.
    fn listed(
        &self,
        generation: Generation,
        settled: Version,
        keys_max: usize,
    ) -> Result<Option<Vec<Arc<str>>>, StoreError> {
        let version = Version(settled.0 + 1);
        let from = ChunkKey { generation, version, kind: ListKind::Written, chunk: 0 }.encode();
        let to = (generation.0 + 1).to_be_bytes();
        let damaged = |error| self.tables.damaged("a list of changes", error);
        let mut keys = Vec::new();
        for guard in self.view.range(&self.tables.changes, &from[..]..&to[..]) {
            let chunk = guard.value().map_err(|error| self.tables.read_failed(error))?;
            for key in entry::read_chunk(&chunk).map_err(damaged)? {
                keys.push(Arc::from(key.map_err(damaged)?));
            }
            // Lists repeat keys that changed often.
            if keys.len() > keys_max.saturating_mul(2) {
                keys.sort_unstable();
                keys.dedup();
                if keys.len() > keys_max {
                    return Ok(None);
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok((keys.len() <= keys_max).then_some(keys))
    }

    /// The keys of the rows that were changed after `settled`.
    fn scanned(
        &self,
        generation: Generation,
        settled: Version,
        keys_max: usize,
    ) -> Result<Option<Vec<Arc<str>>>, StoreError> {
        let mut keys = Vec::new();
        for guard in self.view.range(&self.tables.rows, entry::row_range(generation)) {
            let (key, value) = guard.into_inner().map_err(|error| self.tables.read_failed(error))?;
            let damaged = |error| self.tables.damaged("a row", error);
            let (changed, _) = entry::read_row_head(&value).map_err(damaged)?;
            if changed > settled {
                if keys.len() == keys_max {
                    return Ok(None);
                }
                keys.push(Arc::from(entry::row_text(&key).map_err(damaged)?));
            }
        }
        Ok(Some(keys))
    }
}

impl Snapshot for DiskSnapshot {
    fn projections(&self) -> Result<Vec<ProjectionName>, StoreError> {
        let names = self.view.prefix(&self.tables.records, entry::RECORD).map(|guard| {
            let key = guard.key().map_err(|error| self.tables.read_failed(error))?;
            entry::read_name(&key).map_err(|error| self.tables.damaged("the name of a projection", error))
        });
        names.collect()
    }

    fn projection(&self, name: &ProjectionName) -> Result<Option<ProjectionState>, StoreError> {
        Ok(self.record(name)?.map(|record| record.state))
    }

    fn last_backup(&self, name: &ProjectionName) -> Result<Option<BackupMark>, StoreError> {
        let found = self.view.get(&self.tables.records, entry::backup_key(name));
        let found = found.map_err(|error| self.tables.read_failed(error))?;
        let mark = found.map(|value| entry::read_backup(&value)).transpose();
        mark.map_err(|error| self.tables.damaged(&format!("the last backup of `{name}`"), error))
    }

    fn row(&self, generation: Generation, key: &str) -> Result<Option<StoredRow>, StoreError> {
        let found = self.view.get(&self.tables.rows, entry::row_key(generation, key));
        let Some(value) = found.map_err(|error| self.tables.read_failed(error))? else { return Ok(None) };
        entry::read_row(&value).map(Some).map_err(|error| self.tables.damaged(&format!("the row `{key}`"), error))
    }

    fn rows(
        &self,
        generation: Generation,
        prefix: &str,
        after: Option<&str>,
        each: &mut dyn FnMut(&str, StoredRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // No key text lies between a text and itself with a NUL behind it.
        let from = match after {
            Some(after) if after >= prefix => entry::row_key(generation, &format!("{after}\0")),
            _ => entry::row_key(generation, prefix),
        };
        let to = entry::row_range(generation).end;
        for guard in self.view.range(&self.tables.rows, from..to) {
            let (key, value) = guard.into_inner().map_err(|error| self.tables.read_failed(error))?;
            let damaged = |error| self.tables.damaged("a row", error);
            let text = entry::row_text(&key).map_err(damaged)?;
            if !text.starts_with(prefix) || each(text, entry::read_row(&value).map_err(damaged)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn changed_since(
        &self,
        generation: Generation,
        settled: Version,
        keys_max: usize,
    ) -> Result<Option<Vec<Arc<str>>>, StoreError> {
        for name in self.projections()? {
            let record = self.record(&name)?.filter(|record| record.state.generation == generation);
            if record.is_some_and(|record| settled >= record.listed_after) {
                return self.listed(generation, settled, keys_max);
            }
        }
        self.scanned(generation, settled, keys_max)
    }

    fn dead_letters(
        &self,
        projection: &ProjectionName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
        let from = entry::letter_key(projection, from);
        let to = entry::letter_key(projection, u64::MAX);
        let damaged = |error| self.tables.damaged("a dead letter", error);
        let letters = self.view.range(&self.tables.letters, from..=to).take(limit).map(|guard| {
            let (key, value) = guard.into_inner().map_err(|error| self.tables.read_failed(error))?;
            let number = entry::read_letter_number(&key).map_err(damaged)?;
            Ok((number, entry::read_letter(&value).map_err(damaged)?))
        });
        letters.collect()
    }
}
