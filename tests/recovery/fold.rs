//! A story → the documents it must end in, by a fold that shares nothing with the engine: cents in an `i64`, text by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;

use super::story::{Meaning, Told};
use crate::site::World;

/// Tells the story from its first record to its last.
pub fn fold<'a>(story: impl IntoIterator<Item = &'a Told>) -> World {
    let mut books = Books::default();
    for told in story {
        books.hear(told);
    }
    books.world()
}

#[derive(Default)]
struct Books {
    balances: BTreeMap<String, Balance>,
    activity: BTreeMap<String, Activity>,
    pages: BTreeMap<(&'static str, &'static str), Page>,
}

#[derive(Default)]
struct Balance {
    owner: Option<String>,
    cents: i64,
    moves: i64,
    by_channel: BTreeMap<&'static str, i64>,
    memos: Vec<String>,
    times_opened: i64,
}

#[derive(Default)]
struct Activity {
    paid_in: i64,
    events: i64,
    countries: BTreeSet<&'static str>,
    longest: i64,
}

#[derive(Default)]
struct Page {
    visits: i64,
    seconds: i64,
    longest: i64,
}

impl Balance {
    fn moved(&mut self, cents: i64, channel: &'static str, memo: &Option<String>) {
        self.cents += cents;
        self.moves += 1;
        *self.by_channel.entry(channel).or_default() += cents;
        self.memos.push(memo.clone().unwrap_or_else(|| "-".to_string()));
        if self.memos.len() > 3 {
            self.memos.remove(0);
        }
    }
}

impl Books {
    fn hear(&mut self, told: &Told) {
        let account = || told.key.clone();
        match &told.meaning {
            Meaning::Opened { owner } => {
                let balance = self.balances.entry(account()).or_default();
                balance.owner = Some(owner.clone());
                balance.times_opened += 1;
            }
            Meaning::Deposited { cents, channel, memo } => {
                self.balances.entry(account()).or_default().moved(*cents, channel, memo);
                let activity = self.activity.entry(account()).or_default();
                activity.paid_in += cents;
                activity.events += 1;
            }
            Meaning::Withdrawn { cents, channel, memo } => {
                if let Some(balance) = self.balances.get_mut(&told.key) {
                    balance.moved(-cents, channel, memo);
                }
            }
            Meaning::Corrected { cents: Some(cents) } => self.balances.entry(account()).or_default().cents += cents,
            Meaning::Closed => {
                self.balances.remove(&told.key);
            }
            Meaning::Visited { page, country, seconds } => {
                let activity = self.activity.entry(account()).or_default();
                activity.events += 1;
                activity.countries.insert(country);
                activity.longest = activity.longest.max(*seconds);
                let page = self.pages.entry((page, country)).or_default();
                page.visits += 1;
                page.seconds += seconds;
                page.longest = page.longest.max(*seconds);
            }
            Meaning::Corrected { cents: None } | Meaning::Nothing => {}
        }
    }

    fn world(&self) -> World {
        let solvent = self.balances.iter().filter(|(_, balance)| balance.cents >= 0);
        World::from([
            (("balances", "cosmos"), self.balances.iter().map(balance_document).collect()),
            (("balances", "solvent"), solvent.map(solvent_document).collect()),
            (("activity", "elasticsearch"), self.activity.iter().map(activity_document).collect()),
            (("pages", "cache"), self.pages.iter().map(page_document).collect()),
        ])
    }
}

fn balance_document((account, balance): (&String, &Balance)) -> (String, String) {
    let mut by_channel = String::new();
    for (channel, cents) in &balance.by_channel {
        let comma = if by_channel.is_empty() { "" } else { "," };
        let _ = write!(by_channel, r#"{comma}"{channel}":"{}""#, decimal(*cents));
    }
    let key = key_text(&[account]);
    let document = format!(
        r#"{{"id":{},"account":{},"owner":{},"balance":"{}","moves":{},"by_channel":{{{by_channel}}},"memos":{},"times_opened":{}}}"#,
        json!(key),
        json!(account),
        json!(balance.owner),
        decimal(balance.cents),
        balance.moves,
        json!(balance.memos),
        balance.times_opened,
    );
    (key, document)
}

fn solvent_document((account, balance): (&String, &Balance)) -> (String, String) {
    let document = format!(
        r#"{{"account":{},"balance":"{}","last_memo":{}}}"#,
        json!(account),
        decimal(balance.cents),
        json!(balance.memos.last()),
    );
    (key_text(&[account]), document)
}

fn activity_document((account, activity): (&String, &Activity)) -> (String, String) {
    let document = format!(
        r#"{{"account":{},"paid_in":{},"events":{},"longest":{},"countries":{},"busy":{}}}"#,
        json!(account),
        decimal(activity.paid_in),
        activity.events,
        activity.longest,
        json!(activity.countries),
        activity.events > 3,
    );
    (key_text(&[account]), document)
}

fn page_document((key, page): (&(&'static str, &'static str), &Page)) -> (String, String) {
    let document = format!(
        r#"{{"page":{},"country":{},"visits":{},"seconds":{},"longest":{}}}"#,
        json!(key.0),
        json!(key.1),
        page.visits,
        page.seconds,
        page.longest,
    );
    (key_text(&[key.0, key.1]), document)
}

/// The parts of a key, `%` and `|` escaped, joined by `|`.
fn key_text(parts: &[&str]) -> String {
    let escaped: Vec<String> = parts.iter().map(|part| part.replace('%', "%25").replace('|', "%7C")).collect();
    escaped.join("|")
}

fn decimal(cents: i64) -> String {
    format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100)
}
