//! Commands that read `.proj` files and start nothing: `check`, `test`, `new`.

use super::Project;

const PROJECTION: &str = r#"topic payments = "payments" { keyed_by: .account }

projection totals {
  from payments
  key account = .account
  state { total: decimal(2) = sum(.amount) }
  into cosmos { container: "Totals" }
}

test "payments add up" for totals {
  given { { account: "a", amount: 1.50 } { account: "a", amount: 2.00 } }
  expect { "a" => { total: 3.50 } }
}
"#;

#[test]
fn check_says_what_is_wrong_and_where() {
    let project = Project::new(&[("p/totals.proj", PROJECTION)]);
    let answer = project.run(&["check", "p"]);
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (Some(0), "ok: 1 projection, 1 test\n", ""));

    project.write("p/other.proj", "const a = 'x'\nconst b = c && d\n");
    let answer = project.run(&["check", "p"]);
    assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
    assert!(answer.err.contains("p/other.proj:1:11") && answer.err.ends_with("2 errors\n"), "{}", answer.err);

    let answer = project.run(&["check", "p", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&answer.out).expect("JSON");
    assert_eq!((answer.code, found[1]["code"].as_str(), found[1]["line"].as_u64()), (Some(1), Some("P0012"), Some(2)));

    let answer = project.run(&["check", "p", "--format", "sarif"]);
    let log: serde_json::Value = serde_json::from_str(&answer.out).expect("JSON");
    assert_eq!(log["runs"][0]["results"].as_array().map(Vec::len), Some(2));

    project
        .run(&["check", "nowhere"])
        .assert_fails(2, "error: nowhere cannot be read: No such file or directory (os error 2)");
}

#[test]
fn test_runs_the_blocks() {
    let project = Project::new(&[("totals.proj", PROJECTION)]);
    let answer = project.run(&["test", "totals.proj"]);
    assert_eq!((answer.code, answer.out.as_str()), (Some(0), "ok    payments add up\n1 test passed, 0 failed\n"));
    let answer = project.run(&["test", "totals.proj", "--filter", "other"]);
    assert_eq!(answer.out, "0 tests passed, 0 failed, 1 left out\n");

    project.write("totals.proj", &PROJECTION.replace("3.50", "3.51"));
    let answer = project.run(&["test", "totals.proj"]);
    let expected = "FAIL  payments add up\n      totals.proj:12:12: `a` in cosmos is not as expected\n        \
                    total  expected \"3.51\", got \"3.50\"\n0 tests passed, 1 failed\n";
    assert_eq!((answer.code, answer.out.as_str()), (Some(1), expected));
    let answer = project.run(&["test", "totals.proj", "--format", "junit"]);
    assert!(answer.out.contains("failures=\"1\"") && answer.out.contains("totals.proj:12:12"), "{}", answer.out);
    let answer = project.run(&["test", "totals.proj", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&answer.out).expect("JSON");
    assert_eq!(found[0]["failure"]["differences"][0]["path"], "total");
}

#[test]
fn a_new_project_is_checked_and_tested() {
    let project = Project::new(&[]);
    assert_eq!(project.run(&["new", "mine"]).code, Some(0));
    let answer = project.run(&["check", "mine"]);
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (Some(0), "ok: 1 projection, 2 tests\n", ""));
    assert_eq!(project.run(&["test", "mine"]).code, Some(0));
    project.run(&["new", "mine"]).assert_fails(2, "error: mine is not empty");
}
