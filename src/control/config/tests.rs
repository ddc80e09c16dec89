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
