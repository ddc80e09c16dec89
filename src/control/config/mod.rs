//! `projector.toml` → [`Config`]: the names that `.proj` files use, bound to real systems.
//!
//! The text becomes a tree with a line on every node (`tree`), the chosen profile is laid over it, and each section is then
//! taken apart key by key (`section`): what nobody took is an unknown key, and every error has a file and a line. Nothing
//! here connects to anything.

mod connection;
mod error;
mod expand;
mod search;
mod secret;
mod section;
#[cfg(test)]
mod tests;
mod tree;
mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use connection::{Connection, ElasticsearchConnection, KafkaConnection, RedisConnection};
pub use error::ConfigError;
pub use secret::Secret;
pub(crate) use units::duration;

use section::Section;

/// What `projector.toml` says, with the profile applied and the defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    pub file: PathBuf,
    pub connections: BTreeMap<String, Connection>,
    /// The connection of topics that name none.
    pub topics_default: Option<String>,
    pub state: StateConfig,
    pub run: RunConfig,
    pub http: HttpConfig,
}

/// `[state]`: rows and checkpoints.
#[derive(Debug, Clone)]
pub struct StateConfig {
    pub dir: PathBuf,
    pub memory_max_bytes: u64,
    pub checkpoint_interval: Duration,
}

/// `[run]`: how long a start and a stop may take.
#[derive(Debug, Clone)]
pub struct RunConfig {
    pub start_timeout: Duration,
    pub shutdown_timeout: Duration,
}

/// `[http]`: where the engine is spoken to.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// What a request must carry as `Authorization: Bearer …`. INVARIANT: there is one when `listen` is not a loopback address.
    pub token: Option<Secret>,
}

/// Which configuration is meant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// `--config`.
    pub file: Option<&'a Path>,
    /// `--profile`; without it the variable `PROJECTOR_PROFILE` is asked.
    pub profile: Option<&'a str>,
    /// The paths of the command: the file is searched above them too.
    pub paths: &'a [PathBuf],
}

/// The variables of the process, or those of a test.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Finds, reads and checks the configuration.
    pub fn load(wanted: Wanted<'_>) -> Result<Config, ConfigError> {
        let file = search::find(wanted.file, wanted.paths)?;
        let text =
            std::fs::read_to_string(&file).map_err(|source| ConfigError::Unreadable { file: file.clone(), source })?;
        let environment = |name: &str| std::env::var(name).ok();
        let profile = wanted.profile.map(str::to_owned).or_else(|| environment("PROJECTOR_PROFILE"));
        Config::read(&file, &text, profile.as_deref().filter(|name| !name.is_empty()), &environment)
    }

    /// Where an embedded document store lies, given the `path` of its connection.
    pub fn documents_dir(&self, path: Option<&Path>) -> PathBuf {
        path.map_or_else(|| self.state.dir.join("documents"), Path::to_owned)
    }

    fn read(file: &Path, text: &str, profile: Option<&str>, env: Environment<'_>) -> Result<Config, ConfigError> {
        let mut root = tree::parse(file, text)?;
        tree::apply_profile(file, &mut root, profile)?;
        let mut root = Section::root(file, root, env);
        let mut connections = BTreeMap::new();
        if let Some(mut all) = root.section("connections")? {
            for name in all.keys() {
                let section = all.section(&name)?.expect("the key was just listed");
                connections.insert(name, connection::read(section)?);
            }
        }
        let config = Config {
            file: file.to_owned(),
            connections,
            topics_default: read_topics(&mut root)?,
            state: read_state(&mut root)?,
            run: read_run(&mut root)?,
            http: read_http(&mut root)?,
        };
        // Taken out above, and still a name that a near one may mean.
        root.section("profiles")?;
        root.finish()?;
        Ok(config)
    }
}

fn read_topics(root: &mut Section<'_>) -> Result<Option<String>, ConfigError> {
    let Some(mut topics) = root.section("topics")? else { return Ok(None) };
    let default = topics.text("default")?;
    topics.finish()?;
    Ok(default)
}

fn read_state(root: &mut Section<'_>) -> Result<StateConfig, ConfigError> {
    let mut state = root.section_or_empty("state")?;
    let config = StateConfig {
        dir: state.path("dir")?.unwrap_or_else(|| state.relative(".projector")),
        memory_max_bytes: state.bytes("memory_max")?.unwrap_or(1 << 30),
        checkpoint_interval: state.duration("checkpoint_interval")?.unwrap_or(Duration::from_millis(200)),
    };
    state.finish()?;
    Ok(config)
}

fn read_run(root: &mut Section<'_>) -> Result<RunConfig, ConfigError> {
    let mut run = root.section_or_empty("run")?;
    let config = RunConfig {
        start_timeout: run.duration("start_timeout")?.unwrap_or(Duration::from_secs(30)),
        shutdown_timeout: run.duration("shutdown_timeout")?.unwrap_or(Duration::from_secs(10)),
    };
    run.finish()?;
    Ok(config)
}

fn read_http(root: &mut Section<'_>) -> Result<HttpConfig, ConfigError> {
    let mut http = root.section_or_empty("http")?;
    let listen = http.address("listen")?.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7070)));
    let token = http.secret("token")?;
    if !listen.ip().is_loopback() && token.is_none() {
        return Err(http.wrong_key(
            "listen",
            format!("{listen} is open to other machines: add `token = \"${{…}}\"` to [http], or listen on 127.0.0.1"),
        ));
    }
    http.finish()?;
    Ok(HttpConfig { listen, token })
}
