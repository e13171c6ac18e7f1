//! `notifications test`: sends a test message at once, without a record in the store.

use clap::Args;

use super::EMAIL;
use crate::app::notifications::send_test;
use crate::cli::{Exit, Shared, UsageError, print};
use crate::clock::{Clock as _, SystemClock};
use crate::config::NeededSecrets;
use crate::domain::address::Address;
use crate::domain::alerting::recipients;

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArguments {
    /// The recipient [default: the operators, else the fallback]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// The channel
    #[arg(long, value_name = "NAME", default_value = EMAIL)]
    channel: String,
}

pub(super) async fn run(shared: &Shared, arguments: &TestArguments) -> anyhow::Result<Exit> {
    let to = arguments.to.as_deref().map(Address::parse).transpose().map_err(|e| UsageError(e.to_string()))?;
    if arguments.channel != EMAIL {
        let error = format!("there is no channel {:?}; the only channel is {EMAIL:?}", arguments.channel);
        return Err(UsageError(error).into());
    }
    let config = shared.load_for(&NeededSecrets { email: true, ..NeededSecrets::NONE })?;
    let recipients = match to {
        Some(to) => vec![to],
        None => recipients::of_test(&config.plans).into_iter().map(|recipient| recipient.to).collect(),
    };
    if recipients.is_empty() {
        let error = "name an address with --to: the configuration has neither operators nor a fallback";
        return Err(UsageError(error.to_owned()).into());
    }
    for to in recipients {
        let message_id = send_test(&config, &to, SystemClock.now(), |step| print(&format!("{step}\n"))).await?;
        print(&format!("A test message to {to} was accepted: {message_id}\n"))?;
    }
    Ok(Exit::Fine)
}
