//! The claim of a Redis target: a hash beside what it guards, moved by a script that compares it as a whole.
//!
//! What a target is known by is put together from what its owner called it and from the run of the server at its last move:
//! after a restart or a failover it is known by another id, whatever the record says, and its owner writes everything anew.

use redis::Value;

use crate::event::{Epoch, TargetId, Version};
use crate::sinks::SinkError;
use crate::sinks::claim::{Claim, ClaimMove, ProcessId};
use crate::sinks::redis::health::run_of;
use crate::sinks::redis::request::{Argument, Call, Code, Open};
use crate::state::{Place, StoreId};

/// A claim as it lies there.
struct Record {
    /// What a move compares.
    text: String,
    claim: Claim,
}

/// How often a move looks again when the record changes under it, although it means the same.
const LOOKS_MAX: usize = 3;

/// The claim that lies at `key`.
pub(super) async fn read(open: &Open, key: &str) -> Result<Option<Claim>, SinkError> {
    let run = run_of(&open.infos().await.map_err(away)?);
    Ok(record(open, key, run).await?.map(|record| record.claim))
}

/// Moves the claim at `key`.
pub(super) async fn change(
    open: &Open,
    code: &Code,
    key: &str,
    from: Option<Claim>,
    to: Claim,
) -> Result<ClaimMove, SinkError> {
    let run = run_of(&open.infos().await.map_err(away)?);
    let mut found = None;
    for _ in 0..LOOKS_MAX {
        let there = record(open, key, run).await?;
        found = there.as_ref().map(|record| record.claim);
        let expected = match (&found, &from) {
            (None, None) => true,
            (Some(found), Some(from)) => found.is_same_move(from),
            _ => false,
        };
        if !expected {
            break;
        }
        let arguments = [
            there.map(|record| record.text).unwrap_or_default(),
            encode(&to, run),
            to.epoch.0.to_string(),
            format!("{:x}", to.process.0),
            to.published.to_string(),
        ];
        let arguments = arguments.into_iter().map(Argument::Text).collect();
        let call = Call { code, keys: vec![key.to_owned()], arguments };
        match open.run(&[call]).await.remove(0) {
            Ok(Value::Int(1)) => return Ok(ClaimMove::Moved),
            Ok(_) => {}
            Err(failed) => return Err(SinkError { reason: failed.reason() }),
        }
    }
    Ok(ClaimMove::Found(found))
}

async fn record(open: &Open, key: &str, run: u128) -> Result<Option<Record>, SinkError> {
    let mut command = redis::cmd("HMGET");
    command.arg(key).arg("claim").arg("published");
    let answer = open.ask(command).await.map_err(away)?;
    let (text, published): (Option<String>, Option<u64>) =
        redis::from_redis_value(answer).map_err(|_| not_ours(key))?;
    let Some(text) = text else { return Ok(None) };
    let claim = decode(&text, published.unwrap_or(0), run).ok_or_else(|| not_ours(key))?;
    Ok(Some(Record { text, claim }))
}

fn not_ours(key: &str) -> SinkError {
    SinkError { reason: format!("what lies at `{key}` is no claim that this release can read") }
}

fn away(error: redis::RedisError) -> SinkError {
    SinkError { reason: error.to_string() }
}

fn encode(claim: &Claim, run: u128) -> String {
    let Claim { store, place, process, epoch, beat, target, .. } = claim;
    format!("1 {:x} {:x} {:x} {} {beat} {:x} {run:x}", store.0, place.0, process.0, epoch.0, target.0)
}

fn decode(text: &str, published: u64, run: u128) -> Option<Claim> {
    let parts: Vec<&str> = text.split(' ').collect();
    let ["1", store, place, process, epoch, beat, target, moved_in] = parts[..] else { return None };
    let hex = |text| u128::from_str_radix(text, 16).ok();
    let moved_in = hex(moved_in)?;
    Some(Claim {
        store: StoreId(hex(store)?),
        place: Place(u64::from_str_radix(place, 16).ok()?),
        process: ProcessId(hex(process)?),
        epoch: Epoch(epoch.parse().ok()?),
        published: Version(published),
        beat: beat.parse().ok()?,
        // INVARIANT: in the run it was moved in, it is called what its owner called it.
        target: TargetId(hex(target)? ^ if moved_in == run { 0 } else { run }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_back_and_is_another_target_in_another_run() {
        let claim = Claim {
            store: StoreId(u128::MAX - 1),
            place: Place(2 << 60),
            process: ProcessId(3 << 120),
            epoch: Epoch(4 << 20),
            published: Version(5 << 40),
            beat: 6 << 50,
            target: TargetId(7 << 110),
        };
        let text = encode(&claim, 99);
        assert_eq!(decode(&text, claim.published.0, 99), Some(claim));
        let elsewhere = decode(&text, claim.published.0, 98).unwrap();
        assert_ne!(elsewhere.target, claim.target);
        assert_eq!(Claim { target: claim.target, ..elsewhere }, claim);
        assert_eq!(decode(&text[2..], 0, 99), None);
        assert_eq!(decode(&format!("{text} 1"), 0, 99), None);
    }
}
