//! Everything there is: a clock, a log, disks, targets, the processes that keep documents of the one in the other, and a
//! network between them. One thing happens at a time; which one is the schedule's choice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Offset, ProjectionName, TargetId, TopicPartition, Version};
use crate::plan::Plan;
use crate::runtime::core::ClaimRequest;
use crate::runtime::fixture::Given;
use crate::sinks::Outcome;
use crate::sources::memory::MemoryLog;
use crate::state::{MemoryStore, ProjectionState, Store};

use super::laws::{self, Broken, Law};
use super::network::{Answered, CLAIM_TIMEOUT, Network, Reply, Request, Trouble, What};
use super::process::{Batch, Message, Process, process_id};
use super::remade::Former;
use super::report::{Counts, Seen};
use super::schedule::Setup;
use super::subject::{self, SINKS, TOPIC};
use super::target::Target;

/// The pauses that time passes in.
const WAITS_MS: [u64; 8] = [1, 20, 100, 250, 1_000, 5_000, 12_000, 45_000];

/// Where a process keeps its state.
pub(super) struct Disk {
    pub store: Arc<MemoryStore>,
    /// It knows nothing of some partition that has lost its oldest events, and may begin where that does now.
    pub anew: bool,
    /// What was kept aside of it.
    pub saved: Option<(Arc<MemoryStore>, bool)>,
    /// It was lost once, or is a copy: the ids that the targets had then.
    pub replaced: Option<Vec<Option<TargetId>>>,
}

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Thing {
    Turn(usize),
    Work(usize),
    Commit(usize),
    Send(usize, usize),
    Call(usize),
    Deliver(usize),
    Answer(usize),
}

pub(super) struct World {
    pub setup: Setup,
    pub plan: Arc<Plan>,
    pub now: Instant,
    began: Instant,
    pub log: MemoryLog,
    /// What was appended; `None` where it was compacted away.
    pub given: BTreeMap<TopicPartition, Vec<Option<Given>>>,
    /// By which each record of it is known.
    pub hashes: BTreeMap<TopicPartition, Vec<[u8; 16]>>,
    /// What the topic held before it was made again.
    pub former: Option<Former>,
    /// Where the log of a partition begins.
    pub beginnings: BTreeMap<TopicPartition, i64>,
    pub appended: u64,
    pub log_changes: u64,
    pub log_is_away: bool,
    pub disks: Vec<Disk>,
    /// How many stores and copies were made.
    pub places: u64,
    pub targets: Vec<Target>,
    pub saved_targets: Vec<Option<Target>>,
    pub processes: Vec<Process>,
    started: u32,
    pub network: Network,
    /// What nobody waits for comes at the end of its time, and not before.
    pub late_comes_last: bool,
    things: Vec<Thing>,
    /// Events that a person skipped.
    pub skips: BTreeSet<(TopicPartition, Offset)>,
    /// A record was compacted away: what was counted depends on who came first.
    pub compacted: bool,
    /// A document was given up on.
    pub gave_up: bool,
    /// A target forgot, or was put back.
    pub forgetful: bool,
    pub counts: Counts,
    trace: Option<Vec<String>>,
    /// Whether what happens is traced: once all rests, the beats are not.
    pub is_told: bool,
}

impl World {
    pub fn new(setup: Setup, traced: bool) -> World {
        let log = MemoryLog::new();
        log.create_topic(TOPIC, setup.partitions);
        let partition = |partition| (TopicPartition { topic: TOPIC.into(), partition }, Vec::new());
        let began = Instant::now();
        let mut world = World {
            setup,
            plan: subject::plan(&setup),
            now: began,
            began,
            log,
            given: (0..setup.partitions).map(partition).collect(),
            hashes: BTreeMap::new(),
            former: None,
            beginnings: BTreeMap::new(),
            appended: 0,
            log_changes: 0,
            log_is_away: false,
            disks: Vec::new(),
            places: 0,
            targets: SINKS.iter().map(|_| Target::new(setup.remembers, !setup.shared)).collect(),
            saved_targets: SINKS.map(|_| None).into(),
            processes: Vec::new(),
            started: 0,
            network: Network::default(),
            late_comes_last: false,
            things: Vec::new(),
            skips: BTreeSet::new(),
            compacted: false,
            gave_up: false,
            forgetful: false,
            counts: Counts::default(),
            trace: traced.then(Vec::new),
            is_told: true,
        };
        let store = world.new_store();
        world.disks.push(Disk { store, saved: None, anew: false, replaced: None });
        world.start(0, false);
        world
    }

    pub fn new_store(&mut self) -> Arc<MemoryStore> {
        self.places += 1;
        let store = if self.setup.short_lists { MemoryStore::with_short_lists() } else { MemoryStore::new() };
        Arc::new(store.named(self.places))
    }

    pub fn into_trace(self) -> (Vec<String>, Counts) {
        (self.trace.unwrap_or_default(), self.counts)
    }

    pub fn say(&mut self, what: impl FnOnce(&World) -> String) {
        let told = self.trace.is_some() && self.is_told;
        let line = told.then(|| format!("{:>9.3}s  {}", (self.now - self.began).as_secs_f64(), what(self)));
        if let Some(trace) = &mut self.trace {
            trace.extend(line);
        }
    }

    pub fn saw(&mut self, seen: Seen) {
        self.counts.add(seen);
    }

    /// What a store knows of the projection.
    pub fn state_in(&self, store: &MemoryStore) -> Option<ProjectionState> {
        let name = ProjectionName(self.plan.projection.name.clone());
        store.snapshot().projection(&name).expect("memory can be read")
    }

    fn list_things(&mut self) {
        let things = &mut self.things;
        things.clear();
        for (index, process) in self.processes.iter().enumerate().filter(|(_, process)| process.runs()) {
            if process.may_turn(self.now, self.log_changes) {
                things.push(Thing::Turn(index));
            }
            if process.may_work(self.now) {
                things.push(Thing::Work(index));
            }
            if process.may_commit() {
                things.push(Thing::Commit(index));
            }
            if !process.calls.is_empty() {
                things.push(Thing::Call(index));
            }
            things.extend(process.may_send().map(|place| Thing::Send(index, place)));
        }
        let comes = |(_, request): &(usize, &Request)| !self.late_comes_last || request.late_until.is_none();
        things.extend(self.network.requests.iter().enumerate().filter(comes).map(|(index, _)| Thing::Deliver(index)));
        things.extend((0..self.network.replies.len()).map(Thing::Answer));
    }

    /// Lets the `arg`th of the things that may happen now happen; when there are none, time passes.
    pub fn step(&mut self, arg: u32) -> Result<(), Broken> {
        self.list_things();
        if self.things.is_empty() {
            return match self.wake_at(arg.is_multiple_of(4)) {
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

    /// When something is due by time alone. `looks`: readers look for partitions and ends then, too.
    pub fn wake_at(&self, looks: bool) -> Option<Instant> {
        let live = self.processes.iter().filter(|process| process.runs());
        live.filter_map(|process| process.wake_at(self.now, looks)).min()
    }

    fn do_thing(&mut self, thing: Thing) -> Result<(), Broken> {
        match thing {
            Thing::Turn(index) => {
                if self.processes[index].turn(self.now, self.log_changes) {
                    self.say(|world| format!("{} reads", world.name(index)));
                }
                laws::within_bounds(self, &self.processes[index])
            }
            Thing::Work(index) => self.work(index),
            Thing::Commit(index) => {
                let version = self.processes[index].commit();
                self.saw(Seen::Commit);
                self.say(|world| format!("{} commits {}", world.name(index), shown(version)));
                Ok(())
            }
            Thing::Send(index, place) => self.send(index, place),
            Thing::Call(index) => {
                let process = &mut self.processes[index];
                let (sink, request) = process.calls.remove(0);
                let number = process.number;
                self.say(|_| match request {
                    ClaimRequest::Read => format!("p{number} asks sink {sink} for its claim"),
                    ClaimRequest::Move { to, .. } => {
                        format!("p{number} moves the claim of sink {sink} to {}", claimed(&to))
                    }
                });
                self.post(number, sink, What::Claim(request), self.now + CLAIM_TIMEOUT);
                Ok(())
            }
            Thing::Deliver(index) => {
                let request = self.network.requests.swap_remove(index);
                self.arrive(request)
            }
            Thing::Answer(index) => {
                let reply = self.network.replies.swap_remove(index);
                self.hand_over(reply);
                Ok(())
            }
        }
    }

    fn work(&mut self, index: usize) -> Result<(), Broken> {
        let what = self.processes[index].work(self.now)?;
        if !what.is_empty() {
            self.say(|world| format!("{} {what}", world.name(index)));
        }
        if let Some(ended) = self.processes[index].ended.clone() {
            self.say(|world| format!("{} ends: {ended:?}", world.name(index)));
            self.orphan(index);
            return Ok(());
        }
        laws::within_bounds(self, &self.processes[index])
    }

    fn hand_over(&mut self, reply: Reply) {
        let waits = |process: &&mut Process| process.number == reply.process && process.is_live();
        let Some(process) = self.processes.iter_mut().find(waits) else { return };
        match reply.what {
            Answered::Writes { sink, outcomes } => process.answered(sink, outcomes),
            Answered::Claim(message) => process.inbox.push_back(message),
        }
    }

    fn post(&mut self, process: u32, sink: usize, what: What, timeout: Instant) {
        let request = Request { process, sink, what, timeout, late_until: None, trouble: Trouble::None };
        self.network.requests.push(request);
    }

    fn send(&mut self, index: usize, place: usize) -> Result<(), Broken> {
        let process = &mut self.processes[index];
        let (number, publishing) = (process.number, &process.publishing[place]);
        let (sink, version) = (publishing.sink, publishing.version);
        let Some(Batch { writes, deadline }) =
            process.send(place, self.now, self.setup.request_items, &self.targets[sink])
        else {
            return Ok(());
        };
        let synced = self.state_in(&self.processes[index].store);
        if synced.is_none_or(|state| state.version < version) {
            let what = format!("version {} is sent to sink {sink} before it is synced", shown(version));
            return Err(Broken::new(Law::SyncedFirst, what));
        }
        if !self.targets[sink].was_taken(process_id(number), version.epoch()) {
            let what = format!("p{number} sends {} to sink {sink}, which it never took", shown(version));
            return Err(Broken::new(Law::ClaimedFirst, what));
        }
        self.say(|_| {
            let keys: Vec<_> = writes.iter().map(|write| &*write.key).collect();
            format!("p{number} sends {keys:?} at {} to sink {sink}", shown(version))
        });
        if self.setup.shared && !self.targets[sink].is_fresh(process_id(number), self.now) {
            let what = format!("p{number} sends to sink {sink}, whose claim it has not moved for two beats");
            return Err(Broken::new(Law::FreshClaim, what));
        }
        self.post(number, sink, What::Write { version, writes }, deadline);
        Ok(())
    }

    /// A request reaches its target.
    pub fn arrive(&mut self, request: Request) -> Result<(), Broken> {
        let awaited = request.late_until.is_none();
        self.saw(if awaited { Seen::Delivered } else { Seen::Late });
        if self.targets[request.sink].down || request.trouble == Trouble::Refused {
            self.saw(Seen::Refused);
            self.say(|_| format!("sink {} refuses a request of p{}", request.sink, request.process));
            if awaited {
                self.network.replies.push(request.refused());
            }
            return Ok(());
        }
        let answered = match &request.what {
            What::Claim(claim) => Answered::Claim(self.call(request.sink, *claim, request.process)?),
            What::Write { version, writes } => {
                let mut outcomes = Vec::with_capacity(writes.len());
                for item in 0..writes.len() {
                    outcomes.push((writes[item].key.clone(), self.write(&request, writes, item)?));
                }
                self.say(|_| {
                    let late = if awaited { "" } else { " late" };
                    let (sink, process) = (request.sink, request.process);
                    format!("sink {sink} is written by p{process}{late} at {}: {outcomes:?}", shown(*version))
                });
                Answered::Writes { sink: request.sink, outcomes }
            }
        };
        if awaited {
            let lost = request.trouble == Trouble::AnswerLost;
            let reply = Reply { process: request.process, what: answered };
            self.network.replies.push(if lost { request.unanswered() } else { reply });
        }
        Ok(())
    }

    fn call(&mut self, sink: usize, request: ClaimRequest, process: u32) -> Result<Message, Broken> {
        let target = &mut self.targets[sink];
        match request {
            ClaimRequest::Read => {
                let claim = target.claim;
                self.say(|_| format!("sink {sink} shows p{process} {:?}", claim.as_ref().map(claimed)));
                Ok(Message::ClaimRead { sink, result: Ok(claim) })
            }
            ClaimRequest::Move { from, to } => {
                let moved = target.move_claim(from, to, self.now)?;
                self.saw(Seen::ClaimMove);
                self.say(|_| format!("sink {sink}: the claim of p{process}: {}", moved_to(&moved)));
                Ok(Message::ClaimMoved { sink, result: Ok(moved) })
            }
        }
    }

    fn write(
        &mut self,
        request: &Request,
        writes: &[crate::sinks::DocumentWrite],
        item: usize,
    ) -> Result<Outcome, Broken> {
        let write = &writes[item];
        let target = &mut self.targets[request.sink];
        let awaited = request.late_until.is_none();
        let is = |at: u32| at as usize % writes.len() == item;
        match request.trouble {
            Trouble::ItemRefused(at) if is(at) => return Ok(Outcome::Retry { reason: "busy".into() }),
            Trouble::ItemPoisoned(at) if is(at) && awaited => {
                target.refused.insert(write.key.clone(), write.version);
                self.gave_up = true;
                return Ok(Outcome::Poison { reason: "it is too large".into() });
            }
            _ => {}
        }
        let outcome = target.apply(write)?;
        if matches!(outcome, Outcome::Foreign { .. }) {
            let rightful = target.claim.is_some_and(|claim| {
                claim.process == process_id(request.process) && claim.epoch == write.version.epoch()
            });
            self.saw(Seen::Foreign);
            if awaited && rightful {
                let what = format!("sink {} holds a higher version than its owner p{}", request.sink, request.process);
                return Err(Broken::new(Law::NoForeign, what));
            }
        }
        Ok(outcome)
    }

    // Time.

    pub fn wait(&mut self, arg: u32) -> Result<(), Broken> {
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
            self.now = self.now.max(request.late_until.unwrap_or(request.timeout));
            if request.late_until.is_none() {
                self.give_up(request)?;
            } else if request.arrives_late() {
                self.arrive(request)?;
            }
        }
        self.now = self.now.max(to);
        self.processes.iter_mut().for_each(Process::time_passes);
        Ok(())
    }

    /// Its sender waits no longer.
    pub fn give_up(&mut self, request: Request) -> Result<(), Broken> {
        self.saw(Seen::Unanswered);
        self.say(|_| format!("p{} gives up on a request to sink {}", request.process, request.sink));
        self.network.replies.push(request.unanswered());
        self.make_late(request)
    }

    /// Nobody waits for it: it arrives late, or never.
    pub fn make_late(&mut self, request: Request) -> Result<(), Broken> {
        if !self.setup.late_for.is_zero() {
            let late_until = Some(self.now + self.setup.late_for);
            self.network.requests.push(Request { late_until, ..request });
            return Ok(());
        }
        if request.arrives_late() { self.arrive(Request { late_until: Some(self.now), ..request }) } else { Ok(()) }
    }

    // Processes.

    pub fn name(&self, index: usize) -> String {
        format!("p{}", self.processes[index].number)
    }

    /// A process is no more; what its disk had not synced is lost.
    pub fn remove(&mut self, index: usize) {
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

    /// Removes processes that have ended.
    pub fn bury(&mut self) {
        while let Some(index) = self.processes.iter().position(|process| !process.is_live()) {
            self.remove(index);
        }
    }

    pub fn start(&mut self, disk: usize, ends: bool) {
        self.started += 1;
        let number = self.started;
        self.saw(Seen::Start);
        self.say(|_| format!("p{number} starts on disk {disk}"));
        let store = self.disks[disk].store.clone();
        let started = Process::start(&self.setup, &self.plan, &self.log, (number, disk), store, ends, self.now);
        match started {
            Ok(mut process) => {
                let fed = process.feed(self.now, crate::runtime::core::Input::Start);
                fed.expect("a start breaks no law");
                self.processes.push(process);
            }
            Err(ended) => self.say(|_| format!("p{number} does not start: {ended}")),
        }
    }
}

/// A version as epoch and number.
pub(super) fn shown(version: Version) -> String {
    let number = version.0 & ((1 << Version::CHECKPOINT_BITS) - 1);
    format!("{}.{number}", version.epoch().0)
}

fn claimed(claim: &crate::sinks::claim::Claim) -> String {
    let crate::sinks::claim::Claim { process, epoch, published, beat, target, .. } = claim;
    let (of, number) = (target.0 >> 64, target.0 as u64);
    format!("p{} epoch {} published {} beat {beat} target {of}/{number}", process.0 >> 64, epoch.0, shown(*published))
}

fn moved_to(moved: &crate::sinks::claim::ClaimMove) -> String {
    match moved {
        crate::sinks::claim::ClaimMove::Moved => "moved".into(),
        crate::sinks::claim::ClaimMove::Found(found) => format!("found {:?}", found.as_ref().map(claimed)),
    }
}
