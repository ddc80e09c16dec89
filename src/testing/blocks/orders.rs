//! The orders in which the events of `given any_order` may come.
//!
//! A log keeps the order of one topic's events and says nothing between topics: what may happen is every interleaving of
//! the topics. A block whose events are all of one topic is tried in every order; there it stands for partitions.

use crate::language::span::Span;
use crate::language::typed::{GivenEvent, StepKind, Test};

/// All orders are tried up to so many; beyond, some are drawn.
const ORDERS_MAX: usize = 5_040;
const DRAWN: usize = 1_000;

/// For each step of a test, the order of its events; empty where it is that of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    steps: Vec<Vec<usize>>,
}

impl Order {
    pub fn as_written(test: &Test) -> Order {
        let events = |kind: &StepKind| match kind {
            StepKind::Given { any_order: true, events } => (0..events.len()).collect(),
            _ => Vec::new(),
        };
        Order { steps: test.steps.iter().map(|step| events(&step.kind)).collect() }
    }

    /// The events of a step, in this order.
    pub fn events<'e>(&self, step: usize, events: &'e [GivenEvent]) -> Vec<&'e GivenEvent> {
        match self.steps[step].is_empty() {
            true => events.iter().collect(),
            false => self.steps[step].iter().map(|event| &events[*event]).collect(),
        }
    }

    /// Where the reordered events stand in the file, in this order.
    pub fn spans(&self, test: &Test) -> Vec<Span> {
        let steps = test.steps.iter().zip(&self.steps);
        let spans = steps.flat_map(|(step, order)| match &step.kind {
            StepKind::Given { events, .. } => order.iter().map(|event| events[*event].span).collect(),
            _ => Vec::new(),
        });
        spans.collect()
    }
}

/// Every order of a test but the written one, or as many as are tried.
pub(super) struct Orders {
    written: Order,
    /// For each step its interleavings, when all are tried.
    choices: Vec<Vec<Vec<usize>>>,
    /// For each step the topic of each event, when orders are drawn.
    topics: Vec<Vec<usize>>,
    draws: bool,
    next: usize,
    count: usize,
    seed: u64,
}

impl Orders {
    pub fn of(test: &Test, seed: u64) -> Orders {
        let written = Order::as_written(test);
        let topics: Vec<Vec<usize>> = test.steps.iter().map(|step| lanes(&step.kind)).collect();
        let count = topics.iter().try_fold(1usize, |count, topics| count.checked_mul(interleavings(topics)?));
        let count = count.filter(|count| *count <= ORDERS_MAX);
        let choices = match count {
            Some(_) => topics.iter().map(|topics| all_interleavings(topics)).collect(),
            None => Vec::new(),
        };
        Orders { written, choices, topics, draws: count.is_none(), next: 0, count: count.unwrap_or(DRAWN), seed }
    }

    /// The `number`th order of all: a digit for each step.
    fn numbered(&self, mut number: usize) -> Order {
        let steps = self.choices.iter().map(|choices| {
            let choice = choices[number % choices.len()].clone();
            number /= choices.len();
            choice
        });
        Order { steps: steps.collect() }
    }

    fn drawn(&mut self) -> Order {
        let topics = std::mem::take(&mut self.topics);
        let steps = topics.iter().map(|topics| self.draw(topics)).collect();
        self.topics = topics;
        Order { steps }
    }

    /// One interleaving: the next event comes from a topic with the chance of its events left, so that all are alike.
    fn draw(&mut self, topics: &[usize]) -> Vec<usize> {
        let mut left: Vec<usize> = (0..topics.len()).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let topic = topics[left[self.random(left.len())]];
            let first = left.iter().position(|event| topics[*event] == topic).expect("one of it is left");
            order.push(left.remove(first));
        }
        order
    }

    /// SplitMix64: seeded, and the same on every machine.
    fn random(&mut self, below: usize) -> usize {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    }
}

impl Iterator for Orders {
    type Item = Order;

    fn next(&mut self) -> Option<Order> {
        while self.next < self.count {
            self.next += 1;
            let order = if self.draws { self.drawn() } else { self.numbered(self.next - 1) };
            if order != self.written {
                return Some(order);
            }
        }
        None
    }
}

/// For each event the lane it keeps its place in: its topic, or one of its own if there is one topic only.
fn lanes(kind: &StepKind) -> Vec<usize> {
    let StepKind::Given { any_order: true, events } = kind else { return Vec::new() };
    let one = events.iter().all(|event| event.topic == events[0].topic);
    events.iter().enumerate().map(|(index, event)| if one { index } else { event.topic }).collect()
}

/// How many interleavings there are; nothing if far too many.
fn interleavings(lanes: &[usize]) -> Option<usize> {
    let mut seen: Vec<(usize, usize)> = Vec::new();
    let mut count = 1usize;
    for (index, lane) in lanes.iter().enumerate() {
        let at = seen.iter().position(|(known, _)| known == lane).unwrap_or_else(|| {
            seen.push((*lane, 0));
            seen.len() - 1
        });
        seen[at].1 += 1;
        // The multinomial coefficient, one event more: times all, divided by those of this lane.
        count = count.checked_mul(index + 1)? / seen[at].1;
        if count > ORDERS_MAX {
            return None;
        }
    }
    Some(count)
}

/// Every interleaving.
fn all_interleavings(lanes: &[usize]) -> Vec<Vec<usize>> {
    let mut row: Vec<usize> = lanes.iter().map(|lane| rank(lanes, *lane)).collect();
    row.sort_unstable();
    let mut all = vec![row_to_order(lanes, &row)];
    while next_permutation(&mut row) {
        all.push(row_to_order(lanes, &row));
    }
    all
}

/// The number of a lane among the lanes, so that rows can be sorted.
fn rank(lanes: &[usize], lane: usize) -> usize {
    lanes.iter().position(|known| *known == lane).expect("it is one of them")
}

/// A row of lanes as the events that stand in it.
fn row_to_order(lanes: &[usize], row: &[usize]) -> Vec<usize> {
    let mut taken = vec![false; lanes.len()];
    let mut take = |lane: usize| {
        let of_lane = |event: &usize| rank(lanes, lanes[*event]) == lane && !taken[*event];
        let event = (0..lanes.len()).find(of_lane).expect("a row has each event once");
        taken[event] = true;
        event
    };
    row.iter().map(|lane| take(*lane)).collect()
}

/// The next arrangement in dictionary order, if there is one.
fn next_permutation(row: &mut [usize]) -> bool {
    let Some(pivot) = row.windows(2).rposition(|pair| pair[0] < pair[1]) else { return false };
    let swap = row.iter().rposition(|value| *value > row[pivot]).expect("the one behind it is larger");
    row.swap(pivot, swap);
    row[pivot + 1..].reverse();
    true
}

/// The orders on the way from one to another, each made from the last by swapping two neighbours; the last is `to`. None
/// breaks the order of a topic: only neighbours that stand the other way round in `to` are swapped.
pub(super) fn steps_between(from: &Order, to: &Order) -> Vec<Order> {
    let mut way = Vec::new();
    let mut order = from.clone();
    for step in 0..order.steps.len() {
        let place = |event: usize| to.steps[step].iter().position(|known| *known == event).unwrap_or(0);
        loop {
            let events = &order.steps[step];
            let inverted = events.windows(2).position(|pair| place(pair[0]) > place(pair[1]));
            let Some(at) = inverted else { break };
            order.steps[step].swap(at, at + 1);
            way.push(order.clone());
        }
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn interleavings_are_counted_and_listed() {
        for (lanes, count) in [
            (vec![], 1),
            (vec![0, 0, 0], 1),
            (vec![0, 1, 2], 6),
            (vec![0, 0, 1, 1], 6),
            (vec![1, 0, 1, 0, 2], 30),
            ((0..7).collect(), 5_040),
        ] {
            assert_eq!(interleavings(&lanes), Some(count), "{lanes:?}");
            let all = all_interleavings(&lanes);
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), count, "{lanes:?}");
            assert_eq!(all.len(), count, "{lanes:?}");
            for order in &all {
                for lane in &lanes {
                    let events: Vec<_> = order.iter().filter(|event| lanes[**event] == *lane).collect();
                    assert!(events.is_sorted(), "{lanes:?}: {order:?}");
                }
            }
        }
        assert_eq!(interleavings(&(0..9).collect::<Vec<_>>()), None);
    }

    #[test]
    fn drawn_orders_keep_each_topic() {
        let lanes: Vec<usize> = (0..40).map(|event| event % 3).collect();
        let mut orders = Orders {
            written: Order { steps: Vec::new() },
            choices: Vec::new(),
            topics: Vec::new(),
            draws: true,
            next: 0,
            count: 1,
            seed: 7,
        };
        let order = orders.draw(&lanes);
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 40);
        for lane in 0..3 {
            assert!(order.iter().filter(|event| lanes[**event] == lane).is_sorted());
        }
    }

    #[test]
    fn a_way_leads_by_neighbours() {
        let order = |row: [usize; 4]| Order { steps: vec![row.to_vec()] };
        let way = steps_between(&order([0, 1, 2, 3]), &order([2, 3, 1, 0]));
        assert_eq!(way.last(), Some(&order([2, 3, 1, 0])));
        assert_eq!(way.len(), 5);
    }
}
