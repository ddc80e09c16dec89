//! `POST /v1/projections/{name}/backup`: writes a backup of what is synced; `GET` tells how far that is.
//!
//! The answer to the POST comes when the file is whole and has its name. It is written by a thread of its own, beside the
//! fold; who hangs up gives it up. Of each projection one backup is written at a time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::event::{EventTime, ProjectionName};
use crate::serve::Served;
use crate::serve::answer::Refusal;
use crate::serve::report::{micros, rfc3339};
use crate::state::Store;
use crate::state::backup::{self, BackupCounts, BackupError, BackupFile, BackupRequest};

/// The body of a request for a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupOrder {
    /// A folder on the machine of the engine, as an absolute path. It is made when it is not there.
    pub directory: PathBuf,
}

/// A backup, as people read of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupReport {
    pub projection: String,
    pub file: PathBuf,
    /// The checkpoint it holds.
    pub version: u64,
    pub made_at: String,
    /// Keys that have a row.
    pub rows: u64,
    pub dead_letters: u64,
    pub bytes: u64,
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct BackupProgress {
    /// Whether one is being written.
    pub running: bool,
    pub rows: u64,
    pub bytes: u64,
}

impl From<BackupFile> for BackupReport {
    fn from(made: BackupFile) -> BackupReport {
        let BackupFile { path, head, counts } = made;
        BackupReport {
            projection: head.projection.to_string(),
            file: path,
            version: head.mark.version.0,
            made_at: rfc3339(head.mark.made_at.0),
            rows: counts.rows,
            dead_letters: counts.dead_letters,
            bytes: counts.bytes,
        }
    }
}

/// The backups that are being written, one a projection.
#[derive(Debug, Default)]
pub struct Backups {
    running: Mutex<BTreeMap<ProjectionName, Arc<Running>>>,
}

#[derive(Debug, Default)]
struct Running {
    rows: AtomicU64,
    bytes: AtomicU64,
    given_up: AtomicBool,
}

impl Running {
    fn watch(&self, counts: BackupCounts) -> ControlFlow<()> {
        self.rows.store(counts.rows, Ordering::Relaxed);
        self.bytes.store(counts.bytes, Ordering::Relaxed);
        if self.given_up.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Backups {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProjectionName, Arc<Running>>> {
        // A map of names is whole whenever a thread panics.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, projection: &ProjectionName) -> Result<Arc<Running>, Refusal> {
        let mut running = self.lock();
        if running.contains_key(projection) {
            let why = format!("a backup of `{projection}` is being written: it is one at a time");
            return Err(Refusal::new(StatusCode::CONFLICT, why));
        }
        Ok(running.entry(projection.clone()).or_default().clone())
    }
}

/// Takes a backup off the list when it is over, however it ends.
struct Listed {
    served: Arc<Served>,
    projection: ProjectionName,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.served.backups.lock().remove(&self.projection);
    }
}

/// Gives a backup up when nobody waits for it any more.
struct Waiting(Arc<Running>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

pub(super) async fn make(
    State(served): State<Arc<Served>>,
    name: Result<Path<String>, PathRejection>,
    order: Result<Json<BackupOrder>, JsonRejection>,
) -> Result<Json<BackupReport>, Refusal> {
    let (Path(name), Json(BackupOrder { directory })) = (name?, order?);
    if !directory.is_absolute() {
        return Err(Refusal::bad_request(format!("`{}` is no absolute path", directory.display())));
    }
    let projection = ProjectionName(name.as_str().into());
    let running = served.backups.begin(&projection)?;
    let listed = Listed { served, projection };
    let waiting = Waiting(running.clone());
    let written = tokio::task::spawn_blocking(move || {
        let Listed { served, projection } = &listed;
        write(&*served.store, projection, directory, &mut |counts| running.watch(counts))
    });
    let made = written.await.map_err(|_| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the backup was broken off: the engine is stopping")
    });
    drop(waiting);
    Ok(Json(made??.into()))
}

/// Writes a backup of what is synced in a store, and remembers it there.
pub(crate) fn write(
    store: &dyn Store,
    projection: &ProjectionName,
    directory: PathBuf,
    watch: backup::Watch<'_>,
) -> Result<BackupFile, BackupError> {
    let snapshot = store.snapshot();
    let now = EventTime(micros(SystemTime::now()));
    let request =
        BackupRequest { projection, snapshot: &*snapshot, store: store.identity(), now, directory: &directory };
    let made = backup::write(request, watch)?;
    store.note_backup(projection, made.head.mark)?;
    Ok(made)
}

pub(super) async fn progress(
    State(served): State<Arc<Served>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<BackupProgress>, Refusal> {
    let Path(name) = name?;
    let running = served.backups.lock().get(&ProjectionName(name.into())).cloned();
    let progress = running.map(|running| BackupProgress {
        running: true,
        rows: running.rows.load(Ordering::Relaxed),
        bytes: running.bytes.load(Ordering::Relaxed),
    });
    Ok(Json(progress.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_backup_of_a_projection_is_written_at_a_time() {
        let backups = Backups::default();
        let (accounts, orders) = (ProjectionName("accounts".into()), ProjectionName("orders".into()));
        let first = backups.begin(&accounts).expect("it is the first");
        let refused = backups.begin(&accounts).expect_err("it is the second");
        assert!(format!("{refused:?}").contains("409"), "{refused:?}");
        backups.begin(&orders).expect("it is another projection");
        assert!(first.watch(BackupCounts::default()).is_continue());
        drop(Waiting(first.clone()));
        assert!(first.watch(BackupCounts::default()).is_break(), "nobody waits for it");
    }
}
