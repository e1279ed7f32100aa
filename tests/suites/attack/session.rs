//! A session that keeps all an attacker could read: rows, errors with every field, notices and notifications.

use super::attempt::Answer;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_tests::wait::DEADLINE;
use std::fmt::Write as _;
use std::pin::pin;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, SimpleQueryMessage};

/// The session.
pub struct Session {
    url: String,
    client: Client,
    last: String,
    heard: UnboundedReceiver<AsyncMessage>,
}

impl Session {
    /// Opens one.
    pub async fn open(url: &str) -> Self {
        let (client, mut connection) =
            tokio_postgres::connect(url, NoTls).await.expect("the database answers");
        let (sender, heard) = unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            // Ends with the connection; nobody may listen any more by then.
            while let Some(Ok(message)) = messages.next().await {
                let _ = sender.send(message);
            }
        });
        Self { url: url.to_owned(), client, last: String::new(), heard }
    }

    /// Sends statements as one message, so that a pooler keeps them together; all that comes back.
    pub async fn ask(&mut self, statements: &str) -> Answer {
        let mut answer = Answer::default();
        let ran = timeout(DEADLINE, self.run(statements, &mut answer.said)).await;
        if let Err(error) = ran.unwrap_or_else(|_| panic!("no answer to: {statements}\nafter: {}", self.last))
        {
            answer.failure =
                Some(error.code().map_or_else(|| "none".to_owned(), |code| code.code().to_owned()));
            // Its Debug form has every field the server sent.
            let _ = match error.as_db_error() {
                Some(error) => write!(answer.said, "{error:?}"),
                None => write!(answer.said, "{error:?}"),
            };
        }
        self.hear(&mut answer.said);
        self.last = statements.to_owned();
        answer
    }

    /// The same, and nothing of it is left in the session.
    pub async fn ask_afresh(&mut self, statements: &str) -> Answer {
        let answer = self.ask(statements).await;
        // What a role sets for itself holds from its next session on. After a copy, pgbouncer and the driver wait for
        // each other.
        if statements.starts_with("alter role") || is_copy(statements) {
            *self = Self::open(&self.url).await;
        } else if !leaves_nothing(statements) {
            self.ask("rollback").await;
            self.ask("discard all").await;
        }
        answer
    }

    /// What came unasked since.
    pub fn hear(&mut self, said: &mut String) {
        while let Ok(message) = self.heard.try_recv() {
            let _ = match message {
                AsyncMessage::Notice(notice) => write!(said, "{notice:?}"),
                AsyncMessage::Notification(notification) => write!(said, "{notification:?}"),
                _ => Ok(()),
            };
        }
    }

    /// A copy to the client has a protocol of its own. One from it must be refused before it begins.
    async fn run(&self, statements: &str, said: &mut String) -> Result<(), Error> {
        if is_copy(statements) {
            let mut lines = pin!(self.client.copy_out(statements).await?);
            while let Some(line) = lines.try_next().await? {
                said.push_str(&String::from_utf8_lossy(&line));
            }
            return Ok(());
        }
        let mut messages = pin!(self.client.simple_query_raw(statements).await?);
        while let Some(message) = messages.try_next().await? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    for column in 0..row.len() {
                        let _ = write!(said, "{}\t", row.get(column).unwrap_or("∅"));
                    }
                    said.push('\n');
                }
                SimpleQueryMessage::CommandComplete(rows) => {
                    let _ = writeln!(said, "({rows})");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether it copies to the client.
fn is_copy(statements: &str) -> bool {
    statements.starts_with("copy ") && statements.ends_with(" to stdout")
}

/// Whether it is one statement that changes nothing in the session.
pub fn leaves_nothing(statements: &str) -> bool {
    let commands =
        ["select * from nexus.", "update ", "delete ", "insert ", "truncate ", "merge ", "explain "];
    !statements.contains(';') && commands.iter().any(|command| statements.starts_with(command))
}
