//! CPU time of this process, all threads together: what a figure per event is made of on a shared machine.

use std::time::{Duration, Instant};

/// Wall clock and CPU time of something.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub wall: Duration,
    pub cpu: Duration,
}

/// Runs `work` and says what it took.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (wall, cpu) = (Instant::now(), cpu_time());
    let result = work();
    (result, Spent { wall: wall.elapsed(), cpu: cpu_time() - cpu })
}

/// User and system time so far, from `/proc`, in ticks of 10 ms: measure seconds, not less.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a Linux machine");
    let after_name = stat.rsplit(')').next().expect("a process name in brackets");
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

impl Spent {
    /// Prints `name: x µs CPU an event, y M events/s`, and the ratio to `beside` when there is one.
    pub fn print(&self, name: &str, events: usize, beside: Option<&Spent>) {
        let micros = self.cpu.as_secs_f64() * 1e6 / events as f64;
        let rate = events as f64 / self.wall.as_secs_f64() / 1e6;
        let ratio = beside.map_or(String::new(), |other| {
            format!(", {:.2} of the baseline's CPU", self.cpu.as_secs_f64() / other.cpu.as_secs_f64())
        });
        println!("{name:<44} {micros:6.3} µs CPU an event, {rate:6.2} M events/s{ratio}");
    }
}
