//! `backup` and `restore` as a person sees them: done by whoever holds the state, with a line on a terminal while it lasts.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::control::access::{Access, AccessError};
use crate::control::config::Config;
use crate::control::progress::grouped;
use crate::control::screen::Screen;
use crate::serve::backup::{BackupProgress, BackupReport};

/// How often the line is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Writes a backup of a projection into a folder.
pub fn back_up(config: &Config, name: &str, directory: &Path) -> Result<BackupReport, AccessError> {
    let absolute = std::path::absolute(directory);
    let absolute = absolute.map_err(|error| AccessError::Refused(format!("{}: {error}", directory.display())))?;
    let mut line = Line::new("backing up", name);
    Access::open(config)?.back_up(name, &absolute, &mut |progress| line.draw(progress))
}

/// Puts a backup back.
pub fn restore(config: &Config, name: &str, source: &Path) -> Result<BackupReport, AccessError> {
    let mut line = Line::new("restoring", name);
    Access::open(config)?.restore(config, name, source, &mut |progress| line.draw(progress))
}

/// One line that is drawn over; nothing where there is no terminal.
struct Line<'a> {
    screen: Screen,
    verb: &'static str,
    name: &'a str,
    drawn_at: Instant,
}

impl<'a> Line<'a> {
    fn new(verb: &'static str, name: &'a str) -> Line<'a> {
        let screen = Screen::new(io::stderr().is_terminal());
        Line { screen, verb, name, drawn_at: Instant::now() }
    }

    fn draw(&mut self, progress: BackupProgress) {
        if !self.screen.is_terminal() || self.drawn_at.elapsed() < DRAW_INTERVAL {
            return;
        }
        self.drawn_at = Instant::now();
        let BackupProgress { rows, bytes, .. } = progress;
        self.screen.update(&format!(
            "{} {}: {} rows, {} MiB",
            self.verb,
            self.name,
            grouped(rows),
            grouped(bytes >> 20)
        ));
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.screen.clear();
    }
}
