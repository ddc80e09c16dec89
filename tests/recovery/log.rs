//! A story → an event log directory that grows, as a careless writer would let it grow: in pieces that end anywhere.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::kill::Feed;
use super::random::Random;
use super::story::{Told, ToldValue};

pub struct LogWriter {
    partitions: u32,
    files: BTreeMap<(&'static str, u32), File>,
    /// What was handed over but not written yet, by file: the end of a half-written line.
    withheld: BTreeMap<(&'static str, u32), Vec<u8>>,
}

impl LogWriter {
    /// A writer of `partitions` files per topic; all of them exist from the beginning.
    pub fn new(dir: &Path, partitions: u32, topics: &[&'static str]) -> LogWriter {
        let mut files = BTreeMap::new();
        for topic in topics {
            fs::create_dir_all(dir.join(topic)).expect("a topic folder");
            for partition in 0..partitions {
                let path = dir.join(topic).join(format!("{partition}.jsonl"));
                let file = OpenOptions::new().create(true).append(true).open(path).expect("a partition file");
                files.insert((*topic, partition), file);
            }
        }
        LogWriter { partitions, files, withheld: BTreeMap::new() }
    }

    fn write(&mut self, place: (&'static str, u32), bytes: &[u8]) {
        self.files.get_mut(&place).expect("a topic of this log").write_all(bytes).expect("the log can be written");
    }
}

impl Feed for LogWriter {
    /// Appends records; the last line of a file may stay half-written until the next call.
    fn append(&mut self, story: &[Told], random: &mut Random) {
        let mut pieces = std::mem::take(&mut self.withheld);
        for told in story {
            let place = (told.topic, partition_of(&told.key, self.partitions));
            let bytes = pieces.entry(place).or_default();
            bytes.extend_from_slice(line(told).as_bytes());
            bytes.push(b'\n');
        }
        for (place, bytes) in pieces {
            let cut = if random.one_in(2) { bytes.len() } else { random.below(bytes.len() + 1) };
            self.write(place, &bytes[..cut]);
            self.withheld.insert(place, bytes[cut..].to_vec());
        }
    }

    fn finish(&mut self) {
        for (place, bytes) in std::mem::take(&mut self.withheld) {
            self.write(place, &bytes);
        }
    }
}

/// The partition a key belongs to.
pub fn partition_of(key: &str, partitions: u32) -> u32 {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash % u64::from(partitions)) as u32
}

fn line(told: &Told) -> String {
    let value = match &told.value {
        ToldValue::Json(text) => text.as_str(),
        ToldValue::Tombstone => "null",
        ToldValue::Garbage(text) => return text.clone(),
    };
    let headers = told.event_type.map_or(json!({}), |name| json!({ "type": name }));
    format!(r#"{{"key":{},"value":{value},"headers":{headers}}}"#, json!(told.key))
}
