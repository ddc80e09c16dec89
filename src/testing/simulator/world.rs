//! Everything there is: a clock, a log, disks, targets, the processes that keep documents of the one in the other, and a
//! network between them. Operations happen to it one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Offset, TopicPartition};
use crate::plan::Plan;
use crate::runtime::fixture::Given;
use crate::sinks::Outcome;
use crate::sources::memory::MemoryLog;
use crate::state::{FailedRound, MemoryStore, Store};

use super::laws::{self, Broken, Law};
use super::network::{Network, REQUEST_TIMEOUT, Request, Trouble};
use super::process::{Message, Process};
use super::random::Random;
use super::report::{Counts, Seen};
use super::schedule::{Kind, Op, Setup};
use super::subject::{self, SINKS, TOPIC};
use super::target::Target;

/// The pauses that time passes in.
const WAITS_MS: [u64; 8] = [1, 20, 100, 250, 1_000, 5_000, 12_000, 45_000];

/// Where a process keeps its state.
pub(super) struct Disk {
    pub store: Arc<MemoryStore>,
}

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Thing {
    Turn(usize),
    Work(usize),
    Commit(usize),
    Send(usize, usize),
    Deliver(usize),
    Answer(usize),
}

pub(super) struct World {
    pub setup: Setup,
    pub plan: Arc<Plan>,
    pub now: Instant,
    began: Instant,
    log: MemoryLog,
    /// What was appended; `None` where it was compacted away.
    pub given: BTreeMap<TopicPartition, Vec<Option<Given>>>,
    appended: u64,
    log_changes: u64,
    log_is_away: bool,
    pub disks: Vec<Disk>,
    pub targets: Vec<Target>,
    pub processes: Vec<Process>,
    started: u32,
    pub network: Network,
    things: Vec<Thing>,
    /// A record was compacted away: what was counted depends on who came first.
    pub compacted: bool,
    /// A document was given up on.
    pub gave_up: bool,
    pub counts: Counts,
    trace: Option<Vec<String>>,
}

impl World {
    pub fn new(setup: Setup, traced: bool) -> World {
        let log = MemoryLog::new();
        log.create_topic(TOPIC, setup.partitions);
        let partition = |partition| (TopicPartition { topic: TOPIC.into(), partition }, Vec::new());
        let store = if setup.short_lists { MemoryStore::with_short_lists() } else { MemoryStore::new() };
        let began = Instant::now();
        let mut world = World {
            setup,
            plan: subject::plan(&setup),
            now: began,
            began,
            log,
            given: (0..setup.partitions).map(partition).collect(),
            appended: 0,
            log_changes: 0,
            log_is_away: false,
            disks: vec![Disk { store: Arc::new(store) }],
            targets: SINKS.iter().map(|_| Target::new(setup.remembers)).collect(),
            processes: Vec::new(),
            started: 0,
            network: Network::default(),
            things: Vec::new(),
            compacted: false,
            gave_up: false,
            counts: Counts::default(),
            trace: traced.then(Vec::new),
        };
        world.start(0);
        world
    }

    pub fn into_trace(self) -> (Vec<String>, Counts) {
        (self.trace.unwrap_or_default(), self.counts)
    }

    pub fn say(&mut self, what: impl FnOnce(&World) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>9.3}s  {}", (self.now - self.began).as_secs_f64(), what(self));
            self.trace.as_mut().expect("it is there").push(line);
        }
    }

    fn saw(&mut self, seen: Seen) {
        self.counts.add(seen);
    }

    /// Does one operation.
    pub fn happen(&mut self, op: Op) -> Result<(), Broken> {
        let arg = op.arg;
        match op.kind {
            Kind::Step => return self.step(arg),
            Kind::Append => self.append(arg),
            Kind::Wait => return self.wait(arg),
            Kind::Crash => self.crash_one(arg),
            Kind::Stop => self.stop_one(arg),
            Kind::Start => self.start_one(arg),
            Kind::CommitFails => self.fail_commit(arg),
            Kind::Request => self.trouble_request(arg),
            Kind::Redeliver => self.redeliver(arg),
            Kind::Compact => self.compact(arg),
            Kind::Away => self.set_away(!self.log_is_away),
            Kind::Down => self.toggle_down(arg),
        }
        Ok(())
    }

    // What may happen next, and what comes of it.

    fn list_things(&mut self) {
        let things = &mut self.things;
        things.clear();
        for (index, process) in self.processes.iter().enumerate().filter(|(_, process)| process.is_live()) {
            if process.may_turn(self.now, self.log_changes) {
                things.push(Thing::Turn(index));
            }
            if process.may_work(self.now) {
                things.push(Thing::Work(index));
            }
            if process.may_commit() {
                things.push(Thing::Commit(index));
            }
            things.extend(process.may_send().map(|place| Thing::Send(index, place)));
        }
        things.extend((0..self.network.requests.len()).map(Thing::Deliver));
        things.extend((0..self.network.replies.len()).map(Thing::Answer));
    }

    /// Lets the `arg`th of the things that may happen now happen; when there are none, time passes.
    pub fn step(&mut self, arg: u32) -> Result<(), Broken> {
        self.list_things();
        if self.things.is_empty() {
            let looks = arg.is_multiple_of(4);
            return match self.wake_at(looks) {
                Some(at) => self.advance(at),
                None => Ok(()),
            };
        }
        let thing = self.things[arg as usize % self.things.len()];
        self.do_thing(thing)
    }

    /// Whether something may happen without time passing.
    pub fn is_busy(&mut self) -> bool {
        self.list_things();
        !self.things.is_empty()
    }

    /// When something is due by time alone.
    pub fn wake_at(&self, looks: bool) -> Option<Instant> {
        let live = self.processes.iter().filter(|process| process.is_live());
        let processes = live.filter_map(|process| process.wake_at(self.now, looks));
        processes.min()
    }

    fn do_thing(&mut self, thing: Thing) -> Result<(), Broken> {
        match thing {
            Thing::Turn(index) => {
                let (now, changes) = (self.now, self.log_changes);
                if self.processes[index].turn(now, changes) {
                    self.say(|world| format!("{} reads", world.name(index)));
                }
                self.check(index)
            }
            Thing::Work(index) => {
                let now = self.now;
                let what = self.processes[index].work(now)?;
                if !what.is_empty() {
                    self.say(|world| format!("{} {what}", world.name(index)));
                }
                if let Some(ended) = self.processes[index].ended.clone() {
                    self.say(|world| format!("{} ends: {ended}", world.name(index)));
                    self.orphan(index);
                    return Ok(());
                }
                self.check(index)
            }
            Thing::Commit(index) => {
                let version = self.processes[index].commit();
                self.saw(Seen::Commit);
                self.say(|world| format!("{} commits {version}", world.name(index)));
                Ok(())
            }
            Thing::Send(index, place) => self.send(index, place),
            Thing::Deliver(index) => self.deliver(index),
            Thing::Answer(index) => {
                let reply = self.network.replies.swap_remove(index);
                let process = self.processes.iter_mut().find(|process| process.number == reply.process);
                if let Some(process) = process.filter(|process| process.is_live()) {
                    process.answered(reply.sink, reply.outcomes);
                }
                self.say(|_| format!("p{} is answered by sink {}", reply.process, reply.sink));
                Ok(())
            }
        }
    }

    fn check(&self, index: usize) -> Result<(), Broken> {
        laws::within_bounds(self, &self.processes[index])
    }

    fn send(&mut self, index: usize, place: usize) -> Result<(), Broken> {
        let process = &mut self.processes[index];
        let (number, sink, version) = {
            let publishing = &process.publishing[place];
            (process.number, publishing.sink, publishing.version)
        };
        let Some(writes) = process.send(place, self.setup.request_items) else { return Ok(()) };
        let name = crate::event::ProjectionName(self.plan.projection.name.clone());
        let synced = process.store.snapshot().projection(&name).expect("memory can be read");
        if synced.is_none_or(|state| state.version < version) {
            let what = format!("version {version} is sent to sink {sink} before it is synced");
            return Err(Broken::new(Law::SyncedFirst, what));
        }
        let timeout = self.now + REQUEST_TIMEOUT;
        self.say(|world| {
            let keys: Vec<_> = writes.iter().map(|write| &*write.key).collect();
            format!("{} sends {keys:?} at {version} to sink {sink}", world.name(index))
        });
        let trouble = Trouble::None;
        let request = Request { process: number, sink, version, writes, timeout, late_until: None, trouble };
        self.network.requests.push(request);
        Ok(())
    }

    fn deliver(&mut self, index: usize) -> Result<(), Broken> {
        let request = self.network.requests.swap_remove(index);
        self.arrive(request)
    }

    fn arrive(&mut self, request: Request) -> Result<(), Broken> {
        let target = &mut self.targets[request.sink];
        let refused = || Outcome::Retry { reason: "busy".into() };
        let awaited = request.late_until.is_none();
        if target.down || request.trouble == Trouble::Refused {
            self.saw(Seen::Refused);
            self.say(|_| format!("sink {} refuses a request of p{}", request.sink, request.process));
            if awaited {
                self.network.replies.push(request.reply(|_| refused()));
            }
            return Ok(());
        }
        let mut outcomes = Vec::with_capacity(request.writes.len());
        let (mut gave_up, mut foreign) = (false, false);
        for (item, write) in request.writes.iter().enumerate() {
            let is = |at: u32| at as usize % request.writes.len() == item;
            outcomes.push(match request.trouble {
                Trouble::ItemRefused(at) if is(at) => refused(),
                Trouble::ItemPoisoned(at) if is(at) && awaited => {
                    target.refused.insert(write.key.clone(), write.version);
                    gave_up = true;
                    Outcome::Poison { reason: "it is too large".into() }
                }
                _ => target.apply(write)?,
            });
            foreign |= matches!(outcomes.last(), Some(Outcome::Foreign { .. }));
        }
        self.gave_up |= gave_up;
        self.say(|_| {
            let Request { process, sink, version, writes, .. } = &request;
            let keys: Vec<_> = writes.iter().map(|write| &*write.key).collect();
            let late = if awaited { "" } else { " late" };
            format!("sink {sink} takes {keys:?} at {version} of p{process}{late}: {outcomes:?}")
        });
        self.saw(if awaited { Seen::Delivered } else { Seen::Late });
        if foreign {
            self.saw(Seen::Foreign);
            let what = || format!("sink {} holds a higher version than p{} knows", request.sink, request.process);
            if awaited {
                return Err(Broken::new(Law::NoForeign, what()));
            }
        }
        if awaited {
            let mut outcomes = outcomes.into_iter();
            let reply = match request.trouble {
                Trouble::AnswerLost => request.unanswered(),
                _ => request.reply(|_| outcomes.next().expect("one for each write")),
            };
            self.network.replies.push(reply);
        }
        Ok(())
    }

    // Time.

    fn wait(&mut self, arg: u32) -> Result<(), Broken> {
        let pause = Duration::from_millis(WAITS_MS[arg as usize % WAITS_MS.len()]);
        self.say(|_| format!("{pause:?} pass"));
        self.advance(self.now + pause)
    }

    /// Moves the clock. What must be over by then is.
    pub fn advance(&mut self, to: Instant) -> Result<(), Broken> {
        loop {
            let due = |request: &Request| request.late_until.unwrap_or(request.timeout) <= to;
            let Some(index) = self.network.requests.iter().position(due) else { break };
            let request = self.network.requests.swap_remove(index);
            if request.late_until.is_some() {
                // Every other one was lost on its way.
                if request.version.0 % 2 == 0 {
                    self.arrive(request)?;
                }
            } else {
                self.give_up(request)?;
            }
        }
        self.now = self.now.max(to);
        self.processes.iter_mut().for_each(Process::time_passes);
        Ok(())
    }

    /// Its sender waits no longer.
    fn give_up(&mut self, request: Request) -> Result<(), Broken> {
        self.saw(Seen::Unanswered);
        self.say(|_| format!("p{} gives up on a request to sink {}", request.process, request.sink));
        self.network.replies.push(request.unanswered());
        self.make_late(request)
    }

    /// Nobody waits for it: it arrives late, or never.
    fn make_late(&mut self, request: Request) -> Result<(), Broken> {
        if !self.setup.late_for.is_zero() {
            let late_until = Some(self.now + self.setup.late_for);
            self.network.requests.push(Request { late_until, ..request });
            return Ok(());
        }
        if request.version.0 % 2 == 0 { self.arrive(Request { late_until: Some(self.now), ..request }) } else { Ok(()) }
    }

    // Processes.

    fn name(&self, index: usize) -> String {
        format!("p{}", self.processes[index].number)
    }

    fn nth_live(&self, arg: u32) -> Option<usize> {
        let live: Vec<_> = (0..self.processes.len()).filter(|index| self.processes[*index].is_live()).collect();
        (!live.is_empty()).then(|| live[arg as usize % live.len()])
    }

    fn crash_one(&mut self, arg: u32) {
        if let Some(index) = self.nth_live(arg) {
            self.saw(Seen::Crash);
            self.say(|world| format!("{} dies", world.name(index)));
            self.remove(index);
        }
    }

    /// A process is no more; what its disk had not synced is lost.
    fn remove(&mut self, index: usize) {
        self.orphan(index);
        let process = self.processes.swap_remove(index);
        self.disks[process.disk].store = Arc::new(process.store.crash());
    }

    /// Nobody waits for the requests of a process any more.
    fn orphan(&mut self, index: usize) {
        let number = self.processes[index].number;
        self.network.replies.retain(|reply| reply.process != number);
        let (orphans, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.network.requests)
            .into_iter()
            .partition(|request| request.process == number && request.late_until.is_none());
        self.network.requests = others;
        for request in orphans {
            // A write that breaks a law when it comes late would have broken it in time.
            let _ = self.make_late(request);
        }
    }

    fn stop_one(&mut self, arg: u32) {
        if let Some(index) = self.nth_live(arg) {
            self.saw(Seen::Stop);
            self.say(|world| format!("{} is told to stop", world.name(index)));
            self.processes[index].inbox.push_back(Message::Stop);
        }
    }

    /// Starts a process on a disk that has none.
    fn start_one(&mut self, arg: u32) {
        self.bury();
        let taken = |disk: usize| self.processes.iter().any(|process| process.disk == disk);
        let free: Vec<_> = (0..self.disks.len()).filter(|disk| !taken(*disk)).collect();
        if !free.is_empty() {
            self.start(free[arg as usize % free.len()]);
        }
    }

    /// Removes processes that have ended.
    pub fn bury(&mut self) {
        while let Some(index) = self.processes.iter().position(|process| !process.is_live()) {
            self.remove(index);
        }
    }

    /// Ends what runs on a disk and starts there.
    pub fn restart(&mut self, disk: usize) {
        while let Some(index) = self.processes.iter().position(|process| process.disk == disk) {
            self.say(|world| format!("{} is killed", world.name(index)));
            self.remove(index);
        }
        self.start(disk);
    }

    pub fn start(&mut self, disk: usize) {
        self.started += 1;
        let number = self.started;
        self.saw(Seen::Start);
        self.say(|_| format!("p{number} starts on disk {disk}"));
        let store = self.disks[disk].store.clone();
        match Process::start(&self.setup, &self.plan, &self.log, (number, disk), store, self.now) {
            Ok(mut process) => {
                let fed = process.feed(self.now, crate::runtime::core::Input::Start);
                fed.expect("a start breaks no law");
                self.processes.push(process);
            }
            Err(ended) => self.say(|_| format!("p{number} does not start: {ended}")),
        }
    }

    fn fail_commit(&mut self, arg: u32) {
        if let Some(index) = self.nth_live(arg / 2) {
            let round = if arg.is_multiple_of(2) { FailedRound::Lost } else { FailedRound::Written };
            self.saw(Seen::CommitFails);
            self.say(|world| format!("the next commit of {} will fail: {round:?}", world.name(index)));
            self.processes[index].store.fail_commit(1, round);
        }
    }

    // The network and the targets.

    fn trouble_request(&mut self, arg: u32) {
        let awaited = |index: &usize| self.network.requests[*index].late_until.is_none();
        let awaited: Vec<_> = (0..self.network.requests.len()).filter(awaited).collect();
        if awaited.is_empty() {
            return;
        }
        let index = awaited[(arg / 8) as usize % awaited.len()];
        let trouble = match arg % 8 {
            0 => Trouble::AnswerLost,
            1 => Trouble::Refused,
            2 | 3 => Trouble::ItemRefused(arg / 64),
            4 => Trouble::ItemPoisoned(arg / 64),
            _ => return self.lose_or_double(index, arg.is_multiple_of(2)),
        };
        self.saw(match trouble {
            Trouble::AnswerLost => Seen::AnswerLost,
            Trouble::ItemPoisoned(_) => Seen::Poisoned,
            _ => Seen::Refused,
        });
        self.network.requests[index].trouble = trouble;
        self.say(|world| format!("a request of p{} will meet {trouble:?}", world.network.requests[index].process));
    }

    /// A request is given up on at once, or arrives twice.
    fn lose_or_double(&mut self, index: usize, lose: bool) {
        if lose {
            let request = self.network.requests.swap_remove(index);
            // What breaks a law late would have broken it in time.
            let _ = self.give_up(request);
        } else {
            let request = self.network.requests[index].clone();
            self.saw(Seen::Doubled);
            self.say(|_| format!("a request of p{} is doubled", request.process));
            let _ = self.make_late(request);
        }
    }

    fn toggle_down(&mut self, arg: u32) {
        let sink = SINKS[arg as usize % SINKS.len()];
        self.set_down(sink, !self.targets[sink].down);
    }

    fn set_down(&mut self, sink: usize, down: bool) {
        self.saw(Seen::Down);
        self.say(|_| format!("sink {sink} is {}", if down { "down" } else { "up" }));
        self.targets[sink].down = down;
    }

    // The log.

    fn append(&mut self, arg: u32) {
        let mut random = Random::new(u64::from(arg));
        for _ in 0..1 + random.below(4) {
            self.appended += 1;
            let (partition, given) = subject::event(&self.setup, &mut random, self.appended);
            let offset = self.log.append(TOPIC, partition, given.record(self.appended as i64));
            self.say(|_| format!("{partition}/{offset} is appended: {given:?}"));
            let partition = TopicPartition { topic: TOPIC.into(), partition };
            self.given.entry(partition).or_default().push(Some(given));
        }
        self.log_changes += 1;
    }

    fn nth_partition(&self, arg: u32) -> TopicPartition {
        let partition = (arg % self.setup.partitions as u32) as i32;
        TopicPartition { topic: TOPIC.into(), partition }
    }

    fn redeliver(&mut self, arg: u32) {
        let partition = self.nth_partition(arg);
        let end = self.given[&partition].len() as i64;
        let from = end - 1 - i64::from(arg / 8 % 10);
        self.log.redeliver(&partition, Offset(from.max(0))..Offset(end));
        self.log_changes += 1;
        self.saw(Seen::Redelivered);
        self.say(|_| format!("{partition} is delivered again from {from}"));
    }

    /// Compacts an event away that changes nothing, so that it does not matter who saw it.
    fn compact(&mut self, arg: u32) {
        let partition = self.nth_partition(arg);
        let events = self.given.get_mut(&partition).expect("it is there");
        let idle = |index: &usize| events[*index].as_ref().is_some_and(subject::means_nothing);
        let idle: Vec<_> = (0..events.len()).filter(idle).collect();
        if idle.is_empty() {
            return;
        }
        let offset = idle[(arg / 8) as usize % idle.len()];
        events[offset] = None;
        self.compacted = true;
        self.log.compact(&partition, Offset(offset as i64));
        self.log_changes += 1;
        self.saw(Seen::Compacted);
        self.say(|_| format!("{partition}/{offset} is compacted away"));
    }

    fn set_away(&mut self, away: bool) {
        self.log_is_away = away;
        self.log.set_away(away);
        self.log_changes += 1;
        self.saw(Seen::Away);
        self.say(|_| format!("the log is {}", if away { "away" } else { "back" }));
    }

    /// Everything that was made to go wrong ends.
    pub fn end_faults(&mut self) {
        if self.log_is_away {
            self.set_away(false);
        }
        for sink in SINKS {
            if self.targets[sink].down {
                self.set_down(sink, false);
            }
        }
        self.network.requests.iter_mut().for_each(|request| request.trouble = Trouble::None);
    }
}
