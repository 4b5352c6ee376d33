//! The command of a publish, whose topic decides which one it is.

use super::{
    Applied, ChangeThngs, Command, CommandResult, Create, CreateActions, Owner, Update, UpdateLocation,
    UpdateProperties,
};
use thng_pubsub_store::{TimestampMs, WriteStore};

/// One of the commands that publishes request. The answer to a publish has no content, so it has no output.
#[derive(Debug)]
pub(crate) enum PublishCommand {
    CreateActionType(Box<Create>),
    CreateActions(CreateActions),
    Update(Update),
    AddThngs(ChangeThngs),
    UpdateProperties(UpdateProperties),
    UpdateLocation(UpdateLocation),
}

impl Command for PublishCommand {
    type Output = ();

    fn name(&self) -> &'static str {
        match self {
            Self::CreateActionType(command) => command.name(),
            Self::CreateActions(command) => command.name(),
            Self::Update(command) => command.name(),
            Self::AddThngs(command) => command.name(),
            Self::UpdateProperties(command) => command.name(),
            Self::UpdateLocation(command) => command.name(),
        }
    }

    fn owner(&self) -> Owner {
        match self {
            Self::CreateActionType(command) => command.owner(),
            Self::CreateActions(command) => command.owner(),
            Self::Update(command) => command.owner(),
            Self::AddThngs(command) => command.owner(),
            Self::UpdateProperties(command) => command.owner(),
            Self::UpdateLocation(command) => command.owner(),
        }
    }

    fn apply(&self, store: &mut dyn WriteStore, now_ms: TimestampMs) -> CommandResult<()> {
        match self {
            Self::CreateActionType(command) => command.apply(store, now_ms).map(Applied::without_output),
            Self::CreateActions(command) => command.apply(store, now_ms).map(Applied::without_output),
            Self::Update(command) => command.apply(store, now_ms).map(Applied::without_output),
            Self::AddThngs(command) => command.apply(store, now_ms).map(Applied::without_output),
            Self::UpdateProperties(command) => command.apply(store, now_ms).map(Applied::without_output),
            Self::UpdateLocation(command) => command.apply(store, now_ms).map(Applied::without_output),
        }
    }
}
