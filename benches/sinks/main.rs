//! Sinks beside a bare bulk loop on the same server in the same run: the ratio travels between machines, the rates do not.
//!
//! `cargo bench --bench sinks -- postgres postgres://user@host/database`. What is written there is left behind.

mod postgres;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["postgres", url] => runtime.block_on(postgres::run(url)),
        _ => println!("sinks: left out, it needs a server: cargo bench --bench sinks -- postgres URL"),
    }
}
