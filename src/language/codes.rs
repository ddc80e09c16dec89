//! Every code a message may carry, with one line of meaning each.
//!
//! `P00xx` syntax, `P01xx` names, `P02xx` types, `P03xx` absence, `P04xx` projection rules, `P05xx` determinism,
//! `P06xx` sinks, `P07xx` tests, `P08xx` plan, `P09xx` parsed but not built yet; `W…` warnings; `R01xx` faults at run time.
//! A code is never given to another meaning, even after its rule is gone.

/// A code and what it means, for `projector explain CODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub code: &'static str,
    pub meaning: &'static str,
}

/// Returns the meaning of a code.
pub fn meaning(code: &str) -> Option<&'static str> {
    ALL.iter().find(|known| known.code == code).map(|known| known.meaning)
}

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $code;)*
        /// All codes.
        pub const ALL: &[Code] = &[$(Code { code: $code, meaning: $meaning }),*];
    };
}

codes! {
    // Syntax.
    SYNTAX = "P0001", "the text does not fit the grammar here";
    UNCLOSED = "P0002", "a bracket is never closed";
    UNMATCHED = "P0003", "a closing bracket has no opening one";
    UNCLOSED_TEXT = "P0004", "a text in quotes does not end on its line";
    LOWER_CASE_NEEDED = "P0005", "names of values, topics, fields and projections are in snake_case";
    UPPER_CASE_NEEDED = "P0006", "names of types and events are in PascalCase";
    RESERVED_WORD = "P0007", "a reserved word stands where a name is needed";
    UNKNOWN_ITEM = "P0008", "a declaration starts with a word that declares nothing";
    UNKNOWN_CLAUSE = "P0009", "a clause of a projection starts with a word that is no clause";
    INTERPOLATED_NAME = "P0010", "a text used as a name or a path has `${…}` in it";
    BAD_ESCAPE = "P0011", "an escape in a text is not one of the known";
    AMPERSANDS = "P0012", "`&&` is written `and`";
    SEMICOLON = "P0013", "statements need no `;`";
    BARE_DATE = "P0014", "a date is written in quotes after `d`";
    BARS = "P0015", "`||` is written `or`";
    NULL = "P0016", "absence is written `none`";
    CHAINED_COMPARISON = "P0017", "comparisons do not chain";
    COALESCE_NEEDS_BRACKETS = "P0018", "`??` with `+` or `-` on its right needs brackets";
    TOO_DEEP = "P0019", "the text is nested too deep";
    SWAPPED_ASSIGNMENT = "P0020", "`=+` is written `+=`";
    TRIPLE_EQUALS = "P0021", "`===` and `!==` are written `==` and `!=`";
    BANG_BEFORE = "P0022", "`!x` is written `not x`";
    OTHER_LET = "P0023", "a local name is declared with `let`";
    SINGLE_QUOTES = "P0024", "text stands in double quotes";
    INCREMENT = "P0025", "`x++` is written `x += 1`";
    TERNARY = "P0026", "`a ? b : c` is written `if a { b } else { c }`";
    LOOP = "P0027", "there are no loops";
    RETURN = "P0028", "the last expression is the result";
    NOT_UTF8 = "P0029", "a file is not UTF-8 text";
    BAD_CHARACTER = "P0030", "a character that has no place outside texts and comments";
    BAD_NUMBER = "P0031", "a number or duration is not written in a known form";
    HASH_COMMENT = "P0032", "comments start with `//`";
    ANGLE_NOT_EQUAL = "P0033", "`<>` is written `!=`";
    EMPTY_BLOCK = "P0034", "a list of members must not be empty";
    TOO_LARGE = "P0035", "a file is too large";
    ASSIGNMENT_AS_CONDITION = "P0036", "a comparison is written `==`";

    // Files and names.
    IMPORT_CYCLE = "P0101", "files import each other in a circle";
    IMPORT_MISSING = "P0102", "an imported file cannot be read";
    DECLARED_TWICE = "P0103", "a name is declared twice";
    NO_FIELD = "P0104", "a record or event has no such field";
    UNKNOWN_NAME = "P0105", "a name means nothing here";
    UNKNOWN_TYPE = "P0106", "there is no such type";
    UNKNOWN_EVENT = "P0107", "there is no such event among those the projection reads";
    UNKNOWN_TOPIC = "P0108", "there is no such topic";
    NO_FUNCTION_NAMED = "P0109", "there is no such function for this type";
    NO_MEMBER = "P0110", "an enum has no such member";
    SHADOWED = "P0111", "a name has a meaning here already";
    RECURSION = "P0112", "a function calls itself";
    CONST_CYCLE = "P0113", "a constant needs its own value";
    RECORD_CYCLE = "P0114", "a record contains itself";
    PAYLOAD_NOT_HERE = "P0115", "the event is not visible here";
    STATE_NOT_HERE = "P0116", "the state is not visible here";

    // Types.
    MISMATCH = "P0201", "a value of one type stands where another is needed";
    OPERANDS = "P0202", "an operator does not go with these types";
    BRANCHES = "P0203", "values that may stand for each other have different types";
    ARGUMENTS = "P0204", "a function takes other arguments";
    LAMBDA_NOT_HERE = "P0205", "a lambda is only an argument";
    BAD_LITERAL = "P0206", "a literal has no such value";
    NOT_CONSTANT = "P0207", "the value must be known before any event is";
    BAD_TYPE = "P0208", "a type is not written like this";
    SHAPE_BY_USE = "W0210", "an event is not declared, so its shape comes from use";
    RECORD_FIELDS = "P0211", "a record has other fields";
    PATTERN = "P0212", "a case of `match` is not written like this";
    NOT_EXHAUSTIVE = "P0213", "a `match` has no case for some values";
    UNREACHABLE = "P0214", "something can never be reached";
    TOO_LARGE_INLINED = "P0215", "functions grow too large when their calls are put in place";
    USES_DISAGREE = "P0231", "uses of an undeclared field do not agree";

    // Absence.
    MAY_BE_MISSING = "P0301", "a value may be missing where one is needed";
    DIVISION_MAY_BE_NONE = "P0305", "a division may give `none` where a number is needed";
    READ_BEFORE_SET = "P0306", "a state field is read before it has a value";
    NEVER_NONE = "W0310", "a missing case is handled that never happens";

    // Projections.
    CLAUSE_MISSING = "P0401", "a projection lacks a clause";
    CLAUSE_TWICE = "P0402", "a clause stands twice";
    NOT_ASSIGNED = "P0403", "a row can be created without a value in a field that needs one";
    KEY_TYPE = "P0404", "a key has a type that is no key";
    KEY_NAME = "P0405", "a part of the key needs a name";
    BAD_PLACE = "P0406", "this cannot be set";
    STATE_FIELD = "P0407", "a state field is not declared like this";
    AGGREGATE_NOT_HERE = "P0408", "an aggregate stands outside the state";
    TOPIC_OPTION = "P0409", "a topic has no such option or value";
    ERROR_ACTION = "P0410", "this class of fault is not handled like this";
    NOT_IN_EVERY_EVENT = "P0411", "a clause for every event uses a field that some event lacks";
    TOMBSTONE_KEY = "P0412", "the key cannot be told from a tombstone";
    UNLISTED_TYPE = "W0430", "events of a type that their topic does not list are dropped";
    UNHANDLED = "W0440", "events are read and not handled";
    NO_INTO = "W0441", "a projection has no sink";
    ORDER = "W0520", "the result may depend on what is read first";

    // Determinism.
    NOT_DETERMINISTIC = "P0510", "this would give another result on replay";

    // Sinks.
    UNKNOWN_SINK = "P0601", "there is no such sink";
    UNKNOWN_OPTION = "P0602", "a sink has no such option";
    OPTION_MISSING = "P0603", "a sink needs an option";
    OPTION_VALUE = "P0604", "an option takes another value";
    OPTION_TWICE = "P0605", "an option is given twice";
    SINK_TWICE = "P0606", "two sinks of a projection have one name";
    DOCUMENT_FIELD = "P0607", "a document has no such field";
    ID_NOT_UNIQUE = "P0611", "an id does not hold every part of the key";
    ID_NOT_TEXT = "P0612", "the id of a Cosmos document is not text";
    PARTITION_KEY = "P0613", "a document does not hold its partition key";

    // Tests.
    TEST_PROJECTION = "P0701", "it is not clear which projection a test is for";
    TEST_EVENT = "P0702", "a test gives an event that the projection does not read";
    TEST_VALUE = "P0703", "a value in a test does not fit";
    TEST_SINK = "P0704", "a test looks into a sink that is not there";

    // Faults: see `plan::fault`.
    OVERFLOW = "R0101", "a number does not fit";
    DECIMAL_FIT = "R0102", "a decimal does not fit its scale";
    WRONG_JSON_TYPE = "R0103", "a used field has another JSON type";
    ABSENT = "R0104", "a value promised to be there is missing";
    NO_KEY = "R0105", "a key is missing";
    TOO_MANY = "R0106", "a collection is larger than its bound";
    CONTRACT = "R0107", "a text is too long, or no member of its enum";
    MISSING_FIELD = "R0108", "a required field is missing";
    MALFORMED = "R0109", "an event is not well-formed";
    EVENT_TYPE = "R0110", "an event has no type, or one that its topic does not list";
    ROW_SIZE = "R0111", "a row is larger than 1 MiB";
    KEY_SIZE = "R0112", "a key is longer than 32 KiB";
    LOST = "R0113", "events are no longer in the log that were not folded yet, or it is another log, and that was accepted";

    // Parsed, and refused until it is built.
    NO_EACH = "P0901", "`each` is not supported yet";
    NO_PROJECTION_LET = "P0902", "`let` of a projection is not supported yet";
    NO_AGGREGATE_BY = "P0903", "`by:` of an aggregate is not supported yet";
    NO_AGGREGATE_WHEN = "P0904", "`when:` of an aggregate is not supported yet";
    NO_VERSIONS = "P0905", "event versions and `upcast` are not supported yet";
    NO_PARAM = "P0906", "`param` is not supported yet";
    NO_ON_ANY = "P0907", "`on *` is not supported yet";
    NO_ZONES = "P0908", "time zones are not supported yet";
    NO_ATTRIBUTES = "P0909", "attributes are not supported yet";
    NO_STATELESS = "P0910", "projections without `state` are not supported yet";
    NO_ADVANCE = "P0911", "`advance` is not supported yet";
    NO_SNAPSHOT = "P0912", "`expect snapshot` is not supported yet";
    NO_WINDOW = "P0913", "`window` is not supported yet";
    NO_DEDUPE = "P0914", "`dedupe` is not supported yet";
    NO_LOOKUP = "P0915", "`lookup` and `table: true` are not supported yet";
    NO_EMIT_FINAL = "P0916", "`emit final` is not supported yet";
    NO_SCHEMA = "P0917", "schemas from a registry or a file are not supported yet";
    NO_FORMAT = "P0918", "this topic format or envelope is not supported yet";
    NO_HANDLER_KEY = "P0919", "a handler with its own key is not supported yet";
    NO_PROJECTION_SOURCE = "P0920", "reading from another projection is not supported yet";
    NO_REPLAY = "P0921", "`replay` is not supported yet";
    NO_FUNCTION = "P0922", "this library function is not supported yet";
    NO_SINK = "P0923", "this kind of sink is not supported yet";
    NO_FAIL_SCOPE = "P0924", "`fail(scope: key)` is not supported yet";
    NO_LATE = "P0925", "late events are not supported yet";
    NO_AGGREGATE = "P0926", "this aggregate is not supported yet";
    NO_PREV = "P0927", "`prev` is not supported yet";
    NO_BEFORE = "P0928", "`event.before` is not supported yet";
    NO_RECORD_DEFAULT = "P0929", "defaults in records are not supported yet";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_code_has_two_meanings() {
        let codes: HashSet<_> = ALL.iter().map(|known| known.code).collect();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn a_code_is_explained() {
        assert_eq!(meaning("P0013"), Some("statements need no `;`"));
        assert_eq!(meaning("P9999"), None);
    }
}
