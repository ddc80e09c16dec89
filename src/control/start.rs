//! Bindings → open sources and sinks: what an engine is given to run.
//!
//! Sources are made here and reached by the engine, which waits for them up to `start_timeout`; embedded stores are opened
//! here, one for each directory, however many sinks name it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::control::binding::{Binding, BindingError, bind, log_topics};
use crate::control::config::{Config, Connection, ElasticsearchConnection, KafkaConnection, RedisConnection, Secret};
use crate::event::ProjectionName;
use crate::plan::Plan;
use crate::runtime::{Locate, ProjectionSpec};
use crate::sinks::DocumentSink;
use crate::sinks::cache::Cache;
use crate::sinks::cosmos::CosmosSink;
use crate::sinks::elasticsearch::{Access, ElasticsearchOptions, ElasticsearchSink};
use crate::sinks::embedded::EmbeddedStore;
use crate::sinks::postgres::PostgresSink;
use crate::sinks::redis::{RedisOptions, RedisSink};
use crate::sources::Source;
use crate::sources::kafka::{KafkaOptions, KafkaSource};
use crate::sources::log::LogSource;
use crate::sources::memory::{Interleaving, MemoryLog};
use crate::state::StoreError;

/// A plan with what it is bound to.
pub(super) struct BoundPlan {
    pub plan: Arc<Plan>,
    pub binding: Binding,
}

/// Binds every plan; the first that cannot be bound is the error.
pub(super) fn bind_all(config: &Config, plans: Vec<Plan>) -> Result<Vec<BoundPlan>, BindingError> {
    let bound = |plan: Plan| {
        let binding = bind(config, &plan.projection)?;
        Ok(BoundPlan { plan: Arc::new(plan), binding })
    };
    plans.into_iter().map(bound).collect()
}

/// Opens what plans are bound to.
pub(super) struct Opener<'c> {
    config: &'c Config,
    documents: HashMap<PathBuf, EmbeddedStore>,
}

impl<'c> Opener<'c> {
    pub fn new(config: &'c Config) -> Opener<'c> {
        Opener { config, documents: HashMap::new() }
    }

    /// `locate` tells where a place in the `.proj` files is.
    pub fn open(&mut self, bound: &BoundPlan, locate: Locate) -> Result<ProjectionSpec, StoreError> {
        let BoundPlan { plan, binding } = bound;
        let sinks = binding.sinks.iter().enumerate().map(|(index, connection)| self.sink(plan, index, connection));
        let sinks = sinks.collect::<Result<_, _>>()?;
        let source = source(binding, log_topics(&plan.projection));
        Ok(ProjectionSpec { plan: plan.clone(), source, sinks, locate })
    }

    fn sink(
        &mut self,
        plan: &Arc<Plan>,
        index: usize,
        connection: &Connection,
    ) -> Result<Arc<dyn DocumentSink>, StoreError> {
        match connection {
            Connection::Cache => Ok(Arc::new(Cache::new(plan.clone(), index))),
            Connection::Embedded { path } => {
                let name = &plan.projection.sinks[index].name;
                let store = self.documents(self.config.documents_dir(path.as_deref()))?;
                Ok(Arc::new(store.sink(&ProjectionName(plan.projection.name.clone()), name)?))
            }
            Connection::Elasticsearch(cluster) => {
                Ok(Arc::new(ElasticsearchSink::new(plan.clone(), index, elasticsearch_options(cluster))))
            }
            Connection::Redis(server) => Ok(Arc::new(RedisSink::new(plan.clone(), index, redis_options(server)))),
            Connection::Postgres(server) => {
                let sink = PostgresSink::new(plan, index, server.clone());
                Ok(Arc::new(sink.expect("binding has checked its options")))
            }
            Connection::Cosmos(account) => {
                let sink = CosmosSink::new(plan.clone(), index, account.clone());
                Ok(Arc::new(sink.expect("binding has checked its options")))
            }
            other => unreachable!("binding lets no `{}` through as a sink", other.kind()),
        }
    }

    fn documents(&mut self, path: PathBuf) -> Result<&EmbeddedStore, StoreError> {
        if !self.documents.contains_key(&path) {
            let store = EmbeddedStore::open(&path)?;
            self.documents.insert(path.clone(), store);
        }
        Ok(&self.documents[&path])
    }
}

fn source(binding: &Binding, topics: Vec<Arc<str>>) -> Box<dyn Source> {
    let name = binding.source_name.clone();
    match &binding.source {
        Connection::Log { path } => Box::new(LogSource::new(name, path, topics)),
        Connection::Kafka(kafka) => Box::new(KafkaSource::new(kafka_options(name, kafka), topics)),
        // Empty, and nobody can reach it to write: it stands for a source that has nothing yet.
        Connection::Memory => {
            let log = MemoryLog::new();
            topics.iter().for_each(|topic| log.create_topic(topic, 1));
            Box::new(log.source(&topics, Interleaving::Appended))
        }
        other => unreachable!("binding lets no `{}` through as a source", other.kind()),
    }
}

/// What a Kafka client is given.
pub(crate) fn kafka_options(name: String, kafka: &KafkaConnection) -> KafkaOptions {
    let KafkaConnection { brokers, group, options } = kafka.clone();
    let options = options.into_iter().map(|(name, value)| (name, value.reveal().to_owned())).collect();
    KafkaOptions { name, brokers, group, options }
}

fn elasticsearch_options(cluster: &ElasticsearchConnection) -> ElasticsearchOptions {
    let ElasticsearchConnection { url, api_key, password, ca, client_certificate, compress } = cluster.clone();
    let access = match (api_key, password) {
        (Some(key), _) => Access::ApiKey(key.reveal().to_owned()),
        (None, Some((username, password))) => Access::Password { username, password: password.reveal().to_owned() },
        (None, None) => Access::Open,
    };
    ElasticsearchOptions { url, access, ca, client_certificate, compress }
}

/// What a Redis sink is given.
fn redis_options(server: &RedisConnection) -> RedisOptions {
    let RedisConnection { url, username, password, cluster, ca, client_certificate } = server.clone();
    let reveal = |secret: Secret| secret.reveal().to_owned();
    RedisOptions { url: reveal(url), username, password: password.map(reveal), cluster, ca, client: client_certificate }
}
