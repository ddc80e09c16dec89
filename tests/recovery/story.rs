//! A seed → a story: what happened, in order, and the record that tells each of it to a log.
//!
//! Accounts are opened, used, closed and opened again; events come with everything a log has in it after some years: broken
//! values, wrong types, events nobody declared, tombstones, keys with characters that must be escaped.

use serde_json::json;

use super::random::Random;

pub const ACCOUNTS: &str = "ledger.accounts";
pub const VISITS: &str = "ledger.visits";

/// One record, and what it means to the projections of `ledger.proj`.
#[derive(Debug, Clone)]
pub struct Told {
    pub topic: &'static str,
    pub key: String,
    pub event_type: Option<&'static str>,
    pub value: ToldValue,
    pub meaning: Meaning,
}

/// The bytes of a record's value.
#[derive(Debug, Clone)]
pub enum ToldValue {
    Json(String),
    /// Not JSON at all: a log line that is no envelope, a Kafka value of broken bytes.
    Garbage(String),
    Tombstone,
}

/// What the record says, for a fold that reads no JSON.
#[derive(Debug, Clone)]
pub enum Meaning {
    Opened {
        owner: String,
    },
    Deposited {
        cents: i64,
        channel: &'static str,
        memo: Option<String>,
    },
    Withdrawn {
        cents: i64,
        channel: &'static str,
        memo: Option<String>,
    },
    /// Without an amount the handler faults.
    Corrected {
        cents: Option<i64>,
    },
    /// `Closed`, or a tombstone.
    Closed,
    Visited {
        page: &'static str,
        country: &'static str,
        seconds: i64,
    },
    /// Nothing that any projection may fold.
    Nothing,
}

const CHANNELS: [&str; 3] = ["card", "transfer", "CASH"];
const COUNTRIES: [&str; 4] = ["no", "se", "dk", "åland"];
const PAGES: [&str; 5] = ["/", "/a|b", "/50%", "/søk", "/\"quoted\""];

/// A story of `length` records about a few accounts.
pub fn tell(seed: u64, length: usize) -> Vec<Told> {
    let mut random = Random::new(seed);
    (0..length).map(|number| next(&mut random, number)).collect()
}

fn next(random: &mut Random, number: usize) -> Told {
    let account = format!("acc|{}%", random.below(60));
    match random.below(100) {
        0..12 => opened(random, account, number),
        12..42 => moved(random, account, number),
        42..48 => corrected(random, account),
        48..54 => event(ACCOUNTS, &account, "Closed", json!({ "account": account }), Meaning::Closed),
        54..58 => Told {
            topic: ACCOUNTS,
            key: account,
            event_type: None,
            value: ToldValue::Tombstone,
            meaning: Meaning::Closed,
        },
        58..90 => visited(random, account),
        90..95 => nobody_wants(random, account),
        _ => broken(random, account),
    }
}

fn opened(random: &mut Random, account: String, number: usize) -> Told {
    let owner = random.pick(&["Ada", "Bo \"B\" Berg", "Zoë\n", "李"]).to_string() + &number.to_string();
    event(ACCOUNTS, &account, "Opened", json!({ "account": account, "owner": owner }), Meaning::Opened { owner })
}

fn moved(random: &mut Random, account: String, number: usize) -> Told {
    let cents = random.below(100_000) as i64;
    let channel = *random.pick(&CHANNELS);
    let memo = (!random.one_in(4)).then(|| format!("memo {number}"));
    let amount = money(random, cents);
    let text = format!(
        r#"{{"ignored":{{"deep":[1,2,{{}}]}},"account":{},"amount":{amount},"channel":"{channel}","memo":{}}}"#,
        json!(account),
        json!(memo)
    );
    let (name, meaning) = match random.below(5) {
        0..3 => ("Deposited", Meaning::Deposited { cents, channel, memo }),
        _ => ("Withdrawn", Meaning::Withdrawn { cents, channel, memo }),
    };
    Told { topic: ACCOUNTS, key: account, event_type: Some(name), value: ToldValue::Json(text), meaning }
}

/// The same amount as different producers write it.
fn money(random: &mut Random, cents: i64) -> String {
    let plain = format!("{}.{:02}", cents / 100, cents % 100);
    match random.below(4) {
        0 => format!("\"{plain}\""),
        1 => format!("{plain}0"),
        2 => format!("{cents}e-2"),
        _ => plain,
    }
}

fn corrected(random: &mut Random, account: String) -> Told {
    let cents = (!random.one_in(3)).then(|| random.below(2000) as i64 - 1000);
    let amount = match cents {
        Some(cents) => format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100),
        None => "null".to_string(),
    };
    let text = format!(r#"{{"account":{},"amount":{amount}}}"#, json!(account));
    Told {
        topic: ACCOUNTS,
        key: account,
        event_type: Some("Corrected"),
        value: ToldValue::Json(text),
        meaning: Meaning::Corrected { cents },
    }
}

fn visited(random: &mut Random, account: String) -> Told {
    let (page, country) = (*random.pick(&PAGES), *random.pick(&COUNTRIES));
    let seconds = random.below(1000) as i64;
    let value = json!({ "kind": "visit", "account": account, "page": page, "country": country, "seconds": seconds });
    let meaning = Meaning::Visited { page, country, seconds };
    Told { topic: VISITS, key: account, event_type: None, value: ToldValue::Json(value.to_string()), meaning }
}

fn nobody_wants(random: &mut Random, account: String) -> Told {
    if random.one_in(2) {
        return event(ACCOUNTS, &account, "Audited", json!({ "account": account, "amount": 1 }), Meaning::Nothing);
    }
    let value = json!({ "kind": "click", "account": account, "seconds": 1_000_000 });
    Told {
        topic: VISITS,
        key: account,
        event_type: None,
        value: ToldValue::Json(value.to_string()),
        meaning: Meaning::Nothing,
    }
}

fn broken(random: &mut Random, account: String) -> Told {
    let quoted = json!(account);
    let deposited = |fields: &str| ToldValue::Json(format!(r#"{{"account":{quoted},{fields}}}"#));
    let (topic, event_type, value) = match random.below(7) {
        0 => (ACCOUNTS, Some("Deposited"), ToldValue::Garbage(format!(r#"{{"account":{quoted},"amount":"#))),
        1 => (ACCOUNTS, Some("Deposited"), deposited(r#""amount":true,"channel":"card""#)),
        2 => (ACCOUNTS, Some("Deposited"), deposited(r#""amount":1.005,"channel":"card""#)),
        3 => (ACCOUNTS, Some("Withdrawn"), deposited(r#""amount":1.00,"channel":"barter""#)),
        4 => (ACCOUNTS, Some("Withdrawn"), deposited(r#""channel":"card""#)),
        5 => (VISITS, None, ToldValue::Json(format!(r#"{{"kind":"visit","account":{quoted},"seconds":"long"}}"#))),
        _ => (VISITS, None, ToldValue::Garbage("not json at all".to_string())),
    };
    Told { topic, key: account, event_type, value, meaning: Meaning::Nothing }
}

fn event(topic: &'static str, key: &str, name: &'static str, value: serde_json::Value, meaning: Meaning) -> Told {
    Told { topic, key: key.to_string(), event_type: Some(name), value: ToldValue::Json(value.to_string()), meaning }
}
