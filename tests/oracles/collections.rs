//! `collections.proj` in plain Rust.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::{BigDecimal, Zero};
use serde_json::json;

use super::Fold;
use super::event::{self, Event, TypeIn};
use super::exact;
use super::step::{self, Document, End, Plain, Rows, Said, Shown, Step, eval, key_text, step_or_fault};
use crate::recovery::random::Random;

pub fn folds() -> Vec<Box<dyn Fold>> {
    vec![
        Box::new(Lists { rows: Rows::new() }),
        Box::new(Maps { rows: Rows::new() }),
        Box::new(Places { rows: Rows::new() }),
    ]
}

// ---- Events ----

const WORDS: [&str; 10] = ["a", "b", "B", "", "ab", "é", "z z", "a|", "less", "\""];

fn any_int(random: &mut Random) -> i64 {
    match random.below(25) {
        0 => *random.pick(&[i64::MAX, i64::MIN, i64::MAX / 2]),
        _ => random.below(15) as i64 - 3,
    }
}

fn word(random: &mut Random) -> String {
    json!(random.pick(&WORDS)).to_string()
}

fn any_item(random: &mut Random) -> String {
    let mut members = vec![format!("\"sku\":{}", word(random)), format!("\"qty\":{}", any_int(random))];
    match random.below(5) {
        0 => {}
        1 => members.push("\"price\":null".into()),
        2 if random.one_in(10) => members.push("\"price\":0.005".into()),
        _ => members.push(format!("\"price\":{}.{:02}", random.below(30), random.below(100))),
    }
    if random.one_in(5) {
        members.insert(0, "\"sku\":\"overwritten\"".into());
    }
    if random.one_in(40) {
        members.retain(|member| !member.contains("qty"));
    }
    format!("{{{}}}", members.join(","))
}

fn list_of(random: &mut Random, one: fn(&mut Random) -> String) -> String {
    let length = random.below(6);
    let items: Vec<String> = (0..length).map(|_| one(random)).collect();
    format!("[{}]", items.join(", "))
}

fn counts(random: &mut Random) -> String {
    let length = random.below(5);
    let members: Vec<String> = (0..length).map(|_| format!("{}:{}", word(random), any_int(random))).collect();
    format!("{{{}}}", members.join(","))
}

pub fn next(random: &mut Random, offset: i64) -> Event {
    let of = |kind| Event::new("baskets", TypeIn::Header("type"), kind, offset);
    let id = json!(format!("b{}", random.below(5))).to_string();
    let n = any_int(random).to_string();
    let k = word(random);
    let event = match random.below(9) {
        0..2 => of("Listed")
            .with("id", id)
            .with("items", list_of(random, any_item))
            .with("tags", list_of(random, word))
            .with("n", n),
        2..4 => of("Mapped")
            .with("id", id)
            .with("counts", counts(random))
            .with("tags", list_of(random, word))
            .with("k", k)
            .with("n", n),
        4..6 => put(random, of("Put").with("id", id).with("k", k)),
        _ => {
            let changed = of("Changed").with("id", id).with("k", k).with("n", n);
            if random.one_in(8) { changed } else { changed.with("price", format!("{}.5", random.below(40))) }
        }
    };
    event.perhaps_broken(random, 15)
}

fn put(random: &mut Random, event: Event) -> Event {
    let mut event = event.with("item", any_item(random));
    if !random.one_in(8) {
        event = event.with("n", any_int(random).to_string());
    }
    let who = match random.below(6) {
        0 => return event,
        1 => "null",
        2 => r#"{"name":"Ada","mail":null}"#,
        3 => r#"{"name":"Bo","mail":"bo@x","at":{"city":"Oslo"}}"#,
        4 => r#"{"name":"Cy","at":{}}"#,
        _ => r#"{"at":{"city":"Bergen"},"mail":"m","name":"Di","more":[1]}"#,
    };
    event.with("who", who.to_owned())
}

// ---- Reading ----

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    sku: String,
    qty: i64,
    price: Option<BigDecimal>,
}

impl Item {
    fn read(raw: &str) -> Plain<Item> {
        let members = event::object(raw)?;
        Ok(Item {
            sku: event::required(event::member(&members, "sku", event::text)?)?,
            qty: event::required(event::member(&members, "qty", event::int)?)?,
            price: event::member(&members, "price", |raw| event::scaled(raw, 2))?,
        })
    }

    fn json(&self) -> String {
        format!("{{\"sku\":{},\"qty\":\"{}\",\"price\":{}}}", text(&self.sku), self.qty, money(&self.price))
    }

    fn worth(&self) -> Plain<BigDecimal> {
        let price = self.price.clone().unwrap_or_else(BigDecimal::zero);
        exact::contract(exact::result(price * BigDecimal::from(self.qty))?, 2)
    }
}

fn texts(raw: &str) -> Plain<Vec<String>> {
    event::list(raw, event::text)
}

fn numbers(raw: &str) -> Plain<BTreeMap<String, i64>> {
    let read = |(name, raw): (String, Option<String>)| Ok((name, event::int(&event::required(raw)?)?));
    event::object(raw)?.into_iter().map(read).collect()
}

// ---- Showing ----

fn text(text: impl AsRef<str>) -> String {
    json!(text.as_ref()).to_string()
}

fn quoted(int: &i64) -> String {
    format!("\"{int}\"")
}

fn money(amount: &Option<BigDecimal>) -> String {
    or_null(amount.as_ref(), |amount| exact::quoted(amount, Some(2)))
}

fn or_null<T>(value: Option<T>, json: impl FnOnce(T) -> String) -> String {
    value.map_or("null".into(), json)
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

fn object<K: AsRef<str>>(entries: impl IntoIterator<Item = (K, String)>) -> String {
    let members: Vec<String> = entries.into_iter().map(|(key, json)| format!("{}:{json}", text(key))).collect();
    format!("{{{}}}", members.join(","))
}

fn ints(map: &BTreeMap<String, i64>) -> String {
    object(map.iter().map(|(key, value)| (key, quoted(value))))
}

fn checked(value: Option<i64>) -> Plain<i64> {
    value.map_or(eval("R0101"), Ok)
}

fn shown<T>(
    projection: &str,
    version: u64,
    id: &str,
    row: Option<&Shown<T>>,
    fields: &[(&'static str, &str)],
) -> Vec<(String, Document)> {
    let document = row.map(|row| {
        let of = |(name, default): &(&'static str, &str)| {
            (*name, row.fields.get(name).cloned().unwrap_or_else(|| (*default).to_owned()))
        };
        step::document(projection, version, [("id", text(id))].into_iter().chain(fields.iter().map(of)))
    });
    vec![("cache".to_owned(), Ok(document))]
}

// ---- Lists ----

struct Lists {
    rows: Rows<()>,
}

const LISTS: &[(&str, &str)] = &[
    ("length", ""),
    ("empty", ""),
    ("first", ""),
    ("last", ""),
    ("second", ""),
    ("skus", ""),
    ("dear", ""),
    ("shaped", ""),
    ("any", ""),
    ("all", ""),
    ("found", ""),
    ("large", ""),
    ("folded", ""),
    ("total", ""),
    ("pieces", ""),
    ("least", ""),
    ("most", ""),
    ("average", ""),
    ("sorted", ""),
    ("by_qty", ""),
    ("reversed", ""),
    ("distinct", ""),
    ("one_each", ""),
    ("start", ""),
    ("tail", ""),
    ("rest", ""),
    ("longer", ""),
    ("joined", ""),
    ("both", ""),
    ("groups", ""),
    ("prices", ""),
    ("tally", ""),
    ("has", ""),
    ("unique", ""),
    ("ordered", ""),
    ("literal", ""),
    ("held", ""),
];

impl Fold for Lists {
    fn projection(&self) -> &'static str {
        "lists"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        if event.kind != "Listed" {
            return Step::without_key(Said::Dropped);
        }
        step_or_fault(self.listed(event, version))
    }
}

impl Lists {
    fn listed(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = event.get("id", event::text)?;
        let items = event.get("items", |raw| event::list(raw, Item::read))?;
        let tags = event.get("tags", texts)?;
        let n = event.get("n", event::int)?;
        let handler = |row: &mut Shown<()>, _: bool| {
            items_alone(row, &items, n)?;
            sums(row, &items)?;
            tags_alone(row, &tags, n);
            order(row, &items);
            row.set("literal", format!("[[\"1\",\"{n}\"],[],[\"{}\"]]", items.len()));
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| shown("lists", version, &id, row, LISTS)))
    }
}

fn items_alone(row: &mut Shown<()>, items: &[Item], n: i64) -> Plain<()> {
    row.set("length", quoted(&(items.len() as i64)));
    row.set("empty", items.is_empty().to_string());
    row.set("skus", array(items.iter().map(|item| text(&item.sku))));
    let mut dear = Vec::new();
    for item in items {
        if item.worth()? > 10 {
            dear.push(format!("{{\"sku\":{},\"qty\":\"{}\"}}", text(&item.sku), item.qty));
        }
    }
    row.set("dear", array(dear));
    let shaped = items.iter().map(|item| {
        format!("{{\"price\":{},\"qty\":\"{}\",\"sku\":{}}}", money(&item.price), item.qty, text(&item.sku))
    });
    row.set("shaped", array(shaped));
    row.set("any", items.iter().any(|item| item.price.is_none()).to_string());
    row.set("all", items.iter().all(|item| item.qty > 0).to_string());
    row.set("found", or_null(items.iter().find(|item| item.qty == n), Item::json));
    row.set("large", quoted(&(items.iter().filter(|item| item.qty > 5).count() as i64)));
    let mut folded = 1i64;
    for item in items {
        folded = checked(folded.checked_mul(2).and_then(|twice| twice.checked_add(item.qty)))?;
    }
    row.set("folded", quoted(&folded));
    Ok(())
}

fn sums(row: &mut Shown<()>, items: &[Item]) -> Plain<()> {
    let (mut total, mut pieces) = (BigDecimal::zero(), 0i64);
    for item in items {
        total = exact::result(total + item.worth()?)?;
    }
    row.set("total", exact::quoted(&exact::contract(total.clone(), 2)?, Some(2)));
    for item in items {
        pieces = checked(pieces.checked_add(item.qty))?;
    }
    row.set("pieces", quoted(&pieces));
    row.set("most", or_null(items.iter().map(|item| item.qty).max(), |most| quoted(&most)));
    let average = exact::quotient(&total, &BigDecimal::from(items.len() as i64))?;
    row.set("average", or_null(average, |average| exact::quoted(&average, None)));
    Ok(())
}

fn tags_alone(row: &mut Shown<()>, tags: &[String], n: i64) {
    let count = usize::try_from(n).unwrap_or(0).min(tags.len());
    let list = |tags: &[String]| array(tags.iter().map(text));
    row.set("first", or_null(tags.first(), text));
    row.set("last", or_null(tags.last(), text));
    row.set("second", or_null(tags.get(1), text));
    row.set("least", or_null(tags.iter().min(), text));
    let mut sorted = tags.to_vec();
    sorted.sort_unstable();
    row.set("sorted", list(&sorted));
    row.set("reversed", array(tags.iter().rev().map(text)));
    let first_of_its_kind = |at: usize| !tags[..at].contains(&tags[at]);
    row.set("distinct", array((0..tags.len()).filter(|at| first_of_its_kind(*at)).map(|at| text(&tags[at]))));
    row.set("start", list(&tags[..count]));
    row.set("tail", list(&tags[tags.len() - count..]));
    row.set("rest", list(&tags[count..]));
    row.set("longer", array(tags.iter().map(text).chain([text("end")])));
    row.set("joined", text(tags.join(", ")));
    row.set("both", array(tags.iter().map(text).chain([text("x"), text("y")])));
    let mut tally: BTreeMap<String, i64> = BTreeMap::new();
    tags.iter().for_each(|tag| *tally.entry(tag.to_lowercase()).or_default() += 1);
    row.set("tally", ints(&tally));
    row.set("has", tags.iter().any(|tag| tag == "b").to_string());
    row.set("held", tags.iter().any(|tag| tag == "a").to_string());
    sorted.dedup();
    row.set("unique", list(&sorted));
    row.set("ordered", list(&sorted));
}

fn order(row: &mut Shown<()>, items: &[Item]) {
    let mut by_qty: Vec<(i64, usize)> = items.iter().enumerate().map(|(at, item)| (item.qty, at)).collect();
    by_qty.sort_unstable();
    row.set("by_qty", array(by_qty.iter().map(|(_, at)| text(&items[*at].sku))));
    let mut rests = BTreeSet::new();
    row.set("one_each", array(items.iter().filter(|item| rests.insert(item.qty % 2)).map(|item| text(&item.sku))));
    let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    items.iter().for_each(|item| groups.entry(item.qty).or_default().push(text(&item.sku)));
    row.set("groups", object(groups.into_iter().map(|(qty, skus)| (qty.to_string(), array(skus)))));
    let prices: BTreeMap<&String, String> = items.iter().map(|item| (&item.sku, money(&item.price))).collect();
    row.set("prices", object(prices));
}

// ---- Maps and sets ----

struct Maps {
    rows: Rows<Kept>,
}

#[derive(Clone, Default)]
struct Kept {
    summed: BTreeMap<String, i64>,
    tags: BTreeSet<String>,
}

const MAPS: &[(&str, &str)] = &[
    ("counts", ""),
    ("added", ""),
    ("fewer", ""),
    ("keys", ""),
    ("values", ""),
    ("entries", ""),
    ("sorted", ""),
    ("merged", ""),
    ("summed", ""),
    ("doubled", ""),
    ("kept", ""),
    ("length", ""),
    ("none_there", ""),
    ("has", ""),
    ("at", ""),
    ("made", ""),
    ("tags", ""),
    ("more", ""),
    ("less", ""),
    ("common", ""),
    ("without", ""),
    ("mapped", ""),
    ("long", ""),
    ("ordered", ""),
    ("is_in", ""),
    ("fixed", ""),
];

impl Fold for Maps {
    fn projection(&self) -> &'static str {
        "maps"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        match event.kind {
            "Mapped" => step_or_fault(self.mapped(event, version)),
            _ => Step::without_key(Said::Dropped),
        }
    }
}

impl Maps {
    fn mapped(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = event.get("id", event::text)?;
        let (counts, k) = (event.get("counts", numbers)?, event.get("k", event::text)?);
        let (n, tags) = (event.get("n", event::int)?, event.get("tags", texts)?);
        let handler = |row: &mut Shown<Kept>, _: bool| {
            maps_alone(row, &counts, &k, n)?;
            let made: BTreeMap<String, i64> =
                tags.iter().map(|tag| (tag.clone(), tag.chars().count() as i64)).collect();
            row.set("made", ints(&made));
            sets(row, &tags, &k);
            let is_in = row.own.tags.contains(&k) && !counts.contains_key(&k);
            row.set("is_in", is_in.to_string());
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| shown("maps", version, &id, row, MAPS)))
    }
}

fn maps_alone(row: &mut Shown<Kept>, counts: &BTreeMap<String, i64>, k: &str, n: i64) -> Plain<()> {
    row.set("counts", ints(counts));
    let with = |entries: &[(&str, i64)]| {
        let mut map = counts.clone();
        map.extend(entries.iter().map(|(key, value)| ((*key).to_owned(), *value)));
        ints(&map)
    };
    row.set("added", with(&[(k, n)]));
    row.set("fewer", object(counts.iter().filter(|(key, _)| *key != k).map(|(key, value)| (key, quoted(value)))));
    row.set("keys", array(counts.keys().map(text)));
    row.set("values", array(counts.values().map(quoted)));
    row.set("entries", array(counts.iter().map(|(key, value)| text(format!("{key}={value}")))));
    let pair = |(key, value): (&String, &i64)| format!("{{\"key\":{},\"value\":\"{value}\"}}", text(key));
    row.set("sorted", array(counts.iter().map(pair)));
    row.set("merged", with(&[("a", 1), ("b", 2)]));
    for (key, value) in counts {
        let sum = row.own.summed.get(key).map_or(Some(*value), |sum| sum.checked_add(*value));
        row.own.summed.insert(key.clone(), checked(sum)?);
    }
    row.set("summed", ints(&row.own.summed));
    let mut doubled = BTreeMap::new();
    for (key, value) in counts {
        doubled.insert(key.clone(), checked(value.checked_mul(2))?);
    }
    row.set("doubled", ints(&doubled));
    let kept = counts.iter().filter(|(key, value)| **value > n && *key != "a");
    row.set("kept", object(kept.map(|(key, value)| (key, quoted(value)))));
    row.set("length", quoted(&(counts.len() as i64)));
    row.set("none_there", counts.is_empty().to_string());
    row.set("has", counts.contains_key(k).to_string());
    row.set("at", or_null(counts.get(k), quoted));
    Ok(())
}

fn sets(row: &mut Shown<Kept>, tags: &[String], k: &str) {
    row.own.tags.extend(tags.iter().cloned());
    let all = row.own.tags.clone();
    let of = |keep: &dyn Fn(&str) -> bool| array(all.iter().filter(|tag| keep(tag)).map(text));
    row.set("tags", of(&|_| true));
    let more: BTreeSet<String> = all.iter().cloned().chain([k.to_owned()]).collect();
    row.set("more", array(more.iter().map(text)));
    row.set("less", of(&|tag| tag != "a" && tag != k));
    row.set("common", of(&|tag| tags.iter().any(|other| other == tag)));
    row.set("without", of(&|tag| tag != k));
    let lengths: BTreeSet<i64> = all.iter().map(|tag| tag.chars().count() as i64).collect();
    row.set("mapped", array(lengths.iter().map(quoted)));
    row.set("long", of(&|tag| tag.chars().count() > 1));
    row.set("ordered", of(&|_| true));
    let fixed: BTreeSet<&str> = ["q", k].into();
    row.set("fixed", array(fixed.into_iter().map(text)));
}

// ---- Places ----

struct Places {
    rows: Rows<Board>,
}

#[derive(Clone)]
struct Board {
    items: BTreeMap<String, Item>,
    numbers: BTreeMap<String, i64>,
    prices: BTreeMap<String, BigDecimal>,
    nested: BTreeMap<String, BTreeMap<String, i64>>,
    one: Item,
    seen: BTreeSet<String>,
    maybe: Option<i64>,
    city: Option<String>,
    mail: Option<String>,
    name: String,
    doubled: Option<i64>,
    sure: i64,
    count: i64,
    set: BTreeSet<i64>,
}

impl Default for Board {
    fn default() -> Board {
        Board {
            items: BTreeMap::new(),
            numbers: BTreeMap::new(),
            prices: BTreeMap::new(),
            nested: BTreeMap::new(),
            one: Item { sku: String::new(), qty: 1, price: None },
            seen: BTreeSet::new(),
            maybe: None,
            city: None,
            mail: None,
            name: String::new(),
            doubled: None,
            sure: 0,
            count: 0,
            set: BTreeSet::new(),
        }
    }
}

struct Who {
    name: String,
    mail: Option<String>,
    city: Option<String>,
}

impl Who {
    fn read(raw: &str) -> Plain<Who> {
        let members = event::object(raw)?;
        let at = event::member(&members, "at", event::object)?;
        Ok(Who {
            name: event::required(event::member(&members, "name", event::text)?)?,
            mail: event::member(&members, "mail", event::text)?,
            city: at.map(|at| event::required(event::member(&at, "city", event::text)?)).transpose()?,
        })
    }
}

impl Fold for Places {
    fn projection(&self) -> &'static str {
        "places"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        match event.kind {
            "Put" => step_or_fault(self.put(event, version)),
            "Changed" => step_or_fault(self.changed(event, version)),
            _ => Step::without_key(Said::Dropped),
        }
    }
}

impl Places {
    fn put(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = event.get("id", event::text)?;
        let (k, item) = (event.get("k", event::text)?, event.get("item", Item::read)?);
        let (n, who) = (event.find("n", event::int)?, event.find("who", Who::read)?);
        let handler = |row: &mut Shown<Board>, _: bool| {
            let board = &mut row.own;
            board.items.insert(k.clone(), item.clone());
            board.nested.insert(k.clone(), BTreeMap::from([("a".to_owned(), 1)]));
            board.one = item.clone();
            board.seen.insert(k.clone());
            board.maybe.get_or_insert(n.unwrap_or(5));
            board.city = who.as_ref().and_then(|who| who.city.clone());
            board.mail = who.as_ref().and_then(|who| who.mail.clone());
            board.name = who.as_ref().map_or("nobody".into(), |who| who.name.clone());
            board.doubled = n.map(|n| checked(n.checked_mul(2))).transpose()?;
            board.sure = n.map_or(eval("R0104"), Ok)?;
            board.count = board.seen.len() as i64;
            board.set = BTreeSet::from([board.count, board.sure]);
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| board_documents(version, &id, row)))
    }

    fn changed(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = event.get("id", event::text)?;
        let (k, n) = (event.get("k", event::text)?, event.get("n", event::int)?);
        let price = event.find("price", |raw| event::scaled(raw, 2))?;
        let handler = |row: &mut Shown<Board>, _: bool| change(&mut row.own, &k, n, price.clone());
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| board_documents(version, &id, row)))
    }
}

fn change(board: &mut Board, k: &str, n: i64, price: Option<BigDecimal>) -> Plain<End> {
    let at = |board: &Board, key: &str| board.numbers.get(key).copied();
    let sum = checked(at(board, k).unwrap_or(0).checked_add(n))?;
    board.numbers.insert(k.to_owned(), sum);
    let less = checked(at(board, "less").unwrap_or(0).checked_sub(n))?;
    board.numbers.insert("less".to_owned(), less);
    let product = checked(at(board, "product").unwrap_or(0).checked_mul(n))?;
    board.numbers.insert("product".to_owned(), product);
    board.numbers.entry("filled".to_owned()).or_insert(n);
    let amount = price.clone().map_or(eval("R0104"), Ok)?;
    *board.prices.entry(k.to_owned()).or_default() += &amount;
    *board.prices.entry("all".to_owned()).or_default() -= &amount;
    board.one.qty = checked(board.one.qty.checked_add(n))?;
    board.one.sku = k.to_owned();
    let Some(item) = board.items.get_mut(k) else { return eval("R0104") };
    item.qty = checked(item.qty.checked_mul(n))?;
    item.price = price;
    let Some(nested) = board.nested.get_mut(k) else { return eval("R0104") };
    let x = checked(nested.get("x").copied().unwrap_or(0).checked_add(n))?;
    nested.insert("x".to_owned(), x);
    nested.insert("y".to_owned(), n);
    nested.remove(k);
    if n % 3 == 0 {
        board.items.remove(k);
        board.seen.remove(k);
    }
    match n {
        7 => return Ok(End::Skip),
        9 => return Ok(End::Delete),
        _ => {}
    }
    board.count = checked(board.count.checked_add(1))?;
    Ok(End::Touched)
}

fn board_documents(version: u64, id: &str, row: Option<&Shown<Board>>) -> Vec<(String, Document)> {
    let document = row.map(|row| board_document(version, id, &row.own)).transpose();
    vec![("cache".to_owned(), document.map_err(|wrong| wrong.code.to_owned()))]
}

fn board_document(version: u64, id: &str, board: &Board) -> Plain<String> {
    let prices = board.prices.iter().map(|(key, price)| (key, exact::quoted(price, Some(2))));
    let mut all = BigDecimal::zero();
    for item in board.items.values() {
        all = exact::result(all + item.worth()?)?;
    }
    let fields = [
        ("id", text(id)),
        ("sku", text(&board.one.sku)),
        ("qty", quoted(&board.one.qty)),
        ("price", money(&board.one.price)),
        ("items", object(board.items.iter().map(|(key, item)| (key, item.json())))),
        ("numbers", ints(&board.numbers)),
        ("prices", object(prices)),
        ("nested", object(board.nested.iter().map(|(key, counts)| (key, ints(counts))))),
        ("seen", array(board.seen.iter().map(text))),
        ("maybe", or_null(board.maybe.as_ref(), quoted)),
        ("city", or_null(board.city.as_ref(), text)),
        ("mail", or_null(board.mail.as_ref(), text)),
        ("name", text(&board.name)),
        ("doubled", or_null(board.doubled.as_ref(), quoted)),
        ("sure", quoted(&board.sure)),
        ("count", quoted(&board.count)),
        ("set", array(board.set.iter().map(quoted))),
        ("missing", or_null(board.items.get("nothing"), |item| text(&item.sku))),
        ("all", exact::quoted(&all, Some(2))),
    ];
    Ok(step::document("places", version, fields))
}
