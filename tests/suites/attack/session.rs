//! A session that keeps all an attacker could read: rows, errors with every field, notices and notifications.

use super::attempt::Answer;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use nexus_tests::cluster::SHARED;
use nexus_tests::wait::DEADLINE;
use std::fmt::Write as _;
use std::pin::pin;
use std::process::{Command, Stdio};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, SimpleQueryMessage};

/// The session.
pub struct Session {
    url: String,
    client: Client,
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
        Self { url: url.to_owned(), client, heard }
    }

    /// Sends statements as one message, so that a pooler keeps them together; all that comes back.
    pub async fn ask(&mut self, statements: &str) -> Answer {
        if statements.starts_with("copy ") {
            return self.copy(statements);
        }
        let mut answer = Answer::default();
        let ran = timeout(DEADLINE, self.run(statements, &mut answer.said)).await;
        if let Err(error) = ran.unwrap_or_else(|_| panic!("no answer to: {statements}")) {
            answer.failure =
                Some(error.code().map_or_else(|| "none".to_owned(), |code| code.code().to_owned()));
            // Its Debug form has every field the server sent.
            let _ = match error.as_db_error() {
                Some(error) => write!(answer.said, "{error:?}"),
                None => write!(answer.said, "{error:?}"),
            };
        }
        self.hear(&mut answer.said);
        answer
    }

    /// The same, and nothing of it is left in the session.
    pub async fn ask_afresh(&mut self, statements: &str) -> Answer {
        let answer = self.ask(statements).await;
        if statements.starts_with("alter role") {
            // What a role sets for itself holds from its next session on.
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

    /// Copies by psql: the driver and pgbouncer do not agree about the end of a copy.
    fn copy(&self, statement: &str) -> Answer {
        let output = Command::new(SHARED.program("psql"))
            .args(["--no-psqlrc", "--set", "VERBOSITY=verbose", "--command", statement, &self.url])
            .stdin(Stdio::null())
            .output()
            .expect("psql starts");
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        let failure = (!output.status.success()).then(|| "refused".to_owned());
        Answer { said, failure, ..Answer::default() }
    }

    async fn run(&self, statements: &str, said: &mut String) -> Result<(), Error> {
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

/// Whether it is one statement that changes nothing in the session.
pub fn leaves_nothing(statements: &str) -> bool {
    let commands =
        ["select * from nexus.", "copy ", "update ", "delete ", "insert ", "truncate ", "merge ", "explain "];
    !statements.contains(';') && commands.iter().any(|command| statements.starts_with(command))
}
