//! JSON records → typed slots of the fields that each event's program uses.
//!
//! The rules of what is malformed, what is dropped and what is a fault are the same whatever fields are used. A type that
//! nobody wants ends the work where it is found: in a header, or at the first occurrence of its field. Any other document
//! is scanned to its end and checked to be UTF-8, once; of the members with names that some program uses, the last place
//! is kept. Only then are the fields of the event's own program converted, from their text.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::decode::convert::{self, Fit, Misfit};
use crate::decode::names::Names;
use crate::decode::scan::{Malformed, Place, Scanner};
use crate::decode::unlisted::Unlisted;
use crate::decode::{Chunk, DecodeCounts, DecodedEvent};
use crate::event::{Record, RecordBatch};
use crate::language::codes;
use crate::language::typed::{self, EventTypeFrom, FaultClass, Projection, Unknown};
use crate::plan::Fault;
use crate::value::{Slot, SlotBuffer};

/// Decodes the records of one projection's topics.
#[derive(Debug)]
pub struct SlotDecoder {
    topics: Vec<Topic>,
    programs: Vec<Program>,
}

/// How to find the event of a topic's record.
#[derive(Debug)]
struct Topic {
    log_name: Arc<str>,
    event_type: EventTypeFrom,
    unknown: Unknown,
    unlisted: Unlisted,
    types: Names<Wanted>,
    /// The program of a topic with one type of event.
    single: Option<usize>,
    tombstone: Option<usize>,
    /// Top-level names that are looked for, each with its place in the scratch.
    members: Names<usize>,
    /// The one that holds the event type.
    type_member: Option<usize>,
}

/// What a listed type is for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    By(usize),
    Nobody,
}

/// What one program takes out of an event.
#[derive(Debug)]
struct Program {
    fields: Vec<Field>,
    /// The name to declare, when the event is not declared: its faults say how to allow what is missing.
    undeclared: Option<Arc<str>>,
}

#[derive(Debug)]
struct Field {
    slot: typed::Slot,
    /// Where the scratch has its outermost member; `None` for the whole value.
    member: Option<usize>,
}

/// What a record turned out to be.
enum Found<'b> {
    /// Its program, and its value unless it is a tombstone.
    Event(usize, Option<&'b str>),
    Dropped(Dropped),
}

/// Why a record is no event of this projection.
#[derive(Clone, Copy)]
enum Dropped {
    Unwanted,
    Unlisted,
    Tombstone,
}

/// The last place of each member that is looked for, in one document.
type Scratch = Vec<Option<Place>>;

type Faulty<T> = Result<T, Box<Fault>>;

impl SlotDecoder {
    pub fn new(projection: &Projection) -> SlotDecoder {
        let mut members: Vec<HashMap<Arc<str>, usize>> = vec![HashMap::new(); projection.topics.len()];
        let programs = projection.programs.iter();
        let programs = programs.map(|program| Program::new(program, &mut members[program.topic])).collect();
        let topics = projection.topics.iter().zip(members);
        let topics = topics.map(|(topic, members)| Topic::new(&projection.name, topic, members));
        SlotDecoder { topics: topics.collect(), programs }
    }

    /// How many events of each unlisted type were dropped since the start, with the topic's name in the log.
    pub fn unlisted(&self) -> Vec<(Arc<str>, String, u64)> {
        let counts = |topic: &Topic| {
            let log_name = Arc::clone(&topic.log_name);
            topic.unlisted.counts().into_iter().map(move |(name, count)| (Arc::clone(&log_name), name, count))
        };
        self.topics.iter().flat_map(counts).collect()
    }

    /// Decodes the records at `range` of a batch into `chunk`, which is cleared first.
    pub fn decode(&self, batch: &RecordBatch, range: Range<usize>, chunk: &mut Chunk) {
        chunk.clear();
        let mut scratch = Scratch::new();
        let mut last_input: Option<(u32, Option<&Topic>)> = None;
        for index in range {
            let record = batch.record(index);
            chunk.counts.records += 1;
            let topic = match last_input {
                Some((input, topic)) if input == record.input => topic,
                _ => self.topics.iter().find(|topic| topic.log_name == record.source.topic),
            };
            last_input = Some((record.input, topic));
            let dropped = match topic {
                Some(topic) => self.event(topic, &record, &mut scratch, chunk, index as u32),
                None => Ok(Some(Dropped::Unwanted)),
            };
            match dropped {
                Ok(None) => {}
                Ok(Some(why)) => chunk.counts.count(why),
                Err(fault) => chunk.faults.push((index as u32, fault)),
            }
        }
    }

    /// Decodes one record; a wanted event is appended to the chunk.
    fn event(
        &self,
        topic: &Topic,
        record: &Record<'_>,
        scratch: &mut Scratch,
        chunk: &mut Chunk,
        index: u32,
    ) -> Faulty<Option<Dropped>> {
        if let Some(why) = record.malformed {
            return Err(fault(codes::MALFORMED, format!("the record is malformed: {why}")));
        }
        let found = match record.value {
            None => topic.tombstone.map_or(Found::Dropped(Dropped::Tombstone), |program| Found::Event(program, None)),
            Some(body) => topic.find(record, body, scratch)?,
        };
        let (program, body) = match found {
            Found::Event(program, body) => (program, body),
            Found::Dropped(why) => return Ok(Some(why)),
        };
        let first = chunk.slots.len();
        let (text, values) = (chunk.buffer.text.len(), chunk.buffer.values.len());
        // A tombstone has no payload, so its program has no slots.
        if let Some(body) = body
            && let Err(fault) = self.programs[program].fill(body, scratch, chunk)
        {
            chunk.slots.truncate(first);
            chunk.buffer.text.truncate(text);
            chunk.buffer.values.truncate(values);
            return Err(fault);
        }
        let slots = first as u32..chunk.slots.len() as u32;
        chunk.events.push(DecodedEvent { record: index, program: program as u32, slots });
        Ok(None)
    }
}

impl DecodeCounts {
    fn count(&mut self, why: Dropped) {
        self.dropped += 1;
        match why {
            Dropped::Unwanted => {}
            Dropped::Unlisted => self.unlisted += 1,
            Dropped::Tombstone => self.tombstones_dropped += 1,
        }
    }
}

impl Topic {
    fn new(projection: &Arc<str>, topic: &typed::Topic, mut members: HashMap<Arc<str>, usize>) -> Topic {
        let type_member = match &topic.event_type {
            EventTypeFrom::Field(name) => {
                let next = members.len();
                Some(*members.entry(Arc::clone(name)).or_insert(next))
            }
            EventTypeFrom::Header(_) | EventTypeFrom::Single => None,
        };
        let wanted = topic.programs.iter().map(|(name, program)| (Arc::clone(name), Wanted::By(*program)));
        let declared = topic.declared.iter().map(|name| (Arc::clone(name), Wanted::Nobody));
        Topic {
            log_name: Arc::clone(&topic.log_name),
            event_type: topic.event_type.clone(),
            unknown: topic.unknown,
            unlisted: Unlisted::new(Arc::clone(projection), Arc::clone(&topic.log_name)),
            types: Names::new(wanted.chain(declared)),
            single: topic.programs.first().map(|(_, program)| *program),
            tombstone: topic.tombstone,
            members: Names::new(members),
            type_member,
        }
    }

    /// Finds the type of an event, and its members if it is wanted.
    fn find<'b>(&self, record: &Record<'_>, body: &'b [u8], scratch: &mut Scratch) -> Faulty<Found<'b>> {
        let wanted = match &self.event_type {
            EventTypeFrom::Header(header) => match record.headers.last(header) {
                Some(name) => self.of_type(name)?,
                None => return Err(fault(codes::EVENT_TYPE, format!("the record has no header `{header}`"))),
            },
            EventTypeFrom::Field(field) => return self.find_by_field(field, body, scratch),
            EventTypeFrom::Single => self.single.ok_or(Dropped::Unwanted),
        };
        match wanted {
            Err(why) => Ok(Found::Dropped(why)),
            Ok(program) => {
                self.scan(body, scratch, |_, _| Ok(None))?;
                Ok(Found::Event(program, Some(utf8(body)?)))
            }
        }
    }

    fn find_by_field<'b>(&self, field: &str, body: &'b [u8], scratch: &mut Scratch) -> Faulty<Found<'b>> {
        let mut typed = None;
        let ended = self.scan(body, scratch, |member, raw| {
            if self.type_member != Some(member) {
                return Ok(None);
            }
            if typed.is_some() {
                return Err(fault(codes::MALFORMED, "the event has two type fields".into()));
            }
            match self.type_in(raw)? {
                Ok(program) => typed = Some(program),
                Err(why) => return Ok(Some(why)),
            }
            Ok(None)
        })?;
        if let Some(why) = ended {
            return Ok(Found::Dropped(why));
        }
        let body = utf8(body)?;
        let missing = || fault(codes::EVENT_TYPE, format!("the event has no type: `.{field}` is missing"));
        typed.map(|program| Found::Event(program, Some(body))).ok_or_else(missing)
    }

    /// Scans a document and notes where its members are. `seen` is shown each that is looked for, and may end the scan.
    #[inline]
    fn scan(
        &self,
        body: &[u8],
        scratch: &mut Scratch,
        mut seen: impl FnMut(usize, &[u8]) -> Faulty<Option<Dropped>>,
    ) -> Faulty<Option<Dropped>> {
        scratch.clear();
        scratch.resize(self.members.len(), None);
        let mut scanner = Scanner::new(body);
        if !scanner.take(b'{') {
            scanner.value(0).and_then(|_| scanner.finish()).map_err(malformed)?;
            return Ok(None);
        }
        let mut first = true;
        while let Some(key) = scanner.member(&mut first).map_err(malformed)? {
            let name = scanner.slice(key.inside);
            let member = if key.escaped { self.escaped_member(name) } else { self.members.get(name) };
            let value = scanner.value(1).map_err(malformed)?;
            let Some(member) = member else { continue };
            if let Some(why) = seen(member, scanner.slice(value))? {
                return Ok(Some(why));
            }
            scratch[member] = Some(value);
        }
        scanner.finish().map_err(malformed)?;
        Ok(None)
    }

    fn escaped_member(&self, name: &[u8]) -> Option<usize> {
        let name = convert::unescaped(std::str::from_utf8(name).ok()?, true).ok()?;
        self.members.get(name.as_bytes())
    }

    /// What a type given as a JSON value means.
    fn type_in(&self, raw: &[u8]) -> Faulty<Result<usize, Dropped>> {
        if let [b'"', name @ .., b'"'] = raw {
            if !name.contains(&b'\\') {
                return self.of_type(name);
            }
            let text = std::str::from_utf8(name).ok().and_then(|name| convert::unescaped(name, true).ok());
            if let Some(text) = text {
                return self.of_type(text.as_bytes());
            }
        }
        let raw = String::from_utf8_lossy(raw);
        Err(fault(codes::EVENT_TYPE, format!("the event has no type: it is {}, not a text", convert::shortened(&raw))))
    }

    #[inline]
    fn of_type(&self, name: &[u8]) -> Faulty<Result<usize, Dropped>> {
        match self.types.get(name) {
            Some(Wanted::By(program)) => Ok(Ok(program)),
            Some(Wanted::Nobody) => Ok(Err(Dropped::Unwanted)),
            None if self.unknown == Unknown::Drop => {
                self.unlisted.count(name);
                Ok(Err(Dropped::Unlisted))
            }
            None => {
                let name = String::from_utf8_lossy(name);
                let message = format!("the topic does not list events of type `{}`", convert::shortened(&name));
                Err(fault(codes::EVENT_TYPE, message))
            }
        }
    }
}

impl Program {
    fn new(program: &typed::EventProgram, members: &mut HashMap<Arc<str>, usize>) -> Program {
        let field = |slot: &typed::Slot| {
            let next = members.len();
            let member = slot.path.first().map(|name| *members.entry(Arc::clone(name)).or_insert(next));
            Field { slot: slot.clone(), member }
        };
        let undeclared = program.declared_fields.is_none().then(|| Arc::clone(&program.event));
        Program { fields: program.slots.iter().map(field).collect(), undeclared }
    }

    /// Fills the slots of an event whose document has been scanned.
    fn fill(&self, body: &str, scratch: &Scratch, chunk: &mut Chunk) -> Faulty<()> {
        for field in &self.fields {
            let outermost = match field.member {
                Some(member) => scratch[member].map(|place| &body[place.range()]),
                None => Some(body.trim_ascii()),
            };
            let slot = field.fill(outermost, &mut chunk.buffer);
            chunk.slots.push(slot.map_err(|lack| Box::new(lack.fault(field, self.undeclared.as_deref())))?);
        }
        Ok(())
    }
}

/// Why a field could not be filled.
enum Lack {
    /// The value at `path[..=step]` is missing or null.
    Missing { step: usize, null: bool },
    /// The value at `path[..=step]` is no object, or the field does not take it.
    Wrong { step: usize, misfit: Box<Misfit> },
}

impl Field {
    /// Fills the slot from the outermost member of its path.
    fn fill(&self, outermost: Option<&str>, buffer: &mut SlotBuffer) -> Result<Slot, Lack> {
        let (mut raw, last) = (outermost, self.slot.path.len().saturating_sub(1));
        for step in 0..last {
            let absent = raw.is_none_or(|raw| raw == "null");
            if absent && self.slot.optional_at.get(step) == Some(&true) {
                return Ok(self.absent(buffer).unwrap_or(Slot::None));
            }
            let Some(object) = raw.filter(|_| !absent) else {
                return Err(Lack::Missing { step, null: raw.is_some() });
            };
            let member = convert::last_member(object, &self.slot.path[step + 1]);
            raw = member.ok_or_else(|| Lack::Wrong { step, misfit: convert::wrong(object, "an object") })?;
        }
        match raw {
            None | Some("null") => self.absent(buffer).ok_or(Lack::Missing { step: last, null: raw.is_some() }),
            Some(raw) => self.convert(raw, buffer).map_err(|misfit| Lack::Wrong { step: last, misfit }),
        }
    }

    fn convert(&self, raw: &str, buffer: &mut SlotBuffer) -> Fit<Slot> {
        if self.slot.text_or_int {
            return convert::into_key_text(raw, buffer);
        }
        convert::into_slot(raw, &self.slot.ty, buffer)
    }

    /// What stands for a missing or null value, if anything may.
    fn absent(&self, buffer: &mut SlotBuffer) -> Option<Slot> {
        match &self.slot.default {
            Some(default) => Some(convert::constant_slot(default, buffer)),
            None => self.slot.ty.is_optional().then_some(Slot::None),
        }
    }

    /// The path as it is written, up to a step; `?` stands where the hint wants it.
    fn path(&self, step: usize, optional: bool) -> String {
        let keys = self.slot.path.iter().take(step + 1);
        let last = self.slot.path.len().saturating_sub(1);
        let written =
            keys.enumerate().map(|(i, key)| if optional && i < last { format!(".{key}?") } else { format!(".{key}") });
        let path: String = written.collect();
        if path.is_empty() { ".".into() } else { path }
    }
}

impl Lack {
    fn fault(self, field: &Field, undeclared: Option<&str>) -> Fault {
        let (code, message) = match self {
            Lack::Wrong { step, misfit } => {
                (misfit.code, format!("`{}{}` {}", field.path(step, false), misfit.path, misfit.what))
            }
            Lack::Missing { step, null } => {
                let what = if null { "null" } else { "missing" };
                let mut message = format!("`{}` is {what}", field.path(step, false));
                if undeclared.is_some() {
                    let last = field.slot.path.len().saturating_sub(1);
                    let way = match last {
                        0 => format!("{} ?? …", field.path(0, false)),
                        _ => field.path(last, true),
                    };
                    message += &format!(": declare the event, or write `{way}`");
                }
                (codes::MISSING_FIELD, message)
            }
        };
        Fault { code, class: FaultClass::Decode, message, span: Some(field.slot.span) }
    }
}

#[inline]
fn utf8(body: &[u8]) -> Faulty<&str> {
    match std::str::from_utf8(body) {
        Ok(text) => Ok(text),
        Err(error) => Err(fault(codes::MALFORMED, format!("the value is not UTF-8 at byte {}", error.valid_up_to()))),
    }
}

#[cold]
fn malformed(why: Malformed) -> Box<Fault> {
    fault(codes::MALFORMED, format!("the value is not JSON: {why}"))
}

#[cold]
fn fault(code: &'static str, message: String) -> Box<Fault> {
    Box::new(Fault { code, class: FaultClass::Decode, message, span: None })
}
