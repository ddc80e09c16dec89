//! A server of each kind behind a proxy, for tests that break them.

use std::time::Duration;

use crate::recovery::random::Random;
use crate::services::{self, Proxy, Server};

/// A server of its own, behind a proxy.
pub struct Target {
    /// As `.proj` files and connections call it.
    pub kind: &'static str,
    proxy: Proxy,
    server: Server,
    /// What stands behind the address in its URL.
    rest: String,
    /// It loses all it holds when it is killed.
    forgets: bool,
    killed: bool,
}

/// One of each kind that can be had here.
pub fn all() -> Vec<Target> {
    [postgres(), elasticsearch(), redis(), cosmos()].into_iter().flatten().collect()
}

fn postgres() -> Option<Target> {
    let postgres = services::postgres_with(&[])?;
    let url = postgres.database("storm");
    let rest = format!("/{}", url.rsplit('/').next().expect("it ends with the name of the database"));
    Some(Target::new("postgres", postgres.server, rest, false))
}

fn elasticsearch() -> Option<Target> {
    Some(Target::new("elasticsearch", services::opensearch_with(&[])?, String::new(), false))
}

/// It keeps what a crash of its process leaves; whenever it is killed, all is owed to it again.
fn redis() -> Option<Target> {
    Some(Target::new("redis", services::redis_with(&["--appendonly", "yes"])?, String::new(), false))
}

/// The emulator names its own address, so the proxy comes first; and it holds nothing beyond its life.
fn cosmos() -> Option<Target> {
    let proxy = Proxy::to(0);
    let server = services::cosmos_behind(&proxy)?;
    proxy.retarget(server.port);
    Some(Target { kind: "cosmos", proxy, server, rest: String::new(), forgets: true, killed: false })
}

impl Target {
    fn new(kind: &'static str, server: Server, rest: String, forgets: bool) -> Target {
        let proxy = Proxy::to(server.port);
        Target { kind, proxy, server, rest, forgets, killed: false }
    }

    /// The lines of its connection, through the proxy.
    pub fn connection(&self) -> String {
        let (scheme, _) = self.server.url.rsplit_once("127.0.0.1").expect("it is on loopback");
        let url = format!("{scheme}{}{}", self.proxy.address(), self.rest);
        match self.kind {
            "cosmos" => {
                format!("kind = \"cosmos\"\nendpoint = \"{url}\"\nkey = \"cHJvamVjdG9y\"\ndatabase = \"storm\"\n")
            }
            kind => format!("kind = \"{kind}\"\nurl = \"{url}\"\n"),
        }
    }

    /// The options of a sink of this name.
    pub fn options(&self, name: &str) -> String {
        match self.kind {
            "postgres" => format!("{{ table: \"{name}\", create: true }}"),
            "elasticsearch" => format!("{{ index: \"{name}\" }}"),
            "redis" if name == "activity" => "{ kind: \"hash\" }".to_owned(),
            "cosmos" => format!("{{ container: \"{name}\" }}"),
            "redis" => String::new(),
            other => panic!("no options for {other}"),
        }
    }

    /// Does something bad to it; says what.
    pub fn strike(&mut self, random: &mut Random) -> &'static str {
        match random.below(6) {
            0 => self.proxy.refuse(),
            1 => self.proxy.stall(),
            2 => self.proxy.swallow_answers(),
            3 if !self.forgets || random.one_in(3) => {
                self.server.kill();
                self.killed = true;
                return "killed";
            }
            _ => {
                self.proxy.cut();
                return "cut";
            }
        }
        "out of reach"
    }

    /// Mends it.
    pub fn calm(&mut self) {
        if std::mem::take(&mut self.killed) {
            self.server.restart();
        }
        self.proxy.forward();
    }

    /// How many documents it holds, asked of the server itself.
    pub fn count(&self, name: &str) -> usize {
        match self.kind {
            "postgres" => self.count_rows(name),
            "elasticsearch" => self.count_hits(name),
            "redis" => self.count_keys(name),
            "cosmos" => self.count_documents(name),
            other => panic!("{other} cannot count"),
        }
    }

    fn count_rows(&self, table: &str) -> usize {
        let url = format!("{}{}", self.server.url, self.rest);
        let count = format!("select count(*) from \"{table}\"");
        let asked = async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("it is up");
            let asked =
                async move { client.query_one(&count, &[]).await.expect("the table is there").get::<_, i64>(0) };
            tokio::join!(asked, connection).0
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let counted = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), asked).await });
        counted.expect("the server answers") as usize
    }

    fn count_keys(&self, projection: &str) -> usize {
        let client = redis::Client::open(&*self.server.url).expect("an address");
        let mut connection = client.get_connection().expect("it is up");
        let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{projection}:*")).query(&mut connection).expect("keys");
        keys.len()
    }

    fn count_documents(&self, container: &str) -> usize {
        let query = r#"{"query":"SELECT VALUE COUNT(1) FROM c WHERE IS_DEFINED(c._proj)"}"#;
        let answer = ureq::post(format!("{}/dbs/storm/colls/{container}/docs", self.server.url))
            .header("content-type", "application/query+json")
            .header("x-ms-documentdb-isquery", "True")
            .header("x-ms-documentdb-query-enablecrosspartition", "True")
            .send(query)
            .expect("the emulator answers");
        let answer: serde_json::Value =
            serde_json::from_str(&answer.into_body().read_to_string().expect("text")).expect("JSON");
        let counts = answer["Documents"].as_array().expect("documents").iter();
        counts.map(|count| count.as_u64().unwrap_or_else(|| panic!("{answer}")) as usize).sum()
    }

    fn count_hits(&self, index: &str) -> usize {
        let ask = |path: &str| {
            let answer = ureq::get(format!("{}/{index}/{path}", self.server.url)).call().expect("the server answers");
            answer.into_body().read_to_string().expect("text")
        };
        ask("_refresh");
        let counted: serde_json::Value = serde_json::from_str(&ask("_count")).expect("JSON");
        counted["count"].as_u64().expect("a number") as usize
    }
}
