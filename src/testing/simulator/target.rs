//! A target that keeps versions, as real ones do, and watches what is written to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::event::{Epoch, Version};
use crate::runtime::core::BEAT;
use crate::sinks::claim::{Claim, ClaimMove, ProcessId};
use crate::sinks::{DocumentBody, DocumentPage, DocumentWrite, Outcome, StoredDocument};

use super::laws::{Broken, Law};
use super::subject;

/// A document as a target holds it; without a body it was deleted, and the target remembers that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub version: Version,
    pub body: Option<Arc<[u8]>>,
}

#[derive(Debug, Clone)]
pub(super) struct Target {
    pub claim: Option<Claim>,
    /// Writing raises what the claim says was published.
    raises: bool,
    /// Who took the claim, and in which epoch.
    takers: HashSet<(ProcessId, Epoch)>,
    /// When each process last moved it.
    moved_at: HashMap<ProcessId, Instant>,
    /// As it was moved last, whatever became of it since.
    pub last_move: Option<Claim>,
    /// Whether a delete leaves its version behind.
    pub remembers: bool,
    pub down: bool,
    /// Nothing was done to the state that lets a reader see older events again.
    pub strict: bool,
    pub documents: BTreeMap<Arc<str>, Held>,
    /// Keys that were refused for good, until they are written again.
    pub refused: BTreeMap<Arc<str>, Version>,
    /// What each version of each key was, since the target was last wiped or restored.
    bodies: HashMap<(Arc<str>, Version), Body>,
    /// The newest event that each document has shown.
    newest: BTreeMap<Arc<str>, u64>,
}

/// A document, or that there is none.
type Body = Option<Arc<[u8]>>;

impl Target {
    pub fn new(remembers: bool, raises: bool) -> Target {
        Target {
            claim: None,
            raises,
            takers: HashSet::new(),
            moved_at: HashMap::new(),
            last_move: None,
            remembers,
            down: false,
            strict: true,
            documents: BTreeMap::new(),
            refused: BTreeMap::new(),
            bodies: HashMap::new(),
            newest: BTreeMap::new(),
        }
    }

    /// Does one write.
    pub fn apply(&mut self, write: &DocumentWrite) -> Result<Outcome, Broken> {
        let body = match &write.body {
            DocumentBody::Document(body) => Some(body.clone()),
            DocumentBody::Delete => None,
        };
        self.watch_version(write, &body)?;
        if let Some(held) = self.documents.get(&write.key) {
            if held.version == write.version {
                return Ok(Outcome::Duplicate);
            }
            if held.version > write.version {
                return Ok(Outcome::Foreign { reason: "a higher version is there".into(), stored: Some(held.version) });
            }
        }
        self.watch_content(write, body.as_deref())?;
        self.refused.remove(&write.key);
        if let Some(claim) = self.claim.as_mut().filter(|_| self.raises) {
            claim.published = claim.published.max(write.version);
        }
        if body.is_none() && !self.remembers {
            // A request from before the delete may come late and bring an old document back, until the delete is sent again.
            self.newest.remove(&write.key);
            self.documents.remove(&write.key);
        } else {
            self.documents.insert(write.key.clone(), Held { version: write.version, body });
        }
        Ok(Outcome::Ok)
    }

    fn watch_version(&mut self, write: &DocumentWrite, body: &Option<Arc<[u8]>>) -> Result<(), Broken> {
        let known = self.bodies.entry((write.key.clone(), write.version)).or_insert_with(|| body.clone());
        if known != body {
            let what = format!("version {} of `{}` names two documents", write.version, write.key);
            return Err(Broken::new(Law::OneVersionOneDocument, what));
        }
        Ok(())
    }

    /// A reader must never see an account step back.
    fn watch_content(&mut self, write: &DocumentWrite, body: Option<&[u8]>) -> Result<(), Broken> {
        if !self.strict {
            return Ok(());
        }
        let Some(number) = body.and_then(subject::newest_event) else { return Ok(()) };
        let newest = self.newest.entry(write.key.clone()).or_default();
        if number < *newest {
            let what = format!("`{}` shows event {number} after event {newest}", write.key);
            return Err(Broken::new(Law::NoStepBack, what));
        }
        *newest = number;
        Ok(())
    }

    /// Moves the claim by compare-and-set.
    pub fn move_claim(&mut self, from: Option<Claim>, to: Claim, now: Instant) -> Result<ClaimMove, Broken> {
        let same = match (&self.claim, &from) {
            (Some(there), Some(from)) => there.is_same_move(from),
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Ok(ClaimMove::Found(self.claim));
        }
        if let Some(there) = self.claim.filter(|there| there.process != to.process)
            && to.process != ProcessId::NOBODY
            && to.epoch <= there.epoch
        {
            let what = format!("the claim of epoch {} is taken in epoch {}", there.epoch.0, to.epoch.0);
            return Err(Broken::new(Law::EpochRises, what));
        }
        if let Some(there) = self.claim.filter(|there| there.process != to.process)
            && there.process != ProcessId::NOBODY
            // Who is let in by a lock need not watch.
            && !self.raises
            && (there.store, there.place) != (to.store, to.place)
            && self.moved_at.get(&there.process).is_some_and(|at| now < *at + BEAT * 3)
        {
            return Err(Broken::new(Law::TakenFromTheDead, "a claim is taken that was moved lately".into()));
        }
        self.moved_at.insert(to.process, now);
        self.takers.insert((to.process, to.epoch));
        let published = self.claim.map_or(to.published, |there| there.published.max(to.published));
        self.claim = Some(Claim { published, ..to });
        self.last_move = self.claim;
        Ok(ClaimMove::Moved)
    }

    /// Whether a process moved the claim within the last two beats.
    pub fn is_fresh(&self, process: ProcessId, now: Instant) -> bool {
        self.moved_at.get(&process).is_some_and(|at| now < *at + BEAT * 2)
    }

    /// Whether a process ever took the claim in an epoch.
    pub fn was_taken(&self, process: ProcessId, epoch: Epoch) -> bool {
        self.takers.contains(&(process, epoch))
    }

    /// Forgets everything.
    pub fn wipe(&mut self) {
        let empty = Target::new(self.remembers, self.raises);
        *self = Target {
            takers: std::mem::take(&mut self.takers),
            moved_at: std::mem::take(&mut self.moved_at),
            last_move: self.last_move,
            down: self.down,
            strict: self.strict,
            ..empty
        };
    }

    /// Becomes what it was.
    pub fn put_back(&mut self, saved: Target) {
        *self = Target {
            takers: std::mem::take(&mut self.takers),
            moved_at: std::mem::take(&mut self.moved_at),
            last_move: self.last_move,
            down: self.down,
            strict: self.strict,
            ..saved
        };
    }

    /// A page of what it holds, as a listing answers it.
    pub fn page(&self, after: Option<&str>, limit: usize) -> DocumentPage {
        let later = self.shown().filter(|(key, ..)| after.is_none_or(|after| &***key > after));
        let document = |(key, version, body): (&Arc<str>, &Version, &Arc<[u8]>)| {
            (key.clone(), StoredDocument { version: *version, body: body.clone() })
        };
        let mut documents: Vec<_> = later.take(limit + 1).map(document).collect();
        let more = documents.len() > limit;
        documents.truncate(limit);
        let next = documents.last().filter(|_| more).map(|(key, _)| key.clone());
        DocumentPage { documents, next }
    }

    /// What it shows to readers.
    pub fn shown(&self) -> impl Iterator<Item = (&Arc<str>, &Version, &Arc<[u8]>)> {
        self.documents.iter().filter_map(|(key, held)| Some((key, &held.version, held.body.as_ref()?)))
    }
}
