//! `projector run`: plans and a configuration → a running engine, until it has caught up, nothing runs any more, or a
//! signal comes.
//!
//! The order of a start is chosen so that what is wrong is said before anything is touched: bindings, then the state
//! directory (its lock tells of another engine), then the address, then the engine. The end has one order too: the engine
//! checkpoints and flushes, the server finishes its answers, the directories are closed.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::control::binding::BindingError;
use crate::control::config::Config;
use crate::control::progress::{Progress, grouped};
use crate::control::screen::Screen;
use crate::control::signals::{Signal, Signals};
use crate::control::start::{BoundPlan, Opener, bind_all};
use crate::event::ProjectionName;
use crate::plan::Plan;
use crate::runtime::progress::ProjectionStatus;
use crate::runtime::{Engine, EngineError, EngineExit, EngineOptions, Locate};
use crate::serve::backup::Backups;
use crate::serve::{Served, ServedProjection, serve};
use crate::state::{Counters, DiskStore, DiskStoreOptions, Snapshot, Store, StoreError};

/// Of `memory_max`, this part is the store's block cache: the engine leaves it room.
const STORE_CACHE_SHARE: u64 = 8;
/// How often a terminal is drawn, and how often a line is written elsewhere.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
const LINES_INTERVAL: Duration = Duration::from_secs(5);
/// How many rows are counted for the summary.
const ROWS_COUNTED_MAX: u64 = 500_000;
/// How long answers under way may take once the engine has stopped.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);

/// What is run, and how.
pub struct RunRequest<'c> {
    pub plans: Vec<Plan>,
    /// Where a place in the `.proj` files is.
    pub locate: Locate,
    pub config: &'c Config,
    pub until_caught_up: bool,
    /// Go on where the log no longer holds what was not folded yet.
    pub accept_loss: bool,
}

/// How a run ended.
#[derive(Debug)]
pub struct RunEnd {
    /// How each projection ended.
    pub exit: EngineExit,
    /// The signal that asked for it.
    pub signal: Option<Signal>,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address} ([http] `listen`)")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the process cannot start its threads")]
    Threads(#[source] io::Error),
}

/// Runs until there is a reason to end.
pub fn run(request: RunRequest<'_>) -> Result<RunEnd, RunError> {
    let RunRequest { plans, locate, config, until_caught_up, accept_loss } = request;
    let bound = bind_all(config, plans)?;
    let cache_bytes = config.state.memory_max_bytes / STORE_CACHE_SHARE;
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(&config.state.dir, DiskStoreOptions { cache_bytes })?);
    let mut opener = Opener::new(config);
    let specs: Vec<_> =
        bound.iter().map(|bound| opener.open(bound, locate.clone())).collect::<Result<_, StoreError>>()?;

    let runtime = Runtime::new().map_err(RunError::Threads)?;
    let (signals, listener) = runtime.block_on(async {
        let signals = Signals::listen().map_err(RunError::Threads)?;
        let address = config.http.listen;
        let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
        Ok::<_, RunError>((signals, listener))
    })?;
    announce(&bound, &listener);

    let before = bound.iter().map(|bound| counters(&*store.snapshot(), bound)).collect::<Result<_, StoreError>>()?;
    let sinks: Vec<_> = specs.iter().map(|spec| spec.sinks.clone()).collect();
    let engine = Arc::new(Engine::start(
        EngineOptions { until_caught_up, accept_loss, ..options(config, &store) },
        specs,
        runtime.handle().clone(),
    )?);
    let statuses: Vec<_> = bound.iter().map(|bound| status(&engine, bound)).collect();
    let projections = bound.iter().zip(&statuses).zip(sinks).map(|((bound, status), sinks)| ServedProjection {
        plan: bound.plan.clone(),
        status: status.clone(),
        sinks,
    });
    let token = config.http.token.as_ref().map(|token| blake3::hash(token.reveal().as_bytes()));
    let served = Arc::new(Served {
        projections: projections.collect(),
        store: store.clone(),
        backups: Backups::default(),
        engine: Arc::downgrade(&engine),
        token,
    });
    let (stop_serving, stopped) = oneshot::channel::<()>();
    let server = runtime.spawn(serve(listener, served, async {
        let _ = stopped.await; // a sender that is gone says the same
    }));

    let watching = Watch { engine: &engine, statuses, progress: Progress::new(before), started: Instant::now() };
    let end = runtime.block_on(watching.until_the_end(signals, &*store));
    drop(stop_serving);
    // Who is still reading then is cut off.
    let _ = runtime.block_on(async { tokio::time::timeout(ANSWERS_TIMEOUT, server).await });
    drop(engine);
    Ok(end)
}

fn options(config: &Config, store: &Arc<dyn Store>) -> EngineOptions {
    EngineOptions {
        accept_loss: false,
        store: store.clone(),
        checkpoint_interval: config.state.checkpoint_interval,
        memory_max_bytes: config.state.memory_max_bytes,
        fold_threads: std::thread::available_parallelism().map_or(1, usize::from),
        until_caught_up: false,
        shutdown_timeout: config.run.shutdown_timeout,
        start_timeout: config.run.start_timeout,
    }
}

fn status(engine: &Engine, bound: &BoundPlan) -> watch::Receiver<Arc<ProjectionStatus>> {
    engine.status(&bound.plan.projection.name).expect("the engine was given this projection")
}

fn counters(snapshot: &dyn Snapshot, bound: &BoundPlan) -> Result<Counters, StoreError> {
    let state = snapshot.projection(&ProjectionName(bound.plan.projection.name.clone()))?;
    Ok(state.map(|state| state.counters).unwrap_or_default())
}

/// Says what reads and writes what, and where it is served.
fn announce(bound: &[BoundPlan], listener: &TcpListener) {
    for BoundPlan { plan, binding } in bound {
        let sinks = plan.projection.sinks.iter().zip(&binding.sinks);
        let sinks: Vec<_> = sinks.map(|(sink, to)| format!("{} ({})", sink.name, to.kind())).collect();
        let source = format!("{} ({})", binding.source_name, binding.source.kind());
        eprintln!("{}: {source} -> {}", plan.projection.name, sinks.join(", "));
    }
    if let Ok(address) = listener.local_addr() {
        eprintln!("serving http://{address}");
    }
}

/// Who looks on while the engine runs.
struct Watch<'e> {
    engine: &'e Engine,
    statuses: Vec<watch::Receiver<Arc<ProjectionStatus>>>,
    progress: Progress,
    started: Instant,
}

impl Watch<'_> {
    async fn until_the_end(mut self, mut signals: Signals, store: &dyn Store) -> RunEnd {
        let mut screen = Screen::new(io::stderr().is_terminal());
        let mut ticks = interval(if screen.is_terminal() { TERMINAL_INTERVAL } else { LINES_INTERVAL });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await; // the first comes at once, when there is nothing to tell
        let engine = self.engine;
        let mut ended = std::pin::pin!(engine.wait());
        let mut signal = None;
        let exit = loop {
            tokio::select! {
                exit = &mut ended => break exit,
                now = signals.next() => match signal {
                    None => {
                        signal = Some(now);
                        screen.line("stopping: saving what was folded; a second signal leaves at once");
                        engine.stop();
                    }
                    // What is not saved now is read and folded again at the next start.
                    Some(_) => std::process::exit(i32::from(now.exit_code())),
                },
                _ = ticks.tick() => {
                    let statuses = self.now();
                    if let Some(line) = self.progress.changed_line(&statuses, self.started.elapsed()) {
                        screen.update(&line);
                    }
                }
            }
        };
        let statuses = self.now();
        let rows: Vec<_> = statuses.iter().map(|status| rows(&*store.snapshot(), status)).collect();
        screen.clear();
        eprint!("{}", self.progress.summary(&statuses, &rows, self.started.elapsed()));
        RunEnd { exit, signal }
    }

    fn now(&self) -> Vec<Arc<ProjectionStatus>> {
        self.statuses.iter().map(|status| status.borrow().clone()).collect()
    }
}

/// How many rows a projection has; counting stops where it would take long.
fn rows(snapshot: &dyn Snapshot, status: &ProjectionStatus) -> String {
    let Ok(Some(state)) = snapshot.projection(&ProjectionName(status.name.clone())) else { return "0".into() };
    let mut count = 0;
    let walked = snapshot.rows(state.generation, "", None, &mut |_, row| {
        count += u64::from(row.row.is_some());
        if count < ROWS_COUNTED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    match walked {
        Ok(()) if count < ROWS_COUNTED_MAX => grouped(count),
        Ok(()) => format!("at least {}", grouped(count)),
        Err(_) => "?".into(),
    }
}
