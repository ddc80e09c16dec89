//! Where progress is shown: one line that is drawn over on a terminal, lines one below the other elsewhere.

use std::io::{self, Write};

/// The stderr of a run.
pub(super) struct Screen {
    terminal: bool,
    /// A line is drawn that the next one goes over.
    drawn: bool,
}

/// Back to the first column, and the line emptied.
const CLEAR: &str = "\r\x1b[2K";

impl Screen {
    pub fn new(terminal: bool) -> Screen {
        Screen { terminal, drawn: false }
    }

    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows how things stand.
    pub fn update(&mut self, line: &str) {
        if self.terminal {
            self.write(&format!("{CLEAR}{line}"));
            self.drawn = true;
        } else {
            self.line(line);
        }
    }

    /// Says something that stays.
    pub fn line(&mut self, line: &str) {
        self.clear();
        self.write(&format!("{line}\n"));
    }

    /// Takes the drawn line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.write(CLEAR);
        }
    }

    fn write(&mut self, text: &str) {
        let mut err = io::stderr().lock();
        // Nobody reads: the run goes on.
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}
