//! `GET /metrics`: the statuses in Prometheus' text format.

use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::event::{EventTime, ProjectionName};
use crate::runtime::progress::{ProjectionStatus, RunState};
use crate::serve::Served;
use crate::serve::report::age_s;
use crate::sinks::meter::Metered;

pub(super) async fn all(State(served): State<Arc<Served>>) -> impl IntoResponse {
    let statuses: Vec<_> = served.projections.iter().map(|projection| projection.status.borrow().clone()).collect();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text(&statuses, &backups(&served), SystemTime::now()))
}

/// When the last backup of each projection was made; one that the store cannot tell is left out.
fn backups(served: &Served) -> Vec<(Arc<str>, EventTime)> {
    let snapshot = served.store.snapshot();
    let made_at = |name: &Arc<str>| snapshot.last_backup(&ProjectionName(name.clone())).ok()?.map(|mark| mark.made_at);
    let names = served.projections.iter().map(|projection| projection.name().clone());
    names.filter_map(|name| made_at(&name).map(|at| (name, at))).collect()
}

fn text(statuses: &[Arc<ProjectionStatus>], backups: &[(Arc<str>, EventTime)], now: SystemTime) -> String {
    let mut page = Page::default();
    page.family("projector_build_info", "gauge", "The release that runs.");
    page.sample("projector_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    projections(&mut page, statuses, now);
    page.family("projector_backup_age_seconds", "gauge", "How long ago the last backup was made.");
    for (name, made_at) in backups {
        page.sample("projector_backup_age_seconds", &[("projection", name)], age_s(*made_at, now));
    }
    partitions(&mut page, statuses);
    sinks(&mut page, statuses);
    page.text
}

fn projections(page: &mut Page, statuses: &[Arc<ProjectionStatus>], now: SystemTime) {
    page.family("projector_running", "gauge", "1 while the projection runs.");
    for status in statuses {
        let running = u64::from(status.run_state == RunState::Running);
        page.sample("projector_running", &[("projection", &status.name)], running);
    }
    page.family("projector_events_total", "counter", "Events by what became of them, over the life of the state.");
    for status in statuses {
        let counts = status.counters;
        let outcomes = [
            ("folded", counts.folded),
            ("filtered", counts.filtered),
            ("dropped", counts.dropped),
            ("skipped", counts.skipped),
            ("dead_letter", counts.dead_letters),
        ];
        for (outcome, count) in outcomes {
            page.sample("projector_events_total", &[("projection", &status.name), ("outcome", outcome)], count);
        }
    }
    page.family("projector_version", "gauge", "The version of the last synced checkpoint.");
    for status in statuses {
        page.sample("projector_version", &[("projection", &status.name)], status.version.0);
    }
    page.family("projector_checkpoint_age_seconds", "gauge", "How long ago the last checkpoint was synced.");
    for status in statuses {
        if let Some(at) = status.checkpoint_at {
            let age = now.duration_since(at).unwrap_or_default().as_millis() as f64 / 1000.0;
            page.sample("projector_checkpoint_age_seconds", &[("projection", &status.name)], age);
        }
    }
}

fn partitions(page: &mut Page, statuses: &[Arc<ProjectionStatus>]) {
    let all = || statuses.iter().flat_map(|status| status.partitions.iter().map(move |p| (status, p)));
    page.family("projector_lag_events", "gauge", "Events of a partition still to be folded.");
    for (status, partition) in all() {
        if let Some(lag) = partition.lag_events() {
            let number = partition.partition.partition.to_string();
            let place = [("projection", &*status.name), ("topic", &*partition.partition.topic), ("partition", &number)];
            page.sample("projector_lag_events", &place, lag);
        }
    }
    page.family(
        "projector_retention_headroom_events",
        "gauge",
        "Events that retention may take before one not folded.",
    );
    for (status, partition) in all() {
        if let Some(headroom) = partition.retention_headroom_events() {
            let number = partition.partition.partition.to_string();
            let place = [("projection", &*status.name), ("topic", &*partition.partition.topic), ("partition", &number)];
            page.sample("projector_retention_headroom_events", &place, headroom);
        }
    }
    page.family("projector_partition_stopped", "gauge", "1 while a partition is stopped on a fault.");
    for (status, partition) in all() {
        let number = partition.partition.partition.to_string();
        let place = [("projection", &*status.name), ("topic", &*partition.partition.topic), ("partition", &number)];
        page.sample("projector_partition_stopped", &place, u64::from(partition.stopped.is_some()));
    }
}

fn sinks(page: &mut Page, statuses: &[Arc<ProjectionStatus>]) {
    let all = || statuses.iter().flat_map(|status| status.sinks.iter().map(move |sink| (status, sink)));
    page.family("projector_sink_owed", "gauge", "Keys that a sink is still owed.");
    for (status, sink) in all() {
        page.sample("projector_sink_owed", &[("projection", &status.name), ("sink", &sink.name)], sink.owed);
    }
    page.family(
        "projector_sink_owed_seconds",
        "gauge",
        "For how long a sink has been owed something; 0 when it is not.",
    );
    for (status, sink) in all() {
        let owed = sink.owed_since.map_or(0.0, |since| since.elapsed().as_millis() as f64 / 1000.0);
        page.sample("projector_sink_owed_seconds", &[("projection", &status.name), ("sink", &sink.name)], owed);
    }
    meters(page, statuses);
    page.family("projector_sink_settled_version", "gauge", "Everything up to this version has been answered.");
    for (status, sink) in all() {
        let place = [("projection", &*status.name), ("sink", &*sink.name)];
        page.sample("projector_sink_settled_version", &place, sink.settled.0);
    }
    page.family("projector_sink_stopped", "gauge", "1 while a sink is stopped.");
    for (status, sink) in all() {
        let place = [("projection", &*status.name), ("sink", &*sink.name)];
        page.sample("projector_sink_stopped", &place, u64::from(sink.stopped));
    }
}

/// A counter's name, what it counts, and where it stands.
type Family = (&'static str, &'static str, fn(Metered) -> f64);

/// What sinks did that count it.
fn meters(page: &mut Page, statuses: &[Arc<ProjectionStatus>]) {
    let families: [Family; 5] = [
        ("projector_sink_requests_total", "Requests that write, tries that were refused included.", |m| {
            m.requests as f64
        }),
        ("projector_sink_documents_total", "Documents that were written or deleted.", |m| m.documents as f64),
        ("projector_sink_bytes_total", "Bytes of documents that were sent.", |m| m.bytes as f64),
        ("projector_sink_throttled_total", "Items that the target was too busy for.", |m| m.throttled as f64),
        ("projector_sink_charge_total", "What the target charged, in its unit.", |m| m.charge_milli as f64 / 1000.0),
    ];
    for (name, help, read) in families {
        page.family(name, "counter", help);
        for (status, sink) in statuses.iter().flat_map(|status| status.sinks.iter().map(move |sink| (status, sink))) {
            if let Some(metered) = sink.metered {
                page.sample(name, &[("projection", &status.name), ("sink", &sink.name)], read(metered));
            }
        }
    }
}

/// A page in the making.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes all that is written");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        writeln!(self.text, "{name}{{{}}} {value}", labels.join(",")).expect("a string takes all that is written");
    }
}
