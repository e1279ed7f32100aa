//! Attempts by SQL: how they are made and judged.

use super::attempt::{Attempt, Breach, shown};
use super::party::{Scope, tables_of_tenants};
use super::session::{Session, leaves_nothing};
use super::twins::Twins;
use super::{catalogue, statements};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use url::Url;

/// SQLSTATEs of a statement that is wrong in itself: it tried nothing.
const MISTAKES: [&str; 6] = ["42601", "42P01", "42703", "42704", "42883", "42P02"];

/// A login that attacks, and by which way.
pub struct Assault<'a> {
    /// Who and how, for people.
    pub name: String,
    /// The login's URL.
    pub url: &'a str,
    /// What it may see, and what it may not.
    pub twins: Twins<'a>,
}

impl Assault<'_> {
    /// What this login can try.
    pub async fn attempts(&self, admin: &Client) -> Vec<Attempt> {
        let login = Url::parse(self.url).unwrap().username().to_owned();
        let mut attempts = statements::attempts();
        attempts.extend(catalogue::attempts(admin, &login, self.twins.victim).await);
        attempts
    }

    /// Makes these attempts; the breaches.
    pub async fn make(&self, attempts: &[Attempt]) -> Vec<String> {
        let mut session = Session::open(self.url).await;
        let mut breaches = Vec::new();
        for attempt in attempts {
            let question = self.question(attempt, false);
            let answer = session.ask_afresh(&question).await;
            let mut found = shown(&question, &answer, self.twins.victim);
            if attempt.breach == Breach::Succeeds {
                found.extend(answer.failure.is_none().then(|| format!("it succeeded: {}", answer.said)));
            } else if attempt.breach == Breach::Tells && attempt.names_the_victim() {
                let other = session.ask_afresh(&self.question(attempt, true)).await;
                found.extend(self.twins.difference(&answer, &other));
            }
            if attempt.breach != Breach::Shows
                && MISTAKES.contains(&answer.failure.as_deref().unwrap_or_default())
            {
                found.push(format!("it tried nothing: {}", answer.said));
            }
            if !found.is_empty() {
                breaches.push(format!("{}: {attempt}\n    {}", self.name, found.join("\n    ")));
            }
        }
        breaches
    }

    /// Attempts that do not show the victim even to this login, a superuser's: they prove nothing.
    pub async fn blunt(&self, admin: &Client) -> Vec<String> {
        let attempts = self.attempts(admin).await;
        let mut session = Session::open(self.url).await;
        let mut blunt = Vec::new();
        for attempt in attempts.iter().filter(|attempt| attempt.breach == Breach::Shows) {
            let question = self.question(attempt, false);
            // Nothing of it stays in the database either.
            let is_kept = !leaves_nothing(&question);
            if is_kept {
                session.ask("begin").await;
            }
            let answer = session.ask(&question).await;
            if is_kept {
                session.ask("rollback").await;
                session.ask("discard all").await;
            }
            if shown(&question, &answer, self.twins.victim).is_empty() {
                blunt.push(format!("{}: {attempt}\n    {}", self.name, answer.said));
            }
        }
        blunt
    }

    fn question(&self, attempt: &Attempt, as_nobody: bool) -> String {
        self.twins.render(attempt, &attempt.statement, as_nobody, |value| value.replace('\'', "''"))
    }
}

/// What stands in every table for these scopes, and in those that are nobody's: rows and their hash.
pub async fn fingerprint(admin: &Client, scopes: &[Scope]) -> BTreeMap<String, String> {
    let tenants = tables_of_tenants(admin).await;
    let all = "select c.relname::text from pg_class c
               where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition";
    let mut prints = BTreeMap::new();
    for row in admin.query(all, &[]).await.unwrap() {
        let table: String = row.get(0);
        let conditions: Vec<String> = match tenants.contains(&table) {
            true => scopes.iter().map(Scope::condition).collect(),
            false => vec!["true".to_owned()],
        };
        // When a key was last used is noted by gateways in their own time.
        let sql = format!(
            "select count(*) || ' ' || md5(coalesce(string_agg(r.hash, '' order by r.hash), ''))
             from (select md5((to_jsonb(t) - 'last_used_at')::text) as hash from nexus.{table} t where {}) r",
            conditions.join(" or ")
        );
        prints.insert(table, admin.query_one(&sql, &[]).await.unwrap().get(0));
    }
    prints
}
