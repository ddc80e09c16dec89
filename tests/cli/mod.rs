//! The binary, run as a user runs it: what it prints, what it answers, and the code it ends with.

mod backup;
mod binding;
mod changes;
mod configuration;
mod files;
mod live;
mod log_dangers;
mod lost;
mod run;
mod stopped;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Binds what [`TOTALS`] names; a test that needs to know the port gives it.
pub const CONFIG: &str = r#"
[connections.events]
kind = "log"
path = "events"
[connections.cosmos]
kind = "embedded"
[http]
listen = "127.0.0.1:${PORT:-0}"
[run]
start_timeout = "1s"
"#;

/// A projection that sums.
pub const TOTALS: &str = r#"
topic transactions = "transactions"

projection totals {
  from transactions
  key .account
  state {
    total: decimal = sum(.amount)
    count          = count()
  }
  into cosmos { container: "Totals" }
  into cache
}
"#;

/// Three events of two accounts.
pub const EVENTS: &str = concat!(
    r#"{"key":"a1","value":{"account":"a1","amount":10.5}}"#,
    "\n",
    r#"{"key":"a2","value":{"account":"a2","amount":1}}"#,
    "\n",
    r#"{"key":"a1","value":{"account":"a1","amount":2.25}}"#,
    "\n"
);

/// A folder with a configuration, and the binary run in it.
pub struct Project {
    folder: TempDir,
}

impl Project {
    pub fn new(files: &[(&str, &str)]) -> Project {
        let project = Project { folder: TempDir::new().expect("a temporary folder") };
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// The command, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_projector"));
        command.args(arguments).current_dir(self.folder.path());
        for variable in ["PROJECTOR_PROFILE", "PROJECTOR_LOG", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().expect("the binary starts"), self.folder.path())
    }
}

/// What a command printed and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Answer {
    fn of(output: Output, folder: &Path) -> Answer {
        // The folder has another name each time.
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").replace(&*folder.to_string_lossy(), "<folder>");
        Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// It failed with this code and exactly this line on stderr.
    #[track_caller]
    pub fn assert_fails(&self, code: i32, line: &str) {
        assert_eq!((self.code, self.err.as_str(), self.out.as_str()), (Some(code), format!("{line}\n").as_str(), ""));
    }
}

/// A process that serves, until it is stopped or dropped.
pub struct Running {
    child: Child,
    address: String,
}

impl Running {
    /// Starts it and waits until it says where it serves.
    pub fn start(project: &Project, arguments: &[&str]) -> Running {
        let mut child = project.command(arguments).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut seen = String::new();
        let address = loop {
            let Some(line) = lines.next() else { panic!("it ended before it served:\n{seen}") };
            let line = line.expect("UTF-8");
            if let Some(address) = line.strip_prefix("serving http://") {
                break address.to_owned();
            }
            seen.push_str(&line);
            seen.push('\n');
        };
        // The rest is shown when a test fails.
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("engine: {line}")));
        Running { child, address }
    }

    /// Status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut response = agent.get(format!("http://{}{path}", self.address)).call().expect("it answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("UTF-8"))
    }

    /// The answer to a request as it comes, line by line.
    pub fn lines(&self, path: &str, headers: &[(&str, &str)]) -> impl Iterator<Item = String> + use<> {
        let mut request = ureq::get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.call().expect("it answers");
        BufReader::new(answer.into_body().into_reader()).lines().map_while(Result::ok)
    }

    /// Asks until the answer is as wanted.
    #[track_caller]
    pub fn until(&self, path: &str, mut wanted: impl FnMut(u16, &str) -> bool) {
        let late = Instant::now() + Duration::from_secs(60);
        loop {
            let (code, body) = self.get(path);
            if wanted(code, &body) {
                return;
            }
            assert!(Instant::now() < late, "{path} still answers {code} {body}");
            thread::yield_now();
        }
    }

    /// Another command, that finds this engine by its port.
    pub fn ask(&self, project: &Project, arguments: &[&str]) -> Answer {
        let port = self.address.rsplit_once(':').expect("a port").1;
        let output = project.command(arguments).env("PORT", port).output().expect("the binary starts");
        Answer::of(output, project.folder.path())
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn end(mut self) -> Option<i32> {
        let late = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            assert!(Instant::now() < late, "it still runs");
            thread::yield_now();
        }
    }

    /// Sends a signal and waits for the end.
    pub fn stop(mut self, signal: &str) -> Option<i32> {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
