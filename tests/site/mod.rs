//! A place where the real binary runs: its configuration, its state, its processes, and the documents it shows.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

/// Key text → document text without `_proj`, of one sink.
pub type Documents = BTreeMap<String, String>;

/// What sinks hold: (projection, sink) → documents.
pub type World = BTreeMap<(&'static str, &'static str), Documents>;

/// How long anything may take before a test gives up. Generous: a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub struct Site {
    dir: PathBuf,
    /// What it runs.
    projections: PathBuf,
    port: u16,
    /// Given to `run` and `catch_up`, and to no other command.
    environment: BTreeMap<String, String>,
}

/// A running `projector run`; killed when dropped.
pub struct Running {
    child: Child,
}

impl Site {
    /// Sets up `dir` for a file or folder of projections, over the source that the lines under `[connections.events]` name.
    pub fn new(dir: &Path, projections: &Path, source: &str) -> Site {
        fs::create_dir_all(dir).expect("a site folder");
        let port = free_port();
        let config = format!(
            "[connections.events]\n{source}\n\
             [connections.cosmos]\nkind = \"embedded\"\n\
             [connections.elasticsearch]\nkind = \"embedded\"\n\
             [connections.postgres]\nkind = \"embedded\"\n\
             [connections.cache]\nkind = \"cache\"\n\
             [state]\ndir = \"state\"\ncheckpoint_interval = \"20ms\"\n\
             [http]\nlisten = \"127.0.0.1:{port}\"\n"
        );
        fs::write(dir.join("projector.toml"), config).expect("a configuration");
        Site { dir: dir.to_owned(), projections: projections.to_owned(), port, environment: BTreeMap::new() }
    }

    /// Binds a connection to something else than it was made with.
    pub fn bind(&mut self, name: &str, lines: &str) {
        let file = self.dir.join("projector.toml");
        let text = fs::read_to_string(&file).expect("it was written");
        let (head, section) = (format!("[connections.{name}]\n"), format!("[connections.{name}]\n{lines}\n"));
        let bound = match text.split_once(&head) {
            Some((before, after)) => {
                let rest = after.find("\n[").map_or("", |at| &after[at + 1..]);
                format!("{before}{section}{rest}")
            }
            None => format!("{text}{section}"),
        };
        fs::write(&file, bound).expect("a configuration");
    }

    /// Where it answers over HTTP.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where its configuration and, unless it says otherwise, its state lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What runs find in their environment beside what there is.
    pub fn environment(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.environment
    }

    /// `projector run`, which goes on until it is stopped.
    pub fn run(&self) -> Running {
        let mut command = self.command(&["run", "--no-watch"]);
        let child = command.envs(&self.environment).arg(&self.projections).spawn().expect("the binary starts");
        Running { child }
    }

    /// `projector run --until-caught-up`, to its end, which must be good.
    pub fn catch_up(&self) {
        let (status, said) = self.try_to_catch_up();
        assert!(status.success(), "projector run --until-caught-up ended with {status}; it said:\n{said}");
    }

    /// `projector run --until-caught-up`, to its end, and what it said on stderr.
    pub fn try_to_catch_up(&self) -> (ExitStatus, String) {
        let mut command = self.command(&["run", "--until-caught-up"]);
        let status = command.envs(&self.environment).arg(&self.projections).status().expect("the binary starts");
        (status, fs::read_to_string(self.dir.join("stderr")).unwrap_or_default())
    }

    /// Runs another command to its end and keeps what it said.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("the binary starts")
    }

    /// What the state directory holds of each projection, while nothing runs.
    pub fn at_rest(&self) -> BTreeMap<String, Progress> {
        let output = self.output(&["status", "--format", "json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let status: Status = serde_json::from_slice(&output.stdout).expect("status speaks JSON");
        status.projections.into_iter().map(|projection| (projection.name.clone(), projection)).collect()
    }

    /// What a running projection says of itself, once it answers.
    pub fn progress(&self, projection: &str) -> Option<Progress> {
        serde_json::from_str(&self.get(&format!("/v1/projections/{projection}"))?).ok()
    }

    /// All documents of all sinks, read over HTTP from a run that is ready.
    pub fn documents(&self, sinks: impl IntoIterator<Item = (&'static str, &'static str)>) -> World {
        let mut running = self.run();
        self.wait_until("ready", &mut running, || self.get("/readyz").is_some());
        sinks.into_iter().map(|(projection, sink)| ((projection, sink), self.listing(projection, sink))).collect()
    }

    /// The answer to a GET, or nothing while there is none with a status of success.
    pub fn get(&self, path: &str) -> Option<String> {
        let answer = ureq::get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        answer.into_body().read_to_string().ok()
    }

    /// Waits for a condition while the process lives.
    pub fn wait_until(&self, what: &str, running: &mut Running, condition: impl Fn() -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !condition() {
            if let Some(status) = running.ended() {
                panic!("the run ended with {status} before it was {what}; {}", self.stderr());
            }
            assert!(Instant::now() < give_up, "not {what} in {PATIENCE:?}; {}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The listing of a sink, page by page.
    fn listing(&self, projection: &str, sink: &str) -> Documents {
        let mut documents = BTreeMap::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/projections/{projection}/documents?sink={sink}&limit=25{after}");
            let text = self.get(&path).unwrap_or_else(|| panic!("GET {path} failed; {}", self.stderr()));
            let page: Page = serde_json::from_str(&text).unwrap_or_else(|e| panic!("GET {path}: {e}: {text}"));
            for listed in page.documents {
                let last = documents.last_key_value().map(|(key, _): (&String, &String)| key.clone());
                assert!(last.is_none_or(|last| last < listed.key), "{path} is not in key order at `{}`", listed.key);
                documents.insert(listed.key, without_proj(listed.document.get()));
            }
            match page.next {
                Some(key) => after = format!("&after={}", percent_encode(&key)),
                None => return documents,
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let stderr = fs::File::create(self.dir.join("stderr")).expect("a file for stderr");
        let mut command = Command::new(env!("CARGO_BIN_EXE_projector"));
        for variable in ["PROJECTOR_PROFILE", "PROJECTOR_LOG", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command
            .args(arguments)
            .arg("--config")
            .arg(self.dir.join("projector.toml"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        command
    }

    /// What the last command said on stderr.
    pub fn stderr(&self) -> String {
        let text = fs::read_to_string(self.dir.join("stderr")).unwrap_or_default();
        format!("it said:\n{text}")
    }
}

impl Running {
    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child to ask")
    }

    /// Sends it a signal by name: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("there is a `kill`").success(), "no signal {name}");
    }

    /// SIGKILL: no signal handler runs, nothing is flushed.
    pub fn kill(mut self) {
        assert!(self.ended().is_none(), "the run had ended by itself");
        self.child.kill().expect("a process of our own");
        self.child.wait().expect("a child to wait for");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Deserialize)]
struct Status {
    projections: Vec<Progress>,
}

/// How far a projection is, for good.
#[derive(Debug, Deserialize)]
pub struct Progress {
    name: String,
    /// How many events were folded, dropped, set aside…: each is counted once in the life of the state.
    pub events: BTreeMap<String, u64>,
    partitions: Vec<PartitionProgress>,
    /// Why it stopped.
    reason: Option<String>,
    #[serde(default)]
    sinks: Vec<SinkProgress>,
}

#[derive(Debug, Deserialize)]
struct PartitionProgress {
    next_offset: u64,
    caught_up: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct SinkProgress {
    owed: Option<u64>,
    filled: bool,
    walks: bool,
    trouble: Option<String>,
}

impl SinkProgress {
    fn is_done(&self) -> bool {
        self.owed == Some(0) && self.filled && !self.walks
    }
}

impl Progress {
    /// What stopped it, or keeps a sink from its documents.
    pub fn trouble(&self) -> Option<&str> {
        let troubles = self.sinks.iter().filter_map(|sink| sink.trouble.as_deref());
        self.reason.as_deref().into_iter().chain(troubles).next()
    }

    /// Whether everything in the log is folded and every sink has it.
    pub fn is_done(&self) -> bool {
        let caught_up = self.partitions.iter().all(|partition| partition.caught_up == Some(true));
        caught_up && !self.partitions.is_empty() && self.sinks.iter().all(SinkProgress::is_done)
    }

    /// Whether everything in the log is folded, and no sink waits for all its rows any more.
    pub fn has_walked(&self) -> bool {
        let caught_up = self.partitions.iter().all(|partition| partition.caught_up == Some(true));
        caught_up && !self.partitions.is_empty() && self.sinks.iter().all(|sink| !sink.walks)
    }

    /// How many records it has passed, as its synced offsets say.
    pub fn passed(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.next_offset).sum()
    }
}

/// Fails with the first document that differs, and says in which sink.
pub fn assert_same(expected: &World, found: &World, what: &str) {
    for (sink, documents) in expected {
        for (key, document) in documents {
            assert_eq!(Some(document), found[sink].get(key), "{what}: {sink:?} `{key}`");
        }
        let extra: Vec<_> = found[sink].keys().filter(|key| !documents.contains_key(*key)).collect();
        assert!(extra.is_empty(), "{what}: {sink:?} has documents that nothing made: {extra:?}");
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    documents: Vec<Listed<'a>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Listed<'a> {
    key: String,
    #[serde(borrow)]
    document: &'a RawValue,
}

/// The document as its bytes, less `_proj`, which must be there.
pub fn without_proj(document: &str) -> String {
    let start = document.rfind(r#""_proj":{"#).unwrap_or_else(|| panic!("no _proj in {document}"));
    let end = start + document[start..].find('}').expect("_proj is an object") + 1;
    let before = document[..start].trim_end_matches(',');
    format!("{before}{}", &document[end..])
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
