//! A target that keeps versions, as real ones do, and watches what is written to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::Version;
use crate::sinks::{DocumentBody, DocumentWrite, Outcome};

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
    /// Whether a delete leaves its version behind.
    pub remembers: bool,
    pub down: bool,
    pub documents: BTreeMap<Arc<str>, Held>,
    /// Keys that were refused for good, until they are written again.
    pub refused: BTreeMap<Arc<str>, Version>,
    /// What each version of each key was, since the target was last wiped or restored.
    bodies: HashMap<(Arc<str>, Version), Option<Arc<[u8]>>>,
    /// The newest event that each document has shown.
    newest: BTreeMap<Arc<str>, u64>,
}

impl Target {
    pub fn new(remembers: bool) -> Target {
        Target {
            remembers,
            down: false,
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
                return Ok(Outcome::Foreign { reason: "a higher version is there".into(), stored: None });
            }
        }
        self.watch_content(write, body.as_deref())?;
        self.refused.remove(&write.key);
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
        let Some(number) = body.and_then(subject::newest_event) else { return Ok(()) };
        let newest = self.newest.entry(write.key.clone()).or_default();
        if number < *newest {
            let what = format!("`{}` shows event {number} after event {newest}", write.key);
            return Err(Broken::new(Law::NoStepBack, what));
        }
        *newest = number;
        Ok(())
    }

    /// What it shows to readers.
    pub fn shown(&self) -> impl Iterator<Item = (&Arc<str>, &Version, &Arc<[u8]>)> {
        self.documents.iter().filter_map(|(key, held)| Some((key, &held.version, held.body.as_ref()?)))
    }
}
