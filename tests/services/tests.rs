//! Every server answers, and one of a test's own comes back after a crash.

use std::io::Read;

use super::{Proxy, cosmos, cosmos_behind, cosmos_throttled, opensearch, opensearch_with};

/// What a server answers to a request over HTTP.
fn ask(method: &str, url: String, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
    let mut request = ureq::http::Request::builder().method(method).uri(&url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = agent.run(request.body(body.to_owned()).expect("a request")).expect("an answer");
    let mut text = String::new();
    answer.body_mut().as_reader().read_to_string(&mut text).expect("a body");
    (answer.status().as_u16(), text)
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn opensearch_guards_documents_by_their_version() {
    let Some(node) = opensearch() else { return };
    let (first, second) = (node.unique("documents"), node.unique("documents"));
    assert_ne!(first, second);
    let put = |version: u32| {
        let url = format!("{}/{first}/_doc/a?version_type=external&version={version}", node.url);
        ask("PUT", url, &[JSON], "{}").0
    };
    assert_eq!([put(5), put(4), put(6)], [201, 409, 200]);
}

#[test]
fn opensearch_keeps_documents_over_a_crash_and_takes_settings() {
    let Some(mut node) = opensearch_with(&["indexing_pressure.memory.limit=2kb"]) else { return };
    let document = format!("{}/documents/_doc/a", node.url);
    assert_eq!(ask("PUT", document.clone(), &[JSON], "{}").0, 201);
    let large = format!(r#"{{"a":"{}"}}"#, "a".repeat(4096));
    assert_eq!(ask("PUT", document.clone(), &[JSON], &large).0, 429);
    node.kill();
    node.restart();
    assert_eq!(ask("GET", document, &[], "").0, 200);
}

/// Makes a container with the fewest request units, and gives what answers to writes of documents.
fn container(endpoint: &str, database: &str) -> impl Fn(usize) -> u16 + use<> {
    let databases = format!("{endpoint}/dbs");
    assert_eq!(ask("POST", databases.clone(), &[], &format!(r#"{{"id":"{database}"}}"#)).0, 201);
    let containers = format!("{databases}/{database}/colls");
    let definition = r#"{"id":"c","partitionKey":{"paths":["/p"],"kind":"Hash","version":2}}"#;
    assert_eq!(ask("POST", containers.clone(), &[("x-ms-offer-throughput", "400")], definition).0, 201);
    move |id| {
        let documents = format!("{containers}/c/docs");
        let document = format!(r#"{{"id":"{id}","p":"a"}}"#);
        ask("POST", documents, &[("x-ms-documentdb-partitionkey", r#"["a"]"#)], &document).0
    }
}

#[test]
fn cosmos_holds_documents() {
    let Some(emulator) = cosmos() else { return };
    let create = container(&emulator.url, &emulator.unique("d"));
    assert_eq!([create(1), create(1)], [201, 409]);
    assert!((2..200).all(|id| create(id) == 201));
}

#[test]
fn cosmos_throttles_when_it_is_told_to() {
    let Some(emulator) = cosmos_throttled() else { return };
    let create = container(&emulator.url, "d");
    assert!((0..10_000).any(|id| create(id) == 429));
}

#[test]
fn cosmos_names_the_proxy_it_is_behind() {
    let proxy = Proxy::to(0);
    let Some(mut emulator) = cosmos_behind(&proxy) else { return };
    proxy.retarget(emulator.port);
    let account = || ask("GET", format!("http://{}/", proxy.address()), &[], "");
    let (status, document) = account();
    assert_eq!(status, 200);
    assert!(document.contains(&format!(r#""databaseAccountEndpoint":"http://{}/""#, proxy.address())), "{document}");
    emulator.kill();
    emulator.restart();
    assert_eq!(account().0, 200);
}
