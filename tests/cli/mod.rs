//! The binary, run as a user runs it: what it prints, what it answers, and the code it ends with.

mod configuration;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

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
