//! Signatures: how each library function is called and what it gives, written as an author would.
//!
//! One letter is any type, the same wherever it stands in one signature: `N` a number, `O` something with an order, `S`
//! a scalar (text, number, time, enum …), `K` what a map has for keys, `T U V` anything. `(T) => U` is a lambda.

use std::sync::OnceLock;

use crate::language::library::Function;

/// A function's parameters (the receiver first) and result.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub name: &'static str,
    pub function: Function,
    pub parameters: Vec<Shape>,
    pub result: Shape,
    pub text: &'static str,
}

/// A type with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A primitive's word.
    Word(&'static str),
    Hole(char),
    List(Box<Shape>),
    Set(Box<Shape>),
    Map(Box<Shape>, Box<Shape>),
    Optional(Box<Shape>),
    /// `{key: K, value: V}`.
    Entry,
    Lambda(Vec<Shape>, Box<Shape>),
}

/// All signatures, in the order in which they are tried.
pub(crate) fn signatures() -> &'static [Signature] {
    static PARSED: OnceLock<Vec<Signature>> = OnceLock::new();
    PARSED.get_or_init(|| SIGNATURES.iter().map(|(text, function)| parse(text, *function)).collect())
}

use Function as F;

const SIGNATURES: &[(&str, Function)] = &[
    // numbers
    ("abs(N) -> N", F::Abs),
    ("sign(N) -> int", F::Sign),
    ("min(O, O) -> O", F::MinOf),
    ("max(O, O) -> O", F::MaxOf),
    ("clamp(O, O, O) -> O", F::Clamp),
    ("floor(decimal) -> int", F::Floor),
    ("ceil(decimal) -> int", F::Ceil),
    ("trunc(decimal) -> int", F::Trunc),
    ("trunc(timestamp, duration) -> timestamp", F::TruncTime),
    ("div(int, int) -> int?", F::Div),
    ("mod(int, int) -> int?", F::Mod),
    ("pow(decimal, int) -> decimal", F::Pow),
    ("int(string) -> int?", F::IntOfText),
    ("decimal(string) -> decimal?", F::DecimalOfText),
    ("decimal(int) -> decimal", F::DecimalOfInt),
    ("decimal(float, int) -> decimal", F::DecimalOfFloat),
    ("float(int) -> float", F::FloatOfInt),
    ("float(decimal) -> float", F::FloatOfDecimal),
    // text
    ("len(string) -> int", F::TextLen),
    ("lower(string) -> string", F::Lower),
    ("upper(string) -> string", F::Upper),
    ("trim(string) -> string", F::Trim),
    ("trim_start(string) -> string", F::TrimStart),
    ("trim_end(string) -> string", F::TrimEnd),
    ("starts_with(string, string) -> bool", F::StartsWith),
    ("ends_with(string, string) -> bool", F::EndsWith),
    ("contains(string, string) -> bool", F::TextContains),
    ("split(string, string) -> list<string>", F::Split),
    ("words(string) -> list<string>", F::Words),
    ("replace(string, string, string) -> string", F::Replace),
    ("slice(string, int, int) -> string", F::Slice),
    ("pad_start(string, int, string) -> string", F::PadStart),
    ("pad_end(string, int, string) -> string", F::PadEnd),
    ("matches(string, string) -> bool", F::Matches),
    ("string(S) -> string", F::TextOf),
    // times
    ("timestamp(string) -> timestamp?", F::TimestampOfText),
    ("from_unix(int) -> timestamp", F::FromUnix),
    ("from_unix_ms(int) -> timestamp", F::FromUnixMs),
    ("unix(timestamp) -> int", F::Unix),
    ("unix_ms(timestamp) -> int", F::UnixMs),
    ("date(timestamp) -> date", F::DateOf),
    ("days(duration) -> int", F::Days),
    ("hours(duration) -> int", F::Hours),
    ("minutes(duration) -> int", F::Minutes),
    ("seconds(duration) -> int", F::Seconds),
    ("milliseconds(duration) -> int", F::Milliseconds),
    ("days(int) -> duration", F::DurationOfDays),
    ("hours(int) -> duration", F::DurationOfHours),
    ("minutes(int) -> duration", F::DurationOfMinutes),
    ("seconds(int) -> duration", F::DurationOfSeconds),
    // lists, and what they share with sets and maps
    ("len(list<T>) -> int", F::Len),
    ("len(set<T>) -> int", F::Len),
    ("len(map<K, V>) -> int", F::Len),
    ("is_empty(list<T>) -> bool", F::IsEmpty),
    ("is_empty(set<T>) -> bool", F::IsEmpty),
    ("is_empty(map<K, V>) -> bool", F::IsEmpty),
    ("first(list<T>) -> T?", F::First),
    ("last(list<T>) -> T?", F::Last),
    ("contains(list<T>, T) -> bool", F::Has),
    ("has(set<T>, T) -> bool", F::Has),
    ("has(map<K, V>, K) -> bool", F::Has),
    ("map(list<T>, (T) => U) -> list<U>", F::Map),
    ("map(set<T>, (T) => K) -> set<K>", F::MapSet),
    ("filter(list<T>, (T) => bool) -> list<T>", F::Filter),
    ("filter(set<T>, (T) => bool) -> set<T>", F::FilterSet),
    ("filter(map<K, V>, (K, V) => bool) -> map<K, V>", F::FilterMap),
    ("any(list<T>, (T) => bool) -> bool", F::Any),
    ("all(list<T>, (T) => bool) -> bool", F::All),
    ("find(list<T>, (T) => bool) -> T?", F::Find),
    ("count(list<T>, (T) => bool) -> int", F::CountIf),
    ("fold(list<T>, U, (U, T) => U) -> U", F::Fold),
    ("sum(list<N>) -> N", F::SumList),
    ("min(list<O>) -> O?", F::MinList),
    ("max(list<O>) -> O?", F::MaxList),
    ("avg(list<decimal>) -> decimal?", F::AvgList),
    ("sorted(list<O>) -> list<O>", F::Sorted),
    ("sorted(set<O>) -> list<O>", F::Sorted),
    ("sort_by(list<T>, (T) => O) -> list<T>", F::SortBy),
    ("reversed(list<T>) -> list<T>", F::Reversed),
    ("distinct(list<T>) -> list<T>", F::Distinct),
    ("distinct_by(list<T>, (T) => U) -> list<T>", F::DistinctBy),
    ("take(list<T>, int) -> list<T>", F::Take),
    ("take_last(list<T>, int) -> list<T>", F::TakeLast),
    ("drop(list<T>, int) -> list<T>", F::Drop),
    ("append(list<T>, T) -> list<T>", F::Append),
    ("join(list<string>, string) -> string", F::Join),
    ("group_by(list<T>, (T) => K) -> map<K, list<T>>", F::GroupBy),
    ("to_map(list<T>, (T) => K, (T) => V) -> map<K, V>", F::ToMap),
    ("to_set(list<K>) -> set<K>", F::ToSet),
    ("to_list(set<T>) -> list<T>", F::ToList),
    ("tally(list<T>, (T) => K) -> map<K, int>", F::Tally),
    // sets
    ("add(set<K>, K) -> set<K>", F::SetAdd),
    ("without(set<K>, K) -> set<K>", F::Without),
    ("without(map<K, V>, K) -> map<K, V>", F::Without),
    ("union(set<K>, set<K>) -> set<K>", F::Union),
    ("union(set<K>, list<K>) -> set<K>", F::Union),
    ("minus(set<K>, set<K>) -> set<K>", F::Minus),
    ("minus(set<K>, list<K>) -> set<K>", F::Minus),
    ("intersect(set<K>, set<K>) -> set<K>", F::Intersect),
    ("intersect(set<K>, list<K>) -> set<K>", F::Intersect),
    // maps
    ("put(map<K, V>, K, V) -> map<K, V>", F::Put),
    ("keys(map<K, V>) -> list<K>", F::Keys),
    ("values(map<K, V>) -> list<V>", F::Values),
    ("entries(map<K, V>) -> list<entry>", F::Entries),
    ("to_list(map<K, V>) -> list<entry>", F::Entries),
    ("sorted(map<K, V>) -> list<entry>", F::Entries),
    ("merge(map<K, V>, map<K, V>) -> map<K, V>", F::Merge),
    ("merge(map<K, V>, map<K, V>, (V, V) => V) -> map<K, V>", F::Merge),
    ("map_values(map<K, V>, (V) => U) -> map<K, U>", F::MapValues),
    // optionals
    ("or_fault(T?, string) -> T", F::OrFault),
    ("map(T?, (T) => U) -> U?", F::MapOptional),
    // ids
    ("uuid(string) -> uuid?", F::UuidOfText),
    ("hash(string) -> string", F::Hash),
    ("mask(string, int) -> string", F::Mask),
];

/// Functions of the design that come later.
pub(crate) const LATER: &[&str] = &[
    "add_months",
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "weekday",
    "iso_week",
    "start_of_day",
    "start_of_week",
    "start_of_month",
    "format",
    "uuid_v5",
    "parse_json",
    "to_json",
    "try",
    "as_string",
    "as_int",
    "as_decimal",
    "as_bool",
    "as_list",
    "as_map",
    "extract",
];

fn parse(text: &'static str, function: Function) -> Signature {
    let (head, result) = text.rsplit_once(" -> ").expect("a signature has a result");
    let (name, rest) = head.split_once('(').expect("a signature has parameters");
    let mut reader = Reader { rest: rest.strip_suffix(')').expect("the parameters end") };
    let mut parameters = vec![reader.shape()];
    while reader.take(", ") {
        parameters.push(reader.shape());
    }
    Signature { name, function, parameters, result: Reader { rest: result }.shape(), text }
}

struct Reader {
    rest: &'static str,
}

impl Reader {
    fn take(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn shape(&mut self) -> Shape {
        let shape = if self.take("(") {
            let mut parameters = vec![self.shape()];
            while self.take(", ") {
                parameters.push(self.shape());
            }
            assert!(self.take(") => "), "a lambda has a result");
            Shape::Lambda(parameters, Box::new(self.shape()))
        } else if self.take("list<") {
            self.one(Shape::List)
        } else if self.take("set<") {
            self.one(Shape::Set)
        } else if self.take("map<") {
            let key = self.shape();
            assert!(self.take(", "), "a map has two types");
            self.one(|value| Shape::Map(Box::new(key), value))
        } else {
            self.word()
        };
        if self.take("?") { Shape::Optional(Box::new(shape)) } else { shape }
    }

    fn one(&mut self, make: impl FnOnce(Box<Shape>) -> Shape) -> Shape {
        let inner = self.shape();
        assert!(self.take(">"), "a bracket is closed");
        make(Box::new(inner))
    }

    fn word(&mut self) -> Shape {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word.as_bytes() {
            [letter] => Shape::Hole(*letter as char),
            b"entry" => Shape::Entry,
            _ => Shape::Word(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_reads() {
        assert_eq!(signatures().len(), SIGNATURES.len());
    }

    #[test]
    fn a_lambda_is_read_whole() {
        let fold = signatures().iter().find(|signature| signature.name == "fold").expect("there is a fold");
        let expected = Shape::Lambda(vec![Shape::Hole('U'), Shape::Hole('T')], Box::new(Shape::Hole('U')));
        assert_eq!(fold.parameters[2], expected);
    }
}
