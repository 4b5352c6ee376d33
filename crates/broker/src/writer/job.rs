//! A command on its way through the writer, with the call that waits for its answer.

use thng_pubsub_store::{StoreError, TimestampMs, WriteStore};

use super::{Wake, budget::Permit};
use crate::commands::{Applied, Bound, Command, CommandError, Event, Garbage, Owner};

/// A call of the writer, with what it counts in the writer's queue.
pub(super) struct Job {
    pub(super) owner: Owner,
    pub(super) payload_bytes: usize,
    pub(super) budget: Permit,
    pub(super) call: Box<dyn Call>,
}

/// A command of any type, together with the answer to it: only here is the type of the answer known.
pub(super) trait Call: Send {
    /// Applies the command, and remembers the answer until its commit. It is applied again if its group is rolled back.
    ///
    /// # Errors
    /// The store fails; every other refusal is an answer.
    fn apply(&mut self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> Result<Effects, StoreError>;

    /// Makes a failure of the store the answer.
    fn fail(&mut self, error: StoreError);

    /// Gives the answer.
    fn answer(self: Box<Self>) -> Wake;
}

/// What a command has done, besides its answer.
pub(super) struct Effects {
    pub(super) events: Vec<Event>,
    pub(super) garbage: Garbage,
    /// The bound of the writer's work that the command would exceed. It was refused then.
    pub(super) exceeded: Option<Bound>,
}

/// A command with the function that takes its answer, in one allocation.
pub(super) struct PendingCall<C: Command, R> {
    command: C,
    reply: R,
    answer: Option<Result<C::Output, CommandError>>,
    /// For exported traces: until the command is answered.
    span: tracing::Span,
}

impl<C: Command, R> PendingCall<C, R> {
    pub(super) fn new(command: C, reply: R) -> Self {
        let span = tracing::debug_span!("write", command = command.name());
        Self { command, reply, answer: None, span }
    }
}

impl<C: Command, R: FnOnce(Result<C::Output, CommandError>) -> Wake + Send> Call for PendingCall<C, R> {
    fn apply(&mut self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> Result<Effects, StoreError> {
        // A try that was rolled back has no answer, whatever becomes of this one.
        self.answer = None;
        let (answer, effects) = match self.command.apply(store, now_ms) {
            Ok(Applied { output, events, garbage }) => {
                (Ok(output), Effects { events, garbage, exceeded: None })
            }
            Err(CommandError::Store(error)) => return Err(error),
            Err(refusal) => {
                let exceeded = match &refusal {
                    CommandError::BeyondBound { bound, .. } => Some(*bound),
                    CommandError::NotFound
                    | CommandError::Invalid(_)
                    | CommandError::Conflict(_)
                    | CommandError::TooManySubscriptions
                    | CommandError::Store(_)
                    | CommandError::Stopping => None,
                };
                (Err(refusal), Effects { events: Vec::new(), garbage: Garbage::None, exceeded })
            }
        };
        self.answer = Some(answer);
        Ok(effects)
    }

    fn fail(&mut self, error: StoreError) {
        self.answer = Some(Err(CommandError::Store(error)));
    }

    fn answer(self: Box<Self>) -> Wake {
        let Self { reply, answer, span, .. } = *self;
        drop(span);
        reply(answer.expect("a command is answered after it was applied or has failed"))
    }
}
