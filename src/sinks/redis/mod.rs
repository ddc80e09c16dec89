//! `into redis`: documents as texts, hashes or members of sets, in a Redis or a Redis Cluster.
//!
//! Beside the documents lies a record of the version of each key and of where its document is. A script writes a document and
//! its version in one step, and only over a lower version; so versions never go back, whoever writes late, and a member that
//! moves to another set leaves the one it was in. The same script looks at the claim: once a later owner has it, nothing of an
//! older one is done at all. On a cluster the claim lies elsewhere, and what stands for it is a fence in each slot, raised by
//! what is written there: an older owner changes nothing in the slots that the new one has written to, and nowhere a document
//! that it has written.
//!
//! Deletes leave their version behind for `KEPT`. Requests carry the latest time, by the server's own clock, at which they
//! may still be done: what was given up on is refused long before its delete is forgotten.
//!
//! A restart or a failover of Redis may lose what it had answered for, and looks whole: `health` says how that is noticed.

mod claim;
mod config;
mod encode;
mod health;
mod names;
mod request;
mod retry;
mod sink;
mod sweep;

use std::sync::{Arc, Mutex as SyncMutex, OnceLock};
use std::time::Duration;

pub use config::{RedisOptions, check_url};

use crate::language::typed::Into;
use crate::plan::Plan;
use crate::plan::walk::reads_state;
use crate::sinks::meter::Meter;
use crate::sinks::redis::names::Names;
use crate::sinks::redis::request::{Code, Link};
use crate::sinks::redis::sweep::Cursor;

/// How long the version of a deleted document is kept, by the server's clock.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// The longest that a request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// How far the server's clock may be from what we take it for.
const CLOCK_SLACK: Duration = Duration::from_secs(5);
/// A request is refused by the script when the server's clock is past [`REQUEST_TIME_MAX`] and [`CLOCK_SLACK`]; another slack
/// is for a clock that was set back in between.
const LATE_FOR: Duration = Duration::from_secs(40);

/// One sink of one projection in a Redis.
pub struct RedisSink {
    plan: Arc<Plan>,
    index: usize,
    names: Names,
    link: Link,
    meter: Meter,
    /// Who holds the claim through this sink, as the claim has it.
    holder: SyncMutex<String>,
    cursor: tokio::sync::Mutex<Cursor>,
}

impl RedisSink {
    /// Sink number `index` of a plan. Connects when it is first asked for something.
    pub fn new(plan: Arc<Plan>, index: usize, options: RedisOptions) -> RedisSink {
        let sink = &plan.projection.sinks[index];
        let names = Names::new(&plan.projection.name, &sink.name, options.cluster);
        RedisSink {
            plan,
            index,
            names,
            link: Link::new(options),
            meter: Meter::default(),
            holder: SyncMutex::default(),
            cursor: tokio::sync::Mutex::default(),
        }
    }

    fn sink(&self) -> &Into {
        &self.plan.projection.sinks[self.index]
    }
}

/// An error when a sink cannot be kept there.
pub fn check(sink: &Into, cluster: bool) -> Result<(), String> {
    let moves = sink.options.redis_kind().is_member() && sink.options.expr("key").is_some_and(reads_state);
    match cluster && moves {
        true => Err(
            "on a cluster the `key` of a set is made of the key alone: a member that moves would have to leave one \
                     set and enter another in one step, and they lie on different servers"
                .into(),
        ),
        false => Ok(()),
    }
}

/// The script that writes.
fn write_code() -> &'static Code {
    static CODE: OnceLock<Code> = OnceLock::new();
    CODE.get_or_init(|| Code::new(include_str!("write.lua")))
}

/// The script that moves a claim.
fn claim_code() -> &'static Code {
    static CODE: OnceLock<Code> = OnceLock::new();
    CODE.get_or_init(|| Code::new(include_str!("claim.lua")))
}
