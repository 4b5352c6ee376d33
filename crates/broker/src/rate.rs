//! Rates: the settings of rate limits, such as `100/s`, `6000/m:500` or `off`, and the refusals above them.
//!
//! The transports count (`rates.rs`): who is counted, and what happens to a request beyond the limit, is theirs.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// Of one unit of time, and at once. More would have no effect.
const COUNT_MAX: u32 = 1_000_000_000;

/// Days in which an empty bucket has to be full again. The buckets count nanoseconds in 64 bits, which is 584 years.
const FULL_AGAIN_DAYS_MAX: u64 = 366;

const GRAMMAR: &str = "a rate is COUNT/UNIT or COUNT/UNIT:BURST with a unit of s, m, h or d, such as 100/s, 6000/m or 100/s:500, or `off`";

/// What a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

impl Unit {
    fn of(letter: &str) -> Option<Self> {
        match letter {
            "s" => Some(Self::Second),
            "m" => Some(Self::Minute),
            "h" => Some(Self::Hour),
            "d" => Some(Self::Day),
            _ => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
        }
    }

    /// As `/rateLimits` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

/// So many in a unit of time, evenly, and so many at once after a time without use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    unit: Unit,
    burst: NonZeroU32,
}

impl Rate {
    /// So many in a unit, and so many at once.
    pub const fn new(count: NonZeroU32, unit: Unit, burst: NonZeroU32) -> Self {
        Self { count, unit, burst }
    }

    /// How many in a unit.
    pub fn count(self) -> NonZeroU32 {
        self.count
    }

    /// The unit.
    pub fn unit(self) -> Unit {
        self.unit
    }

    /// How many at once.
    pub fn burst(self) -> NonZeroU32 {
        self.burst
    }

    /// The time after which one more may happen, 1 ns or more.
    pub fn period(self) -> Duration {
        Duration::from_nanos((self.unit.seconds() * 1_000_000_000 / u64::from(self.count.get())).max(1))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.count, self.unit.letter())?;
        if self.burst == self.count { Ok(()) } else { write!(out, ":{}", self.burst) }
    }
}

/// A rate limit's setting: how often something may happen, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// Without a limit.
    Off,
    /// So often.
    At(Rate),
}

impl RateLimit {
    /// The rate, if there is one.
    pub fn rate(self) -> Option<Rate> {
        match self {
            Self::Off => None,
            Self::At(rate) => Some(rate),
        }
    }
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let (count, rest) = text.split_once('/').ok_or(GRAMMAR)?;
        let (unit, burst) = rest.split_once(':').map_or((rest, None), |(unit, burst)| (unit, Some(burst)));
        let unit = Unit::of(unit).ok_or(GRAMMAR)?;
        let count = number(count)?;
        let rate = Rate::new(count, unit, burst.map_or(Ok(count), number)?);
        let full_again = rate.period().checked_mul(rate.burst.get());
        if full_again.is_none_or(|time| time > Duration::from_secs(FULL_AGAIN_DAYS_MAX * Unit::Day.seconds()))
        {
            return Err(format!(
                "a burst that is used up has to be there again within {FULL_AGAIN_DAYS_MAX} days: {rate} takes longer"
            ));
        }
        Ok(Self::At(rate))
    }
}

/// How many failed logins an address may have, and which addresses are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedLogins {
    /// How often.
    pub limit: RateLimit,
    /// Whether addresses of private networks are counted too.
    pub counts_private: bool,
}

impl FromStr for FailedLogins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let public = text.strip_prefix("public:");
        Ok(Self { limit: public.unwrap_or(text).parse()?, counts_private: public.is_none() })
    }
}

fn number(text: &str) -> Result<NonZeroU32, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(GRAMMAR.into());
    }
    let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= COUNT_MAX);
    number.ok_or_else(|| {
        format!("{text} is not a number from 1 to {COUNT_MAX}; what is not to be at all has no rate")
    })
}

/// Seconds, rounded up.
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A limit by its names.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// Of its setting, without the dashes in front.
    pub setting: &'static str,
    /// What is counted, for metrics; a closed set.
    pub kind: &'static str,
    /// By what it is counted, for metrics; a closed set.
    pub scope: &'static str,
    /// What is counted of whom, for sentences.
    pub said: &'static str,
}

/// There was too much of something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many {}: --{} is reached", name.said, name.setting)]
pub struct Exceeded {
    pub name: &'static Name,
    pub rate: Rate,
    /// Whole seconds until it is worth trying again, 1 or more.
    pub retry_after_s: u32,
}

impl Exceeded {
    pub fn new(name: &'static Name, rate: Rate, wait: Duration) -> Self {
        Self { name, rate, retry_after_s: u32::try_from(whole_seconds(wait)).unwrap_or(u32::MAX).max(1) }
    }

    /// For the client that caused it.
    pub fn sentence(&self) -> String {
        let Self { name, rate, retry_after_s } = self;
        format!("Too many {}: --{} is {rate}. Try again in {retry_after_s} s.", name.said, name.setting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse::<RateLimit>().ok().and_then(RateLimit::rate).unwrap_or_else(|| panic!("{text} is a rate"))
    }

    #[test]
    fn a_rate_is_a_count_of_a_unit_with_an_optional_burst() {
        for (text, period_ns, burst) in [
            ("100/s", 10_000_000, 100),
            ("100/s:500", 10_000_000, 500),
            ("6000/m", 10_000_000, 6_000),
            ("3600/h:1", 1_000_000_000, 1),
            ("2/d", 43_200_000_000_000, 2),
            ("1000000000/s", 1, 1_000_000_000),
            ("700000000/s", 1, 700_000_000),
            ("1/d:366", 86_400_000_000_000, 366),
        ] {
            let rate = rate(text);
            assert_eq!(rate.period(), Duration::from_nanos(period_ns), "{text}");
            assert_eq!(rate.burst().get(), burst, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!("off".parse(), Ok(RateLimit::Off));
        let limit = RateLimit::At(rate("20/s:1000"));
        assert_eq!("20/s:1000".parse(), Ok(FailedLogins { limit, counts_private: true }));
        assert_eq!("public:20/s:1000".parse(), Ok(FailedLogins { limit, counts_private: false }));
    }

    #[test]
    fn what_is_no_rate_is_refused_with_a_sentence_that_helps() {
        for text in [
            "",
            "100",
            "100/",
            "/s",
            "100/x",
            "100/sec",
            "100/s:",
            "100/s:5:6",
            "OFF",
            "-1/s",
            "+1/s",
            "1.5/s",
            " 1/s",
            "1/s ",
        ] {
            assert_eq!(text.parse::<RateLimit>(), Err(GRAMMAR.into()), "{text:?}");
        }
        for text in ["0/s", "1/s:0", "1000000001/s", "99999999999/s"] {
            let refused = text.parse::<RateLimit>().expect_err("a number that cannot be");
            assert!(refused.contains("from 1 to 1000000000"), "{text}: {refused}");
        }
        for text in ["1/d:367", "1/d:1000000000", "1/h:1000000000"] {
            let refused = text.parse::<RateLimit>().expect_err("a burst for years");
            assert!(refused.contains("within 366 days"), "{text}: {refused}");
        }
    }

    #[test]
    fn retry_after_is_at_least_one_whole_second() {
        static NAME: Name = Name {
            setting: "request-rate-per-key",
            kind: "requests",
            scope: "key",
            said: "requests of this API key",
        };
        for (wait_ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (86_400_000, 86_400)] {
            let exceeded = Exceeded::new(&NAME, rate("100/s:500"), Duration::from_millis(wait_ms));
            assert_eq!(exceeded.retry_after_s, seconds, "{wait_ms} ms");
        }
        let exceeded = Exceeded::new(&NAME, rate("100/s:500"), Duration::from_secs(3));
        assert_eq!(
            exceeded.to_string(),
            "too many requests of this API key: --request-rate-per-key is reached"
        );
        let sentence =
            "Too many requests of this API key: --request-rate-per-key is 100/s:500. Try again in 3 s.";
        assert_eq!(exceeded.sentence(), sentence);
    }
}
