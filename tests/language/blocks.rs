//! Test blocks: what they hold true, and what they say when it is not.

use projector::language::typed::Program;
use projector::testing::blocks::{Failure, Tests};

use super::compiled;

const PROJECTION: &str = r#"
event Placed  { id: string, total: decimal(2) }
event Renamed { id: string, name: string }
event Shipped { id: string, name: string }
event Gone    { id: string }

topic orders    = "orders"    { type: header("type"), events: Placed, Renamed, Gone, keyed_by: .id }
topic shipments = "shipments" { type: header("type"), events: Shipped, keyed_by: .id }

projection order_view {
  from orders, shipments
  key id = .id
  state { total: decimal(2) = 0, names: set<string> = {}, name: string = "" }
  on Placed  { total += .total }
  on Renamed { names = names.add(.name), name = .name }
  on Shipped { names = names.add(.name), name = .name }
  on Gone    { delete }
  into cosmos as { id, total, names: names.sorted() } { container: "Orders" }
  into cache when total > 10 as { total, name } { name: "large" }
  on_error { decode: skip, eval: fail }
}
"#;

fn program(steps: &str) -> Program {
    let text = format!("{PROJECTION}\ntest \"it\" for order_view {{\n{steps}\n}}\n");
    let (_, program, diagnostics) = compiled("test.proj", text.as_bytes());
    program.unwrap_or_else(|| panic!("{diagnostics:#?}"))
}

fn outcome(steps: &str) -> Result<(), Box<Failure>> {
    let program = program(steps);
    Tests::of(&program, 1).run(&program.tests[0])
}

#[track_caller]
fn fails(steps: &str, message: &str) -> Box<Failure> {
    let failure = outcome(steps).expect_err("the test fails");
    assert!(failure.message.contains(message), "{failure:#?}");
    failure
}

const PLACED: &str = r#"given { Placed { id: "a", total: 12.50 } }"#;

#[test]
fn listed_fields_hold_and_others_are_free() {
    assert_eq!(outcome(&format!("{PLACED} expect {{ \"a\" => {{ total: 12.50 }} }}")), Ok(()));
    let failure =
        fails(&format!("{PLACED} expect {{ \"a\" => {{ total: 12.51 }} }}"), "`a` in cosmos is not as expected");
    assert_eq!(failure.differences.len(), 1);
    assert_eq!(failure.differences[0].path, "total");
    assert_eq!(failure.differences[0].got.as_deref(), Some("\"12.50\""));
}

#[test]
fn exactly_means_all_rows_and_fields() {
    let all = r#"expect exactly cosmos { "a" => { id: "a", total: 12.50, names: [] } }"#;
    assert_eq!(outcome(&format!("{PLACED} {all}")), Ok(()));
    fails(&format!("{PLACED} expect exactly {{ \"a\" => {{ total: 12.50 }} }}"), "not as expected");
    fails(&format!("{PLACED} expect exactly {{ }}"), "`a` is in cosmos and was not expected");
    fails(&format!("{PLACED} expect {{ \"b\" => {{ total: 1.00 }} }}"), "`b` is not in cosmos; there is `a`");
}

#[test]
fn membership_and_deletes_are_seen() {
    let steps = |last: &str| format!("{PLACED} expect large {{ \"a\" => {{ total: 12.50 }} }} {last}");
    assert_eq!(
        outcome(&steps(r#"given { Gone { id: "a" } } expect large { "a" => deleted } expect { "a" => deleted }"#)),
        Ok(())
    );
    assert_eq!(outcome(&steps(r#"expect { "b" => none } expect large { "b" => none }"#)), Ok(()));
    fails(&steps(r#"expect { "a" => none }"#), "`a` is in cosmos and should not be");
    fails(&steps(r#"expect { "a" => deleted }"#), "`a` is in cosmos and should not be");
    fails(&steps(r#"expect { "b" => deleted }"#), "`b` was never in cosmos");
}

#[test]
fn restarts_and_redeliveries_count_nothing_twice() {
    let steps = r#"
      given { Placed { id: "a", total: 1.00 } Placed { id: "a", total: 2.00 } }
      restart
      redeliver 2
      restart
      given { Placed { id: "a", total: 4.00 } }
      redeliver 3
      expect exactly cosmos { "a" => { id: "a", total: 7.00, names: [] } }"#;
    assert_eq!(outcome(steps), Ok(()));
}

#[test]
fn faults_are_expected_by_class_and_text() {
    let raw = r#"given orders { @{ headers: { type: "Placed" } } raw """{"id":"a","total":"x"}""" }"#;
    assert_eq!(outcome(&format!("{raw} expect error decode \"total\"")), Ok(()));
    let failure = fails(&format!("{raw} expect error eval"), "there was no eval fault");
    assert_eq!(failure.faults.len(), 1);
    fails(&format!("{PLACED} expect error decode"), "there was no decode fault");
}

#[test]
fn any_order_holds_for_what_commutes() {
    let steps = r#"
      given any_order {
        Placed { id: "a", total: 1.00 }
        Placed { id: "a", total: 2.00 }
        Shipped { id: "a", name: "x" }
        Placed { id: "b", total: 3.00 }
      }
      expect { "a" => { total: 3.00 } }"#;
    assert_eq!(outcome(steps), Ok(()));
}

#[test]
fn any_order_names_two_neighbours_that_differ() {
    let steps = r#"
      given any_order {
        Placed { id: "a", total: 20.00 }
        Renamed { id: "a", name: "x" }
        Placed { id: "b", total: 1.00 }
        Shipped { id: "a", name: "y" }
      }
      expect { "a" => { total: 20.00 } }"#;
    let failure = fails(steps, "`a` in large depends on the order of events");
    assert_eq!(failure.differences[0].path, "name");
    let (fails, holds) = failure.orders.expect("the orders are named");
    let differing = fails.iter().zip(&holds).filter(|(fails, holds)| fails != holds).count();
    assert_eq!((fails.len(), differing), (4, 2));
}

#[test]
fn more_orders_than_can_be_tried_are_drawn() {
    let renamed: String = (0..9).map(|n| format!("Renamed {{ id: \"a\", name: \"n{n}\" }}\n")).collect();
    let steps = format!("given any_order {{ Placed {{ id: \"a\", total: 20.00 }}\n{renamed} }}");
    fails(&steps, "`a` in large depends on the order of events");
    let placed: String = (0..9).map(|n| format!("Placed {{ id: \"a\", total: {n}.00 }}\n")).collect();
    assert_eq!(outcome(&format!("given any_order {{ {placed} }} expect {{ \"a\" => {{ total: 36.00 }} }}")), Ok(()));
}
