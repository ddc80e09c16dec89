//! A claim ↔ its bytes in the database: numbers of fixed width, big end first, behind the number of their layout.

use crate::event::{Epoch, TargetId, Version};
use crate::sinks::claim::{Claim, ProcessId};
use crate::state::{Place, StoreId};

const LAYOUT: u8 = 1;
const LENGTH: usize = 1 + 3 * 16 + 3 * 8 + 4;

pub fn encode(claim: &Claim) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH);
    out.push(LAYOUT);
    out.extend(claim.store.0.to_be_bytes());
    out.extend(claim.place.0.to_be_bytes());
    out.extend(claim.process.0.to_be_bytes());
    out.extend(claim.epoch.0.to_be_bytes());
    out.extend(claim.published.0.to_be_bytes());
    out.extend(claim.beat.to_be_bytes());
    out.extend(claim.target.0.to_be_bytes());
    out
}

/// `None` when these are not the bytes of a claim.
pub fn decode(bytes: &[u8]) -> Option<Claim> {
    let (layout, mut rest) = bytes.split_first()?;
    if *layout != LAYOUT || bytes.len() != LENGTH {
        return None;
    }
    Some(Claim {
        store: StoreId(u128::from_be_bytes(take(&mut rest)?)),
        place: Place(u64::from_be_bytes(take(&mut rest)?)),
        process: ProcessId(u128::from_be_bytes(take(&mut rest)?)),
        epoch: Epoch(u32::from_be_bytes(take(&mut rest)?)),
        published: Version(u64::from_be_bytes(take(&mut rest)?)),
        beat: u64::from_be_bytes(take(&mut rest)?),
        target: TargetId(u128::from_be_bytes(take(&mut rest)?)),
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_back_and_nothing_else_is_one() {
        let claim = Claim {
            store: StoreId(u128::MAX - 1),
            place: Place(2 << 60),
            process: ProcessId(3 << 120),
            epoch: Epoch(4 << 20),
            published: Version(5 << 40),
            beat: 6 << 50,
            target: TargetId(7 << 110),
        };
        let bytes = encode(&claim);
        assert_eq!(bytes.len(), LENGTH);
        assert_eq!(decode(&bytes), Some(claim));
        for cut in 0..LENGTH {
            assert_eq!(decode(&bytes[..cut]), None);
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(decode(&[&[2], &bytes[1..]].concat()), None);
    }
}
