//! Real servers for tests: started once per test run on free ports with their own data folder, and gone when it ends.
//!
//! A server lives as long as a pipe from this process: however the process ends, the pipe closes, and the server's own script
//! stops it. Where a server cannot be had the tests that need it are left out with a line on stderr, or fail when
//! `PROJECTOR_TEST_SERVICES=required`. Downloads are kept in `PROJECTOR_SERVICES_CACHE`, or below the build folder.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

/// How often a start is tried, should another process take a port in between.
const STARTS_MAX: u32 = 3;

/// A running Kafka broker.
pub struct Broker {
    pub bootstrap: String,
    topics: AtomicU32,
    /// The broker stops when this closes.
    _alive: ChildStdin,
}

/// The broker of this test run, started now if it was not; `None` when there is none to be had and none is required.
pub fn kafka() -> Option<&'static Broker> {
    static BROKER: OnceLock<Result<Broker, String>> = OnceLock::new();
    match BROKER.get_or_init(Broker::start) {
        Ok(broker) => Some(broker),
        Err(why) if env::var("PROJECTOR_TEST_SERVICES").is_ok_and(|value| value == "required") => {
            panic!("a Kafka broker is required: {why}")
        }
        Err(why) => {
            // Not `eprintln!`, which the test harness hides for tests that pass.
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs a Kafka broker, and there is none: {why}");
            None
        }
    }
}

/// How a start of a server ended.
enum Start {
    Ready(ChildStdin),
    /// It cannot be had on this machine.
    Absent(String),
    Failed(String),
}

impl Broker {
    fn start() -> Result<Broker, String> {
        let mut failed = String::new();
        for _ in 0..STARTS_MAX {
            let port = two_free_ports();
            match start(&script("kafka/run.sh"), &cache("kafka"), port) {
                Start::Ready(alive) => {
                    let bootstrap = format!("127.0.0.1:{port}");
                    return Ok(Broker { bootstrap, topics: AtomicU32::new(0), _alive: alive });
                }
                Start::Absent(why) => return Err(why),
                Start::Failed(why) => failed = why,
            }
        }
        panic!("the Kafka broker did not start: {failed}")
    }

    /// Makes a topic of its own for a test, and returns its name.
    pub fn create_topic(&self, prefix: &str, partitions: i32, config: &[(&str, &str)]) -> String {
        let name = format!("{prefix}-{}", self.topics.fetch_add(1, Ordering::Relaxed));
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (option, value) in config {
            topic = topic.set(option, value);
        }
        let made = wait_for(self.admin().create_topics([&topic], &AdminOptions::new()));
        made.expect("the broker answers").remove(0).expect("the topic is new");
        name
    }

    /// Lets a topic grow to this many partitions.
    pub fn grow_topic(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let grown = wait_for(self.admin().create_partitions([&more], &AdminOptions::new()));
        grown.expect("the broker answers").remove(0).expect("the topic grows");
    }

    /// Deletes a topic and makes it again under the same name.
    pub fn recreate_topic(&self, topic: &str, partitions: i32) {
        self.delete_topic(topic);
        let again = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        // The broker says for a moment that it is still there.
        let made =
            || wait_for(self.admin().create_topics([&again], &AdminOptions::new())).expect("an answer").remove(0);
        while let Err((_, error)) = made() {
            assert_eq!(error, RDKafkaErrorCode::TopicAlreadyExists);
        }
    }

    pub fn delete_topic(&self, topic: &str) {
        let deleted = wait_for(self.admin().delete_topics(&[topic], &AdminOptions::new()));
        deleted.expect("the broker answers").remove(0).expect("the topic is there");
    }

    /// Deletes the records of a partition before an offset.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = rdkafka::TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, rdkafka::Offset::Offset(before)).expect("an offset");
        wait_for(self.admin().delete_records(&offsets, &AdminOptions::new())).expect("the broker answers");
    }

    /// A client's configuration for this broker.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client needs nothing but the address")
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let answer = async { tokio::time::timeout(Duration::from_secs(30), future).await };
    runtime.block_on(answer).expect("the broker answers in time")
}

/// Starts a server and waits for its word.
fn start(script: &Path, cache: &Path, port: u16) -> Start {
    let state = env::temp_dir().join(format!("projector-kafka-{}-{port}", std::process::id()));
    let mut command = Command::new(script);
    command.arg(cache).arg(&state).arg(port.to_string());
    // In a group of its own, so that Ctrl-C reaches the tests only and the script is left to clean up.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Start::Absent(format!("`{}` cannot be run: {error}", script.display())),
    };
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    if BufReader::new(stdout).read_line(&mut line).is_ok() && line.trim() == "ready" {
        return Start::Ready(child.stdin.take().expect("it is piped"));
    }
    ended(child)
}

fn ended(child: Child) -> Start {
    match child.wait_with_output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            if output.status.code() == Some(3) { Start::Absent(said) } else { Start::Failed(said) }
        }
        Err(error) => Start::Failed(error.to_string()),
    }
}

/// The first of two free ports beside each other.
fn two_free_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = first.local_addr().expect("it is bound").port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services").join(path)
}

fn cache(server: &str) -> PathBuf {
    let folder = env::var_os("PROJECTOR_SERVICES_CACHE").map(PathBuf::from);
    folder.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("services")).join(server)
}
