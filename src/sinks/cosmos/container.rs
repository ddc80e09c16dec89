//! A container that is there and fits, before anything is written to it: found, made or refused.
//!
//! It is made when the process first looks for it, and after that only for who takes a target that holds nothing: a container
//! that vanishes while we own it must be noticed as a loss, not covered by an empty one.

use std::borrow::Cow;

use azure_data_cosmos::clients::{ContainerClient, DatabaseClient};
use azure_data_cosmos::models::{ContainerProperties, PartitionKeyDefinition, ThroughputProperties, TimeToLive};
use azure_data_cosmos::options::CreateContainerOptions;
use azure_data_cosmos::{CosmosClient, CosmosError};

use crate::sinks::cosmos::config::Account;
use crate::sinks::cosmos::partition::Level;
use crate::sinks::cosmos::retry::{Answer, let_in};

/// What a sink needs of its container.
#[derive(Debug)]
pub struct Wanted {
    pub database: String,
    pub container: String,
    pub levels: Vec<Level>,
    pub has_ttl: bool,
    /// Request units a second, for a container we make.
    pub throughput: Option<u64>,
}

impl Wanted {
    /// The container, `None` when there is none and `make` is false.
    pub async fn open(&self, account: &Account, make: bool) -> Result<Option<ContainerClient>, String> {
        let client = account.client().await?;
        let database = client.database_client(self.database.clone());
        if let Some(found) = self.find(&database).await? {
            return Ok(Some(found));
        }
        if !make {
            return Ok(None);
        }
        self.make(&client, &database).await?;
        let made = self.find(&database).await?;
        made.map(Some).ok_or_else(|| format!("{self} was made and cannot be found yet"))
    }

    /// The container as it is, if it fits.
    async fn find(&self, database: &DatabaseClient) -> Result<Option<ContainerClient>, String> {
        let container = match database.container_client(self.container.clone(), None).await {
            Ok(container) => container,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        let read = match container.read(None).await {
            Ok(read) => read,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        self.check(&read.into_model().map_err(|error| self.failed("read", &error))?)?;
        Ok(Some(container))
    }

    fn check(&self, there: &ContainerProperties) -> Result<(), String> {
        let (ours, theirs) = (self.paths(), there.partition_key.paths());
        if ours != theirs {
            return Err(format!(
                "{self} is partitioned by `{}`, and the file wants `{}`: a container keeps its partition key, so name \
                 another container or change `partition_key`",
                theirs.join("`, `"),
                ours.join("`, `")
            ));
        }
        if self.has_ttl && there.default_ttl == TimeToLive::Forever {
            return Err(format!(
                "documents of {self} are to expire by `ttl`, and it has no time to live: turn it on, without a default (-1)"
            ));
        }
        Ok(())
    }

    async fn make(&self, client: &CosmosClient, database: &DatabaseClient) -> Result<(), String> {
        let keys = PartitionKeyDefinition::new(self.paths().into_iter().map(Cow::from).collect());
        let mut properties = ContainerProperties::new(self.container.clone(), keys);
        if self.has_ttl {
            properties = properties.with_default_ttl(TimeToLive::NoDefault);
        }
        let made = match self.create(database, &properties).await {
            Err(error) if is_absent(&error) => {
                let made = client.create_database(&self.database, None).await;
                if let Err(error) = made
                    && !is_there(&error)
                {
                    return Err(self.not_made(&error));
                }
                self.create(database, &properties).await
            }
            made => made,
        };
        match made {
            Ok(()) => Ok(()),
            // Another process was first.
            Err(error) if is_there(&error) => Ok(()),
            Err(error) => Err(self.not_made(&error)),
        }
    }

    async fn create(
        &self,
        database: &DatabaseClient,
        properties: &ContainerProperties,
    ) -> azure_data_cosmos::Result<()> {
        let mut options = CreateContainerOptions::default();
        if let Some(throughput) = self.throughput {
            options = options.with_throughput(ThroughputProperties::manual(throughput));
        }
        database.create_container(properties.clone(), Some(options)).await.map(|_| ())
    }

    fn paths(&self) -> Vec<String> {
        self.levels.iter().map(Level::path).collect()
    }

    /// Rights over data alone make no containers: say what is to be made.
    fn not_made(&self, error: &CosmosError) -> String {
        let ttl = if self.has_ttl { ", time to live on without a default" } else { "" };
        format!(
            "{self} is not there and could not be made ({}): make it with the partition key `{}`{ttl}",
            Answer::of(error).message,
            self.paths().join("`, `")
        )
    }

    fn failed(&self, what: &str, error: &CosmosError) -> String {
        let Answer { status, is_from_service, message, .. } = Answer::of(error);
        let help = match status {
            401 | 403 if is_from_service => format!("; {}", let_in(status)),
            _ => String::new(),
        };
        format!("{self} cannot be {what}: {message}{help}")
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the container `{}` of the database `{}`", self.container, self.database)
    }
}

fn is_absent(error: &CosmosError) -> bool {
    Answer::of(error).is_absent()
}

fn is_there(error: &CosmosError) -> bool {
    error.is_from_wire() && error.status().is_conflict()
}
