//! How the records of rounds are read and written, as `repo::generations` and `repo::rounds` do.

use crate::client::{Client, Created, Ended, Run};
use crate::rules::Rule;
use crate::set::Set;
use crate::world::{Kind, Name, Step, Value};

/// Times that the records are read again.
const RESTART_COUNT_MAX: usize = 100;
/// Times that a record is read that cannot be believed.
const READ_COUNT_MAX: usize = 3;

/// What a writer looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    pub endangered: Set,
    pub decided: u16,
}

/// One round, as a prune sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    pub number: u16,
    pub candidates: Option<Set>,
    pub has_begun: bool,
    pub doomed: Option<Set>,
}

fn has(names: &Set, number: u16, step: Step) -> bool {
    names.has(number * 3 + step as u16)
}

fn numbers(names: Set) -> impl Iterator<Item = u16> {
    let mut last = None;
    names.iter().map(|name| name / 3).filter(move |number| last.replace(*number) != Some(*number))
}

impl View {
    /// Reads what is doomed or may be.
    pub async fn read(client: &Client) -> Run<Self> {
        for _ in 0..RESTART_COUNT_MAX {
            if let Some(view) = Self::try_read(client).await? {
                client.tell(|| format!("sees {view:?}"));
                return Ok(view);
            }
        }
        Err(Ended::Busy)
    }

    async fn try_read(client: &Client) -> Run<Option<Self>> {
        let names = client.list(Kind::Rounds).await;
        let mut view = Self::default();
        for number in numbers(names) {
            let is_decided = has(&names, number, Step::Doomed);
            let has_begun = has(&names, number, Step::Begin) && client.keeps(Rule::HeedBegin);
            let mut is_unread = false;
            for step in [Step::Doomed, Step::Candidates] {
                if !(is_decided || has_begun) || !has(&names, number, step) {
                    continue;
                }
                match client.round(number, step).await {
                    None if client.keeps(Rule::RestartView) => return Ok(None),
                    None => {}
                    Some(_) if is_misread(client) => is_unread = true,
                    Some(packs) => {
                        if is_decided {
                            view.decided = number;
                        }
                        view.endangered |= packs;
                        is_unread = false;
                        break;
                    }
                }
            }
            if is_unread && has_begun && client.keeps(Rule::ReadBegun) {
                return Err(Ended::Failed);
            }
        }
        Ok(is_unchanged(client, names).await.then_some(view))
    }
}

/// Whether a record says nothing that can be believed, however often it is read.
fn is_misread(client: &Client) -> bool {
    let count = if client.keeps(Rule::ReadBegun) { READ_COUNT_MAX } else { 1 };
    (0..count).all(|_| client.misreads())
}

/// Reads all rounds that have records.
pub async fn read(client: &Client) -> Run<Vec<Round>> {
    for _ in 0..RESTART_COUNT_MAX {
        if let Some(rounds) = try_read(client).await {
            return Ok(rounds);
        }
    }
    Err(Ended::Busy)
}

async fn try_read(client: &Client) -> Option<Vec<Round>> {
    let names = client.list(Kind::Rounds).await;
    let mut rounds = Vec::new();
    for number in numbers(names) {
        let mut round = Round { number, ..Round::default() };
        for step in [Step::Begin, Step::Candidates, Step::Doomed] {
            if !has(&names, number, step) {
                continue;
            }
            let packs = client.round(number, step).await?;
            match step {
                Step::Candidates => round.candidates = Some(packs),
                Step::Begin => round.has_begun = true,
                Step::Doomed => round.doomed = Some(packs),
            }
        }
        rounds.push(round);
    }
    is_unchanged(client, names).await.then_some(rounds)
}

async fn is_unchanged(client: &Client, names: Set) -> bool {
    !client.keeps(Rule::StableGenerations) || client.list(Kind::Rounds).await == names
}

/// Writes a record, or finds the one of somebody else; the packs that hold.
pub async fn agree(client: &Client, number: u16, step: Step, packs: Set) -> Run<Set> {
    match client.create(Name::Round(number, step), Value::Packs(packs)).await? {
        Created::Ours => Ok(packs),
        Created::Theirs if step == Step::Doomed && !client.keeps(Rule::AgreeOnDoomed) => Ok(packs),
        Created::Theirs => client.round(number, step).await.ok_or(Ended::Busy),
    }
}

/// Removes the records of a round.
pub async fn trim(client: &Client, number: u16) -> Run<()> {
    for step in [Step::Candidates, Step::Begin, Step::Doomed] {
        client.delete(Name::Round(number, step)).await?;
    }
    Ok(())
}

/// What these rounds have doomed.
pub fn doomed_in(rounds: &[Round]) -> Set {
    rounds.iter().filter_map(|round| round.doomed).fold(Set::EMPTY, |all, packs| all | packs)
}
