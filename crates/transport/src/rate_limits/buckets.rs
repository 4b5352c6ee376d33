//! One limit: a token bucket for each key or address.
//!
//! The arithmetic is governor's (GCRA), in which a bucket is one number: the time at which it will be full again. The
//! buckets are kept here, since governor's own stores have no bound, and strangers have as many addresses as they like.
//! A bucket that is full again is like one that was never used, and is removed. At the maximum number of buckets, the
//! one of a few random ones goes that is full again soonest. An attacker that wants its own bucket removed has to use
//! up that many others, and can do more with those than with the one.

use std::{
    hash::Hash,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;
use governor::{
    Quota, RateLimiter, clock::Clock, middleware::StateInformationMiddleware, nanos::Nanos, state::StateStore,
};
use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use prometheus::IntGauge;

use thng_pubsub_broker::rate::Rate;

/// Parts with a lock of their own.
const SHARDS: usize = 16;

/// Buckets among which the one is chosen that is forgotten for another.
const CANDIDATES: usize = 16;

/// The buckets of one limit.
#[derive(Debug)]
pub(crate) struct Buckets<K: Hash + Eq + Copy> {
    rate: Rate,
    store: Arc<BucketStore<K>>,
    clock: LimiterClock,
    /// Takes what is there.
    now: Limiter<TakeTokens<K>>,
    /// Takes also what comes back during a wait: a larger bucket, `ahead` of which is not there yet.
    later: Limiter<TakeTokens<K>>,
    ahead: u32,
    /// Takes nothing.
    look: Limiter<PeekTokens<K>>,
}

type Limiter<S> = RateLimiter<<S as StateStore>::Key, S, LimiterClock, StateInformationMiddleware>;

/// What is in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remaining {
    /// How many could come now.
    pub count: u32,
    /// Until the bucket is full.
    pub full_in: Duration,
}

impl<K: Hash + Eq + Copy> Buckets<K> {
    /// Buckets of this rate, for those who wait up to `delay_max`. Up to `most` are kept, and `count` says how many are.
    pub(crate) fn new(rate: Rate, delay_max: Duration, most: usize, count: IntGauge) -> Self {
        let begun = Arc::new(OnceLock::new());
        let buckets = Self::with_clock(rate, delay_max, most, count, LimiterClock::Since(Arc::clone(&begun)));
        // Not before: all views of a bucket are to have begun at the same time, which is zero.
        begun.get_or_init(Instant::now);
        buckets
    }

    fn with_clock(
        rate: Rate,
        delay_max: Duration,
        most: usize,
        count: IntGauge,
        clock: LimiterClock,
    ) -> Self {
        let store = Arc::new(BucketStore {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            most: (most / SHARDS).max(1),
            count,
        });
        let ahead = u32::try_from(delay_max.as_nanos() / rate.period().as_nanos()).unwrap_or(u32::MAX);
        let quota =
            Quota::with_period(rate.period()).expect("a period is 1 ns or more").allow_burst(rate.burst());
        let with_ahead = quota.allow_burst(rate.burst().saturating_add(ahead));
        let limiter = |quota| Limiter::new(quota, TakeTokens(Arc::clone(&store)), clock.clone());
        Self {
            rate,
            now: limiter(quota),
            later: limiter(with_ahead),
            ahead: with_ahead.burst_size().get() - rate.burst().get(),
            look: Limiter::new(quota, PeekTokens(Arc::clone(&store)), clock.clone()),
            store,
            clock,
        }
    }

    /// The rate.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one out of a bucket.
    ///
    /// # Errors
    /// How long until there is one again.
    pub(crate) fn take(&self, key: &K) -> Result<(), Duration> {
        self.now.check_key(key).map(drop).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Takes one out of a bucket, if need be one that comes back later: how long to wait for it. The first to ask gets the
    /// first, and asks once.
    ///
    /// # Errors
    /// How long it would be, where that is longer than the maximum wait.
    pub(crate) fn take_a_turn(&self, key: &K) -> Result<Duration, Duration> {
        match self.later.check_key(key) {
            Ok(left) => {
                let waits_for = self.ahead.saturating_sub(left.remaining_burst_capacity());
                Ok(self.rate.period() * waits_for)
            }
            Err(until) => Err(until.wait_time_from(self.clock.now()) + self.rate.period() * self.ahead),
        }
    }

    /// Whether one could be taken.
    ///
    /// # Errors
    /// How long until there is one again.
    pub(crate) fn has_one(&self, key: &K) -> Result<(), Duration> {
        self.look.check_key(key).map(drop).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Puts one back that was taken and not used.
    pub(crate) fn give_back(&self, key: &K) {
        let (hash, mut shard) = self.store.shard(key);
        if let Some((_, full_at)) = shard.buckets.find_mut(hash, |(known, _)| known == key) {
            *full_at = full_at.saturating_sub(self.rate.period().into());
        }
    }

    /// What is in a bucket.
    pub(crate) fn look(&self, key: &K) -> Remaining {
        // Governor says what would be left behind one more.
        let count = self.look.check_key(key).map_or(0, |left| left.remaining_burst_capacity() + 1);
        let (hash, shard) = self.store.shard(key);
        let full_at = shard.buckets.find(hash, |(known, _)| known == key).map(|(_, full_at)| *full_at);
        let full_in = full_at.unwrap_or_default().saturating_sub(self.clock.now());
        Remaining { count, full_in: full_in.into() }
    }

    /// Forgets the buckets that are full again, and releases their memory.
    pub(crate) fn forget_full(&self) {
        let now = self.clock.now();
        for shard in &self.store.shards {
            let mut shard = shard.lock();
            let before = shard.buckets.len();
            shard.buckets.retain(|(_, full_at)| *full_at > now);
            self.store.count.sub(i64::try_from(before - shard.buckets.len()).unwrap_or_default());
            if shard.buckets.len() * 4 < shard.buckets.capacity() {
                shard.buckets.shrink_to_fit(|(key, _)| self.store.hash(key));
            }
        }
    }
}

/// The buckets that are not full: by key, when each will be.
#[derive(Debug)]
struct BucketStore<K> {
    shards: [Mutex<Shard<K>>; SHARDS],
    /// Another one at each start, so that the order of buckets cannot be predicted.
    hasher: RandomState,
    /// Of one shard.
    most: usize,
    count: IntGauge,
}

#[derive(Debug)]
struct Shard<K> {
    buckets: HashTable<(K, Nanos)>,
    /// How often one was forgotten for another.
    forgotten: u64,
}

impl<K> Default for Shard<K> {
    fn default() -> Self {
        Self { buckets: HashTable::new(), forgotten: 0 }
    }
}

impl<K: Hash + Eq + Copy> BucketStore<K> {
    fn hash(&self, key: &K) -> u64 {
        use std::hash::BuildHasher as _;
        self.hasher.hash_one(key)
    }

    fn shard(&self, key: &K) -> (u64, MutexGuard<'_, Shard<K>>) {
        let hash = self.hash(key);
        // The table looks at both ends of the hash.
        let number = usize::from((hash >> 32) as u8) % SHARDS;
        (hash, self.shards[number].lock())
    }

    fn put(&self, shard: &mut Shard<K>, hash: u64, key: K, full_at: Nanos) {
        if shard.buckets.len() >= self.most {
            self.make_space(shard);
        }
        shard.buckets.insert_unique(hash, (key, full_at), |(key, _)| self.hash(key));
        self.count.inc();
    }

    /// Forgets the bucket that is full again soonest, of some at a random position.
    fn make_space(&self, shard: &mut Shard<K>) {
        use std::hash::BuildHasher as _;
        shard.forgotten = shard.forgotten.wrapping_add(1);
        let places = shard.buckets.num_buckets();
        let start = (self.hasher.hash_one(shard.forgotten) % places as u64) as usize;
        let around = (start..places).chain(0..start);
        let candidates = around.filter_map(|place| Some((place, shard.buckets.get_bucket(place)?.1)));
        let soonest = candidates.take(CANDIDATES).min_by_key(|(_, full_at)| *full_at);
        if let Some((place, _)) = soonest
            && let Ok(entry) = shard.buckets.get_bucket_entry(place)
        {
            entry.remove();
            self.count.dec();
        }
    }
}

/// Governor's way to the buckets.
#[derive(Debug)]
struct TakeTokens<K>(Arc<BucketStore<K>>);

impl<K: Hash + Eq + Copy> StateStore for TakeTokens<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (hash, mut shard) = self.0.shard(key);
        if let Some((_, full_at)) = shard.buckets.find_mut(hash, |(known, _)| known == key) {
            let (outcome, then) = decide(Some(*full_at))?;
            *full_at = then;
            return Ok(outcome);
        }
        let (outcome, full_at) = decide(None)?;
        self.0.put(&mut shard, hash, *key, full_at);
        Ok(outcome)
    }
}

/// The same without taking.
#[derive(Debug)]
struct PeekTokens<K>(Arc<BucketStore<K>>);

impl<K: Hash + Eq + Copy> StateStore for PeekTokens<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (hash, shard) = self.0.shard(key);
        let full_at = shard.buckets.find(hash, |(known, _)| known == key).map(|(_, full_at)| *full_at);
        drop(shard);
        decide(full_at).map(|(outcome, _)| outcome)
    }
}

/// The time since a limit began, which never goes back.
#[derive(Debug, Clone)]
enum LimiterClock {
    Since(Arc<OnceLock<Instant>>),
    /// Goes on when a test says so.
    #[cfg(test)]
    LimiterFixture(governor::clock::FakeRelativeClock),
}

impl Clock for LimiterClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        match self {
            Self::Since(begun) => begun.get().map_or(Duration::ZERO, Instant::elapsed).into(),
            #[cfg(test)]
            Self::LimiterFixture(clock) => clock.now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;
    use thng_pubsub_broker::rate::RateLimit;

    struct LimiterFixture {
        buckets: Buckets<u32>,
        clock: FakeRelativeClock,
        count: IntGauge,
    }

    fn limiter(rate: &str, delay_max_ms: u64, most: usize) -> LimiterFixture {
        let rate = rate.parse().ok().and_then(RateLimit::rate).expect("a rate");
        let count = IntGauge::new("buckets", "of a test").expect("a gauge");
        let clock = FakeRelativeClock::default();
        let beat = LimiterClock::LimiterFixture(clock.clone());
        let buckets =
            Buckets::with_clock(rate, Duration::from_millis(delay_max_ms), most, count.clone(), beat);
        LimiterFixture { buckets, clock, count }
    }

    impl LimiterFixture {
        fn pass_ms(&self, ms: u64) {
            self.clock.advance(Duration::from_millis(ms));
        }

        fn store(&self) -> usize {
            let store = self.buckets.store.shards.iter().map(|shard| shard.lock().buckets.len()).sum();
            assert_eq!(i64::try_from(store), Ok(self.count.get()), "the gauge says how many there are");
            store
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_key_has_its_own_bucket_with_burst_and_even_refill() {
        let limiter = limiter("10/s:3", 0, 1_000);
        assert_eq!([(); 4].map(|()| limiter.buckets.take(&1)), [Ok(()), Ok(()), Ok(()), Err(ms(100))]);
        assert_eq!(limiter.buckets.take(&2), Ok(()), "another key");
        limiter.pass_ms(60);
        assert_eq!(limiter.buckets.take(&1), Err(ms(40)));
        limiter.pass_ms(40);
        assert_eq!(limiter.buckets.take(&1), Ok(()));
        assert_eq!(limiter.buckets.take(&1), Err(ms(100)), "what was refused has cost nothing");
        limiter.pass_ms(10_000);
        assert_eq!(
            limiter.buckets.look(&1),
            Remaining { count: 3, full_in: ms(0) },
            "and no more than the burst"
        );
    }

    #[test]
    fn waiting_keys_take_turns_in_order_up_to_the_longest_wait() {
        let limiter = limiter("10/s:2", 500, 1_000);
        let turns: Vec<_> = (0..9).map(|_| limiter.buckets.take_a_turn(&1)).collect();
        let waits = [0, 0, 100, 200, 300, 400, 500].map(|wait| Ok(ms(wait)));
        assert_eq!(turns[..7], waits);
        assert_eq!(turns[7..], [Err(ms(600)), Err(ms(600))]);
        assert_eq!(
            limiter.buckets.take(&1),
            Err(ms(600)),
            "a caller that does not wait comes behind all of them"
        );
        limiter.pass_ms(250);
        assert_eq!(limiter.buckets.take_a_turn(&1), Ok(ms(400)), "rounded up to a whole period");
        limiter.buckets.give_back(&1);
        assert_eq!(limiter.buckets.take_a_turn(&1), Ok(ms(400)), "an unused turn is the next caller's");
    }

    #[test]
    fn a_wait_longer_than_the_longest_delay_is_refused() {
        let limiter = limiter("2/d", 10_000, 1_000);
        assert_eq!([(); 2].map(|()| limiter.buckets.take_a_turn(&1)), [Ok(ms(0)); 2]);
        assert_eq!(limiter.buckets.take_a_turn(&1), Err(Duration::from_secs(43_200)));
    }

    #[test]
    fn peeking_takes_nothing() {
        let limiter = limiter("10/s:2", 0, 1_000);
        assert_eq!(limiter.buckets.look(&1), Remaining { count: 2, full_in: ms(0) });
        assert_eq!((limiter.buckets.has_one(&1), limiter.store()), (Ok(()), 0));
        assert_eq!(limiter.buckets.take(&1), Ok(()));
        assert_eq!(limiter.buckets.look(&1), Remaining { count: 1, full_in: ms(100) });
        assert_eq!(limiter.buckets.take(&1), Ok(()));
        assert_eq!(limiter.buckets.look(&1), Remaining { count: 0, full_in: ms(200) });
        assert_eq!(limiter.buckets.has_one(&1), Err(ms(100)));
        limiter.buckets.give_back(&1);
        assert_eq!(limiter.buckets.has_one(&1), Ok(()));
    }

    #[test]
    fn a_full_bucket_is_forgotten_and_frees_its_memory() {
        let limiter = limiter("10/s:2", 0, 100_000);
        (0..5_000).for_each(|key| assert_eq!(limiter.buckets.take(&key), Ok(())));
        limiter.pass_ms(50);
        assert_eq!(limiter.buckets.take(&1), Ok(()));
        limiter.pass_ms(50);
        limiter.buckets.forget_full();
        assert_eq!(limiter.store(), 1, "the one that is not full for another 100 ms");
        let capacity: usize =
            limiter.buckets.store.shards.iter().map(|shard| shard.lock().buckets.capacity()).sum();
        assert!(capacity < 64, "{capacity}");
        limiter.pass_ms(100);
        limiter.buckets.forget_full();
        assert_eq!(limiter.store(), 0);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let limiter = limiter("1/h:5", 0, 1_000);
        for key in 0..20_000 {
            assert_eq!(limiter.buckets.take(&key), Ok(()));
            assert!(limiter.count.get() <= 1_000);
        }
        assert!((900..=1_000).contains(&limiter.store()), "{}", limiter.store());
    }

    #[test]
    fn a_flood_of_other_keys_does_not_reset_an_exhausted_one() {
        let limiter = limiter("1/h:5", 0, 1_600);
        let guilty: HashSet<u32> = (0..32).collect();
        for key in &guilty {
            (0..5).for_each(|_| assert_eq!(limiter.buckets.take(key), Ok(())));
        }
        // Each of the others has used less than they, so of any that chance points at, another one goes.
        (1_000..50_000).for_each(|key| assert_eq!(limiter.buckets.take(&key), Ok(())));
        for key in &guilty {
            assert!(limiter.buckets.take(key).is_err(), "{key} has a new bucket");
        }
    }

    proptest! {
        /// However takes and turns follow one another, no time ever sees more than the burst and what has come back.
        #[test]
        fn no_key_ever_exceeds_its_rate(
            count in 1_u32..50,
            burst in 1_u32..20,
            steps in prop::collection::vec((0_u64..400, any::<bool>()), 1..200),
        ) {
            let limiter = limiter(&format!("{count}/s:{burst}"), 2_000, 1_000);
            let period = limiter.buckets.rate().period();
            let mut now = Duration::ZERO;
            let mut served = Vec::new();
            for (pass, waits) in steps {
                limiter.pass_ms(pass);
                now += ms(pass);
                match waits {
                    true => served.extend(limiter.buckets.take_a_turn(&1).ok().map(|wait| now + wait)),
                    false => served.extend(limiter.buckets.take(&1).ok().map(|()| now)),
                }
            }
            served.sort();
            for (first, from) in served.iter().enumerate() {
                for (last, to) in served.iter().enumerate().skip(first) {
                    let fits = u128::from(burst) + (*to - *from).as_nanos() / period.as_nanos();
                    prop_assert!((last - first) as u128 <= fits, "{first}..={last} of {served:?}");
                }
            }
        }
    }
}
