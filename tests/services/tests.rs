//! Every server answers, and one of a test's own comes back after a crash.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use super::{
    Proxy, cosmos, cosmos_behind, cosmos_throttled, opensearch, opensearch_with, postgres, postgres_with, redis,
    redis_cluster, redis_tls, redis_with,
};

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
    assert!(TcpStream::connect(("127.0.0.1", node.port)).is_err());
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
    let _ = container(&emulator.url, "d");
    emulator.kill();
    emulator.restart();
    assert_eq!(ask("GET", format!("http://{}/dbs/d", proxy.address()), &[], "").0, 404);
}

/// One session, run to its end.
async fn query(url: &str, statement: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("it is up");
    let statement = statement.to_owned();
    let asked = async move { client.simple_query(&statement).await.expect("it is understood") };
    let (answers, ended) = tokio::join!(asked, connection);
    ended.expect("the session ends well");
    let rows = answers.into_iter().filter_map(|answer| match answer {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.collect()
}

#[tokio::test]
async fn postgres_gives_each_test_a_database() {
    let Some(postgres) = postgres() else { return };
    let [first, second] = [postgres.database("accounts"), postgres.database("accounts")];
    query(&first, "create table t (a int); insert into t values (1)").await;
    assert_eq!(query(&first, "select a from t").await, ["1"]);
    assert_eq!(query(&second, "select to_regclass('t') is null").await, ["t"]);
}

#[tokio::test]
async fn postgres_keeps_what_it_acknowledged_over_a_crash() {
    let Some(mut postgres) = postgres_with(&["max_connections=7"]) else { return };
    let url = postgres.database("accounts");
    assert_eq!(query(&url, "show max_connections").await, ["7"]);
    query(&url, "create table t (a int); insert into t values (1)").await;
    postgres.server.kill();
    assert!(tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_err());
    postgres.server.restart();
    assert_eq!(query(&url, "select a from t").await, ["1"]);
}

#[test]
fn redis_answers() -> ::redis::RedisResult<()> {
    let Some(server) = redis() else { return Ok(()) };
    let mut client = ::redis::Client::open(server.url.as_str())?.get_connection()?;
    let key = server.unique("key");
    let (_, got): ((), String) = ::redis::pipe().set(&key, "a").get(&key).query(&mut client)?;
    assert_eq!(got, "a");
    Ok(())
}

#[test]
fn redis_keeps_its_file_over_a_crash_and_takes_settings() -> ::redis::RedisResult<()> {
    let Some(mut server) = redis_with(&["--appendonly", "yes", "--appendfsync", "always"]) else { return Ok(()) };
    let client = ::redis::Client::open(server.url.as_str())?;
    ::redis::cmd("set").arg("key").arg("a").exec(&mut client.get_connection()?)?;
    server.kill();
    assert!(client.get_connection().is_err());
    server.restart();
    let got: String = ::redis::cmd("get").arg("key").query(&mut client.get_connection()?)?;
    assert_eq!(got, "a");
    Ok(())
}

#[test]
fn redis_cluster_spreads_keys_over_three_masters() -> ::redis::RedisResult<()> {
    let Some(cluster) = redis_cluster() else { return Ok(()) };
    let mut client = ::redis::Client::open(cluster.url.as_str())?.get_connection()?;
    // Slots 12182 and 5061, which are those of other masters than the first and of the first.
    let moved = ::redis::cmd("set").arg("foo").arg("a").exec(&mut client).expect_err("it is another's slot");
    assert_eq!(moved.code(), Some("MOVED"));
    ::redis::cmd("set").arg("bar").arg("a").exec(&mut client)
}

#[test]
fn redis_speaks_tls_to_those_who_trust_its_authority() {
    let Some(server) = redis_tls() else { return };
    let ping = |trusted: &[&OsStr]| {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &server.port.to_string(), "--tls"]).args(trusted).arg("ping");
        String::from_utf8_lossy(&client.output().expect("it comes with the server").stdout).trim().to_owned()
    };
    assert_eq!(ping(&["--cacert".as_ref(), server.authority().as_os_str()]), "PONG");
    assert_ne!(ping(&[]), "PONG");
}

#[test]
fn postgres_offers_tls_when_it_is_told_to() {
    let Some(postgres) = postgres_with(&["tls"]) else { return };
    assert!(postgres.server.authority().exists());
    let mut session = TcpStream::connect(("127.0.0.1", postgres.server.port)).expect("it is up");
    // The length of the request and its code, 80877103: whether it speaks TLS.
    session.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).expect("it is sent");
    let mut answer = [0];
    session.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"S");
}
