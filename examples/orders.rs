//! A `.proj` file inside a program of your own: compiled, folded to the end of a log, and read without a server.
//!
//! ```text
//! cargo run --example orders
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use projector::language;
use projector::plan::{Plan, lower};
use projector::runtime::{Engine, EngineOptions, ProjectionSpec};
use projector::sinks::DocumentSink;
use projector::sinks::cache::Cache;
use projector::sources::log::LogSource;
use projector::state::MemoryStore;

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let plan = Arc::new(compile(&here.join("orders.proj"))?);
    let log = LogSource::new("events", here.join("events"), vec!["shop.orders".into()]);
    let cache = Arc::new(Cache::new(Arc::clone(&plan), 0));

    let tokio = tokio::runtime::Runtime::new()?;
    let spec = ProjectionSpec {
        plan,
        source: Box::new(log),
        sinks: vec![Arc::clone(&cache) as Arc<dyn DocumentSink>],
        locate: Arc::new(|_| None),
    };
    let engine = Engine::start(options(), vec![spec], tokio.handle().clone())?;
    let exit = tokio.block_on(engine.wait());
    println!("{:?}", exit.projections);

    let page = tokio.block_on(async { cache.list("", None, 100).await })?;
    for (customer, document) in page.documents {
        println!("{customer}  {}", String::from_utf8_lossy(&document.body));
    }
    Ok(())
}

/// Reads a file and what it imports; every mistake in it is an error here.
fn compile(file: &Path) -> Result<Plan, Box<dyn Error>> {
    let loaded = language::files::load(&[file.to_owned()], &|path: &Path| std::fs::read(path))?;
    match language::check(&loaded.files, &loaded.imports) {
        (Some(mut program), _) => Ok(lower(program.projections.remove(0))),
        (None, diagnostics) => Err(format!("{diagnostics:?}").into()),
    }
}

/// State in memory: it is folded anew each time. A `DiskStore` in its place keeps rows and offsets over restarts.
fn options() -> EngineOptions {
    EngineOptions {
        store: Arc::new(MemoryStore::new()),
        checkpoint_interval: Duration::from_millis(200),
        memory_max_bytes: 64 << 20,
        fold_threads: 2,
        until_caught_up: true,
        accept_loss: false,
        shutdown_timeout: Duration::from_secs(10),
        start_timeout: Duration::from_secs(10),
    }
}
