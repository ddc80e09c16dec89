//! What parsing accepts, what it says, and that no input harms it.

use std::fmt::Write;

use super::*;
use crate::language::ast::{BinaryOp, ClauseKind, Expr, ExprKind, ItemKind, StmtKind};

fn parse_text(text: &str) -> (ast::File, Vec<Diagnostic>) {
    parse(FileId(0), text)
}

fn accepted(text: &str) -> ast::File {
    let (file, diagnostics) = parse_text(text);
    assert!(diagnostics.is_empty(), "{text}\n{diagnostics:#?}");
    file
}

/// The value of `const x = …`.
fn value(text: &str) -> Expr {
    let file = accepted(&format!("const x = {text}"));
    match file.items.into_iter().next().map(|item| item.kind) {
        Some(ItemKind::Const { value, .. }) => value,
        other => panic!("no constant: {other:?}"),
    }
}

/// The code and the words of each message.
fn codes_of(text: &str) -> Vec<(&'static str, &str)> {
    let (_, diagnostics) = parse_text(text);
    diagnostics
        .iter()
        .map(|diagnostic| (diagnostic.code, &text[diagnostic.span().start as usize..diagnostic.span().end as usize]))
        .collect()
}

/// The tree of an expression with brackets around everything.
fn shape(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Binary { op, left, right, .. } => format!("({} {op:?} {})", shape(left), shape(right)),
        ExprKind::Not(value) => format!("(not {})", shape(value)),
        ExprKind::Negate(value) => format!("(-{})", shape(value)),
        ExprKind::Name(name) => name.text.to_string(),
        ExprKind::Int(digits) => digits.clone(),
        ExprKind::Bracketed(inner) => format!("[{}]", shape(inner)),
        ExprKind::Field { base, name } => format!("{}.{}", shape(base), name.text),
        ExprKind::OptionalField { base, name } => format!("{}?.{}", shape(base), name.text),
        ExprKind::Payload(name) => format!(".{}", name.as_ref().map_or("", |name| &name.text)),
        other => format!("{other:?}"),
    }
}

#[test]
fn precedence_is_that_of_the_language() {
    for (text, expected) in [
        ("a or b and c", "(a Or (b And c))"),
        ("not a == b and c", "((not (a Equal b)) And c)"),
        ("a ?? b == c", "((a Coalesce b) Equal c)"),
        ("a + b ?? c", "((a Add b) Coalesce c)"),
        ("a ?? b * c", "(a Coalesce (b Multiply c))"),
        ("a ?? (b + c)", "(a Coalesce [(b Add c)])"),
        ("a - b - c * -d", "((a Subtract b) Subtract (c Multiply (-d)))"),
        ("a ++ b not in c", "((a Concat b) NotIn c)"),
        ("not not a or b", "((not (not a)) Or b)"),
        (".a?.b.c", ".a?.b.c"),
    ] {
        assert_eq!(shape(&value(text)), expected, "{text}");
    }
}

#[test]
fn places_end_where_the_words_end() {
    let text = "const x = a +\n  b   // more\n\nconst y = 1  \n";
    let (file, _) = parse_text(text);
    let spans: Vec<_> = file.items.iter().map(|item| &text[item.span.start as usize..item.span.end as usize]).collect();
    assert_eq!(spans, ["const x = a +\n  b", "const y = 1"]);
}

#[test]
fn the_if_of_delete_stands_on_its_line() {
    let statements = |text: &str| {
        let file = accepted(&format!("projection p {{ on E {{ {text} }} }}"));
        let ItemKind::Projection(projection) = &file.items[0].kind else { panic!("no projection") };
        let ClauseKind::On(on) = &projection.clauses[0].kind else { panic!("no handler") };
        on.body.statements.iter().map(|stmt| matches!(stmt.kind, StmtKind::Delete(Some(_)))).collect::<Vec<_>>()
    };
    assert_eq!(statements("delete if a"), [true]);
    assert_eq!(statements("delete\n if a { b = 1 }"), [false, false]);
    assert_eq!(statements("a = 1, delete, b = 2,"), [false, false, false]);
}

#[test]
fn docs_belong_to_the_declaration_behind_them() {
    let file = accepted("//! file\n/// one\n/// two\nconst a = 1 /// no doc of a\n/// of b\nconst b = 2");
    let docs = |index: usize| file.items[index].docs.iter().map(|doc| doc.text.to_string()).collect::<Vec<_>>();
    assert_eq!(docs(0), ["one", "two"]);
    assert_eq!(docs(1), ["no doc of a", "of b"]);
}

#[test]
fn a_handler_may_follow_a_window() {
    accepted(
        "projection p { window tumbling 1h\n on OrderPlaced { a = 1 } window session gap 5m on .at grace 1m on \"x\" { a = 1 } }",
    );
}

#[test]
fn every_slip_has_its_code() {
    for (text, expected) in [
        ("const x = a && b", (codes::AMPERSANDS, "&&")),
        ("const x = a || b", (codes::BARS, "||")),
        ("const x = 1;", (codes::SEMICOLON, ";")),
        ("const x = 2026-01-01", (codes::BARE_DATE, "2026-01-01")),
        ("const x = 2026-01-01T10:00:00Z", (codes::BARE_DATE, "2026-01-01T10:00:00Z")),
        ("const x = null", (codes::NULL, "null")),
        ("const x = 1 < y < 5", (codes::CHAINED_COMPARISON, "1 < y < 5")),
        ("const x = a ?? b + c", (codes::COALESCE_NEEDS_BRACKETS, "??")),
        ("projection p { on E { n =+ 1 } }", (codes::SWAPPED_ASSIGNMENT, "=+")),
        ("const x = a === b", (codes::TRIPLE_EQUALS, "===")),
        ("const x = !a", (codes::BANG_BEFORE, "!")),
        ("projection p { on E { var n = 1 } }", (codes::OTHER_LET, "var")),
        ("projection p { on E { const n = 1 } }", (codes::OTHER_LET, "const")),
        ("const x = 'a'", (codes::SINGLE_QUOTES, "'a'")),
        ("projection p { on E { n++ } }", (codes::INCREMENT, "++")),
        ("const x = a ? b : c", (codes::TERNARY, "?")),
        ("projection p { on E { while a { b = 1 } } }", (codes::LOOP, "while")),
        ("projection p { on E { for a in b { c = 1 } } }", (codes::LOOP, "for")),
        ("fn f(a: int) -> int { return a }", (codes::RETURN, "return")),
        ("const x = \"a", (codes::UNCLOSED_TEXT, "\"a")),
        ("const x = \"\\q\"", (codes::BAD_ESCAPE, "\\q")),
        ("const x = “a”", (codes::BAD_CHARACTER, "“")),
        ("# a comment, is it?\nconst x = 1", (codes::HASH_COMMENT, "#")),
        ("const x = 12abc", (codes::BAD_NUMBER, "12abc")),
        ("const x = a <> b", (codes::ANGLE_NOT_EQUAL, "<>")),
        ("projection p { where .a = 1 }", (codes::ASSIGNMENT_AS_CONDITION, "=")),
        ("const Base = 1", (codes::LOWER_CASE_NEEDED, "Base")),
        ("projection p { state { Total: int } }", (codes::LOWER_CASE_NEEDED, "Total")),
        ("event placed { a: int }", (codes::UPPER_CASE_NEEDED, "placed")),
        ("projection p { on placed { a = 1 } }", (codes::UPPER_CASE_NEEDED, "placed")),
        ("projection p { state { when: int } }", (codes::RESERVED_WORD, "when")),
        ("projektion p { }", (codes::UNKNOWN_ITEM, "projektion")),
        ("projection p { wher .x }", (codes::UNKNOWN_CLAUSE, "wher")),
        ("record R { a: text }", (codes::SYNTAX, "text")),
        ("const x = [1 2]", (codes::SYNTAX, "2")),
        ("const x = (1 + 2", (codes::UNCLOSED, "(")),
        ("const x = 1)", (codes::UNMATCHED, ")")),
        ("import \"a${b}\"", (codes::INTERPOLATED_NAME, "b")),
        ("const x = 99999999999d", (codes::BAD_NUMBER, "99999999999d")),
        ("const x = a + not b", (codes::SYNTAX, "not")),
    ] {
        let found = codes_of(text);
        assert_eq!(found.first(), Some(&expected), "{text}: {found:?}");
    }
}

#[test]
fn one_run_reports_several_mistakes_and_keeps_the_rest() {
    let text = "enum E { a b c }\nevnt X { a: int }\nprojection p {\n  from t\n  wher .a\n  key .b\n  on X { a = }\n  on Y { b = 1 }\n}\ntopic t = 5\nconst c = 1\n";
    let (file, diagnostics) = parse_text(text);
    let lines: Vec<usize> = diagnostics
        .iter()
        .map(|diagnostic| text[..diagnostic.span().start as usize].matches('\n').count() + 1)
        .collect();
    assert_eq!(lines, [2, 5, 7, 10], "{diagnostics:#?}");
    assert_eq!(file.items.len(), 3);
    let ItemKind::Projection(projection) = &file.items[1].kind else { panic!("no projection") };
    assert_eq!(projection.clauses.len(), 3);
}

#[test]
fn a_missing_brace_is_reported_at_its_partner() {
    let text = "projection p {\n  from t\n  on X {\n    a = 1\n  on Y { b = 1 }\n}\nconst c = 1\n";
    let found = codes_of(text);
    assert_eq!(found, [(codes::UNCLOSED, "{")]);
    let (file, diagnostics) = parse_text(text);
    assert_eq!(diagnostics[0].span().start as usize, text.find("X {").expect("it is there") + 2);
    assert_eq!(file.items.len(), 2);
}

/// 200 kB of anything that nests gives one message, on a small stack, also when the tree is dropped.
#[test]
fn nothing_nests_too_deep() {
    let run = || {
        for unit in [
            "(",
            "[",
            "{",
            "{a:",
            "not ",
            "- ",
            "-",
            "if a { b } else ",
            "if ",
            "if {} == ",
            "match ",
            "a.b(",
            "f(x => ",
            "\"${",
            "a + ",
            "a ?? ",
            "a or ",
            "..",
            "[{a:(",
            "x?.",
            ".a",
            "a[",
            "!",
            "a!",
            "a not in ",
            "{ ..",
            "f(a: ",
            "(a, ",
            "if a == [",
        ] {
            let mut text = String::from("const x = ");
            while text.len() < 200_000 {
                text.push_str(unit);
            }
            let (_, diagnostics) = parse_text(&text);
            assert!(!diagnostics.is_empty(), "{unit}");
            let (_, diagnostics) =
                parse_text(&format!("projection p {{ on E {{ {} }} }}", text.replace("const x", "x")));
            assert!(!diagnostics.is_empty(), "{unit}");
        }
        for unit in ["if a { b = 1 } else ", "if a { ", "match a { _ => { ", "{ ", "delete if a { "] {
            let text = format!("projection p {{ on E {{ {}", unit.repeat(200_000 / unit.len()));
            assert!(!parse_text(&text).1.is_empty(), "{unit}");
        }
        for unit in ["list<", "{ a: ", "map<int, "] {
            let text = format!("record R {{ a: {}", unit.repeat(200_000 / unit.len()));
            assert!(!parse_text(&text).1.is_empty(), "{unit}");
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread starts");
    thread.join().expect("no overflow");
}

/// Closed nests of the greatest depth allowed are read on a small stack.
#[test]
fn the_greatest_depth_is_read() {
    let run = || {
        for (open, middle, close) in [
            ("(", "a", ")"),
            ("[", "a", "]"),
            ("{ a: ", "a", "}"),
            ("f(", "a", ")"),
            ("\"${", "a", "}\""),
            ("- ", "a", ""),
            ("a + ", "a", ""),
        ] {
            let levels = DEPTH_MAX / 2 - 2;
            let text = format!("const x = {}{middle}{}", open.repeat(levels), close.repeat(levels));
            accepted(&text);
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread starts");
    thread.join().expect("no overflow");
}

/// A long list of things side by side is not deep.
#[test]
fn what_is_long_is_not_deep() {
    let mut text = String::new();
    for index in 0..2_000 {
        writeln!(text, "fn f{index}(a: int) -> int = if a == 1 {{ 2 }} else if a == 2 {{ 3 }} else {{ -a + {index} }}")
            .expect("a text takes it");
    }
    assert_eq!(accepted(&text).items.len(), 2_000);
}

#[test]
fn operators_are_distinct() {
    for (text, op) in [
        ("a + b", BinaryOp::Add),
        ("a ++ b", BinaryOp::Concat),
        ("a <= b", BinaryOp::LessOrEqual),
        ("a in b", BinaryOp::In),
    ] {
        assert!(matches!(value(text).kind, ExprKind::Binary { op: found, .. } if found == op), "{text}");
    }
}

#[test]
fn the_example_programs_are_accepted() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language/grammar");
    let mut read = 0;
    for folder in [folder.clone(), folder.join("shared")] {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry is read").path();
            if path.extension().is_some_and(|extension| extension == "proj") {
                accepted(&std::fs::read_to_string(&path).expect("the file is read"));
                read += 1;
            }
        }
    }
    assert_eq!(read, 9);
}
