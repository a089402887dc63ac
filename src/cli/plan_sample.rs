//! `shardctl plan --sample`: real keys through the candidate functions.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use super::plan_from::{connect, place, progress, topology_if_any};
use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::mysql::Server;
use crate::mysql::measure::{self, Found as Described};
use crate::mysql::sample::{KeyQuery, row_bytes_sql};
use crate::names::{SchemaName, TableName};
use crate::report::count;
use crate::report::measured::PlanParts;
use crate::report::skew::SkewReport;
use crate::routing::skew::{Function, Layout, Population, Tally};
use crate::rows::key::KeyType;
use crate::run::sample::{Choice, FileQuery, Form, SAMPLE_ROWS_MAX, file, table};
use crate::schema::TableDef;
use crate::schema::parse::parse_create_table;
use crate::topology::plan::Estimates;
use crate::topology::plan::quantity::{Count, Size};
use crate::topology::{Endpoint, LogicalTable, Topology};

/// Shards that are tried where neither flags nor a plan say them.
const SHARDS: [u32; 3] = [16, 32, 64];

/// Bytes of a file that are read at once.
const BUFFER: usize = 1 << 20;

/// Bytes of a row beside its values: header, transaction id and roll pointer.
const ROW_OVERHEAD: u64 = 18;

/// Flags of the keys that are counted.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Real keys")]
pub(super) struct SampleArgs {
    /// Count the real keys of this source under each shard function: a live column
    /// INSTANCE/SCHEMA.TABLE.COLUMN, all physical tables of topology/TABLE (by its shard key; or
    /// topology/TABLE.COLUMN), a file with a key on each line, or - for stdin
    #[arg(long, value_name = "SOURCE")]
    sample: Option<String>,
    #[command(flatten)]
    how: SampleHow,
}

/// How they are taken and counted.
#[derive(clap::Args, Debug, Default)]
#[group(requires = "sample")]
struct SampleHow {
    /// Take so many keys at random, not all
    #[arg(long, value_name = "N")]
    sample_rows: Option<Count>,
    /// Take this percentage of the keys at random, not all
    #[arg(long, value_name = "PERCENT", conflicts_with = "sample_rows")]
    sample_percent: Option<f64>,
    /// Number that the random choice starts from: the same gives the same sample
    #[arg(long, value_name = "N", default_value_t = 1)]
    sample_seed: u32,
    /// The file is CSV: take the column of this name in its header, or of this number in a file
    /// without one
    #[arg(long, value_name = "COLUMN")]
    sample_column: Option<String>,
    /// Measure the bytes of each row of a live table, which reads the rows whole
    #[arg(long)]
    sample_bytes: bool,
    /// SQL type of the keys of a file, such as "bigint unsigned" [default: by the first key]
    #[arg(long, value_name = "TYPE")]
    key_type: Option<String>,
    /// Shard functions to try [default: all that take the keys' type]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    functions: Vec<Function>,
    /// Numbers of shards to try, 16,32,64; 16x4 for four tables in each [default: the plan's, or
    /// 16,32,64]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    shards: Vec<Layout>,
    /// Fail (exit code 1) where a candidate's fullest shard or table has, or by the interval of a
    /// sample may have, more than X times the mean
    #[arg(long, value_name = "X", value_parser = skew_max)]
    max_skew: Option<f64>,
}

impl SampleArgs {
    /// Whether keys are all that is asked for, and no plan.
    pub(super) fn is_alone(&self, estimates: &Estimates) -> bool {
        let nothing = estimates.rows_per_year.is_none()
            && estimates.start_rows.is_none()
            && estimates.tables.is_empty();
        self.sample.is_some() && nothing
    }
}

fn skew_max(text: &str) -> Result<f64, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 1.0)
        .ok_or_else(|| format!("`{text}` is not a number from 1 on: 1 is an even spread"))
}

/// `plan --sample` alone.
///
/// # Errors
/// The keys cannot be read.
pub(super) async fn run(
    cx: &Context,
    args: &SampleArgs,
    row_bytes: Option<Size>,
) -> Result<Outcome> {
    let skew = sample(cx, args, &[], row_bytes.map(|size| size.0)).await?;
    let outcome = outcome(skew.as_ref());
    cx.out.show(&PlanParts {
        measured: None,
        plan: None,
        skew,
    })?;
    Ok(outcome)
}

/// Whether the keys spread as evenly as was asked for.
pub(super) fn outcome(skew: Option<&SkewReport>) -> Outcome {
    match skew {
        Some(skew) if !skew.exceeding.is_empty() => Outcome::No,
        _ => Outcome::Clean,
    }
}

/// Counts the keys that `--sample` names over these layouts; `None` where it is not said.
///
/// # Errors
/// The source cannot be understood or read, or holds what is no key.
pub(super) async fn sample(
    cx: &Context,
    args: &SampleArgs,
    planned: &[(u32, u32)],
    row_bytes: Option<u64>,
) -> Result<Option<SkewReport>> {
    let Some(source) = &args.sample else {
        return Ok(None);
    };
    if let Some(percent) = args.how.sample_percent
        && !(percent > 0.0 && percent <= 100.0)
    {
        return Err(Error::usage(format!(
            "--sample-percent is more than 0 and at most 100, not {percent}"
        )));
    }
    if args.how.sample_rows.is_some_and(|rows| rows.0 == 0) {
        return Err(Error::usage("--sample-rows is at least 1"));
    }
    let layouts = match (args.how.shards.is_empty(), planned) {
        (false, _) => args.how.shards.clone(),
        (true, []) => SHARDS
            .iter()
            .filter_map(|schemas| Layout::new(*schemas, 1))
            .collect(),
        (true, planned) => planned
            .iter()
            .filter_map(|(schemas, tables)| Layout::new(*schemas, *tables))
            .collect(),
    };
    let is_file = source == "-" || Path::new(source).exists();
    let report = match is_file {
        true => from_file(cx, args, source, layouts, row_bytes)?,
        false => from_table(cx, args, source, layouts, row_bytes).await?,
    };
    if report.skew.keys == 0 && report.skew.is_sample {
        return Err(Error::usage("the sample holds no key")
            .cause("nothing can be said of no keys, and a gate must not pass by it")
            .next("take a larger part with --sample-percent, or --sample-rows"));
    }
    Ok(Some(report))
}

/// A tally of the functions that were asked for.
fn tally(args: &SampleArgs, layouts: &[Layout], kind: KeyType) -> Result<Tally> {
    let functions = match args.how.functions.as_slice() {
        [] => &Function::ALL,
        some => some,
    };
    if let (false, Some(unfit)) = (
        args.how.functions.is_empty(),
        functions.iter().find(|function| !function.takes(&kind)),
    ) {
        return Err(Error::usage(format!(
            "{} is not defined for {kind}, the type of the keys",
            unfit.name()
        )));
    }
    Ok(Tally::new(kind, functions, layouts))
}

/// The key type that a column of this SQL type has.
fn key_type(text: &str) -> Result<KeyType> {
    let bad = || {
        Error::usage(format!("`{text}` is no type that a shard key can have"))
            .next("such as bigint, \"int unsigned\", decimal(20), varchar(64), binary(16)")
    };
    // The parser takes more than a type there; a type is all that is meant.
    let is_type = |c: char| c.is_ascii_alphanumeric() || " (),_".contains(c);
    if !text.chars().all(is_type) {
        return Err(bad());
    }
    let parse = |text: &str| {
        let sql = format!("CREATE TABLE t (k {text})");
        let table = parse_create_table(&sql).ok()?;
        match table.columns.as_slice() {
            [column] => KeyType::of(column),
            _ => None,
        }
    };
    parse(text)
        // VARCHAR alone lacks the length that is of no account here.
        .or_else(|| parse(&format!("{text}(64)")))
        .ok_or_else(bad)
}

fn from_file(
    cx: &Context,
    args: &SampleArgs,
    source: &str,
    layouts: Vec<Layout>,
    row_bytes: Option<u64>,
) -> Result<SkewReport> {
    if args.how.sample_bytes {
        return Err(Error::usage(
            "--sample-bytes is for a live table: a file of keys has no rows to measure",
        )
        .next("give the bytes of a row with --row-bytes"));
    }
    let choice = match (args.how.sample_rows, args.how.sample_percent) {
        (Some(rows), _) if rows.0 > SAMPLE_ROWS_MAX => {
            return Err(Error::usage(format!(
                "a sample of {} keys of a file is more than the {} that are held in memory",
                count(rows.0),
                count(SAMPLE_ROWS_MAX)
            ))
            .next("take --sample-percent, or all keys"));
        }
        (Some(rows), _) => Choice::Rows(rows.0),
        (None, Some(percent)) if percent < 100.0 => Choice::Chance(percent / 100.0),
        _ => Choice::All,
    };
    let query = FileQuery {
        name: match source {
            "-" => "stdin".to_owned(),
            path => path.to_owned(),
        },
        form: match &args.how.sample_column {
            None => Form::Lines,
            Some(column) => match column.parse() {
                Ok(0) => return Err(Error::usage("columns are counted from 1")),
                Ok(number) => Form::Numbered(number),
                Err(_) => Form::Named(column.clone()),
            },
        },
        kind: args.how.key_type.as_deref().map(key_type).transpose()?,
        choice,
        seed: args.how.sample_seed.into(),
    };
    let mut input: Box<dyn BufRead> = match source {
        "-" => Box::new(BufReader::with_capacity(BUFFER, std::io::stdin())),
        path => {
            let opened = std::fs::File::open(path).map_err(|cause| {
                Error::usage("could not read the keys")
                    .at(path)
                    .cause(cause)
            })?;
            Box::new(BufReader::with_capacity(BUFFER, opened))
        }
    };
    let bar = progress(cx);
    let counted = file(
        &mut *input,
        &query,
        |kind| tally(args, &layouts, kind),
        |rows| bar.set_message(format!("{} keys", count(rows))),
    );
    bar.finish_and_clear();
    let counted = counted?;
    let keys = counted.tally.keys();
    // A sample of all is none.
    let is_sample = keys < counted.rows;
    let mut taken = match is_sample {
        true => format!("a random sample of {} keys", count(counted.rows)),
        false => "all of them".to_owned(),
    };
    match counted.blank_lines {
        0 => {}
        1 => taken.push_str(", one blank line left out"),
        lines => taken.push_str(&format!(", {} blank lines left out", count(lines))),
    }
    let skew = counted.tally.finish(Population {
        rows: Some(counted.rows),
        is_sample,
        row_bytes: row_bytes.map(|bytes| bytes as f64),
    });
    Ok(SkewReport::new(query.name, taken, skew, args.how.max_skew))
}

async fn from_table(
    cx: &Context,
    args: &SampleArgs,
    source: &str,
    layouts: Vec<Layout>,
    row_bytes: Option<u64>,
) -> Result<SkewReport> {
    if args.how.sample_column.is_some() || args.how.key_type.is_some() {
        return Err(Error::usage(format!(
            "there is no file `{source}`, and a live table's column and type are its own"
        ))
        .next("leave --sample-column and --key-type out, or check the file's path"));
    }
    let found = match source.strip_prefix(WHOLE_TABLE) {
        Some(name) => whole(cx, name).await?,
        None => single(cx, source).await?,
    };
    let (def, column) = (&found.def, &found.column);
    let kind = column_type(def, column)?;
    let sum = |of: fn(&Described) -> u64| found.tables.iter().map(|(_, table)| of(table)).sum();
    let rows: u64 = sum(|table| table.rows);
    let bytes: u64 = sum(|table| table.data_bytes + table.index_bytes);
    let chance = match (args.how.sample_rows, args.how.sample_percent) {
        (Some(wanted), _) if rows > 0 => wanted.0 as f64 / rows as f64,
        (None, Some(percent)) => percent / 100.0,
        _ => 1.0,
    };
    let chance = (chance < 1.0).then_some(chance);
    let bar = progress(cx);
    let mut counted = tally(args, &layouts, kind.clone())?;
    for (number, (server, one)) in found.tables.iter().enumerate() {
        let query = KeyQuery {
            schema: one.schema.clone(),
            table: TableName::new(&one.table)
                .map_err(|fault| Error::usage("a table cannot be named").cause(fault))?,
            column: column.clone(),
            bytes: args
                .how
                .sample_bytes
                .then(|| row_bytes_sql(def, ROW_OVERHEAD + fixed_bytes(def))),
            // Another start for each, or all would leave out the same rows.
            chance: chance.map(|chance| (chance, u64::from(args.how.sample_seed) + number as u64)),
        };
        let shown = bar.clone();
        counted = table(server, &query, kind.clone(), counted, move |keys| {
            shown.set_message(format!("{} keys", count(keys)));
        })
        .await?;
    }
    bar.finish_and_clear();
    let keys = counted.keys();
    let mut skew = counted.finish(Population {
        // What was taken with a known chance says how many there are better than an estimate.
        rows: Some(chance.map_or(keys, |chance| (keys as f64 / chance).round() as u64)),
        is_sample: chance.is_some(),
        row_bytes: row_bytes
            .map(|bytes| bytes as f64)
            .or_else(|| (rows > 0).then(|| bytes as f64 / rows as f64)),
    });
    if let Some(logical) = &found.part_of {
        skew.warnings.insert(
            0,
            format!(
                "this is one physical table of `{logical}`: it has the keys of its own shard only; \
                 take --sample {WHOLE_TABLE}{logical} for all of them"
            ),
        );
    }
    let mut taken = match chance {
        None => "every row".to_owned(),
        Some(chance) => format!(
            "a random sample, each row with a chance of {:.4} %",
            chance * 100.0
        ),
    };
    taken.push_str(match (args.how.sample_bytes, row_bytes) {
        (true, _) => ", bytes of the rows' values without indexes",
        (false, Some(_)) => "",
        (false, None) => ", bytes by the average row",
    });
    Ok(SkewReport::new(found.title, taken, skew, args.how.max_skew))
}

/// What stands before the name of a logical table, all physical tables of which are meant.
const WHOLE_TABLE: &str = "topology/";

/// The live tables whose keys are counted.
struct Tables {
    /// What they are called together.
    title: String,
    tables: Vec<(Server, Described)>,
    /// The definition of the first, as of all.
    def: TableDef,
    column: String,
    /// The logical table that they are a part of.
    part_of: Option<String>,
}

/// All physical tables of a logical table.
async fn whole(cx: &Context, name: &str) -> Result<Tables> {
    let topology = cx.topology()?;
    let (name, column) = match name.split_once('.') {
        Some((name, column)) => (name, Some(column)),
        None => (name, None),
    };
    let logical = topology
        .tables
        .values()
        .find(|table| table.name.as_str() == name)
        .ok_or_else(|| {
            let known: Vec<&str> = topology.tables.keys().map(TableName::as_str).collect();
            Error::usage(format!(
                "there is no logical table `{name}` in the topology"
            ))
            .next(format!("it has {}", known.join(", ")))
        })?;
    let split = logical.spread.split();
    let column = column
        .map(str::to_owned)
        .or_else(|| split.map(|split| split.schema.column.to_string()))
        .ok_or_else(|| {
            Error::usage(format!(
                "`{name}` is a broadcast table, and split by nothing"
            ))
            .next(format!("name the column: {WHOLE_TABLE}{name}.COLUMN"))
        })?;
    let servers = cx.connect(&topology.instances, 2).await?;
    let mut tables = Vec::new();
    let copies = match split {
        Some(_) => usize::MAX,
        None => 1,
    };
    for place in topology.places(logical).take(copies) {
        let physical = topology.physical(logical, place);
        let server = servers.get(&physical.instance)?;
        let found = described(server, &physical.schema, physical.table.as_str()).await?;
        tables.push((server.clone(), found));
    }
    Ok(Tables {
        title: format!("{name}.{column}"),
        def: logical.def.clone(),
        tables,
        column,
        part_of: None,
    })
}

/// A physical table with its sizes.
async fn described(server: &Server, schema: &SchemaName, table: &str) -> Result<Described> {
    let mut conn = server.conn().await?;
    let found = measure::tables(server, &mut conn, schema).await?;
    found
        .into_iter()
        .find(|one| one.table == table)
        .ok_or_else(|| {
            Error::usage(format!("there is no table `{schema}`.`{table}`"))
                .at(server.place())
                .next("a user sees only the tables that it has a right on")
        })
}

fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// One table of one server.
async fn single(cx: &Context, source: &str) -> Result<Tables> {
    let topology = topology_if_any(cx)?;
    const FORMS: &str = "write INSTANCE/SCHEMA.TABLE.COLUMN for a live table, or - for stdin";
    let no_file = || Error::usage(format!("there is no file `{source}`")).next(FORMS);
    let (instance, endpoint, rest) = place(cx, topology.as_ref(), source, "SCHEMA.TABLE.COLUMN")
        .map_err(|error| match source.contains('/') {
            // Something like keys.txt was meant for a file.
            false => no_file(),
            true => no_file()
                .cause(format!("nor is it a live table: {}", error.summary()))
                .next(error.advice().unwrap_or(FORMS)),
        })?;
    // A path is far more often a file's, misspelt, than that of a socket that is not there.
    if let Endpoint::Socket(socket) = &endpoint
        && source.starts_with('/')
        && !is_socket(socket)
    {
        return Err(no_file().cause(format!(
            "nor is it a live table: there is no socket `{}`",
            socket.display()
        )));
    }
    let parts: Vec<&str> = rest.split('.').collect();
    let form = || {
        Error::usage(format!("`{rest}` is not SCHEMA.TABLE.COLUMN"))
            .at(source)
            .next("without .COLUMN it is the shard key that the topology gives the table")
    };
    let (schema, name, column) = match parts.as_slice() {
        [schema, name] => (*schema, *name, None),
        [schema, name, column] => (*schema, *name, Some(*column)),
        _ => return Err(form()),
    };
    let schema = SchemaName::new(schema).map_err(|fault| form().cause(fault))?;
    let name = TableName::new(name).map_err(|fault| form().cause(fault))?;
    let server = connect(cx, &instance, endpoint).await?;
    let found = described(&server, &schema, name.as_str()).await?;
    let mut conn = server.conn().await?;
    let sql = measure::definition(&server, &mut conn, &found).await?;
    drop(conn);
    let def = parse_create_table(&sql).map_err(|fault| {
        Error::usage(format!(
            "the definition of `{schema}`.`{name}` is not understood"
        ))
        .at(server.place())
        .cause(fault)
    })?;
    let logical = logical(topology.as_ref(), &schema, &name);
    let column = match (column, logical.and_then(|table| table.spread.split())) {
        (Some(column), _) => column.to_owned(),
        (None, Some(split)) => split.schema.column.to_string(),
        (None, None) => {
            let columns: Vec<&str> = def.columns.iter().map(|one| one.name.as_str()).collect();
            return Err(Error::usage(format!(
                "the topology does not say what `{schema}`.`{name}` is split by"
            ))
            .next(format!(
                "name the column: {source}.COLUMN; it has {}",
                columns.join(", ")
            )));
        }
    };
    let is_split = |table: &&LogicalTable| table.spread.split().is_some();
    Ok(Tables {
        title: format!("{instance}/{schema}.{name}.{column}"),
        tables: vec![(server, found)],
        part_of: logical
            .filter(is_split)
            .filter(|table| table.physical.len() > 1)
            .map(|table| table.name.to_string()),
        def,
        column,
    })
}

fn column_type(def: &TableDef, column: &str) -> Result<KeyType> {
    let Some(found) = def.column(column) else {
        let columns: Vec<&str> = def.columns.iter().map(|one| one.name.as_str()).collect();
        return Err(
            Error::usage(format!("`{}` has no column `{column}`", def.name))
                .next(format!("it has {}", columns.join(", "))),
        );
    };
    KeyType::of(found).ok_or_else(|| {
        Error::usage(format!(
            "column `{column}` of `{}` has a type that cannot be a shard key",
            def.name
        ))
    })
}

/// Bytes of the columns whose values do not vary in length.
fn fixed_bytes(def: &TableDef) -> u64 {
    use crate::schema::ColumnType as T;
    def.columns
        .iter()
        .map(|column| match &column.kind {
            T::Integer { bytes, .. } => u64::from(*bytes),
            T::Binary { bytes } => u64::from(*bytes),
            T::Decimal { precision, .. } => u64::from(*precision).div_ceil(2),
            T::Float { .. } | T::Date | T::Time { .. } | T::Timestamp { .. } => 4,
            T::Double { .. } | T::Datetime { .. } | T::Bit { .. } => 8,
            T::Year | T::Enum { .. } | T::Set { .. } => 2,
            T::Other(_) => 16,
            // The length prefix; the value itself is measured.
            _ => 2,
        })
        .sum()
}

/// The logical table that a physical one belongs to.
fn logical<'a>(
    topology: Option<&'a Topology>,
    schema: &SchemaName,
    name: &TableName,
) -> Option<&'a LogicalTable> {
    let topology = topology?;
    topology.tables.values().find(|table| {
        topology.places(table).any(|place| {
            let physical = topology.physical(table, place);
            physical.table == *name && physical.schema == *schema
        })
    })
}
