//! `shardctl query`.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use super::gathered::GatherArgs;
use super::statement::{How, Session};
use super::{Context, Outcome, shell};
use crate::error::{Error, Result};
use crate::names::ShardId;
use crate::query::parameters::bind;
use crate::run::query::refuse;

/// Answer a SELECT over logical tables as one server would
///
/// A statement that names a shard key is answered by one shard. Any other is computed by all of
/// them and merged: filters, joins on the shard key and with broadcast tables, GROUP BY, HAVING,
/// COUNT, SUM, AVG, MIN, MAX and their DISTINCT, expressions over them, ORDER BY, LIMIT. For what
/// cannot be merged exactly (joins on other keys, subqueries, windows, unions), the rows and columns
/// it needs are gathered on a scratch server of the same engine, where the statement runs as it is.
/// What cannot be answered exactly at all is refused with the reason. Times are in UTC.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  shardctl query \"SELECT * FROM member WHERE memberId = 100000001\"
  shardctl query \"SELECT status, COUNT(*) FROM member GROUP BY status ORDER BY 2 DESC\"
  shardctl query \"SELECT * FROM member_address WHERE memberId = ?\" --param 100000001
  shardctl query \"SELECT c.* FROM member m JOIN member_company c USING (memberId) LIMIT 9\"
  shardctl query --by-shard \"SELECT COUNT(*) FROM member\"
  shardctl query -o csv -f report.sql
  shardctl query                        # an interactive shell; \\h in it lists its commands
  shardctl query --force < many.sql")]
pub struct QueryArgs {
    /// The statement; - reads it from standard input. Without one: an interactive shell in a
    /// terminal, else the statements of standard input, each ended by ;
    sql: Option<String>,
    /// Read the statement from this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// A value for a `?` of the statement, in their order: a number where it looks like one, else a
    /// text; number:17, text:17 and null say which (can be repeated)
    #[arg(long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    params: Vec<String>,
    /// Show how it would be answered, and do not run it
    #[arg(long)]
    pub(super) explain: bool,
    /// Run it and show, in place of its rows, what each shard took for it and how its server went
    /// about it (EXPLAIN), with the shards marked that differ from most
    #[arg(long, conflicts_with_all = ["explain", "by_shard"])]
    pub(super) analyze: bool,
    /// Run it on each shard as written and show the answers side by side, unmerged
    #[arg(long, conflicts_with = "explain")]
    pub(super) by_shard: bool,
    /// Find the shards through an index table where the statement names its key: the answer is then
    /// as right as that table, and a row that it lacks is not found
    #[arg(long, conflicts_with = "by_shard")]
    pub(super) trust_index: bool,
    /// Ask these shards only, such as 0-3,7: the answer is then partial knowledge of the table
    #[arg(long, value_name = "LIST", value_parser = shard_list)]
    pub(super) shards: Option<ShardList>,
    /// Answer without the shards that fail: what is missing is named, and the exit code is 3
    #[arg(long)]
    pub(super) partial: bool,
    /// Read all shards in snapshots that are opened together, and tell how far apart they are
    #[arg(long, conflicts_with = "by_shard")]
    pub(super) snapshot: bool,
    /// Refuse to ask more shards than this
    #[arg(long, value_name = "N")]
    pub(super) max_shards: Option<usize>,
    /// Refuse an answer of more rows
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(super) max_rows: u64,
    /// End the statements after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) timeout: u64,
    /// Go on after a statement that failed, where standard input has several
    #[arg(long, conflicts_with_all = ["sql", "file"])]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) gather: GatherArgs,
}

/// Shards as a person lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShardList {
    /// As it was written.
    pub(super) text: String,
    ranges: Vec<std::ops::RangeInclusive<u32>>,
}

impl ShardList {
    /// Its shards in a topology of so many.
    ///
    /// # Errors
    /// One of them is not there.
    pub(super) fn of(&self, count: u32) -> Result<BTreeSet<ShardId>> {
        match self.ranges.iter().find(|range| *range.end() >= count) {
            Some(range) => Err(Error::usage(format!("there is no shard {}", range.end()))
                .cause(format!("the shards are 0-{}", count.saturating_sub(1)))),
            None => Ok(self.ranges.iter().cloned().flatten().map(ShardId).collect()),
        }
    }
}

fn shard_list(text: &str) -> std::result::Result<ShardList, String> {
    let ranges = text.split(',').map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let number = text.trim().parse::<u32>();
            number.map_err(|_| format!("`{part}` is no shard and no range of shards such as 0-3"))
        };
        let range = number(first)?..=number(last)?;
        match range.is_empty() {
            true => Err(format!("the range `{part}` ends before it begins")),
            false => Ok(range),
        }
    });
    Ok(ShardList {
        text: text.to_owned(),
        ranges: ranges.collect::<std::result::Result<_, _>>()?,
    })
}

/// Runs the subcommand.
///
/// # Errors
/// The statement is refused, a server fails, or the answer is larger than allowed.
pub async fn run(cx: &mut Context, args: QueryArgs) -> Result<Outcome> {
    let topology = cx.topology()?;
    let given = args.sql.is_some() || args.file.is_some();
    if !given && !args.params.is_empty() {
        return Err(Error::usage(
            "--param gives a value to the one statement of the command line",
        ));
    }
    let terminal = std::io::stdin().is_terminal();
    let how = How {
        explain: args.explain,
        analyze: args.analyze,
        vertical: false,
        timing: true,
    };
    let mut session = Session::new(cx, &args, topology, !given && terminal);
    let outcome = match (given, terminal) {
        (true, _) => {
            let sql = bind(&statement(&args)?, &args.params).map_err(|refusal| refuse(&refusal))?;
            session.answer(&sql, how).await
        }
        (false, true) => shell::interactive(&mut session, how).await,
        (false, false) => shell::batch(&mut session, how, args.force).await,
    };
    session.close().await;
    outcome
}

fn statement(args: &QueryArgs) -> Result<String> {
    match (&args.file, args.sql.as_deref()) {
        (Some(path), _) => std::fs::read_to_string(path).map_err(|cause| {
            Error::usage("could not read the statement")
                .at(path.display().to_string())
                .cause(cause)
        }),
        (None, Some("-")) => {
            let mut sql = String::new();
            std::io::stdin()
                .read_to_string(&mut sql)
                .map_err(|cause| Error::usage("could not read the statement").cause(cause))?;
            Ok(sql)
        }
        (None, sql) => Ok(sql.unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_listed_as_numbers_and_ranges() {
        let of = |text: &str, count| {
            let shards = shard_list(text).unwrap().of(count);
            shards.map(|shards| shards.into_iter().map(|shard| shard.0).collect::<Vec<_>>())
        };
        assert_eq!(of("0-3,7", 8), Ok(vec![0, 1, 2, 3, 7]));
        assert_eq!(of("5", 8), Ok(vec![5]));
        assert!(of("0-8", 8).is_err());
        // A huge range is refused before it is walked.
        assert!(of("0-4294967295", 8).is_err());
        for wrong in ["", "a", "3-1", "1,,2", "-1"] {
            assert!(shard_list(wrong).is_err(), "{wrong}");
        }
    }
}
