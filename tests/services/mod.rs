//! Real servers for tests: started once per test run on free ports with their own data folder, and gone when it ends.
//!
//! A server lives as long as a pipe from this process: however the process ends, the pipe closes, and the server's own script
//! stops it (`serve.sh` says what is agreed with the scripts). Where a server cannot be had the tests that need it are left out
//! with a line on stderr, or fail when `PROJECTOR_TEST_SERVICES=required`. What is fetched or built for them is kept in
//! `PROJECTOR_SERVICES_CACHE`, or below the build folder.
//!
//! `kafka()`, `redis()` and so on give the one server that tests share: each test keeps to names of its own (`Server::unique`).
//! The others start one for the caller alone, which may have settings, and which only the caller may kill.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

mod cosmos;
mod kafka;
mod opensearch;
mod postgres;
mod proxy;
mod redis;
mod tests;

pub use self::cosmos::{cosmos, cosmos_behind, cosmos_throttled};
pub use self::kafka::{Broker, kafka};
pub use self::opensearch::{opensearch, opensearch_with};
pub use self::postgres::{postgres, postgres_with};
pub use self::proxy::Proxy;
pub use self::redis::{redis, redis_cluster, redis_tls, redis_with};

/// How often a start is tried, should another process take a port in between.
const STARTS_MAX: u32 = 3;

/// A kind of server, and how it is started.
struct Kind {
    /// What a test is told that it lacks.
    name: &'static str,
    /// Below this folder.
    script: &'static str,
    /// What stands before the address in its URL.
    scheme: &'static str,
    /// How many ports it needs, one after the other; clients use the first.
    ports: u16,
}

/// A running server.
pub struct Server {
    /// Where clients find it, without a slash at the end.
    pub url: String,
    /// Of the clients, on loopback.
    pub port: u16,
    names: AtomicU32,
    script: Script,
}

/// The server that a test run shares, started now if it was not.
fn shared<T>(
    kind: &Kind,
    cell: &'static OnceLock<Result<T, String>>,
    make: impl FnOnce(Server) -> T,
) -> Option<&'static T> {
    let shared = cell.get_or_init(|| Server::start(kind, &[]).map(make));
    shared.as_ref().map_err(|why| leave_out(kind, why)).ok()
}

/// A server for the caller alone.
fn own(kind: &Kind, settings: &[&str]) -> Option<Server> {
    Server::start(kind, settings).map_err(|why| leave_out(kind, &why)).ok()
}

fn leave_out(kind: &Kind, why: &str) {
    let Kind { name, .. } = kind;
    if env::var("PROJECTOR_TEST_SERVICES").is_ok_and(|value| value == "required") {
        panic!("{name} is required: {why}");
    }
    // Not `eprintln!`, which the test harness hides for tests that pass.
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs {name}, and there is none: {why}");
}

impl Server {
    /// Starts one, or says why it cannot be had here.
    fn start(kind: &Kind, settings: &[&str]) -> Result<Server, String> {
        let mut failed = String::new();
        for _ in 0..STARTS_MAX {
            let port = free_ports(kind.ports);
            match Script::start(kind.script, port, settings) {
                Start::Ready(script) => {
                    let url = format!("{}127.0.0.1:{port}", kind.scheme);
                    return Ok(Server { url, port, names: AtomicU32::new(0), script });
                }
                Start::Absent(why) => return Err(why),
                Start::Failed(why) => failed = why,
            }
        }
        panic!("{} did not start: {failed}", kind.name)
    }

    /// The file with the certificate, in PEM, of who has signed that of a server with TLS.
    pub fn authority(&self) -> PathBuf {
        self.script.state.join("ca.crt")
    }

    /// A name that no other test of this run has on this server.
    pub fn unique(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Ends the server as a crash would. What it had on disk stays.
    pub fn kill(&mut self) {
        self.script.ask("kill", "killed");
    }

    /// Starts a killed server again, on its port and its data.
    pub fn restart(&mut self) {
        self.script.ask("start", "ready");
    }
}

/// How a start of a server ended.
enum Start {
    Ready(Script),
    /// It cannot be had on this machine.
    Absent(String),
    Failed(String),
}

/// The script that runs a server, for as long as this is not dropped.
struct Script {
    /// The folder of the server's data and logs.
    state: PathBuf,
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Script {
    /// Starts a server and waits for its word.
    fn start(script: &str, port: u16, settings: &[&str]) -> Start {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services").join(script);
        let folder = script.parent().and_then(Path::file_name).expect("it has a folder").to_string_lossy();
        let state = env::temp_dir().join(format!("projector-{folder}-{}-{port}", std::process::id()));
        let mut command = Command::new(&script);
        command.arg(cache(&folder)).arg(&state).arg(port.to_string()).args(settings);
        // In a group of its own, so that Ctrl-C reaches the tests only and the script is left to clean up.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Start::Absent(format!("`{}` cannot be run: {error}", script.display())),
        };
        let said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut script = Script { state, child, said };
        if script.hear() == "ready" { Start::Ready(script) } else { script.ended() }
    }

    fn ask(&mut self, word: &str, answer: &str) {
        let asked = writeln!(self.child.stdin.as_mut().expect("it is piped"), "{word}");
        let heard = self.hear();
        if asked.is_err() || heard != answer {
            let mut why = String::new();
            let _ = self.child.stderr.as_mut().expect("it is piped").read_to_string(&mut why);
            panic!("the server does not answer to `{word}`: {why}");
        }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        let _ = self.said.read_line(&mut line);
        line.trim().to_owned()
    }

    fn ended(self) -> Start {
        match self.child.wait_with_output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                if output.status.code() == Some(3) { Start::Absent(said) } else { Start::Failed(said) }
            }
            Err(error) => Start::Failed(error.to_string()),
        }
    }
}

/// The first of so many free ports beside each other, which no other call in this process was given.
///
/// They lie below those that the system gives to outgoing connections: a client that tries to reach a server that is down
/// would be given the server's own port now and then, and so be connected to itself.
fn free_ports(count: u16) -> u16 {
    const FIRST: u32 = 12_000;
    const SPAN: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let taken = TAKEN.fetch_add(count.into(), Ordering::Relaxed);
        let offset = std::process::id().wrapping_mul(101).wrapping_add(taken) % SPAN;
        let first = u16::try_from(FIRST + offset).expect("it is below 32 thousand and a bit");
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + count).all(free) {
            return first;
        }
    }
}

/// Where a server keeps what was fetched or built for it.
fn cache(folder: &str) -> PathBuf {
    let caches = env::var_os("PROJECTOR_SERVICES_CACHE").map(PathBuf::from);
    caches.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("services")).join(folder)
}
