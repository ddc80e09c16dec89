//! A PostgreSQL server, where each test has databases of its own.

use std::sync::OnceLock;

use super::{Kind, Server, own, shared};

const SERVER: Kind =
    Kind { name: "a PostgreSQL server", script: "postgres/run.sh", scheme: "postgres://postgres@", ports: 1 };

/// A running PostgreSQL server.
pub struct Postgres {
    pub server: Server,
}

/// The server of this test run.
pub fn postgres() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
    shared(&SERVER, &SHARED, |server| Postgres { server })
}

/// A server of the caller's own with settings `name=value`, such as `max_connections=3`.
///
/// With `tls` as the first it offers TLS as well; `Server::authority` is whom its clients have to trust.
pub fn postgres_with(settings: &[&str]) -> Option<Postgres> {
    own(&SERVER, settings).map(|server| Postgres { server })
}

impl Postgres {
    /// Makes an empty database and returns its URL.
    pub fn database(&self, prefix: &str) -> String {
        let name = self.server.unique(prefix);
        let create = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(self.create_database(&name));
        };
        // On a thread of its own: the caller may be inside a runtime.
        std::thread::scope(|scope| scope.spawn(create).join()).expect("the database is made");
        format!("{}/{name}", self.server.url)
    }

    async fn create_database(&self, name: &str) {
        let url = format!("{}/postgres", self.server.url);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("it is up");
        let create = format!("create database \"{name}\"");
        // The connection does the work of the client; it ends when the client is gone.
        let asked = async move { client.batch_execute(&create).await.expect("the database is new") };
        let (_, ended) = tokio::join!(asked, connection);
        ended.expect("the connection ends well");
    }
}
