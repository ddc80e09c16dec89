//! What could have stood at a mistake, in words: rules of the grammar become things an author knows.

use super::grammar::Rule;

/// How many alternatives a message lists.
const ALTERNATIVES_MAX: usize = 5;

/// Returns "a, b or c"; nothing when all that was expected is a matter of course.
pub(super) fn in_words(expected: &[Rule]) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    for word in expected.iter().filter_map(|rule| in_word(*rule)) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    // An expression swallows the words it may start with.
    if words.iter().any(|word| word == "an expression") {
        words.retain(|word| !matches!(word.as_str(), "`{`" | "`not`" | "`if`" | "`match`"));
    }
    words.truncate(ALTERNATIVES_MAX);
    let last = words.pop()?;
    match words.is_empty() {
        true => Some(last),
        false => Some(format!("{} or {last}", words.join(", "))),
    }
}

fn in_word(rule: Rule) -> Option<String> {
    let word = match rule {
        Rule::item => "a declaration (topic, event, record, enum, const, fn, projection, test, import)",
        Rule::clause => "a clause (from, where, key, state, on, into, on_error)",
        Rule::stmt => "a statement",
        Rule::step => "a step (given, expect, restart, redeliver, advance)",
        Rule::state_field | Rule::field | Rule::record_field | Rule::shorthand => "a field",
        Rule::variant => "a member",
        Rule::option | Rule::options => "an option",
        Rule::given_event => "an event",
        Rule::event_pattern | Rule::topic_change => "an event",
        Rule::pattern => "a pattern",
        Rule::parameter => "a parameter",
        Rule::error_rule | Rule::fault_class => "`decode`, `eval`, `key`, `late` or `sink`",
        Rule::error_action | Rule::last_action => "`fail`, `skip`, `dead_letter(…)` or `retry(…)`",
        Rule::type_expr | Rule::generic | Rule::primitive => "a type",
        Rule::ident | Rule::name | Rule::place => "a name in snake_case",
        Rule::type_name => "a name in PascalCase",
        Rule::field_name => "a name",
        Rule::string => "a text in quotes",
        Rule::duration => "a duration such as `5m`",
        Rule::integer => "a whole number",
        Rule::version => "a version such as `v2`",
        Rule::set => "`=`",
        Rule::block | Rule::fields | Rule::record | Rule::body | Rule::open => "`{`",
        Rule::close => "`}`",
        Rule::open_call => "`(`",
        Rule::close_call | Rule::close_bracket => "`)`",
        Rule::close_index => "`]`",
        Rule::close_angle => "`>`",
        Rule::comma => "`,`",
        Rule::colon => "`:`",
        Rule::bar => "`|`",
        Rule::equals => "`=`",
        Rule::arrow => "`=>`",
        Rule::result => "`->`",
        Rule::guard => "`if`",
        Rule::param_from => "`env` or `secret`",
        _ if starts_expression(rule) => "an expression",
        _ => return keyword(rule),
    };
    Some(word.to_owned())
}

/// `kw_within` is `within`. Everything else may follow anywhere and says nothing.
fn keyword(rule: Rule) -> Option<String> {
    let name = format!("{rule:?}");
    name.strip_prefix("kw_").map(|word| format!("`{word}`"))
}

/// Whether a rule is, or starts, an expression.
pub(super) fn starts_expression(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::expr
            | Rule::not
            | Rule::minus
            | Rule::if_expr
            | Rule::match_expr
            | Rule::list
            | Rule::bracketed
            | Rule::payload
            | Rule::key_part
            | Rule::argument
            | Rule::arguments
            | Rule::lambda
            | Rule::expect_row
            | Rule::decimal
            | Rule::float
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_words() {
        assert_eq!(in_words(&[Rule::kw_within]).as_deref(), Some("`within`"));
        assert_eq!(in_words(&[Rule::close, Rule::expr, Rule::not]).as_deref(), Some("`}` or an expression"));
        assert_eq!(in_words(&[Rule::infix, Rule::EOI]), None);
    }
}
