//! What a connection says of an account → a client of it.
//!
//! Credentials keep their tokens and renew them five minutes before they end, so that a request costs no token. The client
//! retries nothing that was refused and asks no second region: both would hide from us what the target says.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_data_cosmos::options::{
    AvailabilityStrategy, BinaryEncodingOptions, ConnectionPoolOptions, OperationOptions, Region,
    ThrottlingRetryOptions,
};
use azure_data_cosmos::{AccountEndpoint, AccountReference, CosmosClient, CosmosRuntime, RoutingStrategy};
use azure_identity::{
    ClientSecretCredential, DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

/// An account of Cosmos DB, and how to be let in.
#[derive(Debug, Clone)]
pub struct Account {
    /// `https://NAME.documents.azure.com`; `http` for an emulator on this machine only.
    pub endpoint: String,
    /// The database of sinks that name none.
    pub database: Option<String>,
    /// The region the process runs in; without it, the account's own order of regions.
    pub region: Option<String>,
    pub access: Access,
}

/// How an account lets us in.
#[derive(Debug, Clone)]
pub enum Access {
    Key(Secret),
    /// Entra Workload ID of Kubernetes; what is not given comes from the environment of the pod.
    WorkloadIdentity {
        tenant_id: Option<String>,
        client_id: Option<String>,
    },
    /// Of the machine or the app; `client_id` chooses one that was assigned.
    ManagedIdentity {
        client_id: Option<String>,
    },
    ClientSecret {
        tenant_id: String,
        client_id: String,
        client_secret: Secret,
    },
    /// Whoever is logged in with the Azure CLI on this machine.
    DeveloperTools,
}

impl Access {
    /// The words of `credential = "…"`.
    pub const CREDENTIALS: [&'static str; 4] =
        ["workload_identity", "client_secret", "managed_identity", "developer_tools"];

    fn token(&self) -> azure_core::Result<Option<Arc<dyn TokenCredential>>> {
        Ok(Some(match self.clone() {
            Access::Key(_) => return Ok(None),
            Access::WorkloadIdentity { tenant_id, client_id } => {
                let options = WorkloadIdentityCredentialOptions { tenant_id, client_id, ..Default::default() };
                WorkloadIdentityCredential::new(Some(options))?
            }
            Access::ManagedIdentity { client_id } => {
                let user_assigned_id = client_id.map(UserAssignedId::ClientId);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
                ManagedIdentityCredential::new(Some(options))?
            }
            Access::ClientSecret { tenant_id, client_id, client_secret } => {
                ClientSecretCredential::new(&tenant_id, client_id, client_secret, None)?
            }
            Access::DeveloperTools => DeveloperToolsCredential::new(None)?,
        }))
    }
}

impl Account {
    /// A client with connections of its own.
    pub(super) async fn client(&self) -> Result<CosmosClient, String> {
        let named = |error: &dyn std::fmt::Display| format!("`{}` cannot be used: {error}", self.endpoint);
        let endpoint: AccountEndpoint = self.endpoint.parse().map_err(|error| named(&error))?;
        let is_plain = endpoint.url().scheme() == "http";
        let account = match (&self.access, self.access.token().map_err(|error| named(&error))?) {
            (_, Some(token)) => AccountReference::with_credential(endpoint, token),
            (Access::Key(key), None) => AccountReference::with_authentication_key(endpoint, key.clone()),
            (_, None) => unreachable!("all but keys are tokens"),
        };
        // Emulators speak HTTP/1.1, and the client would not fall back to it by itself.
        let pool = ConnectionPoolOptions::builder().with_is_http2_allowed(!is_plain).build();
        let pool = pool.map_err(|error| named(&error))?;
        let runtime =
            CosmosRuntime::builder().with_connection_pool(pool).build().await.map_err(|error| named(&error))?;
        let routing = match &self.region {
            Some(region) => RoutingStrategy::ProximityTo(Region::new(region.clone())),
            None => RoutingStrategy::PreferredRegions(Vec::new()),
        };
        let client = CosmosClient::builder()
            .with_runtime(runtime)
            .with_default_operation_options(operations())
            // Documents are JSON text on both sides of us.
            .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false));
        client.build(account, routing).await.map_err(|error| named(&error))
    }
}

/// What holds for every request: one answer each, however bad.
fn operations() -> OperationOptions {
    let mut throttling = ThrottlingRetryOptions::default();
    throttling.max_retry_count = Some(0);
    throttling.max_retry_wait_time = Some(Duration::ZERO);
    let mut options = OperationOptions::default();
    options.throttling_retry_options = Some(throttling);
    options.max_failover_retry_count = Some(0);
    options.availability_strategy = Some(AvailabilityStrategy::Disabled);
    options
}
