//! A directory → a disk that fails: `faults.c`, compiled once and loaded into the processes of a site.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::power;
use crate::recovery::random::Random;
use crate::site::Site;

/// The disk below one directory, as long as a site is told of it.
pub struct Disk {
    below: PathBuf,
    /// Where a running process writes what a power cut would take back.
    log: PathBuf,
}

impl Disk {
    /// The disk that holds the state of a site; its books lie in the site's folder.
    pub fn of(site: &Site) -> Disk {
        let dir = site.dir().canonicalize().expect("the site has a folder");
        let log = dir.join("unsynced");
        fs::create_dir_all(&log).expect("a folder for what is not synced");
        Disk { below: dir.join("state"), log }
    }

    pub fn state(&self) -> &Path {
        &self.below
    }

    /// Lets runs of the site have these faults, as `faults.c` names them.
    pub fn fail(&self, site: &mut Site, faults: &str) {
        let environment = self.environment();
        site.environment().extend(environment);
        site.environment().insert("FAULTS".into(), faults.into());
    }

    /// Remembers what runs of the site have not synced, so that a power cut can take it back.
    pub fn watch(&self, site: &mut Site) {
        let environment = self.environment();
        site.environment().extend(environment);
        site.environment().insert("FAULTS_LOG".into(), text(&self.log));
    }

    /// From now on runs of the site have a disk without faults.
    pub fn mend(&self, site: &mut Site) {
        site.environment().clear();
    }

    /// Takes back some of what the last run had not synced, as a power cut does; says how much there was.
    pub fn cut_power(&self, random: &mut Random) -> power::Lost {
        let lost = power::cut(&self.below, &self.log, random);
        fs::remove_dir_all(&self.log).expect("the books are ours");
        fs::create_dir_all(&self.log).expect("a folder for what is not synced");
        lost
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let below = text(&self.below);
        [("LD_PRELOAD".into(), text(library())), ("FAULTS_BELOW".into(), below)].into()
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of plain text").to_owned()
}

/// Where the compiled library lies.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disk/faults.c");
        let name = format!("faults-{}", std::process::id());
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("so");
        let mut compiler = Command::new("cc");
        let output = compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&target).arg(source);
        let output = output.args(["-ldl", "-lpthread"]).output().expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        target
    })
}
