//! Calls of scripts ↔ answers: the connection to a server or a cluster, made when it is first needed and again after it broke.
//!
//! Nothing is sent again here, but for one case that is surely undone: a server that does not know a script is given its text.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, Script, Value};
use tokio::sync::Mutex;

use crate::sinks::SinkError;
use crate::sinks::redis::config::{CONNECT_TIMEOUT, RedisOptions, Unconnected};
use crate::sinks::redis::health::Info;
use crate::sinks::redis::retry::Failed;

/// A server's clock is believed when it answered within this time.
const PROMPT: Duration = Duration::from_secs(1);

/// The way to a server or a cluster.
pub(super) struct Link {
    pub options: RedisOptions,
    open: Mutex<Option<Open>>,
    opened: AtomicU64,
}

/// A connection.
#[derive(Clone)]
pub(super) struct Open {
    wire: Wire,
    /// Which of all that were made.
    number: u64,
    clock: Arc<Clock>,
}

#[derive(Clone)]
enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// What the server's clock said, in milliseconds since 1970, and when it was asked.
struct Clock(SyncMutex<(Instant, i64)>);

/// A script, known to servers by the hash of its text.
pub(super) struct Code {
    text: &'static str,
    script: Script,
}

impl Code {
    pub fn new(text: &'static str) -> Code {
        Code { text, script: Script::new(text) }
    }
}

/// A call of a script.
pub(super) struct Call<'s> {
    pub code: &'s Code,
    pub keys: Vec<String>,
    pub arguments: Vec<Argument>,
}

pub(super) enum Argument {
    Text(String),
    Bytes(Arc<[u8]>),
}

impl Call<'_> {
    /// By the name of the script, or with its text.
    fn command(&self, with_text: bool) -> Cmd {
        let mut command = redis::cmd(if with_text { "EVAL" } else { "EVALSHA" });
        command.arg(if with_text { self.code.text } else { self.code.script.get_hash() }).arg(self.keys.len());
        for key in &self.keys {
            command.arg(key);
        }
        for argument in &self.arguments {
            match argument {
                Argument::Text(text) => command.arg(text),
                Argument::Bytes(bytes) => command.arg(&bytes[..]),
            };
        }
        command
    }
}

impl Link {
    pub fn new(options: RedisOptions) -> Link {
        Link { options, open: Mutex::new(None), opened: AtomicU64::new(0) }
    }

    /// The connection, made now if there is none.
    pub async fn open(&self) -> Result<Open, SinkError> {
        let mut open = self.open.lock().await;
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        let away = |why: String| SinkError { reason: format!("Redis at {}: {why}", self.options.address()) };
        let made = match tokio::time::timeout(CONNECT_TIMEOUT * 2, self.connect()).await {
            Ok(made) => made?,
            Err(_) => return Err(away("no connection was made in time".into())),
        };
        let infos = made.infos().await.map_err(|error| away(error.to_string()))?;
        for info in &infos {
            Info(info).check(&self.options.address(), self.options.cluster)?;
        }
        *open = Some(made.clone());
        Ok(made)
    }

    /// Ends a connection, so that the next request makes another.
    pub async fn close(&self, broken: &Open) {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|open| open.number == broken.number) {
            *open = None;
        }
    }

    async fn connect(&self) -> Result<Open, SinkError> {
        let away = |error: RedisError| SinkError { reason: format!("Redis at {}: {error}", self.options.address()) };
        let mut wire = match self.options.client()? {
            Unconnected::Single(client) => {
                // Requests have deadlines of their own.
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(None);
                let connection = client.get_multiplexed_async_connection_with_config(&config).await;
                Wire::Single(connection.map_err(away)?)
            }
            Unconnected::Cluster(client) => Wire::Cluster(client.get_async_connection().await.map_err(away)?),
        };
        let asked = Instant::now();
        let (seconds, micros): (i64, i64) = match &mut wire {
            Wire::Single(connection) => redis::cmd("TIME").query_async(connection).await.map_err(away)?,
            Wire::Cluster(connection) => redis::cmd("TIME").query_async(connection).await.map_err(away)?,
        };
        let clock = Arc::new(Clock(SyncMutex::new((asked, seconds * 1000 + micros / 1000))));
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Open { wire, number, clock })
    }
}

impl Clock {
    fn at(&self, at: Instant) -> i64 {
        let (asked, said) = *self.0.lock().expect("nothing panics while it holds the clock");
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4);
        said + millis(at.saturating_duration_since(asked)) - millis(asked.saturating_duration_since(at))
    }
}

impl Open {
    /// What the server's clock will say then.
    pub fn server_time(&self, at: Instant) -> i64 {
        self.clock.at(at)
    }

    /// Takes in what the server's clock said to a request that was sent then.
    pub fn said(&self, sent: Instant, server_time: i64) {
        if sent.elapsed() <= PROMPT {
            *self.clock.0.lock().expect("nothing panics while it holds the clock") = (sent, server_time);
        }
    }

    /// Runs a command without arguments that are secret.
    pub async fn ask(&self, command: Cmd) -> Result<Value, RedisError> {
        match self.wire.clone() {
            Wire::Single(mut connection) => command.query_async(&mut connection).await,
            Wire::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
    }

    /// What each master says of itself.
    pub async fn infos(&self) -> Result<Vec<String>, RedisError> {
        let command = redis::cmd("INFO");
        match self.wire.clone() {
            Wire::Single(mut connection) => Ok(vec![command.query_async(&mut connection).await?]),
            Wire::Cluster(mut connection) => {
                let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                match connection.route_command(command, masters).await? {
                    Value::Map(answers) => {
                        answers.into_iter().map(|(_, info)| Ok(redis::from_redis_value(info)?)).collect()
                    }
                    one => Ok(vec![redis::from_redis_value(one)?]),
                }
            }
        }
    }

    /// Runs calls at once; an answer or a failure for each.
    pub async fn run(&self, calls: &[Call<'_>]) -> Vec<Result<Value, Failed>> {
        let all: Vec<usize> = (0..calls.len()).collect();
        let mut answers = self.send(calls, &all, false).await;
        let forgotten = |answer: &Result<Value, Failed>| matches!(answer, Err(Failed::NoScript));
        let again: Vec<usize> = all.into_iter().filter(|index| forgotten(&answers[*index])).collect();
        if !again.is_empty() {
            let second = self.send(calls, &again, true).await;
            for (index, answer) in again.into_iter().zip(second) {
                answers[index] = answer;
            }
        }
        answers
    }

    async fn send(&self, calls: &[Call<'_>], which: &[usize], with_text: bool) -> Vec<Result<Value, Failed>> {
        let commands = which.iter().map(|index| calls[*index].command(with_text));
        match self.wire.clone() {
            Wire::Single(mut connection) => {
                let mut pipeline = Pipeline::with_capacity(which.len());
                for command in commands {
                    pipeline.add_command(command);
                }
                match connection.send_packed_commands(&pipeline, 0, which.len()).await {
                    Ok(values) => values.into_iter().map(refused).collect(),
                    Err(error) => vec![Err(Failed::of(&error)); which.len()],
                }
            }
            Wire::Cluster(connection) => {
                let sent = commands.map(|command| {
                    let mut connection = connection.clone();
                    async move { command.query_async::<Value>(&mut connection).await }
                });
                let answers = join_all(sent).await;
                answers.into_iter().map(|answer| answer.map_err(|error| Failed::of(&error)).and_then(refused)).collect()
            }
        }
    }
}

fn refused(value: Value) -> Result<Value, Failed> {
    match value {
        Value::ServerError(error) => Err(Failed::of_server(&error)),
        value => Ok(value),
    }
}
