//! The words of a statement: what can be a name in it, and where the cluster and indexes are named.

use std::collections::BTreeSet;
use std::ops::Range;

use sqlparser::tokenizer::{Token, Word};

use super::{Compared, Edit};

pub(in crate::query) fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found)
        if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// The words of a statement that can be names.
pub(super) struct Words {
    /// Each with what it is qualified by, in lower case.
    pub(super) columns: BTreeSet<Compared>,
    /// Names that have a point behind and none before them, with their places and of how many
    /// parts they are the first.
    first: Vec<(String, Range<usize>, usize)>,
    /// All of them.
    all: Vec<String>,
}

impl Words {
    pub(super) fn new(tokens: &[(Token, Range<usize>)]) -> Self {
        let word = |index: usize| -> Option<&Word> {
            match tokens.get(index) {
                Some((Token::Word(word), _)) => Some(word),
                _ => None,
            }
        };
        let point = |index: usize| matches!(tokens.get(index), Some((Token::Period, _)));
        let mut columns = BTreeSet::new();
        let mut first = Vec::new();
        let mut all = Vec::new();
        for (index, (_, range)) in tokens.iter().enumerate() {
            let Some(found) = word(index) else {
                continue;
            };
            all.push(found.value.clone());
            let qualifier = match index {
                2.. if point(index - 1) => word(index - 2),
                _ => None,
            };
            columns.insert((
                qualifier.map(|word| word.value.to_lowercase()),
                found.value.to_lowercase(),
            ));
            if point(index + 1) && !(index > 0 && point(index - 1)) {
                let mut parts = 1;
                while point(index + 2 * parts - 1) {
                    parts += 1;
                }
                first.push((found.value.clone(), range.clone(), parts));
            }
        }
        Self {
            columns,
            first,
            all,
        }
    }

    /// Whether a name stands anywhere without a point behind it.
    pub(super) fn stands(&self, name: &str) -> bool {
        let count = |of: &str| self.all.iter().filter(|word| *word == of).count();
        let first = self.first.iter().filter(|(word, _, _)| word == name);
        count(name) > first.count()
    }

    /// Where the cluster's name stands as a schema. It can be a table's as well: then two parts
    /// are a table and its column.
    pub(super) fn schemas(&self, cluster: &str, is_table: bool) -> Vec<(Range<usize>, Edit)> {
        self.first
            .iter()
            .filter(|(name, _, parts)| name == cluster && (*parts > 2 || !is_table))
            .map(|(_, range, _)| (range.clone(), Edit::Schema))
            .collect()
    }
}

/// `FORCE INDEX FOR JOIN (a, b)`
pub(super) fn index_hints(tokens: &[(Token, Range<usize>)]) -> impl Iterator<Item = Range<usize>> {
    let any = |index: usize, words: &[&str]| {
        tokens
            .get(index)
            .is_some_and(|(token, _)| words.iter().any(|word| is_word(token, word)))
    };
    let mut hints = Vec::new();
    for (index, (_, range)) in tokens.iter().enumerate() {
        if any(index, &["USE", "FORCE", "IGNORE"]) && any(index + 1, &["INDEX", "KEY"]) {
            let close = tokens[index..]
                .iter()
                .find(|(token, _)| *token == Token::RParen);
            if let Some((_, close)) = close {
                hints.push(range.start..close.end);
            }
        }
    }
    hints.into_iter()
}
