//! The steps of `notifications test`: which steps of a sign-in and of a send succeeded, and the failure of the one that did not.

use super::token::Tokens;
use super::{Email, Way};
use crate::clock::{Clock as _, SystemClock};
use crate::notify::{Channel as _, Outbound, SendError};

/// The role that an app needs at Exchange Online for SMTP, and at Microsoft Graph.
const SMTP_ROLE: &str = "SMTP.SendAsApp";
const GRAPH_ROLE: &str = "Mail.Send";

/// The result of a test.
pub struct Trial {
    /// One sentence for each step that was taken.
    pub steps: Vec<String>,
    pub outcome: Result<(), SendError>,
}

impl Email {
    /// Sends a message as the dispatcher would, with a sentence for each step.
    pub async fn trial(&self, outbound: &Outbound) -> Trial {
        let mut steps = Vec::new();
        let outcome = self.take_steps(outbound, &mut steps).await;
        Trial { steps, outcome }
    }

    async fn take_steps(&self, outbound: &Outbound, steps: &mut Vec<String>) -> Result<(), SendError> {
        let accepted = match &self.way {
            Way::Smtp(server) => {
                if let Some(tokens) = server.tokens() {
                    steps.extend(token(tokens, SMTP_ROLE).await?);
                }
                let how = if server.tokens().is_some() { "with the token (XOAUTH2)" } else { "as configured" };
                server.probe().await?;
                steps.push(format!("The mail server {} accepted the sign-in {how}.", server.address()));
                "The mail server accepted the message.".to_owned()
            }
            Way::Graph(graph) => {
                steps.extend(token(&graph.tokens, GRAPH_ROLE).await?);
                format!("{} accepted the message.", graph.name())
            }
            Way::Spool(folder) => format!("The message was written to the folder {}.", folder.display()),
        };
        self.send(outbound).await?;
        steps.push(accepted);
        Ok(())
    }
}

/// Fetches a token, and reports what it permits if it can be read.
async fn token(tokens: &Tokens, role: &str) -> Result<Vec<String>, SendError> {
    let token = tokens.token().await?.token;
    let minutes = token.remaining(SystemClock.now()).num_minutes();
    let mut steps = vec![format!("Received a token from {}; it is used for {minutes} min.", tokens.endpoint())];
    match token.roles() {
        Some(roles) if roles.iter().any(|held| held == role) => steps.push(format!("The token has the role {role}.")),
        Some(_) if role == GRAPH_ROLE => steps.push(format!(
            "The token does not name the role {role}: that is as it should be if RBAC for Applications grants it; \
             otherwise add it to the app registration as an application permission, and grant admin consent."
        )),
        Some(_) => steps.push(format!(
            "The token lacks the role {role}: add it to the app registration as an application permission, and grant \
             admin consent; see docs/mail.md."
        )),
        None => {}
    }
    Ok(steps)
}
