//! What may happen to a topic while it is read, on a real broker.

use super::*;
use crate::cli::{Project, Running};

/// A projection of one topic, with one document a key.
const COUNTS: &str = r#"
topic events = "TOPIC"

projection counts {
  from events
  key .k
  state {
    n   = count()
    sum: int = sum(.v)
  }
  into cosmos { container: "Counts" }
  into cache
}
"#;

/// Values of one key: together they sum to `from + … + (to - 1)`.
fn events(from: i64, to: i64) -> impl Iterator<Item = String> {
    (from..to).map(|number| format!("{{\"k\":\"a\",\"v\":{number}}}"))
}

fn project(broker: &Broker, topic: &str) -> Project {
    let configuration = format!(
        "[connections.events]\nkind = \"kafka\"\nbrokers = \"{}\"\ngroup = \"{topic}\"\n\
         [connections.cosmos]\nkind = \"embedded\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        broker.bootstrap
    );
    Project::new(&[("projector.toml", &configuration), ("counts.proj", &COUNTS.replace("TOPIC", topic))])
}

fn is_folded(engine: &Running, count: i64, sum: i64) {
    let document = format!("\"n\":{count},\"sum\":{sum}");
    engine.until("/v1/projections/counts/documents/a", |_, body| body.contains(&document));
}

/// Polls until the source doubts, and shows what it delivered until then.
fn until_in_doubt(source: &mut dyn Source, look: bool) -> (Vec<String>, SourceError) {
    let (started, mut batch, mut seen) = (Instant::now(), RecordBatch::default(), Vec::new());
    loop {
        assert!(started.elapsed() < PATIENCE, "it never noticed; {} records", seen.len());
        if look {
            let _ = source.partitions(); // while it is deleted there is none
        }
        match source.poll(BUDGET, &mut batch) {
            Ok(()) => seen.extend(batch.iter().map(|r| String::from_utf8_lossy(r.value.unwrap()).into_owned())),
            Err(SourceError::UnknownTopic { .. }) => {}
            Err(error) => return (seen, error),
        }
    }
}

#[test]
fn a_topic_made_again_is_told_before_any_of_its_records() {
    let Some(broker) = services::kafka() else { return };
    // Noticed by reading, and by looking for partitions.
    for look in [false, true] {
        let topic = broker.create_topic("remade", 1, &[]);
        write(broker, &topic, 0, (0..10).map(|number| format!("old {number}")));
        let mut source = source(broker, &[&topic]);
        open_all(&mut source);
        let mut seen = Seen::default();
        poll_until(&mut source, &mut seen, |seen| seen.end(&at(&topic, 0)) == Some(10));
        assert!(source.tells_remade(), "this broker's topics have ids");
        broker.recreate_topic(&topic, 1);
        // There are other records at the offsets that come next.
        write(broker, &topic, 0, (0..50).map(|number| format!("new {number}")));
        let (delivered, error) = until_in_doubt(&mut source, look);
        assert_eq!(delivered, [""; 0], "nothing of the new topic comes before that");
        let SourceError::Doubtful { remade, .. } = &error else { panic!("{error}") };
        assert_eq!(remade.as_deref(), Some(&*topic));
        // Once it is opened again, it is the new one. An answer about the old one may still be on its way.
        let (mut batch, mut seen) = (RecordBatch::default(), Vec::new());
        while seen.len() < 2 {
            source.open(&[(at(&topic, 0), Offset(48))]).unwrap();
            while let Ok(()) = source.poll(BUDGET, &mut batch)
                && seen.len() < 2
            {
                seen.extend(batch.iter().map(|r| String::from_utf8_lossy(r.value.unwrap()).into_owned()));
            }
        }
        assert_eq!(seen, ["new 48", "new 49"]);
    }
}

#[test]
fn a_topic_made_again_stops_its_projection_before_it_is_folded() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("remade-engine", 1, &[]);
    let project = project(broker, &topic);
    write(broker, &topic, 0, events(0, 10));
    let engine = Running::start(&project, &["run", "counts.proj"]);
    is_folded(&engine, 10, 45);
    broker.recreate_topic(&topic, 1);
    write(broker, &topic, 0, events(1000, 1100));
    assert_eq!(engine.end(), Some(3), "nothing is left to be read");
    let status = project.run(&["status"]);
    assert!(status.out.contains("10 folded"), "{}", status.out);
    let again = project.run(&["run", "counts.proj"]);
    let why = format!("error: counts: {topic}/0: another record lies at offset 9");
    assert_eq!((again.code, again.err.contains(&why)), (Some(3), true), "{}", again.err);
}

#[test]
fn partitions_that_are_added_are_folded_from_their_beginning() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("grows-engine", 1, &[]);
    let project = project(broker, &topic);
    write(broker, &topic, 0, events(0, 10));
    let engine = Running::start(&project, &["run", "counts.proj"]);
    is_folded(&engine, 10, 45);
    broker.grow_topic(&topic, 3);
    write(broker, &topic, 1, events(0, 5));
    write(broker, &topic, 2, events(5, 10));
    is_folded(&engine, 20, 90);
    write(broker, &topic, 2, events(10, 11));
    is_folded(&engine, 21, 100);
}

#[test]
fn records_that_are_gone_before_they_were_folded_are_named_and_can_be_accepted() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("retention-engine", 1, &[]);
    let project = project(broker, &topic);
    write(broker, &topic, 0, events(0, 10));
    let run = |more: &[&str]| project.run(&[&["run", "counts.proj", "--until-caught-up"], more].concat());
    assert_eq!(run(&[]).code, Some(0));
    write(broker, &topic, 0, events(10, 20));
    broker.delete_records(&topic, 0, 15);
    let refused = run(&[]);
    let why = format!("error: counts: {topic}/0: offsets 10 to 14 were not folded");
    assert_eq!((refused.code, refused.err.contains(&why)), (Some(3), true), "{}", refused.err);
    let accepted = run(&["--accept-loss"]);
    assert_eq!(accepted.code, Some(0), "{}", accepted.err);
    let document = project.run(&["get", "counts", "a", "--sink", "cosmos"]).out;
    // 0 to 9, and 15 to 19.
    assert!(document.contains("\"n\":15,\"sum\":130"), "{document}");
    let again = run(&[]);
    assert_eq!(again.code, Some(0), "{}", again.err);
}
