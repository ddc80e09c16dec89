//! Where in Redis things lie: the names of keys.
//!
//! Documents have the names that readers want; what we keep beside them begins with `projector:`. One server holds one
//! record of versions for a sink. A cluster wants all that one step touches in one of its 16,384 slots, and documents are to
//! spread over all of them: so there the record is kept in as many parts as there are slots, each named so that it lies with
//! its documents.

use std::sync::OnceLock;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// The names of one sink of one projection.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Of the claim and of the record, without what tells them apart.
    base: String,
    /// Before the key text in the name of a document.
    pub prefix: String,
    cluster: bool,
}

/// The keys that guard a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guard {
    pub versions: String,
    pub gone: String,
    /// The claim, or what stands for it in a slot of a cluster.
    pub fence: String,
}

impl Names {
    pub fn new(projection: &str, sink: &str, cluster: bool) -> Names {
        // A sink that is called as its kind needs no mention. A projection's name holds no `@`, so that no two sinks meet.
        let prefix = if sink == "redis" { format!("{projection}:") } else { format!("{projection}@{sink}:") };
        let sink = sink.replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
        Names { base: format!("{projection}/{sink}"), prefix, cluster }
    }

    /// The record that says who may write.
    pub fn claim(&self) -> String {
        format!("projector:{{{}}}:claim", self.base)
    }

    /// The part of the record that a document of this name belongs to: 0 unless there is a cluster.
    pub fn part(&self, document: &str) -> u16 {
        if self.cluster { slot(document.as_bytes()) } else { 0 }
    }

    pub fn parts(&self) -> u16 {
        if self.cluster { SLOTS } else { 1 }
    }

    pub fn guard(&self, part: u16) -> Guard {
        if !self.cluster {
            let of = |what: &str| format!("projector:{{{}}}:{what}", self.base);
            return Guard { versions: of("versions"), gone: of("gone"), fence: of("claim") };
        }
        let tag = tags()[usize::from(part)];
        let of = |what: &str| format!("projector:{}:{what}:{{{tag}}}", self.base);
        Guard { versions: of("versions"), gone: of("gone"), fence: of("fence") }
    }
}

/// The slot of a key: of what stands between its first braces, if there is something, else of all of it.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = &key[open + 1..];
        let length = inside.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &inside[..length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// For each slot the lowest number that lies in it as a text.
fn tags() -> &'static [u32] {
    static TAGS: OnceLock<Vec<u32>> = OnceLock::new();
    TAGS.get_or_init(|| {
        let mut tags = vec![None; usize::from(SLOTS)];
        let mut left = tags.len();
        for number in 0u32.. {
            let place = &mut tags[usize::from(slot(number.to_string().as_bytes()))];
            if place.is_none() {
                *place = Some(number);
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        tags.into_iter().flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"123456789"), 12_739);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }

    #[test]
    fn what_guards_a_document_lies_with_it() {
        let names = Names::new("orders", "odd{}name", true);
        for document in ["orders:a", "orders:{a}", "orders:a}b", "{}", ""] {
            let part = names.part(document);
            let Guard { versions, gone, fence } = names.guard(part);
            for key in [versions, gone, fence] {
                assert_eq!(slot(key.as_bytes()), part, "{key}");
            }
        }
    }

    #[test]
    fn names_of_sinks_do_not_meet() {
        let names = |sink| Names::new("orders", sink, false);
        assert_eq!(names("redis").prefix, "orders:");
        assert_eq!(names("a").prefix, "orders@a:");
        assert_ne!(names("redis").claim(), names("a").claim());
        assert_ne!(names("a{").claim(), names("a%7B").claim());
    }
}
