//! Arguments → an event log: the same arguments write the same bytes, on every machine.
//!
//! ```text
//! cargo run --release --example generate -- --small examples/events
//! cargo run --release --example generate -- --topic bank.transactions --events 5000000 --keys 200000 /tmp/events
//! ```
//!
//! `--small` writes the log that stands in this repository: four stories, few enough to read, with what makes a read model
//! interesting in them (a closed account, an erased customer, tombstones, payments that overtake their order, one event that
//! cannot be decoded). Without it one story is told for as long as you like. What happens in a story is a function of the
//! seed and of the number of its hero (an order, a customer), so nothing is remembered while writing.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

/// Monday morning, 2026-01-05T08:00:00Z.
const BEGINNING: i64 = 1_767_600_000;

#[derive(Parser)]
#[command(about = "Writes an event log that depends on its arguments only")]
struct Arguments {
    /// Where the topics' folders go; those the story writes are replaced
    dir: PathBuf,
    /// Write the small log of this repository; other arguments are ignored
    #[arg(long)]
    small: bool,
    /// The story to tell, by its (first) topic
    #[arg(long, value_enum, default_value = "bank.transactions")]
    topic: Story,
    /// How many events to write, about
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Accounts of the bank
    #[arg(long, default_value_t = 1000)]
    keys: u64,
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Lengthen each value of the bank to about so many bytes
    #[arg(long, default_value_t = 0)]
    bytes: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Story {
    #[value(name = "bank.transactions")]
    Bank,
    /// With shop.payments and shop.inventory
    #[value(name = "shop.orders")]
    Orders,
    #[value(name = "crm.customers")]
    Customers,
    #[value(name = "shop.products")]
    Products,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    if arguments.small {
        return write_small(&arguments.dir);
    }
    let seed = arguments.seed;
    let mut log = Log::new(&arguments.dir, arguments.partitions);
    match arguments.topic {
        Story::Bank => {
            let bank = Bank { seed, accounts: arguments.keys, bytes: arguments.bytes };
            (0..arguments.events).try_for_each(|n| bank.tell(n, &mut log))?;
        }
        Story::Orders => (0..arguments.events / 4).try_for_each(|tick| tell_orders(seed, tick, &mut log))?,
        Story::Customers => (0..arguments.events / 4).try_for_each(|tick| tell_customers(seed, tick, &mut log))?,
        Story::Products => (0..arguments.events / 4).try_for_each(|tick| tell_products(seed, tick, &mut log))?,
    }
    println!("{} events in {}", log.written, arguments.dir.display());
    log.finish()
}

/// Writes the log of this repository.
pub fn write_small(dir: &Path) -> io::Result<()> {
    let mut bank = Log::new(dir, 4);
    let story = Bank { seed: 1, accounts: 24, bytes: 0 };
    (0..180).try_for_each(|n| story.tell(n, &mut bank))?;
    let broken = r#"{"account_id":"a5","amount":19.995,"currency":"NOK","channel":"card","at":"2026-01-06T12:00:00Z"}"#;
    bank.append("bank.transactions", "a5", Some(("event-type", "Deposited")), 180, Some(broken))?;
    let closed = format!(r#"{{"account_id":"a7","at":"{}"}}"#, time(181));
    bank.append("bank.transactions", "a7", Some(("event-type", "AccountClosed")), 181, Some(&closed))?;
    bank.finish()?;

    let mut shop = Log::new(dir, 3);
    (0..36).try_for_each(|tick| tell_orders(1, tick, &mut shop))?;
    shop.finish()?;

    let mut others = Log::new(dir, 2);
    (0..18).try_for_each(|tick| tell_customers(1, tick, &mut others))?;
    (0..18).try_for_each(|tick| tell_products(1, tick, &mut others))?;
    others.finish()
}

// ---- the stories ----

/// Deposits and withdrawals; now and then an account is closed, and may be used again.
struct Bank {
    seed: u64,
    accounts: u64,
    bytes: usize,
}

impl Bank {
    fn tell(&self, n: u64, log: &mut Log) -> io::Result<()> {
        const CHANNELS: [&str; 4] = ["card", "transfer", "cash", "other"];
        let mut random = Random::of(self.seed, n);
        let account = format!("a{}", 1 + random.below(self.accounts));
        let at = time(n);
        if n % 97 == 96 {
            let value = format!(r#"{{"account_id":"{account}","at":"{at}"}}"#);
            return log.append("bank.transactions", &account, Some(("event-type", "AccountClosed")), n, Some(&value));
        }
        let (event, cents) = if random.below(10) < 6 {
            ("Deposited", 1000 + random.below(500_000))
        } else {
            ("Withdrawn", 100 + random.below(200_000))
        };
        let currency = if random.below(25) == 0 { "EUR" } else { "NOK" };
        let channel = CHANNELS[random.below(4) as usize];
        let mut value = format!(
            r#"{{"account_id":"{account}","amount":{},"currency":"{currency}","channel":"{channel}","at":"{at}"#,
            money(cents)
        );
        if self.bytes > value.len() + 12 {
            let _ = write!(value, r#"","note":"{:.<1$}"#, "", self.bytes - value.len() - 12);
        }
        value.push_str("\"}");
        log.append("bank.transactions", &account, Some(("event-type", event)), n, Some(&value))
    }
}

/// One order begins at each tick; its later events follow some ticks behind, so that orders interleave. Every seventh
/// payment overtakes its order.
fn tell_orders(seed: u64, tick: u64, log: &mut Log) -> io::Result<()> {
    let order = |delay: u64| tick.checked_sub(delay).map(|number| (number, Random::of(seed, number)));
    if let Some((n, _)) = order(1).filter(|(n, _)| n % 7 == 6) {
        pay(n, seed, tick, log)?;
    }
    if let Some((n, mut random)) = order(2) {
        let lines = order_lines(&mut random);
        let mut value = format!(r#"{{"order_id":"o{n}","customer_id":"c{}","lines":["#, 1 + random.below(20));
        for (i, (sku, qty, cents)) in lines.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(value, r#"{comma}{{"sku":"{sku}","qty":{qty},"price":{}}}"#, money(*cents));
        }
        let _ = write!(value, r#"],"at":"{}"}}"#, time(tick));
        log.append("shop.orders", &format!("o{n}"), Some(("type", "OrderPlaced")), tick, Some(&value))?;
    }
    if let Some((n, mut random)) = order(3) {
        let key = format!("o{n}");
        if n % 9 == 8 {
            let (sku, ..) = order_lines(&mut random)[0];
            let value = format!(r#"{{"order_id":"{key}","sku":"{sku}"}}"#);
            log.append("shop.inventory", &key, Some(("type", "StockRejected")), tick, Some(&value))?;
        } else {
            let value = format!(r#"{{"order_id":"{key}"}}"#);
            log.append("shop.inventory", &key, Some(("type", "StockReserved")), tick, Some(&value))?;
        }
    }
    if let Some((n, _)) = order(5).filter(|(n, _)| n % 7 != 6) {
        pay(n, seed, tick, log)?;
    }
    match order(8) {
        Some((n, _)) if n % 9 == 8 => {
            let value =
                format!(r#"{{"order_id":"o{n}","reason":{}}}"#, if n % 2 == 0 { "null" } else { "\"too slow\"" });
            log.append("shop.orders", &format!("o{n}"), Some(("type", "OrderCancelled")), tick, Some(&value))
        }
        Some((n, _)) if n % 11 != 10 => {
            let value = format!(r#"{{"order_id":"o{n}","at":"{}"}}"#, time(tick));
            log.append("shop.orders", &format!("o{n}"), Some(("type", "OrderShipped")), tick, Some(&value))
        }
        _ => Ok(()),
    }
}

fn pay(order: u64, seed: u64, tick: u64, log: &mut Log) -> io::Result<()> {
    let key = format!("o{order}");
    if order % 11 == 10 {
        let value = format!(r#"{{"order_id":"{key}","reason":"card expired"}}"#);
        return log.append("shop.payments", &key, Some(("type", "PaymentFailed")), tick, Some(&value));
    }
    let total: u64 = order_lines(&mut Random::of(seed, order)).iter().map(|(_, qty, cents)| qty * cents).sum();
    let value = format!(r#"{{"order_id":"{key}","amount":{}}}"#, money(total));
    log.append("shop.payments", &key, Some(("type", "PaymentCaptured")), tick, Some(&value))
}

/// What was ordered: (sku, quantity, cents). The first draws of the order's own randomness, so that paying can repeat them.
fn order_lines(random: &mut Random) -> Vec<(&'static str, u64, u64)> {
    let count = 1 + random.below(3);
    (0..count)
        .map(|_| {
            let (sku, _, cents) = PRODUCTS[random.below(PRODUCTS.len() as u64) as usize];
            (sku, 1 + random.below(4), cents)
        })
        .collect()
}

const PRODUCTS: [(&str, &str, u64); 8] = [
    ("tea", "Green tea", 1000),
    ("cup", "Cup", 550),
    ("pot", "Teapot", 3490),
    ("jug", "Milk jug", 1290),
    ("tray", "Tray", 2400),
    ("spoon", "Spoon", 310),
    ("honey", "Honey", 895),
    ("cake", "Lemon cake", 4200),
];

/// A customer registers at each tick, then come an address, tags, a second address that is removed again; every sixth
/// customer asks to be erased.
fn tell_customers(seed: u64, tick: u64, log: &mut Log) -> io::Result<()> {
    const NAMES: [&str; 9] = ["Ada", "Bo", "Cleo", "Dag", "Eli", "Finn", "Gro", "Hege", "Ivar"];
    const FAMILY: [&str; 5] = ["Berg", "Dahl", "Lie", "Moe", "Vik"];
    const TAGS: [&str; 4] = ["vip", "beta", "newsletter", "b2b"];
    let mut tell = |delay: u64, says: &dyn Fn(u64, &mut Random) -> Option<String>| -> io::Result<()> {
        let Some(n) = tick.checked_sub(delay) else { return Ok(()) };
        let Some(rest) = says(n, &mut Random::of(seed, n)) else { return Ok(()) };
        let id = customer_id(n);
        let (event, fields) = rest.split_once(' ').unwrap_or((&rest, ""));
        let value = format!(r#"{{"type":"{event}","customer_id":"{id}"{fields}}}"#);
        log.append("crm.customers", &id, None, tick, Some(&value))
    };
    tell(0, &|_, random| {
        let (name, family) = (NAMES[random.below(9) as usize], FAMILY[random.below(5) as usize]);
        Some(format!(
            r#"CustomerRegistered ,"name":" {name} {family}","email":"{name}.{family}@Example.org","at":"{}""#,
            time(tick)
        ))
    })?;
    tell(2, &|_, random| {
        let street = 1 + random.below(99);
        Some(format!(
            r#"AddressAdded ,"address_id":"h","kind":"home","lines":["Storgata {street}","0150 Oslo"],"country":"no""#
        ))
    })?;
    tell(3, &|_, random| {
        let (add, drop) = (TAGS[random.below(4) as usize], TAGS[random.below(4) as usize]);
        Some(format!(r#"TagsChanged ,"add":["{add}","new"],"drop":["{drop}"]"#))
    })?;
    tell(4, &|n, _| {
        let address = r#"AddressAdded ,"address_id":"w","kind":"work","lines":["Veien 2"],"country":"se""#;
        (n % 2 == 0).then(|| address.to_string())
    })?;
    tell(6, &|n, _| (n % 4 == 0).then(|| r#"AddressRemoved ,"address_id":"w""#.to_string()))?;
    tell(7, &|n, _| (n % 6 == 5).then(|| "CustomerErased ".to_string()))
}

/// A number spread over a version 4 UUID, the same for everyone.
fn customer_id(n: u64) -> String {
    format!("7d1f0c7e-0000-4000-8000-{:012}", n + 1)
}

/// A product appears at each tick and its price moves; every fifth is deleted, every seventh vanishes with a tombstone only.
fn tell_products(seed: u64, tick: u64, log: &mut Log) -> io::Result<()> {
    let base = |n: u64| PRODUCTS[(n % PRODUCTS.len() as u64) as usize];
    let sku = |n: u64| match n / PRODUCTS.len() as u64 {
        0 => base(n).0.to_string(),
        edition => format!("{}-{}", base(n).0, edition + 1),
    };
    let change = |n: u64, op: &str, percent: u64| {
        let (_, name, cents) = base(n);
        let price = money(cents * percent / 100);
        format!(r#"{{"op":"{op}","sku":"{}","name":"{name}","price":{price},"at":"{}"}}"#, sku(n), time(tick))
    };
    let product = |delay: u64| tick.checked_sub(delay);
    if let Some(n) = product(0) {
        log.append("shop.products", &sku(n), None, tick, Some(&change(n, "created", 100)))?;
    }
    for delay in [2, 3, 5] {
        if let Some(n) = product(delay) {
            let percent = 80 + 5 * Random::of(seed, n * 8 + delay).below(8);
            log.append("shop.products", &sku(n), None, tick, Some(&change(n, "updated", percent)))?;
        }
    }
    if let Some(n) = product(6).filter(|n| n % 5 == 4) {
        let value = format!(r#"{{"op":"deleted","sku":"{}"}}"#, sku(n));
        log.append("shop.products", &sku(n), None, tick, Some(&value))?;
        log.append("shop.products", &sku(n), None, tick, None)?;
    }
    match product(7).filter(|n| n % 7 == 6) {
        Some(n) => log.append("shop.products", &sku(n), None, tick, None),
        None => Ok(()),
    }
}

// ---- the log ----

/// `<dir>/<topic>/<partition>.jsonl`, a record's partition chosen by its key.
struct Log {
    dir: PathBuf,
    partitions: u32,
    topics: Vec<(&'static str, Vec<BufWriter<File>>)>,
    written: u64,
}

impl Log {
    fn new(dir: &Path, partitions: u32) -> Log {
        Log { dir: dir.to_owned(), partitions: partitions.max(1), topics: Vec::new(), written: 0 }
    }

    fn append(
        &mut self,
        topic: &'static str,
        key: &str,
        header: Option<(&str, &str)>,
        tick: u64,
        value: Option<&str>,
    ) -> io::Result<()> {
        let partition = (fnv1a(key.as_bytes()) % u64::from(self.partitions)) as usize;
        let out = &mut self.topic(topic)?[partition];
        write!(out, r#"{{"key":"{key}","value":{}"#, value.unwrap_or("null"))?;
        if let Some((name, text)) = header {
            write!(out, r#","headers":{{"{name}":"{text}"}}"#)?;
        }
        writeln!(out, r#","timestamp":"{}"}}"#, time(tick))?;
        self.written += 1;
        Ok(())
    }

    fn topic(&mut self, topic: &'static str) -> io::Result<&mut Vec<BufWriter<File>>> {
        let index = match self.topics.iter().position(|(name, _)| *name == topic) {
            Some(index) => index,
            None => {
                let files = create_topic(&self.dir.join(topic), self.partitions)?;
                self.topics.push((topic, files));
                self.topics.len() - 1
            }
        };
        Ok(&mut self.topics[index].1)
    }

    fn finish(self) -> io::Result<()> {
        self.topics.into_iter().flat_map(|(_, files)| files).try_for_each(|mut file| file.flush())
    }
}

fn create_topic(dir: &Path, partitions: u32) -> io::Result<Vec<BufWriter<File>>> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let open = |p| Ok(BufWriter::with_capacity(1 << 18, File::create(dir.join(format!("{p}.jsonl")))?));
    (0..partitions).map(open).collect()
}

// ---- numbers and times ----

/// SplitMix64: small, fast, and the same everywhere.
struct Random(u64);

impl Random {
    fn of(seed: u64, number: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number);
        random.0 = random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A tick is 37 seconds.
fn time(tick: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(BEGINNING + tick as i64 * 37).expect("a time of this millennium")
}
