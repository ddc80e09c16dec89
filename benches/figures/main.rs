//! The engine's figures, each beside something that does the same work another way.
//!
//! `cargo bench --bench figures` prints them all, `cargo bench --bench figures -- fold` one. Ratios travel between machines,
//! microseconds do not.

mod checkpoint;
mod clock;
mod load;

fn main() {
    let figures: [(&str, fn()); 1] = [("checkpoint", checkpoint::run)];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, figure) in figures {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            println!("# {name}");
            figure();
        }
    }
}
