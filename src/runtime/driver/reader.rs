//! The thread that turns a projection's reader: commands in, news out, until the projection has ended or the source has
//! failed for good.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::runtime::driver::projection::Message;
use crate::runtime::reader::{Command, Reader, ReaderSpec};

/// How long a turn waits for a first record.
pub(super) const POLL_WAIT: Duration = Duration::from_millis(20);

pub(super) fn read(spec: ReaderSpec, commands: &Receiver<Command>, messages: &Sender<Message>) {
    let mut reader = Reader::new(spec, Instant::now());
    loop {
        let turn = reader.turn(Instant::now());
        for news in turn.news {
            let _ = messages.send(Message::News(news)); // when nobody listens, nobody commands either
        }
        let Some(next_at) = turn.next_at else { return };
        let mut command = match commands.recv_timeout(next_at.saturating_duration_since(Instant::now())) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        while let Some(next) = command {
            reader.command(next);
            command = commands.try_recv().ok();
        }
    }
}
