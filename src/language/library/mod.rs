//! The standard library: its functions and their signatures.
//!
//! `check` finds a function by its signature here and settles its types; `plan::eval` gives it its meaning.

pub(crate) mod signature;

/// A library function. `x.f(a)` and `f(x, a)` are the same call; arguments stand in this order, lambdas last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    // numbers
    Abs,
    Sign,
    /// Of two numbers, texts or times.
    MinOf,
    MaxOf,
    /// `clamp(x, low, high)`.
    Clamp,
    /// `round(decimal, n, mode: "half_even")`; the mode is a constant text.
    Round,
    /// To a whole number: fault `R0101` when it does not fit.
    Floor,
    Ceil,
    Trunc,
    /// Whole division, toward zero: none when the divisor is 0.
    Div,
    Mod,
    /// `pow(decimal, int)`.
    Pow,
    IntOfText,
    DecimalOfText,
    DecimalOfInt,
    /// `decimal(float, n)`, half-even.
    DecimalOfFloat,
    FloatOfInt,
    FloatOfDecimal,
    // text
    TextLen,
    Lower,
    Upper,
    Trim,
    TrimStart,
    TrimEnd,
    StartsWith,
    EndsWith,
    TextContains,
    Split,
    /// Splits at white space; no empty words.
    Words,
    Replace,
    /// By characters; clamps.
    Slice,
    PadStart,
    PadEnd,
    /// `matches(r)`: the regex is a constant, checked at compile time.
    Matches,
    /// `string(x)` of a scalar.
    TextOf,
    // times
    TimestampOfText,
    FromUnix,
    FromUnixMs,
    Unix,
    UnixMs,
    /// `trunc(t, duration)`.
    TruncTime,
    /// Whole seconds (hours, …) of a duration, toward zero.
    Days,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    /// `days(n)`, … of an int: a duration.
    DurationOfDays,
    DurationOfHours,
    DurationOfMinutes,
    DurationOfSeconds,
    /// `date(t)`, in UTC.
    DateOf,
    // lists, and sets where it says so
    /// `len` of a list, set or map.
    Len,
    IsEmpty,
    First,
    Last,
    /// `contains(x)` of a list; `has(x)` of a set or map (its keys).
    Has,
    Map,
    Filter,
    Any,
    All,
    Find,
    /// `count(f)` of a list.
    CountIf,
    /// `fold(init, (acc, x) => …)`.
    Fold,
    /// Sum of a list of numbers; 0 when empty.
    SumList,
    MinList,
    MaxList,
    AvgList,
    /// `sorted()` of a list or set: a list.
    Sorted,
    /// Stable.
    SortBy,
    Reversed,
    /// Keeps the first of equals.
    Distinct,
    DistinctBy,
    Take,
    TakeLast,
    Drop,
    Append,
    Join,
    /// `group_by(f)`: a map from `f(x)` to the list of its `x`.
    GroupBy,
    /// `to_map(k, v)`: the last of equal keys wins.
    ToMap,
    ToSet,
    /// Of a set (key order).
    ToList,
    /// `tally(f)`: how many of each `f(x)`.
    Tally,
    // sets
    /// `add(x)`: a set with one more.
    SetAdd,
    /// `without(x)`: a set, or a map, with one less.
    Without,
    /// With the elements of a set or list.
    Union,
    Minus,
    Intersect,
    // maps
    Put,
    Keys,
    Values,
    /// A list of `{key, value}`; a two-parameter lambda takes them apart.
    Entries,
    /// `merge(other)`: the argument wins; `merge(other, (a, b) => …)` joins values of common keys.
    Merge,
    MapValues,
    /// `filter((k, v) => …)` of a map; `filter` and `map` of a set.
    FilterMap,
    FilterSet,
    MapSet,
    // optionals
    /// `x.or_fault("why")`: fault `R0104` with this text.
    OrFault,
    /// `x.map(f)` of an optional.
    MapOptional,
    // enums
    /// `.name`: the member; `.text`: the wire text.
    EnumName,
    EnumText,
    // ids
    UuidOfText,
    /// `hash(x)` of text: BLAKE3, the first 16 bytes in hex.
    Hash,
    Mask,
    /// `event.headers["h"]`: `string?`; the argument is a constant.
    Header,
}
