//! What goes wrong, what people do, and what logs do: the operations of a schedule beside its steps.

use std::sync::Arc;

use crate::event::{Offset, TargetId, TopicPartition};
use crate::state::{FailedRound, MemoryStore};

use super::laws::Broken;
use super::network::Trouble;
use super::process::{Message, Process, process_id};
use super::random::Random;
use super::remade::hash_of;
use super::report::Seen;
use super::schedule::{Kind, Op};
use super::subject::{self, COSMOS, SEARCH, SINKS, TOPIC};
use super::target::Target;
use super::world::{Disk, World};

/// How many disks there are at most.
const DISKS_MAX: usize = 3;

impl World {
    /// Does one operation.
    pub fn happen(&mut self, op: Op) -> Result<(), Broken> {
        let arg = op.arg;
        match op.kind {
            Kind::Step => return self.step(arg),
            Kind::Wait => return self.wait(arg),
            Kind::Append => self.append(arg),
            Kind::Crash => self.crash_one(arg),
            Kind::Stop => self.tell_one(arg, Seen::Stop, |_| Some(Message::Stop)),
            Kind::Start => self.start_one(arg),
            Kind::CommitFails => self.fail_commit(arg),
            Kind::Request => self.trouble_request(arg),
            Kind::Redeliver => self.redeliver(arg),
            Kind::Compact => self.compact(arg),
            Kind::Away => self.set_away(!self.log_is_away),
            Kind::Down => self.set_down(durable(arg), !self.targets[durable(arg)].down),
            Kind::Freeze => self.freeze(arg),
            Kind::ClaimLost => self.trouble_call(arg),
            Kind::CopyDisk => self.copy_disk(arg),
            Kind::SaveDisk => self.save_disk(arg),
            Kind::PutDiskBack => self.put_disk_back(arg),
            Kind::LoseDisk => self.lose_disk(arg),
            Kind::Wipe => self.wipe(durable(arg)),
            Kind::SaveTarget => self.save_target(durable(arg)),
            Kind::PutTargetBack => self.put_target_back(durable(arg)),
            Kind::Skip => self.tell_one(arg, Seen::Skip, |world| world.skip_what_stopped(arg)),
            Kind::Retry => self.tell_one(arg, Seen::Retry, |_| Some(Message::Retry)),
            Kind::Truncate => self.truncate(arg),
            Kind::AddPartition => self.add_partition(),
            Kind::Remake => self.remake_topic(),
        }
        Ok(())
    }

    // Processes.

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

    fn tell_one(&mut self, arg: u32, seen: Seen, message: impl Fn(&mut World) -> Option<Message>) {
        if let Some(index) = self.nth_live(arg)
            && let Some(message) = message(self)
        {
            self.saw(seen);
            self.say(|world| format!("{} is told: {seen:?}", world.name(index)));
            self.processes[index].inbox.push_back(message);
        }
    }

    /// Starts a process on a disk that has none.
    fn start_one(&mut self, arg: u32) {
        self.bury();
        let taken = |disk: usize| self.processes.iter().any(|process| process.disk == disk);
        let free: Vec<_> = (0..self.disks.len()).filter(|disk| !taken(*disk)).collect();
        // A target that is not shared is locked by who uses it.
        if !free.is_empty() && (self.setup.shared || self.processes.is_empty()) {
            self.start(free[arg as usize % free.len()], false);
        }
    }

    fn freeze(&mut self, arg: u32) {
        if let Some(index) = self.nth_live(arg) {
            let process = &mut self.processes[index];
            process.is_frozen = !process.is_frozen;
            let what = if process.is_frozen { "stands still" } else { "goes on" };
            self.saw(Seen::Freeze);
            self.say(|world| format!("{} {what}", world.name(index)));
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

    /// The event that some partition of a live process has stopped at.
    fn skip_what_stopped(&mut self, arg: u32) -> Option<Message> {
        if self.former.is_some() {
            return None;
        }
        let process = &self.processes[self.nth_live(arg)?];
        let status = process.core.status(None, None);
        let stopped = status.partitions.into_iter().find(|partition| partition.stopped.is_some())?;
        let (partition, offset) = (stopped.partition, stopped.next_offset);
        process.core.may_skip(&partition, offset).ok()?;
        self.skips.insert((partition.clone(), offset));
        self.targets.iter_mut().for_each(|target| target.strict = false);
        Some(Message::Skip(partition, offset))
    }

    // Disks.

    /// Ends what runs on a disk.
    fn free(&mut self, disk: usize) {
        while let Some(index) = self.processes.iter().position(|process| process.disk == disk) {
            self.say(|world| format!("{} is killed", world.name(index)));
            self.remove(index);
        }
    }

    fn target_ids(&self) -> Vec<Option<TargetId>> {
        self.targets.iter().map(|target| target.claim.map(|claim| claim.target)).collect()
    }

    fn copy_disk(&mut self, arg: u32) {
        let from = arg as usize % self.disks.len();
        if self.disks.len() >= DISKS_MAX || self.forgetful {
            return;
        }
        self.places += 1;
        let store = Arc::new(self.disks[from].store.copied(self.places));
        let anew = self.disks[from].anew;
        self.saw(Seen::CopyDisk);
        self.say(|world| format!("disk {from} is copied: disk {}", world.disks.len()));
        self.disks.push(Disk { store, saved: None, anew, replaced: Some(self.target_ids()) });
        self.targets.iter_mut().for_each(|target| target.strict = false);
    }

    fn save_disk(&mut self, arg: u32) {
        let disk = arg as usize % self.disks.len();
        self.say(|_| format!("a copy of disk {disk} is kept aside"));
        let Disk { store, anew, .. } = &self.disks[disk];
        self.disks[disk].saved = Some((Arc::new(store.crash()), *anew));
    }

    fn put_disk_back(&mut self, arg: u32) {
        let disk = arg as usize % self.disks.len();
        if !self.forgetful
            && let Some((saved, anew)) = self.disks[disk].saved.clone()
        {
            self.free(disk);
            self.saw(Seen::PutDiskBack);
            self.say(|_| format!("disk {disk} becomes what it was"));
            let (store, replaced) = (Arc::new(saved.crash()), Some(self.target_ids()));
            self.disks[disk] = Disk { store, anew, saved: Some((saved, anew)), replaced };
            self.targets.iter_mut().for_each(|target| target.strict = false);
        }
    }

    fn lose_disk(&mut self, arg: u32) {
        let disk = arg as usize % self.disks.len();
        if !self.forgetful {
            self.free(disk);
            self.saw(Seen::LoseDisk);
            self.say(|_| format!("disk {disk} is lost; there is an empty one"));
            let store = self.new_store();
            let anew = !self.beginnings.is_empty();
            self.disks[disk] = Disk { store, saved: None, anew, replaced: Some(self.target_ids()) };
        }
    }

    // The network and the targets.

    fn trouble_request(&mut self, arg: u32) {
        let awaited = |index: &usize| {
            let request = &self.network.requests[*index];
            request.late_until.is_none() && request.is_write()
        };
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
        // What breaks a law late would have broken it in time.
        if lose {
            let request = self.network.requests.swap_remove(index);
            let _ = self.give_up(request);
        } else {
            let request = self.network.requests[index].clone();
            self.saw(Seen::Doubled);
            self.say(|_| format!("a request of p{} is doubled", request.process));
            let _ = self.make_late(request);
        }
    }

    /// A claim call, or its answer, is lost.
    fn trouble_call(&mut self, arg: u32) {
        let calls = |index: &usize| {
            let request = &self.network.requests[*index];
            request.late_until.is_none() && !request.is_write()
        };
        let calls: Vec<_> = (0..self.network.requests.len()).filter(calls).collect();
        if calls.is_empty() {
            return;
        }
        self.saw(Seen::ClaimLost);
        let index = calls[(arg / 2) as usize % calls.len()];
        if arg.is_multiple_of(2) {
            self.network.requests[index].trouble = Trouble::AnswerLost;
            self.say(|world| format!("a claim call of p{} loses its answer", world.network.requests[index].process));
        } else {
            let request = self.network.requests.swap_remove(index);
            let _ = self.give_up(request);
        }
    }

    fn set_down(&mut self, sink: usize, down: bool) {
        self.saw(Seen::Down);
        self.say(|_| format!("sink {sink} is {}", if down { "down" } else { "up" }));
        self.targets[sink].down = down;
    }

    /// Whether somebody may do something to a target; nobody can to one that is locked.
    fn is_reachable(&self) -> bool {
        self.setup.shared || self.processes.iter().all(|process| !process.is_live())
    }

    /// Some disk is not what it was. Then no target forgets, and the other way round: a version that both have forgotten is
    /// nobody's, and only a person can say what is right.
    fn is_replaced(&self) -> bool {
        self.disks.iter().any(|disk| disk.replaced.is_some())
    }

    fn wipe(&mut self, sink: usize) {
        if self.is_reachable() && !self.is_replaced() {
            self.saw(Seen::Wipe);
            self.say(|_| format!("sink {sink} is emptied"));
            self.targets[sink].wipe();
            self.forgetful = true;
        }
    }

    /// Keeps a copy, unless something is under way that its claim says may be there.
    fn save_target(&mut self, sink: usize) {
        let Some(claim) = self.targets[sink].claim else { return };
        let rests = |process: &Process| {
            let shown = &process.core.status(None, None).sinks[sink];
            shown.owed == 0 && shown.settled >= claim.published
        };
        let holder = self.processes.iter().find(|process| process_id(process.number) == claim.process);
        if holder.is_some_and(rests) {
            self.say(|_| format!("a copy of sink {sink} is kept aside"));
            self.saved_targets[sink] = Some(self.targets[sink].clone());
        }
    }

    /// Puts a copy back that is older than the last move of the claim: no other can be told from the target itself.
    fn put_target_back(&mut self, sink: usize) {
        let claim = self.targets[sink].last_move;
        let moved = |saved: &Target| {
            let before = saved.claim.as_ref();
            before.is_none_or(|before| claim.as_ref().is_none_or(|claim| !claim.is_same_move(before)))
        };
        if self.is_reachable()
            && !self.is_replaced()
            && let Some(saved) = self.saved_targets[sink].clone().filter(moved)
        {
            self.saw(Seen::PutTargetBack);
            self.say(|_| format!("sink {sink} becomes what it was"));
            self.targets[sink].put_back(saved);
            self.forgetful = true;
        }
    }

    // The log.

    fn append(&mut self, arg: u32) {
        let mut random = Random::new(u64::from(arg));
        for _ in 0..1 + random.below(4) {
            self.appended += 1;
            let partitions = self.given.len() as i32;
            let (partition, given) = subject::event(&self.setup, partitions, &mut random, self.appended);
            let mut record = given.record(self.appended as i64);
            // No two records are the same, so that each is known again.
            record.headers.push((b"number".into(), self.appended.to_string().into_bytes()));
            let hash = hash_of(&record);
            let offset = self.log.append(TOPIC, partition, record);
            self.say(|_| format!("{partition}/{offset} is appended: {given:?}"));
            let partition = TopicPartition { topic: TOPIC.into(), partition };
            self.hashes.entry(partition.clone()).or_default().push(hash);
            self.given.entry(partition).or_default().push(Some(given));
        }
        self.log_changes += 1;
    }

    fn nth_partition(&self, arg: u32) -> TopicPartition {
        let partition = (arg as usize % self.given.len()) as i32;
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
        if idle.is_empty() || self.former.is_some() {
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

    /// Forgets events that the first disk has folded.
    fn truncate(&mut self, arg: u32) {
        let partition = self.nth_partition(arg);
        let Some(state) = self.state_in(&self.disks[0].store) else { return };
        let next =
            state.next_offsets.iter().find(|(known, _)| *known == partition).map_or(0, |(_, next)| next.offset.0);
        let beginning = self.beginnings.get(&partition).copied().unwrap_or(0);
        if next > beginning && self.former.is_none() {
            let to = beginning + 1 + i64::from(arg / 8) % (next - beginning);
            self.log.truncate(&partition, Offset(to));
            self.log_changes += 1;
            self.saw(Seen::Truncated);
            self.say(|_| format!("{partition} begins at {to}"));
            for index in 0..self.disks.len() {
                let disk = &self.disks[index];
                let anew = disk.anew || !self.knows(&disk.store, &partition);
                let saved = disk.saved.clone();
                self.disks[index].saved =
                    saved.map(|(saved, anew)| (saved.clone(), anew || !self.knows(&saved, &partition)));
                self.disks[index].anew = anew;
            }
            self.beginnings.insert(partition, to);
        }
    }

    fn knows(&self, store: &MemoryStore, partition: &TopicPartition) -> bool {
        self.state_in(store).is_some_and(|state| state.next_offsets.iter().any(|(known, _)| known == partition))
    }

    fn add_partition(&mut self) {
        let partitions = self.given.len() as i32 + 1;
        if partitions <= self.setup.partitions + 2 {
            self.log.create_topic(TOPIC, partitions);
            self.log_changes += 1;
            self.saw(Seen::AddedPartition);
            self.say(|_| format!("there are {partitions} partitions"));
            let partition = TopicPartition { topic: TOPIC.into(), partition: partitions - 1 };
            self.given.insert(partition, Vec::new());
        }
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

    /// Ends what runs on a disk, and everything else that runs, and starts there.
    pub fn restart(&mut self, disk: usize, ends: bool) {
        while !self.processes.is_empty() {
            self.say(|world| format!("{} is killed", world.name(0)));
            self.remove(0);
        }
        self.start(disk, ends);
    }

    /// Leaves one process alone: one that runs, or a new one on any disk.
    pub fn leave_one(&mut self, random: &mut Random) {
        self.bury();
        let ends = self.setup.ends;
        if ends || self.processes.is_empty() || random.once_in(2) {
            let disk = random.below(self.disks.len());
            return self.restart(disk, ends);
        }
        let kept = self.processes[random.below(self.processes.len())].number;
        while let Some(index) = self.processes.iter().position(|process| process.number != kept) {
            self.say(|world| format!("{} is killed", world.name(index)));
            self.remove(index);
        }
        self.processes[0].is_frozen = false;
    }
}

/// A sink that keeps its documents.
fn durable(arg: u32) -> usize {
    [COSMOS, SEARCH][arg as usize % 2]
}
