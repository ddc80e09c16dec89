//! What a server says of itself: whether it can keep documents at all, and which run of it this is.
//!
//! A Redis that crashes loses what it had not yet written to disk (all, a second, or nothing, as it is configured), and a
//! replica that takes over lacks what had not reached it. What it has then looks whole. So what a target is known by holds the
//! run of the server, too: another run is another target, and all documents are written anew.

use crate::sinks::SinkError;

/// What one master said to `INFO`.
pub(super) struct Info<'i>(pub &'i str);

impl Info<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// An error when a sink cannot work here.
    pub fn check(&self, address: &str, cluster: bool) -> Result<(), SinkError> {
        let wrong = |what: String| Err(SinkError { reason: format!("Redis at {address} {what}") });
        match (self.value("cluster_enabled"), cluster) {
            (Some("1"), false) => return wrong("is a cluster: write `cluster = true` at its connection".into()),
            (Some("0"), true) => return wrong("is no cluster: leave out `cluster = true` at its connection".into()),
            _ => {}
        }
        if self.value("role") == Some("slave") {
            return wrong("is a replica: `url` must lead to the master".into());
        }
        match self.value("maxmemory_policy") {
            Some(policy) if policy.starts_with("allkeys-") => wrong(format!(
                "has the `maxmemory-policy` {policy}, which throws documents and their versions away when memory is short: \
                 set `noeviction` or one of `volatile-*`"
            )),
            _ => Ok(()),
        }
    }

    /// Changes whenever the server may hold something else than it has answered for.
    fn run(&self) -> String {
        let part = |name| self.value(name).unwrap_or_default();
        format!("{}/{}", part("run_id"), part("master_replid"))
    }
}

/// Names the runs of all masters.
pub(super) fn run_of(infos: &[String]) -> u128 {
    let mut runs: Vec<String> = infos.iter().map(|info| Info(info).run()).collect();
    runs.sort();
    let hash = blake3::hash(runs.join(" ").as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    u128::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nrun_id:abc\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n# Replication\r\n\
                        role:master\r\nmaster_replid:def\r\n# Cluster\r\ncluster_enabled:0\r\n";

    #[test]
    fn a_server_that_cannot_keep_documents_is_refused() {
        let checked = |info: &str, cluster| Info(info).check("here:1", cluster).map_err(|error| error.reason);
        assert!(checked(INFO, false).is_ok());
        let refused = checked(INFO, true).unwrap_err();
        assert!(refused.contains("no cluster"), "{refused}");
        let refused = checked(&INFO.replace("enabled:0", "enabled:1"), false).unwrap_err();
        assert!(refused.contains("cluster = true"), "{refused}");
        let refused = checked(&INFO.replace("role:master", "role:slave"), false).unwrap_err();
        assert!(refused.contains("replica"), "{refused}");
        let refused = checked(&INFO.replace("noeviction", "allkeys-lru"), false).unwrap_err();
        assert!(refused.contains("noeviction"), "{refused}");
        assert!(checked(&INFO.replace("noeviction", "volatile-ttl"), false).is_ok());
    }

    #[test]
    fn another_run_has_another_name() {
        let run = |infos: &[&str]| run_of(&infos.iter().map(|info| (*info).to_owned()).collect::<Vec<_>>());
        let other = INFO.replace("run_id:abc", "run_id:abd");
        let promoted = INFO.replace("replid:def", "replid:deg");
        assert_ne!(run(&[INFO]), run(&[&other]));
        assert_ne!(run(&[INFO]), run(&[&promoted]));
        assert_eq!(run(&[INFO, &other]), run(&[&other, INFO]), "nodes answer in any order");
    }
}
