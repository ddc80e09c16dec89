//! The Elasticsearch sink against a real OpenSearch node.

mod faults;
mod index;
mod run;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use projector::language;
use projector::plan::{Plan, lower};
use projector::sinks::elasticsearch::{ElasticsearchOptions, ElasticsearchSink};
use projector::sinks::{DocumentSink, DocumentWrite, Outcome};
use projector::testing::sinks::{self, Subject, conformance};
use serde_json::{Value, json};

use crate::services;

/// A sink of the suite's projection, and the plan it was made for.
fn sink(url: &str, options: &str) -> (Arc<Plan>, ElasticsearchSink) {
    let plan = sinks::plan(&format!("elasticsearch {{ {options} }}"));
    (plan.clone(), ElasticsearchSink::new(plan, 0, ElasticsearchOptions::at(url)))
}

/// The plan of the only projection of a text.
fn plan(text: &str) -> Arc<Plan> {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded = language::files::load(&[PathBuf::from("p.proj")], &read).expect("the text is given");
    let (program, diagnostics) = language::compile(&loaded);
    let program = program.unwrap_or_else(|| panic!("{diagnostics:?}"));
    Arc::new(lower(program.projections.into_iter().next().expect("there is one")))
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

async fn write(sink: &ElasticsearchSink, batch: Vec<DocumentWrite>) -> Vec<Outcome> {
    sink.write(batch, deadline()).await
}

/// What a server answers.
fn ask(method: &str, url: &str, body: &Value) -> (u16, Value) {
    let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
    let request = ureq::http::Request::builder().method(method).uri(url).header("content-type", "application/json");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut answer = agent.run(request.body(body).expect("a request")).expect("an answer");
    let mut text = String::new();
    answer.body_mut().as_reader().read_to_string(&mut text).expect("a body");
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
}

/// What searches of an index find: ids, in order.
fn found(url: &str, index: &str, query: &Value) -> Vec<String> {
    assert_eq!(ask("POST", &format!("{url}/{index}/_refresh"), &Value::Null).0, 200);
    let (status, answer) =
        ask("POST", &format!("{url}/{index}/_search"), &json!({"size": 10_000, "_source": false, "query": query}));
    assert_eq!(status, 200, "{answer}");
    let hits = answer["hits"]["hits"].as_array().expect("hits");
    let mut ids: Vec<String> = hits.iter().map(|hit| hit["_id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn it_does_what_every_sink_must_do() {
    let Some(node) = services::opensearch() else { return };
    for options in ["", "routing: k id: \"note-${k}\" alias: \"all_notes\" settings: { number_of_shards: 3 }"] {
        let index = node.unique("notes");
        let (plan, sink) = sink(&node.url, &format!("index: \"{index}\" {options}"));
        conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
    }
}
