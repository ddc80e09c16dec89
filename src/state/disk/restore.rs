//! A backup → a projection of this store, in bounded batches that are seen only as a whole.
//!
//! The rows go into a new generation that no record names, under a mark that says so: a crash leaves the mark, and the next
//! start removes what it stands for. The last batch takes the mark away and writes the record, and with it the projection
//! is there.

use std::sync::Arc;

use crate::event::{Generation, ProjectionName};
use crate::state::backup::{Backup, BackupError, BackupFile, BackupMark, Part, Watch};
use crate::state::disk::entry;
use crate::state::disk::writer::{Known, Writer};
use crate::state::disk::{DiskStore, Tables};
use crate::state::record::ProjectionRecord;
use crate::state::{DeadLetter, ProjectionState, StoreError, StoredRow};

impl DiskStore {
    /// Puts a backup that was found whole (`backup::check`) into this store. Until the last moment nobody sees any of it.
    pub fn restore(&self, file: &BackupFile, watch: Watch<'_>) -> Result<(), BackupError> {
        let projection = &file.head.projection;
        let generation = self.write(|writer| writer.begin_restore(projection))?.0;
        let Some(generation) = generation else { return Err(BackupError::Known(projection.clone())) };
        let restored = self.restore_into(generation, file, watch);
        if restored.is_err() {
            // Its own error would hide the first; what is left over goes at the next start.
            let _ = self.write(|writer| writer.tables().remove_restored(generation, projection));
        }
        restored
    }

    fn restore_into(&self, generation: Generation, file: &BackupFile, watch: Watch<'_>) -> Result<(), BackupError> {
        let mut backup = Backup::open(&file.path)?;
        let (mut state, mut last_letter) = (None, 0);
        while let Some(part) = backup.next_part()? {
            match part {
                Part::State(found) => state = Some(found),
                Part::Rows(rows) => drop(self.write(|writer| writer.put_restored_rows(generation, &rows))?),
                Part::Letters(letters) => {
                    last_letter = letters.last().map_or(last_letter, |(number, _)| *number);
                    self.write(|writer| writer.put_restored_letters(&file.head.projection, &letters))?;
                }
            }
            if watch(backup.counts()).is_break() {
                return Err(BackupError::GivenUp);
            }
        }
        // Read twice: it must be the same file.
        let state = state.filter(|_| *backup.head() == file.head && backup.counts() == file.counts);
        let state = state.ok_or_else(|| BackupError::Changed { path: file.path.clone() })?;
        let version = state.version;
        let record = ProjectionRecord {
            state: ProjectionState { generation, ..*state },
            listed_after: version,
            unlisted_tombstones: (file.counts.tombstones > 0).then_some(version),
            dead_letters: last_letter,
        };
        self.write(|writer| writer.finish_restore(&file.head.projection, record, file.head.mark))?;
        Ok(())
    }
}

impl Writer {
    /// Takes a generation and marks it as unfinished; `None` when the projection is known.
    fn begin_restore(&mut self, projection: &ProjectionName) -> Result<Option<Generation>, StoreError> {
        if self.known.contains_key(projection) {
            return Ok(None);
        }
        let generation = Generation(self.last_generation.0 + 1);
        let mut batch = self.tables.batch(2);
        batch.insert(&self.tables.records, entry::LAST_GENERATION, generation.0.to_be_bytes());
        batch.insert(&self.tables.records, entry::restored_key(generation), projection.0.as_bytes());
        self.sync(batch)?;
        self.last_generation = generation;
        Ok(Some(generation))
    }

    fn put_restored_rows(&mut self, generation: Generation, rows: &[(Arc<str>, StoredRow)]) -> Result<(), StoreError> {
        self.await_flushes();
        let mut batch = self.tables.batch(rows.len());
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for (text, row) in rows {
            entry::put_row_key(&mut key, generation, text);
            entry::put_row_value(&mut value, row.changed, row.row.as_deref());
            batch.insert(&self.tables.rows, &key[..], &value[..]);
        }
        self.sync(batch)
    }

    fn put_restored_letters(
        &mut self,
        projection: &ProjectionName,
        letters: &[(u64, DeadLetter)],
    ) -> Result<(), StoreError> {
        let mut batch = self.tables.batch(letters.len());
        for (number, letter) in letters {
            batch.insert(&self.tables.letters, entry::letter_key(projection, *number), entry::put_letter(letter));
        }
        self.sync(batch)
    }

    /// ORDER: all rows and letters were synced before.
    fn finish_restore(
        &mut self,
        projection: &ProjectionName,
        record: ProjectionRecord,
        mark: BackupMark,
    ) -> Result<(), StoreError> {
        let generation = record.state.generation;
        let records = &self.tables.records;
        let mut batch = self.tables.batch(4);
        batch.remove(records, entry::restored_key(generation));
        batch.insert(records, entry::plan_key(projection), entry::put_plan(&record.state.plan));
        batch.insert(records, entry::record_key(projection), entry::put_record(&record));
        batch.insert(records, entry::backup_key(projection), entry::put_backup(mark));
        self.sync(batch)?;
        self.known.insert(projection.clone(), Known::without_lists(record));
        Ok(())
    }
}

impl Tables {
    /// Generations whose restore was begun and not finished.
    pub(super) fn unfinished_restores(&self) -> Result<Vec<(Generation, ProjectionName)>, StoreError> {
        let marks = self.records.prefix(entry::RESTORED).map(|guard| {
            let (key, value) = guard.into_inner().map_err(|error| self.read_failed(error))?;
            let damaged = |error| self.damaged("an unfinished restore", error);
            let generation = entry::read_generation(&key[1..]).map_err(damaged)?;
            Ok((generation, entry::read_name_text(&value).map_err(damaged)?))
        });
        marks.collect()
    }

    /// Removes what an unfinished restore has left; its mark goes last.
    pub(super) fn remove_restored(
        &self,
        generation: Generation,
        projection: &ProjectionName,
    ) -> Result<(), StoreError> {
        self.remove_range(&self.letters, entry::letter_range(projection))?;
        self.remove_generation(generation)?;
        let mut batch = self.batch(1);
        batch.remove(&self.records, entry::restored_key(generation));
        batch.commit().map_err(|error| self.write_failed(error))
    }
}
