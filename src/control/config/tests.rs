//! What a configuration file may say, and what is answered when it is wrong.

use super::*;

const FILE: &str = "/project/projector.toml";

fn read(text: &str, profile: Option<&str>) -> Result<Config, ConfigError> {
    let env = |name: &str| (name == "KAFKA_PASSWORD").then(|| "hunter2".to_owned());
    Config::read(Path::new(FILE), text, profile, &env)
}

fn error(text: &str) -> String {
    read(text, None).expect_err("it is wrong").to_string()
}

const PROFILED: &str = r#"
[connections.events]
kind = "log"
path = "examples/events"
[connections.cosmos]
kind = "embedded"
[state]
dir = "/var/rows"
memory_max = "256MiB"

[profiles.kafka.connections.events]
kind = "kafka"
brokers = "127.0.0.1:9092"
[profiles.kafka.connections.events.options]
"sasl.password" = "${KAFKA_PASSWORD}"
"enable.auto.commit" = false
[profiles.kafka.state]
checkpoint_interval = "1s"
"#;

#[test]
fn an_empty_file_means_the_defaults() {
    let config = read("", None).unwrap();
    assert_eq!(config.state.dir, Path::new("/project/.projector"));
    assert_eq!(config.state.memory_max_bytes, 1 << 30);
    assert_eq!(config.state.checkpoint_interval, Duration::from_millis(200));
    assert_eq!(config.run.start_timeout, Duration::from_secs(30));
    assert_eq!(config.run.shutdown_timeout, Duration::from_secs(10));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:7070");
}

#[test]
fn a_profile_is_laid_over_the_defaults() {
    let plain = read(PROFILED, None).unwrap();
    assert!(
        matches!(&plain.connections["events"], Connection::Log { path } if path == Path::new("/project/examples/events"))
    );

    let profiled = read(PROFILED, Some("kafka")).unwrap();
    assert!(matches!(&profiled.connections["events"], Connection::Kafka(kafka) if kafka.brokers == "127.0.0.1:9092"));
    assert!(matches!(&profiled.connections["cosmos"], Connection::Embedded { path: None }));
    assert_eq!(profiled.state.dir, Path::new("/var/rows"));
    assert_eq!(profiled.state.checkpoint_interval, Duration::from_secs(1));

    let unknown = read(PROFILED, Some("kafak")).unwrap_err().to_string();
    assert_eq!(unknown, "/project/projector.toml: there is no [profiles.kafak]; did you mean `kafka`?");
}

#[test]
fn options_are_passed_through_and_never_shown() {
    let config = read(PROFILED, Some("kafka")).unwrap();
    let Connection::Kafka(kafka) = &config.connections["events"] else { panic!("not a broker") };
    assert_eq!(kafka.options["sasl.password"].reveal(), "hunter2");
    assert_eq!(kafka.options["enable.auto.commit"].reveal(), "false");
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_a_near_one() {
    assert_eq!(
        error("[state]\nmemory_maxx = \"1GiB\""),
        "/project/projector.toml:2: unknown key `memory_maxx` in [state]; did you mean `memory_max`?"
    );
    assert_eq!(
        error("\n[connections.events]\nkind = \"kafka\"\nbrokres = \"a:1\"\nbrokers = \"a:1\""),
        "/project/projector.toml:4: unknown key `brokres` in [connections.events]; did you mean `brokers`?"
    );
    assert_eq!(error("[profile.x]\n"), "/project/projector.toml:1: unknown key `profile`; did you mean `profiles`?");
    assert_eq!(
        error("[topics]\nzzz = \"x\""),
        "/project/projector.toml:2: unknown key `zzz` in [topics]; known here: default"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    assert_eq!(
        error("[state]\ndir = \"x\"\ncheckpoint_interval = \"fast\""),
        "/project/projector.toml:3: `checkpoint_interval` must be a duration such as `200ms` or `30s`, and `fast` is not"
    );
    assert_eq!(
        error("[connections.a]\nkind = \"kafak\""),
        "/project/projector.toml:2: unknown kind `kafak`; did you mean `kafka`?"
    );
    assert_eq!(error("[connections.a]\nkind = \"log\""), "/project/projector.toml:1: [connections.a] needs `path`");
    assert_eq!(error("[state]\ndir = 5"), "/project/projector.toml:2: `dir` must be text: write \"5\"");
    assert!(error("[state]\ndir = ").starts_with("/project/projector.toml:2: "));
}

#[test]
fn a_missing_variable_names_itself_and_its_key_and_a_wrong_one_is_not_shown() {
    assert_eq!(
        error("[connections.a]\nkind = \"kafka\"\nbrokers = \"${BROKERS}\""),
        "/project/projector.toml:3: `brokers`: the environment variable `BROKERS` is not set"
    );
    assert_eq!(
        error("[http]\nlisten = \"${KAFKA_PASSWORD}\""),
        "/project/projector.toml:2: `listen` must be an address such as `127.0.0.1:7070`"
    );
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    let open = "[http]\nlisten = \"0.0.0.0:7070\"";
    assert!(error(open).starts_with("/project/projector.toml:2: 0.0.0.0:7070 is open to other machines"));
    let guarded = read(&format!("{open}\ntoken = \"${{KAFKA_PASSWORD}}\""), None).unwrap();
    assert_eq!(guarded.http.token, Some(Secret::new("hunter2".into())));
}

const CLUSTER: &str = "[connections.elasticsearch]\nkind = \"elasticsearch\"\n";

#[test]
fn a_cluster_is_read_and_its_secrets_are_never_shown() {
    let more = "url = \"https://a:9200\"\nusername = \"me\"\npassword = \"${KAFKA_PASSWORD}\"\nca = \"ca.pem\"\n\
                client_certificate = \"me.pem\"\nclient_key = \"me.key\"\ncompression = \"gzip\"\n";
    let config = read(&format!("{CLUSTER}{more}"), None).unwrap();
    let Connection::Elasticsearch(cluster) = &config.connections["elasticsearch"] else { panic!("not a cluster") };
    let (username, password) = cluster.password.as_ref().unwrap();
    assert_eq!((cluster.url.as_str(), username.as_str(), password.reveal()), ("https://a:9200", "me", "hunter2"));
    assert_eq!(cluster.ca.as_deref(), Some(Path::new("/project/ca.pem")));
    let certificate = ("/project/me.pem".into(), "/project/me.key".into());
    assert_eq!((&cluster.client_certificate, cluster.compress), (&Some(certificate), true));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_cluster_that_cannot_be_reached_so_is_named_with_its_line() {
    let url = "url = \"https://a:9200\"\n";
    for (more, line, what) in [
        ("", 1, "[connections.elasticsearch] needs `url`"),
        ("url = \"a:9200\"", 3, "`url` must begin with `https://` or `http://`"),
        ("url = \"http://me:hunter2@a\"", 3, "`url` is shown in messages; put its user into `username` and `password`"),
        (&format!("{url}username = \"me\""), 4, "`username` and `password` stand together"),
        (&format!("{url}password = \"x\""), 4, "`username` and `password` stand together"),
        (
            &format!("{url}username = \"me\"\npassword = \"x\"\napi_key = \"y\""),
            6,
            "one of `api_key` and `username` is enough",
        ),
        (
            "url = \"http://a:9200\"\napi_key = \"y\"",
            3,
            "a key or a password goes to another machine by `https://` only",
        ),
        (&format!("{url}api_key = \"a b\""), 4, "`api_key` holds what no key holds: spaces, or a line break"),
        (&format!("{url}client_key = \"k\""), 4, "it needs its `client_certificate`"),
        (&format!("{url}compression = \"zip\""), 4, "`compression` is `gzip` or `none`"),
        (
            &format!("{url}api_kye = \"k\""),
            4,
            "unknown key `api_kye` in [connections.elasticsearch]; did you mean `api_key`?",
        ),
    ] {
        assert_eq!(error(&format!("{CLUSTER}{more}")), format!("/project/projector.toml:{line}: {what}"));
    }
}

#[test]
fn an_account_of_cosmos_needs_one_way_in() {
    let account = |lines: &str| {
        let text = format!("[connections.c]\nkind = \"cosmos\"\nendpoint = \"https://x.documents.azure.com\"\n{lines}");
        match read(&text, None).map(|config| config.connections["c"].clone()) {
            Ok(Connection::Cosmos(account)) => Ok(account.access),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    use crate::sinks::cosmos::Access;
    assert!(matches!(account("key = \"${KAFKA_PASSWORD}\""), Ok(Access::Key(_))));
    let key = format!("{:?}", account("key = \"${KAFKA_PASSWORD}\""));
    assert!(!key.contains("hunter2"), "{key}");
    assert!(matches!(account("credential = \"workload_identity\""), Ok(Access::WorkloadIdentity { .. })));
    assert!(matches!(account("credential = \"managed_identity\""), Ok(Access::ManagedIdentity { client_id: None })));
    let secret = "credential = \"client_secret\"\ntenant_id = \"t\"\nclient_id = \"c\"";
    assert!(matches!(account(&format!("{secret}\nclient_secret = \"s\"")), Ok(Access::ClientSecret { .. })));
    for (lines, why) in [
        ("", ":3: an account needs `key`, or `credential"),
        ("key = \"a\"\ncredential = \"workload_identity\"", ":5: `key` and `credential` exclude each other"),
        ("credential = \"client_secrets\"", ":4: unknown credential `client_secrets`; did you mean `client_secret`?"),
        (secret, ":4: `credential = \"client_secret\"` needs `client_secret`"),
        ("key = \"a\"\ntenant_id = \"t\"", ":5: unknown key `tenant_id`"),
    ] {
        let error = account(lines).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
    let plain = "[connections.c]\nkind = \"cosmos\"\nkey = \"a\"\nendpoint = \"http://x.documents.azure.com\"";
    assert!(error(plain).contains(":4: `endpoint` must begin with `https://`"));
}

#[test]
fn a_redis_is_read_and_what_is_wrong_with_it_is_named_with_its_line() {
    let redis = |lines: &str| format!("[connections.redis]\nkind = \"redis\"\n{lines}");
    let config = read(&redis("url = \"rediss://ann:hidden@cache:6380\"\ncluster = true\nca = \"ca.pem\"\n"), None);
    let config = config.unwrap();
    let Connection::Redis(server) = &config.connections["redis"] else { panic!("it is one") };
    assert!(server.cluster && server.ca.as_deref() == Some(Path::new("/project/ca.pem")));
    assert!(!format!("{config:?}").contains("hidden"));
    for (lines, line, why) in [
        ("url = \"http://cache\"", 3, "`redis://host:port`"),
        ("url = \"redis://cache\"\ncluster = \"maybe\"", 4, "`cluster` must be `true` or `false`"),
        ("url = \"redis://cache\"\nca = \"ca.pem\"", 3, "write `rediss://`"),
        ("url = \"rediss://cache\"\nclient_key = \"me.key\"", 4, "`client_certificate`"),
    ] {
        let error = error(&redis(lines));
        let place = format!("/project/projector.toml:{line}: ");
        assert!(error.starts_with(&place) && error.contains(why), "{error}");
    }
}
