//! Natural batching: whatever arrives for a lane while its last batch is being worked on forms the next.
//!
//! No timer waits for a batch to fill. When little comes, each item goes alone and at once; when much comes,
//! batches grow by themselves. A lane is a tenant: lanes take turns, so that a busy one starves no other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use uuid::Uuid;

/// How much may be held and how it is cut into batches. Sizes are in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Batches of one lane that may be worked on at a time.
    pub in_flight_per_lane: usize,
    /// Items in a batch.
    pub batch_items: usize,
    /// Bytes in a batch; a larger item goes alone.
    pub batch_bytes: usize,
    /// Items waiting in all lanes together.
    pub waiting_items: usize,
    /// Bytes waiting in all lanes together.
    pub waiting_bytes: usize,
}

/// Some items of one lane, oldest first.
#[derive(Debug)]
pub struct Batch<T> {
    /// Whose they are.
    pub lane: Uuid,
    /// At least one.
    pub items: Vec<T>,
}

/// The policy, without waiting or waking.
#[derive(Debug)]
struct Lanes<T> {
    limits: Limits,
    lanes: HashMap<Uuid, Lane<T>>,
    /// Lanes that have items and may start a batch, in the order of their turns.
    turns: VecDeque<Uuid>,
    waiting_items: usize,
    waiting_bytes: usize,
    in_flight: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<(usize, T)>,
    in_flight: usize,
    has_turn: bool,
}

impl<T> Lanes<T> {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            waiting_items: 0,
            waiting_bytes: 0,
            in_flight: 0,
        }
    }

    /// Adds an item, or gives it back when too much is waiting.
    fn push(&mut self, lane: Uuid, bytes: usize, item: T) -> Result<(), T> {
        if self.waiting_items >= self.limits.waiting_items
            || self.waiting_bytes.saturating_add(bytes) > self.limits.waiting_bytes
        {
            return Err(item);
        }
        self.waiting_items += 1;
        self.waiting_bytes += bytes;
        let entry = self.lanes.entry(lane).or_insert_with(|| Lane {
            waiting: VecDeque::new(),
            in_flight: 0,
            has_turn: false,
        });
        entry.waiting.push_back((bytes, item));
        self.give_turn(lane);
        Ok(())
    }

    /// The next batch, of the lane whose turn it is.
    fn take(&mut self) -> Option<Batch<T>> {
        let lane = self.turns.pop_front()?;
        let entry = self.lanes.get_mut(&lane)?;
        entry.has_turn = false;
        let (mut items, mut batch_bytes) = (Vec::new(), 0);
        while let Some((bytes, _)) = entry.waiting.front() {
            let is_full =
                items.len() >= self.limits.batch_items || batch_bytes + bytes > self.limits.batch_bytes;
            if is_full && !items.is_empty() {
                break;
            }
            if let Some((bytes, item)) = entry.waiting.pop_front() {
                batch_bytes += bytes;
                items.push(item);
            }
        }
        entry.in_flight += 1;
        self.in_flight += 1;
        self.waiting_items -= items.len();
        self.waiting_bytes -= batch_bytes;
        self.give_turn(lane);
        Some(Batch { lane, items })
    }

    /// A batch of this lane has been worked on.
    fn done(&mut self, lane: Uuid) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(entry) = self.lanes.get_mut(&lane) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            if entry.in_flight == 0 && entry.waiting.is_empty() {
                self.lanes.remove(&lane);
            }
        }
        self.give_turn(lane);
    }

    fn give_turn(&mut self, lane: Uuid) {
        if let Some(entry) = self.lanes.get_mut(&lane)
            && !entry.has_turn
            && !entry.waiting.is_empty()
            && entry.in_flight < self.limits.in_flight_per_lane
        {
            entry.has_turn = true;
            self.turns.push_back(lane);
        }
    }
}

/// Lanes that many tasks fill and a few empty.
#[derive(Debug)]
pub struct Batches<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    /// Rung when nothing waits and nothing is worked on.
    idle: Notify,
}

#[derive(Debug)]
struct State<T> {
    lanes: Lanes<T>,
    is_closed: bool,
}

impl<T> Batches<T> {
    /// Empty lanes.
    pub fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::new(State { lanes: Lanes::new(limits), is_closed: false }),
            changed: Notify::new(),
            idle: Notify::new(),
        }
    }

    /// Adds an item, or gives it back when too much is waiting or no more is taken.
    pub fn push(&self, lane: Uuid, bytes: usize, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(item);
        }
        state.lanes.push(lane, bytes, item)?;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for a batch; `None` once closed and empty. Every batch must be followed by [`Self::done`].
    pub async fn next(&self) -> Option<Batch<T>> {
        loop {
            // Registered before looking, so that a push between the look and the wait is not missed.
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if let Some(batch) = state.lanes.take() {
                    let has_more = !state.lanes.turns.is_empty();
                    drop(state);
                    if has_more {
                        self.changed.notify_one();
                    }
                    return Some(batch);
                }
                if state.is_closed && state.lanes.waiting_items == 0 {
                    drop(state);
                    self.changed.notify_one();
                    return None;
                }
            }
            changed.await;
        }
    }

    /// A batch of this lane has been worked on.
    pub fn done(&self, lane: Uuid) {
        let mut state = self.lock();
        state.lanes.done(lane);
        let is_idle = state.lanes.waiting_items == 0 && state.lanes.in_flight == 0;
        drop(state);
        self.changed.notify_one();
        if is_idle {
            self.idle.notify_waiters();
        }
    }

    /// Items waiting, not those being worked on.
    pub fn waiting(&self) -> usize {
        self.lock().lanes.waiting_items
    }

    /// Takes no more items; what is waiting is still worked on.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits until nothing waits and nothing is worked on.
    pub async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            {
                let state = self.lock();
                if state.lanes.waiting_items == 0 && state.lanes.in_flight == 0 {
                    return;
                }
            }
            idle.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in a critical section panics half-way, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        in_flight_per_lane: 1,
        batch_items: 3,
        batch_bytes: 100,
        waiting_items: 6,
        waiting_bytes: 500,
    };

    fn lane(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn lanes(pushed: &[(u128, usize)]) -> Lanes<usize> {
        let mut lanes = Lanes::new(LIMITS);
        for (number, (lane_number, bytes)) in pushed.iter().enumerate() {
            lanes.push(lane(*lane_number), *bytes, number).expect("within the limits");
        }
        lanes
    }

    #[test]
    fn what_arrives_during_a_batch_forms_the_next() {
        let mut lanes = lanes(&[(1, 1)]);
        assert_eq!(lanes.take().expect("at once, alone").items, [0]);
        lanes.push(lane(1), 1, 1).expect("within the limits");
        lanes.push(lane(1), 1, 2).expect("within the limits");
        assert!(lanes.take().is_none(), "the lane's one batch is still in flight");
        lanes.done(lane(1));
        assert_eq!(lanes.take().expect("both").items, [1, 2]);
    }

    #[test]
    fn lanes_take_turns() {
        let mut lanes = lanes(&[(1, 1), (1, 1), (1, 1), (1, 1), (2, 1)]);
        assert_eq!(lanes.take().map(|batch| batch.lane), Some(lane(1)));
        lanes.done(lane(1));
        assert_eq!(lanes.take().map(|batch| batch.lane), Some(lane(2)));
        assert_eq!(lanes.take().map(|batch| batch.items), Some(vec![3]));
    }

    #[test]
    fn batches_are_bounded_in_items_and_bytes() {
        let mut by_items = lanes(&[(1, 1), (1, 1), (1, 1), (1, 1)]);
        assert_eq!(by_items.take().map(|batch| batch.items.len()), Some(3));
        let mut by_bytes = lanes(&[(1, 60), (1, 60)]);
        assert_eq!(by_bytes.take().map(|batch| batch.items.len()), Some(1));
        let mut oversized = lanes(&[(1, 400)]);
        assert_eq!(oversized.take().map(|batch| batch.items.len()), Some(1), "goes alone");
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        let mut by_items = lanes(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]);
        assert_eq!(by_items.push(lane(7), 1, 9), Err(9));
        by_items.take();
        assert_eq!(by_items.push(lane(7), 1, 9), Ok(()), "a batch in flight waits no longer");
        let mut by_bytes = lanes(&[(1, 400)]);
        assert_eq!(by_bytes.push(lane(1), 101, 9), Err(9));
    }

    #[test]
    fn forgets_a_lane_that_is_empty() {
        let mut lanes = lanes(&[(1, 1)]);
        lanes.take();
        lanes.done(lane(1));
        assert!(lanes.lanes.is_empty());
        assert_eq!((lanes.waiting_items, lanes.waiting_bytes, lanes.in_flight), (0, 0, 0));
    }

    #[tokio::test]
    async fn closing_hands_out_what_waits_and_then_ends() {
        let batches = Batches::new(LIMITS);
        batches.push(lane(1), 1, "last").expect("open");
        batches.close();
        assert_eq!(batches.push(lane(1), 1, "late"), Err("late"));
        let batch = batches.next().await.expect("what waited");
        assert_eq!(batch.items, ["last"]);
        batches.done(batch.lane);
        batches.drained().await;
        assert!(batches.next().await.is_none());
    }
}
