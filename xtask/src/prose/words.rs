//! The limits and the table of words that prose must not use, each with a better one.
//!
//! A row is a word or a phrase, in all of its forms.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::passages::Shape;
use super::sentences::Word;

/// The most words of a sentence.
pub(super) const SENTENCE: usize = 30;

/// The most words of a file or of a group of files, counted as by `wc -w`, without generated parts.
pub(super) const BUDGETS: [(&str, usize); 3] =
    [("README.md", 700), ("ARCHITECTURE.md", 2_500), (ALL, 25_000)];

/// The name of the budget of all Markdown files together.
pub(super) const ALL: &str = "all Markdown";

/// Why a word is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Not plain technical English.
    Style,
    /// Not the spelling of the United States.
    Spelling,
    /// A name of an earlier version. The change log and migrations still say it.
    Renamed,
}

/// A word or phrase, what replaces it, and the reason.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) forms: &'static [&'static str],
    pub(super) better: &'static str,
    pub(super) why: Why,
}

const fn row(why: Why, forms: &'static [&'static str], better: &'static str) -> Row {
    Row { forms, better, why }
}

pub(super) const ROWS: &[Row] = &[
    row(Why::Style, &["whoever", "whomever"], "name the client, user or component"),
    row(Why::Style, &["nobody", "no-one"], "no client, no user, nothing"),
    row(Why::Style, &["somebody"], "a client, a user"),
    row(Why::Style, &["everybody"], "every client, all users"),
    row(Why::Style, &["anybody"], "any client, any user"),
    row(Why::Style, &["told"], "notified, informed, reported"),
    row(Why::Style, &["hear", "hears", "heard", "hearing"], "receive, receives"),
    row(Why::Style, &["stand", "stands", "stood"], "is, exists, is written, means"),
    row(Why::Style, &["turn away", "turns away", "turned away", "turning away"], "reject, rejects, rejected"),
    row(
        Why::Style,
        &["take away", "takes away", "took away", "taken away", "taking away", "takes it away"],
        "revoke, remove",
    ),
    row(Why::Style, &["the way of", "the ways of"], "how, the method"),
    row(Why::Style, &["door", "doors"], "transport, API, entry point"),
    row(Why::Style, &["room", "rooms"], "space, capacity"),
    row(Why::Style, &["house", "houses"], "name the component or project"),
    row(
        Why::Style,
        &["broke off", "broken off", "breaks off", "break off"],
        "was truncated, connection lost",
    ),
    row(Why::Style, &["the putting together"], "start-up"),
    row(Why::Spelling, &["licence", "licences", "licenced"], "license"),
    row(Why::Spelling, &["colour", "colours", "coloured"], "color"),
    row(Why::Spelling, &["behaviour", "behaviours"], "behavior"),
    row(Why::Spelling, &["neighbour", "neighbours", "neighbouring"], "neighbor"),
    row(Why::Spelling, &["favour", "favours", "honour", "honours"], "favor, honor"),
    row(Why::Spelling, &["centre", "centres", "metre", "metres"], "center, meter"),
    row(
        Why::Spelling,
        &["catalogue", "catalogues", "artefact", "artefacts", "grey"],
        "catalog, artifact, gray",
    ),
    row(
        Why::Spelling,
        &["authorise", "authorises", "authorised", "authorising", "authorisation"],
        "authorize",
    ),
    row(Why::Spelling, &["recognise", "recognises", "recognised"], "recognize"),
    row(Why::Spelling, &["serialise", "serialises", "serialised", "serialising"], "serialize"),
    row(Why::Spelling, &["normalise", "normalises", "normalised"], "normalize"),
    row(Why::Spelling, &["optimise", "optimises", "optimised", "optimisation"], "optimize"),
    row(Why::Spelling, &["initialise", "initialises", "initialised", "initialising"], "initialize"),
    row(Why::Spelling, &["organise", "organised", "organisation", "organisations"], "organize, organization"),
    row(Why::Spelling, &["analyse", "analyses", "analysed"], "analyze"),
    row(Why::Spelling, &["synchronise", "synchronises", "synchronised"], "synchronize"),
    row(Why::Spelling, &["whilst", "amongst"], "while, among"),
    row(Why::Renamed, &["gateway", "gateways"], "broker (crate), or `PubSub`, `Resources`, `Identity`"),
    row(Why::Renamed, &["the edge", "an edge", "edges"], "transport, transports"),
    row(Why::Renamed, &["the engine", "an engine"], "bus (server), Wasm module (SDK)"),
    row(Why::Renamed, &["bystander", "bystanders"], "read-only database"),
    row(Why::Renamed, &["held key", "held keys"], "key lease, key leases"),
    row(
        Why::Renamed,
        &["kept message", "kept messages", "kept notification", "kept notifications", "kept notes"],
        "queued message; session queue",
    ),
    row(Why::Renamed, &["watch only"], "subscribe-only"),
    row(Why::Renamed, &["sparing", "sparingly", "sparing log"], "log throttle, throttled"),
    row(Why::Renamed, &["doomed"], "pending delete"),
    row(Why::Renamed, &["owed", "owes", "owe"], "pending acknowledgement, inflight"),
    row(Why::Renamed, &["sought"], "candidate"),
    row(Why::Renamed, &["hesitant", "hesitates"], "slow flush"),
    row(Why::Renamed, &["loan", "loans", "lent"], "pooled connection"),
    row(
        Why::Renamed,
        &["a note", "the note", "notes", "each note", "every note", "one note"],
        "notification; the verb: record, records",
    ),
    row(Why::Renamed, &["look after", "looks after", "looked after"], "run, monitor"),
];

/// Words before a "who" that is a program, or that stands for "whoever".
const BEFORE_WHO: [&str; 38] = [
    "and",
    "broker",
    "browser",
    "but",
    "by",
    "caller",
    "callers",
    "client",
    "clients",
    "connection",
    "connections",
    "device",
    "devices",
    "for",
    "from",
    "if",
    "key",
    "keys",
    "of",
    "or",
    "principal",
    "principals",
    "program",
    "programs",
    "publisher",
    "publishers",
    "sender",
    "server",
    "session",
    "sessions",
    "subscriber",
    "subscribers",
    "than",
    "thread",
    "to",
    "when",
    "with",
    "writer",
];

/// Words behind a "who" that asks about rights.
const BEHIND_WHO: [&str; 4] = ["may", "can", "sees", "owns"];

/// Where a sentence says "who" of a program, or in the sense of "whoever", and why not. A question may ask who.
pub(super) fn who(words: &[Word], shape: Shape, sentence: &str) -> Option<(usize, &'static str)> {
    if shape == Shape::Cell || sentence.ends_with('?') {
        return None;
    }
    let asks = |at: usize| words.get(at + 1).is_some_and(|next| BEHIND_WHO.contains(&next.text.as_str()));
    let is_bad = |at: usize| at == 0 || BEFORE_WHO.contains(&words[at - 1].text.as_str());
    let mut found = words.iter().enumerate().filter(|(_, word)| word.text == "who");
    let (_, word) = found.find(|(at, _)| is_bad(*at) && !asks(*at))?;
    Some((word.row, "`who` of a program, better: name the client or component, and say \"that\""))
}

/// The better word for a title that is a question without a question mark.
const TITLE: &str = "a title that begins with \"What\", better: a noun phrase or a verb";

/// Every form of every row by its first word, with all of its words.
static FORMS: LazyLock<HashMap<&str, Vec<Form>>> = LazyLock::new(|| {
    let mut forms: HashMap<&str, Vec<Form>> = HashMap::new();
    for (row, form) in ROWS.iter().flat_map(|row| row.forms.iter().map(move |form| (row, *form))) {
        let words: Vec<&str> = form.split([' ', '-']).collect();
        forms.entry(words[0]).or_default().push(Form { words, form, row });
    }
    forms
});

struct Form {
    words: Vec<&'static str>,
    form: &'static str,
    row: &'static Row,
}

/// Every forbidden word of a sentence: the line break behind which it is, the form, and its row.
pub(super) fn find(words: &[Word]) -> impl Iterator<Item = (usize, &'static str, &'static Row)> {
    words.iter().enumerate().flat_map(move |(at, first)| {
        let forms = FORMS.get(first.text.as_str()).map_or(&[][..], Vec::as_slice);
        let is_here = move |form: &&Form| {
            let behind = words[at..].iter().map(|word| word.text.as_str());
            behind.take(form.words.len()).eq(form.words.iter().copied())
        };
        forms.iter().filter(is_here).map(|form| (first.row, form.form, form.row))
    })
}

/// What is wrong with a sentence as a title.
pub(super) fn title(shape: Shape, sentence: &str) -> Option<&'static str> {
    let is_bad = shape == Shape::Title && sentence.starts_with("What ") && !sentence.ends_with('?');
    is_bad.then_some(TITLE)
}
