//! Who may write: owners that were replaced, tables that were emptied, and commits that nobody knows of.

use std::sync::Arc;

use projector::event::{Epoch, Version};
use projector::sinks::claim::{Claim, ClaimMove, ClaimedTarget};
use projector::sinks::postgres::PostgresSink;
use projector::sinks::{DocumentSink, Outcome};
use projector::testing::sinks::{claim, delete, plan};
use tokio_postgres::Client;

use super::{NOTES, note, query, session, sink, wait_for, write};
use crate::services::{Proxy, postgres};

/// A version of an epoch.
fn version(epoch: u64, checkpoint: u64) -> u64 {
    epoch << Version::CHECKPOINT_BITS | checkpoint
}

async fn take(sink: &PostgresSink, from: Option<Claim>, to: Claim) {
    assert_eq!(sink.move_claim(from, to).await.unwrap(), ClaimMove::Moved);
}

/// Lets commits of notes wait for as long as the session holds a lock, which it does now.
async fn hold_commits(client: &Client) {
    let made = "create function hold() returns trigger language plpgsql as \
                $$ begin perform pg_advisory_xact_lock_shared(7); return null; end $$; \
                create constraint trigger hold after insert or update on notes \
                deferrable initially deferred for each row execute function hold(); select pg_advisory_lock(7)";
    query(client, made).await;
}

const COMMITS_THAT_WAIT: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                                 and database = (select oid from pg_database where datname = current_database())";
const OTHERS_THAT_WAIT: &str = "select count(*) from pg_stat_activity where datname = current_database() \
                                and wait_event_type = 'Lock' and wait_event <> 'advisory'";

#[tokio::test]
async fn an_owner_that_was_replaced_changes_nothing_at_all() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("zombie");
    let (old, new) = (sink(&plan(NOTES), &url), sink(&plan(NOTES), &url));
    let first = claim(1, 1);
    take(&old, None, first).await;
    assert_eq!(write(&old, vec![note("a", version(2, 1), "old")]).await, [Outcome::Ok]);
    let second = Claim { process: claim(2, 1).process, epoch: Epoch(3), beat: 2, ..first };
    take(&new, Some(first), second).await;

    // Not even what the new owner has not written.
    let batch =
        vec![note("a", version(2, 2), "zombie"), note("b", version(2, 2), "zombie"), delete("a", version(2, 3))];
    for write_one in batch {
        let outcomes = write(&old, vec![write_one]).await;
        assert!(matches!(&outcomes[..], [Outcome::Foreign { stored: None, .. }]), "{outcomes:?}");
    }
    let client = session(&url).await;
    assert_eq!(query(&client, "select k, n from notes").await, ["a|old"]);
    assert_eq!(write(&new, vec![note("a", version(3, 1), "new")]).await, [Outcome::Ok]);
    // One that never had a claim goes by its epoch.
    let outcomes = write(&sink(&plan(NOTES), &url), vec![note("c", version(2, 9), "x")]).await;
    assert!(matches!(&outcomes[..], [Outcome::Foreign { stored: None, .. }]), "{outcomes:?}");
}

#[tokio::test]
async fn a_new_owner_waits_for_a_commit_of_the_old_one() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("takeover");
    let (old, new) = (sink(&plan(NOTES), &url), sink(&plan(NOTES), &url));
    take(&old, None, claim(1, 1)).await;
    let (holder, watcher) = (session(&url).await, session(&url).await);
    hold_commits(&holder).await;
    let writing = tokio::spawn({
        let old = Arc::clone(&old);
        async move { write(&old, vec![note("a", version(2, 1), "old")]).await }
    });
    wait_for(&watcher, COMMITS_THAT_WAIT, "1").await;
    // A sign of life passes by.
    take(&old, Some(claim(1, 1)), claim(1, 2)).await;

    let second = Claim { process: claim(2, 1).process, epoch: Epoch(3), beat: 3, ..claim(1, 2) };
    let taking = tokio::spawn(async move { new.move_claim(Some(claim(1, 2)), second).await.unwrap() });
    wait_for(&watcher, OTHERS_THAT_WAIT, "1").await;
    assert_eq!(old.read_claim().await.unwrap(), Some(claim(1, 2)));
    query(&holder, "select pg_advisory_unlock(7)").await;
    assert_eq!(writing.await.unwrap(), [Outcome::Ok]);
    assert_eq!(taking.await.unwrap(), ClaimMove::Moved);
}

#[tokio::test]
async fn a_commit_that_is_done_late_brings_no_deleted_row_back() {
    let Some(postgres) = postgres() else { return };
    let proxy = Proxy::to(postgres.server.port);
    let url = postgres.database("late");
    let through = url.replace(&format!(":{}", postgres.server.port), &format!(":{}", proxy.address().port()));
    let sink = sink(&plan(NOTES), &through);
    take(&sink, None, claim(1, 1)).await;
    let (holder, watcher) = (session(&url).await, session(&url).await);
    hold_commits(&holder).await;
    let spawn = |batch| {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move { write(&sink, batch).await })
    };
    let writing = spawn(vec![note("a", version(2, 1), "late")]);
    wait_for(&watcher, COMMITS_THAT_WAIT, "1").await;
    proxy.cut();
    let outcomes = writing.await.unwrap();
    assert!(matches!(&outcomes[..], [Outcome::Unanswered { .. }]), "{outcomes:?}");

    // The commit is still under way in the server; the delete waits for it, and does not take the row for absent.
    let deleting = spawn(vec![delete("a", version(2, 2))]);
    wait_for(&watcher, OTHERS_THAT_WAIT, "1").await;
    query(&holder, "select pg_advisory_unlock(7)").await;
    assert_eq!(deleting.await.unwrap(), [Outcome::Ok]);
    assert_eq!(query(&watcher, "select k from notes").await, [""; 0]);
    assert_eq!(query(&watcher, "select fence from projector_claims").await, ["2"]);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_done() {
    let Some(postgres) = postgres() else { return };
    let proxy = Proxy::to(postgres.server.port);
    let url = postgres.database("lost");
    let through = url.replace(&format!(":{}", postgres.server.port), &format!(":{}", proxy.address().port()));
    let sink = sink(&plan(NOTES), &through);
    take(&sink, None, claim(1, 1)).await;
    let (holder, watcher) = (session(&url).await, session(&url).await);
    hold_commits(&holder).await;
    let writing = tokio::spawn({
        let sink = Arc::clone(&sink);
        async move { write(&sink, vec![note("a", version(2, 1), "x")]).await }
    });
    wait_for(&watcher, COMMITS_THAT_WAIT, "1").await;
    proxy.swallow_answers();
    query(&holder, "select pg_advisory_unlock(7)").await;
    let outcomes = writing.await.unwrap();
    assert!(matches!(&outcomes[..], [Outcome::Unanswered { .. }]), "{outcomes:?}");
    proxy.forward();
    assert_eq!(write(&sink, vec![note("a", version(2, 1), "x")]).await, [Outcome::Duplicate]);
}

#[tokio::test]
async fn a_table_that_was_emptied_has_no_claim() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("wiped");
    let sink = sink(&plan(NOTES), &url);
    let client = session(&url).await;
    let mut held = claim(1, 1);
    take(&sink, None, held).await;
    let wipes = [
        "truncate notes",
        "create table other (like notes including all); drop table notes; alter table other rename to notes",
        "drop table notes",
        "drop table projector_claims",
    ];
    for (wipe, beat) in wipes.into_iter().zip(2..) {
        assert_eq!(write(&sink, vec![note("a", version(2, beat), "x")]).await, [Outcome::Ok]);
        assert_eq!(sink.read_claim().await.unwrap(), Some(held), "before `{wipe}`");
        query(&client, wipe).await;
        let outcomes = write(&sink, vec![note("b", version(2, beat), "x")]).await;
        assert!(matches!(&outcomes[..], [Outcome::Retry { .. }]), "after `{wipe}`: {outcomes:?}");
        // Made again where it is missing, on the second look.
        let _ = sink.read_claim().await;
        assert_eq!(sink.read_claim().await.unwrap(), None, "after `{wipe}`");
        held = Claim { beat, ..held };
        take(&sink, None, held).await;
    }
    query(&client, "vacuum analyze notes").await;
    assert_eq!(sink.read_claim().await.unwrap(), Some(held));
    // As after the promotion of a standby.
    query(&client, "update projector_claims set timeline = '0000000F' where timeline = '00000001'").await;
    assert_eq!(sink.read_claim().await.unwrap(), None);
}

#[tokio::test]
async fn a_row_of_another_projection_is_left_alone() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("foreign");
    let sink = sink(&plan(NOTES), &url);
    assert_eq!(write(&sink, vec![note("a", 5, "x")]).await, [Outcome::Ok]);
    let client = session(&url).await;
    query(&client, "update notes set _proj_p = 'other', _proj_v = 3").await;
    for write_one in [note("a", 6, "ours"), delete("a", 7)] {
        let outcomes = write(&sink, vec![write_one]).await;
        assert!(matches!(&outcomes[..], [Outcome::Foreign { stored: Some(Version(3)), .. }]), "{outcomes:?}");
    }
    assert_eq!(query(&client, "select n, _proj_p from notes").await, ["x|other"]);
    let adopting = super::sink(&plan("postgres { table: \"notes\", adopt: true }"), &url);
    assert_eq!(write(&adopting, vec![note("a", 8, "ours")]).await, [Outcome::Ok]);
    assert_eq!(query(&client, "select n, _proj_p from notes").await, ["ours|noted"]);
    assert_eq!(adopting.read("a").await.unwrap().map(|document| document.version), Some(Version(8)));
}
