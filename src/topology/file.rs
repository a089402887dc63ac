//! `topology.yaml`: text to [`Topology`] with the exact place of everything wrong, and back.
//!
//! Two passes. The YAML reader checks the shape (unknown and duplicate keys, wrong types) and
//! stops at the first fault, as a parser must. The second pass checks the meaning and reports
//! everything wrong at once.

mod check;
pub mod places;
pub(super) mod scalar;

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::marker::PhantomData;

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_yaml::Spanned;

use super::{
    Assumption, Endpoint, KeyRule, LogicalTable, Schema, ShardFunction, Split, Spread, Topology,
};
use crate::error::Error;
use crate::names::{ColumnName, InstanceName, NamePattern, SchemaName, TableName};
use crate::schema::TableDef;
use crate::schema::parse::parse_create_table;

/// The version of the file format this tool reads and writes.
pub const VERSION: u32 = 1;

/// Physical tables a topology may have in all: far above any fleet, far below what would make a
/// typing error eat the memory.
pub const PHYSICAL_TABLES_MAX: u64 = 1_000_000;

/// Something wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1; 0 where the place is not known.
    pub line: u64,
    /// Column in characters, counted from 1.
    pub column: u64,
    /// What is wrong, with the offending text and the nearest valid one.
    pub message: String,
}

/// Everything wrong in a file, in the order of the lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// The problems as one error: each with its place and the line it stands in.
    pub fn into_error(self, path: &str, text: &str) -> Error {
        self.into_error_of("topology file", path, text)
    }

    /// The same of another kind of file.
    pub fn into_error_of(self, file: &str, path: &str, text: &str) -> Error {
        let lines: Vec<&str> = text.lines().collect();
        let mut list = String::new();
        for problem in &self.0 {
            let _ = writeln!(list, "{path}:{problem}");
            // Topology files hold no secrets, but someone may have put one there by mistake and
            // be told so by an unknown key: such a line is not shown.
            let shown = (problem.line as usize)
                .checked_sub(1)
                .and_then(|index| lines.get(index))
                .filter(|line| !line.to_ascii_lowercase().contains("pass"));
            if let Some(line) = shown {
                let _ = writeln!(list, "    {}", line.trim_end());
                let before: String = line
                    .chars()
                    .take((problem.column as usize).saturating_sub(1))
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                let _ = writeln!(list, "    {before}^");
            }
        }
        let what = match self.0.len() {
            1 => format!("the {file} has a problem"),
            n => format!("the {file} has {n} problems"),
        };
        Error::usage(what).at(list)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// A YAML mapping in the file's order, keys with their place.
#[derive(Debug)]
pub(super) struct Entries<T>(pub(super) Vec<(Spanned<String>, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Entries<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TopologyFile {
    version: Spanned<u32>,
    cluster: Spanned<String>,
    instances: Spanned<Entries<Spanned<InstanceEntry>>>,
    control: Option<Spanned<String>>,
    query: Option<QueryEntry>,
    #[serde(default)]
    check: check::CheckEntry,
    schemas: Spanned<SchemasEntry>,
    #[serde(default)]
    tables: Entries<Spanned<TableEntry>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceEntry {
    host: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    socket: Option<Spanned<String>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryEntry {
    scratch: Option<Spanned<String>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemasEntry {
    name: Spanned<String>,
    count: Spanned<u32>,
    on: Spanned<Entries<Spanned<String>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TableEntry {
    shard_key: Option<Spanned<String>>,
    function: Option<Spanned<String>>,
    bounds: Option<Spanned<Vec<i128>>>,
    table_key: Option<Spanned<String>>,
    table_function: Option<Spanned<String>>,
    table_bounds: Option<Spanned<Vec<i128>>>,
    index_of: Option<Spanned<String>>,
    broadcast: Option<Spanned<bool>>,
    name: Option<Spanned<String>>,
    tables_per_schema: Option<Spanned<u32>>,
    #[serde(default)]
    assume: Vec<Spanned<String>>,
    ddl: Spanned<String>,
}

/// Reads a topology file.
///
/// # Errors
/// Everything that is wrong in it, each with line and column.
pub fn parse(text: &str) -> Result<Topology, Problems> {
    parse_with(text, |_| Vec::new())
}

/// The same with checks of the caller's own, which name a table and what is wrong with its shard
/// key: whether a key can be routed is not for this module to know.
///
/// # Errors
/// Everything that is wrong in it, each with line and column.
pub fn parse_with(
    text: &str,
    check: impl Fn(&Topology) -> Vec<(TableName, String)>,
) -> Result<Topology, Problems> {
    let options = serde_yaml::options! {
        with_snippet: false,
    };
    let file: TopologyFile = serde_yaml::from_str_with_options(text, options)
        .map_err(|error| Problems(vec![shape_problem(&error)]))?;
    let mut checker = Checker::default();
    let topology = checker.topology(&file, text);
    for (table, message) in topology.as_ref().map(check).unwrap_or_default() {
        let entry = file
            .tables
            .0
            .iter()
            .find(|(key, _)| key.value == table.as_str());
        let at = entry.map(|(key, entry)| match &entry.value.shard_key {
            Some(shard_key) => shard_key.at(),
            None => key.at(),
        });
        checker.wrong(at.unwrap_or_default(), message);
    }
    checker.finish(topology)
}

/// The YAML reader's error in our words.
pub(super) fn shape_problem(error: &serde_yaml::Error) -> Problem {
    use serde_yaml::Error as Yaml;
    let (line, column) = error
        .location()
        .map_or((0, 0), |location| (location.line(), location.column()));
    let message = match error {
        Yaml::SerdeUnknownField {
            field, expected, ..
        } => {
            let secret = ["password", "passwd", "user", "username"].contains(&field.as_str());
            if secret {
                format!(
                    "`{field}` does not belong here: credentials are never in the topology; they \
                     come from option files, SHARDCTL_PASSWORD or a prompt"
                )
            } else {
                format!("unknown key `{field}`{}", nearest(field, expected))
            }
        }
        Yaml::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Yaml::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` is there twice")
        }
        Yaml::DuplicateMappingKey { key: None, .. } => "a key is there twice".to_owned(),
        // The text repeats the place at its end, which is said before it already.
        other => plain_words(&strip_place(&other.to_string())),
    };
    Problem {
        line,
        column,
        message,
    }
}

/// The reader's words for a value of the wrong type, as a person would say them.
fn plain_words(message: &str) -> String {
    match message {
        "invalid u32" | "invalid i128" => "this should be a whole number".to_owned(),
        "invalid u16" => "this should be a whole number from 0 to 65535".to_owned(),
        "invalid bool" => "this should be true or false".to_owned(),
        "expected string scalar" => "this should be a text".to_owned(),
        "unexpected end of input" => "the file is empty, or ends too early".to_owned(),
        other => other.to_owned(),
    }
}

fn strip_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let first = first.split(" at line ").next().unwrap_or(first);
    // `error: line 3 column 5: text` is the long form.
    match first.split_once(": ") {
        Some((before, rest)) if before.contains("line ") => rest.to_owned(),
        _ => first.to_owned(),
    }
}

/// `; did you mean `x`?`, or the list where nothing is near.
pub(super) fn nearest<S: AsRef<str>>(text: &str, valid: &[S]) -> String {
    let best = valid
        .iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(
                &text.to_lowercase(),
                &candidate.as_ref().to_lowercase(),
            );
            (distance, candidate.as_ref())
        })
        .min_by_key(|(distance, _)| *distance);
    match best {
        Some((distance, candidate)) if distance <= 1 + text.chars().count() / 3 => {
            format!("; did you mean `{candidate}`?")
        }
        Some(_) => {
            let list: Vec<&str> = valid.iter().take(12).map(AsRef::as_ref).collect();
            format!("; there are: {}", list.join(", "))
        }
        None => String::new(),
    }
}

/// Where something stands, without the value.
#[derive(Clone, Copy, Default)]
pub(super) struct At(u64, u64);

/// What has a place in the file.
pub(super) trait Placed {
    fn at(&self) -> At;
}

impl<T> Placed for Spanned<T> {
    fn at(&self) -> At {
        At(self.referenced.line(), self.referenced.column())
    }
}

/// Collects everything that is wrong in a file.
#[derive(Default)]
pub(super) struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    /// What was made, if nothing is wrong.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, Problems> {
        match made {
            Some(made) if self.problems.is_empty() => Ok(made),
            _ => {
                let mut problems = self.problems;
                problems.sort_by_key(|problem| (problem.line, problem.column));
                Err(Problems(problems))
            }
        }
    }

    pub(super) fn wrong(&mut self, at: At, message: impl Into<String>) {
        self.problems.push(Problem {
            line: at.0,
            column: at.1,
            message: message.into(),
        });
    }

    /// The value, or `None` with the error noted.
    pub(super) fn take<T, E: fmt::Display>(&mut self, at: At, result: Result<T, E>) -> Option<T> {
        result
            .map_err(|error| self.wrong(at, error.to_string()))
            .ok()
    }

    fn topology(&mut self, file: &TopologyFile, text: &str) -> Option<Topology> {
        if file.version.value != VERSION {
            self.wrong(
                file.version.at(),
                format!(
                    "version {} is not known; this shardctl reads version {VERSION}",
                    file.version.value
                ),
            );
        }
        if file.cluster.value.trim().is_empty() {
            self.wrong(file.cluster.at(), "the cluster needs a name");
        }
        let instances = self.instances(&file.instances);
        let control = self.control(file, &instances);
        let scratch = file
            .query
            .as_ref()
            .and_then(|query| query.scratch.as_ref())
            .and_then(|scratch| self.known_instance("scratch", scratch, &instances));
        let check = self.thresholds(&file.check);
        let schemas = self.schemas(&file.schemas.value, &instances);
        let count = file.schemas.value.count.value;
        if u64::from(count) > PHYSICAL_TABLES_MAX {
            // Said already, and everything below is made for each of them.
            return None;
        }
        let tables = self.tables(&file.tables, count, text);
        let (schema_pattern, schemas) = schemas?;
        Some(Topology {
            cluster: file.cluster.value.trim().to_owned(),
            instances,
            control: control?,
            scratch,
            check,
            schema_pattern,
            schemas,
            tables,
        })
    }

    fn instances(
        &mut self,
        entries: &Spanned<Entries<Spanned<InstanceEntry>>>,
    ) -> IndexMap<InstanceName, Endpoint> {
        if entries.value.0.is_empty() {
            self.wrong(entries.at(), "at least one instance is needed");
        }
        let mut instances = IndexMap::new();
        let mut seen: HashMap<String, InstanceName> = HashMap::new();
        for (key, entry) in &entries.value.0 {
            let Some(name) = self.take(key.at(), InstanceName::new(key.value.as_str())) else {
                continue;
            };
            let instance = &entry.value;
            // An instance that is wrong keeps its name, so that what refers to it is not called
            // wrong as well; the file is refused all the same.
            instances.insert(name.clone(), Endpoint::Socket(Default::default()));
            let endpoint = match (&instance.host, &instance.socket) {
                (Some(host), None) if host.value.trim().is_empty() => {
                    self.wrong(host.at(), format!("instance {name}: the host is empty"));
                    continue;
                }
                (Some(host), None) => Endpoint::Tcp {
                    host: host.value.trim().to_owned(),
                    port: instance.port.as_ref().map_or(3306, |port| port.value),
                },
                (None, Some(socket)) => {
                    if let Some(port) = &instance.port {
                        self.wrong(
                            port.at(),
                            format!("instance {name}: a port goes with a host, not with a socket"),
                        );
                    }
                    Endpoint::Socket(socket.value.clone().into())
                }
                (Some(_), Some(socket)) => {
                    self.wrong(
                        socket.at(),
                        format!("instance {name} has a host and a socket; keep one"),
                    );
                    continue;
                }
                (None, None) => {
                    self.wrong(
                        entry.at(),
                        format!("instance {name} needs a host (and port) or a socket"),
                    );
                    continue;
                }
            };
            if let Some(port) = instance.port.as_ref().filter(|port| port.value == 0) {
                self.wrong(port.at(), format!("instance {name}: port 0 is no port"));
            }
            if let Some(other) = seen.insert(endpoint.to_string(), name.clone()) {
                self.wrong(
                    key.at(),
                    format!("instances {other} and {name} have the same address {endpoint}"),
                );
            }
            instances.insert(name, endpoint);
        }
        instances
    }

    fn control(
        &mut self,
        file: &TopologyFile,
        instances: &IndexMap<InstanceName, Endpoint>,
    ) -> Option<InstanceName> {
        match &file.control {
            None => instances.keys().next().cloned(),
            Some(control) => self.known_instance("control", control, instances),
        }
    }

    fn known_instance(
        &mut self,
        key: &str,
        wanted: &Spanned<String>,
        instances: &IndexMap<InstanceName, Endpoint>,
    ) -> Option<InstanceName> {
        let found = instances
            .keys()
            .find(|name| name.as_str() == wanted.value)
            .cloned();
        if found.is_none() {
            let names: Vec<&InstanceName> = instances.keys().collect();
            self.wrong(
                wanted.at(),
                format!(
                    "{key}: there is no instance `{}`{}",
                    wanted.value,
                    nearest(&wanted.value, &names)
                ),
            );
        }
        found
    }

    fn schemas(
        &mut self,
        entry: &SchemasEntry,
        instances: &IndexMap<InstanceName, Endpoint>,
    ) -> Option<(NamePattern, Vec<Schema>)> {
        let count = entry.count.value;
        if count == 0 {
            self.wrong(entry.count.at(), "at least one schema is needed");
            return None;
        }
        if u64::from(count) > PHYSICAL_TABLES_MAX {
            self.wrong(
                entry.count.at(),
                format!("{count} schemas are more than the {PHYSICAL_TABLES_MAX} allowed"),
            );
            return None;
        }
        let pattern = self.take(entry.name.at(), NamePattern::new(&entry.name.value));
        if let Some(pattern) = pattern.as_ref().filter(|p| count > 1 && !p.is_numbered()) {
            self.wrong(
                entry.name.at(),
                format!(
                    "`{pattern}` names all {count} schemas alike; put {{:02}} where the number goes"
                ),
            );
        }
        let placed = self.placement(entry, instances);
        let (pattern, placed) = (pattern?, placed?);
        let mut schemas = Vec::with_capacity(count as usize);
        for (number, instance) in (0..count).zip(placed) {
            let name = self.take(entry.name.at(), SchemaName::new(pattern.name(number)))?;
            schemas.push(Schema { name, instance });
        }
        Some((pattern, schemas))
    }

    /// The instance of each schema, by its number.
    fn placement(
        &mut self,
        entry: &SchemasEntry,
        instances: &IndexMap<InstanceName, Endpoint>,
    ) -> Option<Vec<InstanceName>> {
        let count = entry.count.value;
        let mut placed: Vec<Option<InstanceName>> = vec![None; count as usize];
        for (key, ranges) in &entry.on.value.0 {
            let Some((instance, _)) = instances
                .iter()
                .find(|(name, _)| name.as_str() == key.value)
            else {
                let names: Vec<&InstanceName> = instances.keys().collect();
                self.wrong(
                    key.at(),
                    format!(
                        "there is no instance `{}`{}",
                        key.value,
                        nearest(&key.value, &names)
                    ),
                );
                continue;
            };
            let Some(ranges_read) = self.take(ranges.at(), read_ranges(&ranges.value)) else {
                continue;
            };
            for (first, last) in ranges_read {
                if last >= count {
                    self.wrong(
                        ranges.at(),
                        format!(
                            "schema {last} on {instance} does not exist: {count} schemas are \
                             numbered 0 to {}",
                            count - 1
                        ),
                    );
                }
                // A range that overlaps another is said once, not for each schema in it.
                let mut said = false;
                for number in first..=last.min(count - 1) {
                    let place = &mut placed[number as usize];
                    match place {
                        Some(other) if !said => {
                            said = true;
                            let message = format!(
                                "schema {number} is placed twice, on {other} and on {instance}"
                            );
                            self.wrong(ranges.at(), message);
                        }
                        Some(_) => {}
                        None => *place = Some(instance.clone()),
                    }
                }
            }
        }
        let nowhere: Vec<u32> = (0..count)
            .filter(|number| placed[*number as usize].is_none())
            .collect();
        if !nowhere.is_empty() {
            let (noun, verb) = if nowhere.len() == 1 {
                ("schema", "is")
            } else {
                ("schemas", "are")
            };
            self.wrong(
                entry.on.at(),
                format!("{noun} {} {verb} placed nowhere", write_ranges(&nowhere)),
            );
        }
        placed.into_iter().collect()
    }

    fn tables(
        &mut self,
        entries: &Entries<Spanned<TableEntry>>,
        schema_count: u32,
        text: &str,
    ) -> IndexMap<TableName, LogicalTable> {
        let mut tables: IndexMap<TableName, LogicalTable> = IndexMap::new();
        let names: Vec<&str> = entries
            .0
            .iter()
            .map(|(key, _)| key.value.as_str())
            .collect();
        let mut physical_names: HashMap<String, TableName> = HashMap::new();
        for (key, entry) in &entries.0 {
            let Some(name) = self.take(key.at(), TableName::new(key.value.as_str())) else {
                continue;
            };
            if let Some(other) = tables
                .keys()
                .find(|other| other.as_str().eq_ignore_ascii_case(name.as_str()))
            {
                let message = format!(
                    "tables `{other}` and `{name}` differ in case only; the servers may hold them \
                     for one"
                );
                self.wrong(key.at(), message);
            }
            let Some(table) = self.table(&name, key.at(), entry, schema_count, &names, text) else {
                continue;
            };
            for physical in &table.physical {
                let lower = physical.as_str().to_lowercase();
                match physical_names.get(&lower) {
                    Some(other) if *other != name => {
                        let message = format!(
                            "`{other}` and `{name}` both have a physical table `{physical}`"
                        );
                        self.wrong(key.at(), message);
                        break;
                    }
                    _ => {
                        physical_names.insert(lower, name.clone());
                    }
                }
            }
            tables.insert(name, table);
        }
        self.bases(entries, &tables);
        self.constraints(entries, &tables);
        tables
    }

    /// The DDL is run once for each physical table, but the names of its constraints are the
    /// schema's (see [`TableDef::constraint_names`]), and a foreign key names a table that must be
    /// there under that very name.
    fn constraints(
        &mut self,
        entries: &Entries<Spanned<TableEntry>>,
        tables: &IndexMap<TableName, LogicalTable>,
    ) {
        let mut names: HashMap<String, &TableName> = HashMap::new();
        for (key, entry) in &entries.0 {
            let Some((name, table)) = tables.iter().find(|(name, _)| name.as_str() == key.value)
            else {
                continue;
            };
            let at = entry.value.ddl.at();
            for constraint in &table.def.constraint_names {
                let of = format!("`{name}` names a constraint `{constraint}`");
                if table.tables_per_schema > 1 {
                    self.wrong(
                        at,
                        format!(
                            "{of}, and a schema cannot have a name for each of its {} tables: leave \
                             the name to the server",
                            table.tables_per_schema
                        ),
                    );
                } else if let Some(other) = names.insert(constraint.to_lowercase(), name) {
                    self.wrong(
                        at,
                        format!("{of} as `{other}` does, and a schema can have one only"),
                    );
                }
            }
            for reference in &table.def.references {
                let there = tables
                    .iter()
                    .find(|(other, _)| other.as_str().eq_ignore_ascii_case(reference));
                let why = match there {
                    None => "which is no table of the topology",
                    Some((_, other)) if other.physical.iter().any(|p| p.as_str() != reference) => {
                        "whose physical tables have other names"
                    }
                    Some(_) => continue,
                };
                self.wrong(
                    at,
                    format!(
                        "a foreign key of `{name}` refers to `{reference}`, {why}: leave it out"
                    ),
                );
            }
        }
    }

    /// An index table's base must be a sharded table, not another copy.
    fn bases(
        &mut self,
        entries: &Entries<Spanned<TableEntry>>,
        tables: &IndexMap<TableName, LogicalTable>,
    ) {
        for (key, entry) in &entries.0 {
            let Some(index_of) = &entry.value.index_of else {
                continue;
            };
            let table = tables.iter().find(|(name, _)| name.as_str() == key.value);
            let base = tables
                .iter()
                .find(|(name, _)| name.as_str() == index_of.value);
            let (Some((_, table)), Some((_, base))) = (table, base) else {
                continue;
            };
            if !matches!(base.spread, Spread::Sharded(_)) {
                self.wrong(
                    index_of.at(),
                    format!(
                        "`{}` cannot be the base of an index table: it is not split by a shard key \
                         of its own",
                        index_of.value
                    ),
                );
            }
            for column in &table.def.columns {
                if base.def.column(column.name.as_str()).is_none() {
                    self.wrong(
                        entry.value.ddl.at(),
                        format!(
                            "index table `{}` has a column `{}` that its base `{}` lacks",
                            table.name, column.name, base.name
                        ),
                    );
                }
            }
        }
    }

    fn table(
        &mut self,
        name: &TableName,
        at: At,
        entry: &Spanned<TableEntry>,
        schema_count: u32,
        names: &[&str],
        text: &str,
    ) -> Option<LogicalTable> {
        let table = &entry.value;
        let def = match parse_create_table(&table.ddl.value) {
            Ok(def) => Some(def),
            Err(error) => {
                let at = ddl_place(&table.ddl, error.line, error.column, text);
                self.wrong(at, format!("table `{name}`: {}", error.message));
                None
            }
        };
        if let Some(def) = &def
            && def.name != *name
        {
            self.wrong(
                table.ddl.at(),
                format!(
                    "the DDL of `{name}` creates `{}`; it should name the logical table",
                    def.name
                ),
            );
        }
        let per_schema = self.tables_per_schema(name, table, schema_count);
        let pattern = self.table_pattern(name, at, table, per_schema);
        let spread = self.spread(name, at, table, def.as_ref(), names);
        let assumptions = self.assumptions(name, &table.assume);
        let (def, per_schema, pattern, spread) = (def?, per_schema?, pattern?, spread?);
        if let Some(key) = &table.shard_key {
            self.unique_keys(name, key.at(), &def, &spread, &assumptions);
            self.key_rules(name, key.at(), &def, &spread, &assumptions);
        }
        let total = schema_count.checked_mul(per_schema)?;
        let mut physical = Vec::with_capacity(total as usize);
        for number in 0..total {
            physical.push(self.take(at, TableName::new(pattern.name(number)))?);
        }
        Some(LogicalTable {
            name: name.clone(),
            pattern,
            tables_per_schema: per_schema,
            physical,
            spread,
            assumptions,
            ddl: table.ddl.value.clone(),
            def,
        })
    }

    fn assumptions(&mut self, name: &TableName, list: &[Spanned<String>]) -> Vec<Assumption> {
        let mut found = Vec::new();
        for entry in list {
            match Assumption::ALL
                .into_iter()
                .find(|assumption| assumption.name() == entry.value)
            {
                Some(assumption) => found.push(assumption),
                None => {
                    let names = Assumption::ALL.map(Assumption::name);
                    self.wrong(
                        entry.at(),
                        format!(
                            "`{name}` cannot assume `{}`{}",
                            entry.value,
                            nearest(&entry.value, &names)
                        ),
                    );
                }
            }
        }
        found
    }

    /// A unique key without the shard key is unique within each shard only.
    fn unique_keys(
        &mut self,
        name: &TableName,
        at: At,
        def: &TableDef,
        spread: &Spread,
        assumptions: &[Assumption],
    ) {
        let Some(split) = spread.split() else { return };
        if def.primary_key.is_empty() {
            self.wrong(
                at,
                format!(
                    "`{name}` has no primary key; rows without one can be neither moved nor checked"
                ),
            );
            return;
        }
        if assumptions.contains(&Assumption::GlobalKeys) {
            return;
        }
        let columns = [Some(&split.schema), split.table.as_ref()];
        for rule in columns.into_iter().flatten() {
            for key in def.unique_keys() {
                // A prefix of the shard key is the same in several shards.
                if key
                    .iter()
                    .any(|part| rule.column.is(&part.column) && part.prefix.is_none())
                {
                    continue;
                }
                let names: Vec<&str> = key.iter().map(|part| part.column.as_str()).collect();
                self.wrong(
                    at,
                    format!(
                        "the unique key ({}) of `{name}` lacks the shard key `{}`: no server can keep \
                         it unique over all shards; add the shard key to it, or say `assume: \
                         [global_keys]` where the application keeps it unique",
                        names.join(", "),
                        rule.column
                    ),
                );
            }
        }
    }

    /// NULL keys, and texts that the server takes for one and the router for two.
    fn key_rules(
        &mut self,
        name: &TableName,
        at: At,
        def: &TableDef,
        spread: &Spread,
        assumptions: &[Assumption],
    ) {
        let Some(split) = spread.split() else { return };
        for rule in [Some(&split.schema), split.table.as_ref()]
            .into_iter()
            .flatten()
        {
            let Some(column) = def.column(rule.column.as_str()) else {
                continue;
            };
            let function = rule.function.name();
            if column.nullable && !rule.function.places_null() {
                self.wrong(
                    at,
                    format!("shard key `{}` of `{name}` can be NULL, which has no place under {function}", rule.column),
                );
            }
            let Some(collation) = column.kind.collation() else {
                continue;
            };
            let exact = collation.name.as_deref().is_some_and(|name| {
                name.ends_with("_bin") || name.ends_with("_cs") || name == "binary"
            });
            if rule.function.tells_case()
                && !exact
                && !assumptions.contains(&Assumption::OneSpelling)
            {
                let compares = match &collation.name {
                    Some(name) => format!("collation {name}"),
                    None => "the server's default collation".to_owned(),
                };
                self.wrong(
                    at,
                    format!(
                        "`Alice` and `alice` are one value of `{}` to the server ({compares}) and two \
                         places to {function}: give the column a _bin collation, or say `assume: \
                         [one_spelling]` where the application always writes one of them",
                        rule.column
                    ),
                );
            }
        }
    }

    fn tables_per_schema(
        &mut self,
        name: &TableName,
        table: &TableEntry,
        schema_count: u32,
    ) -> Option<u32> {
        let Some(per_schema) = &table.tables_per_schema else {
            return Some(1);
        };
        if per_schema.value == 0 {
            self.wrong(
                per_schema.at(),
                format!("`{name}` needs at least one table per schema"),
            );
            return None;
        }
        if u64::from(per_schema.value) * u64::from(schema_count) > PHYSICAL_TABLES_MAX {
            self.wrong(
                per_schema.at(),
                format!(
                    "`{name}` would have more than the {PHYSICAL_TABLES_MAX} physical tables \
                     allowed"
                ),
            );
            return None;
        }
        if per_schema.value > 1
            && table
                .broadcast
                .as_ref()
                .is_some_and(|broadcast| broadcast.value)
        {
            self.wrong(
                per_schema.at(),
                format!("`{name}` is a broadcast table: one in each schema"),
            );
            return None;
        }
        Some(per_schema.value)
    }

    fn table_pattern(
        &mut self,
        name: &TableName,
        at: At,
        table: &TableEntry,
        per_schema: Option<u32>,
    ) -> Option<NamePattern> {
        let per_schema = per_schema?;
        let (at, pattern) = match &table.name {
            Some(written) => (
                written.at(),
                self.take(written.at(), NamePattern::new(&written.value))?,
            ),
            // One table in each schema can have the logical name; several need numbers.
            None if per_schema == 1 => (at, self.take(at, NamePattern::new(name.as_str()))?),
            None => (
                at,
                self.take(at, NamePattern::new(&format!("{name}_{{:04}}")))?,
            ),
        };
        if per_schema > 1 && !pattern.is_numbered() {
            self.wrong(
                at,
                format!(
                    "`{pattern}` names the {per_schema} tables of a schema alike; put {{:04}} where \
                     the number goes"
                ),
            );
            return None;
        }
        Some(pattern)
    }

    fn spread(
        &mut self,
        name: &TableName,
        at: At,
        table: &TableEntry,
        def: Option<&TableDef>,
        names: &[&str],
    ) -> Option<Spread> {
        if let Some(broadcast) = &table.broadcast
            && broadcast.value
        {
            let extra = [
                &table.shard_key,
                &table.function,
                &table.table_key,
                &table.index_of,
            ]
            .into_iter()
            .flatten()
            .next();
            if let Some(extra) = extra {
                self.wrong(
                    extra.at(),
                    format!("`{name}` is a broadcast table; it is not split by anything"),
                );
            }
            return Some(Spread::Broadcast);
        }
        let Some(shard_key) = &table.shard_key else {
            self.wrong(
                at,
                format!("`{name}` needs a shard_key and a function, or `broadcast: true`"),
            );
            return None;
        };
        let schema = self.key_rule(
            name,
            "function",
            shard_key,
            table.function.as_ref(),
            table.bounds.as_ref(),
            def,
        );
        let second = match &table.table_key {
            None => {
                let stray = table.table_function.as_ref().map(Placed::at);
                let stray = stray.or(table.table_bounds.as_ref().map(Placed::at));
                if let Some(at) = stray {
                    self.wrong(at, format!("`{name}` has no table_key for this"));
                }
                Some(None)
            }
            Some(key) => {
                if table
                    .tables_per_schema
                    .as_ref()
                    .is_none_or(|n| n.value == 1)
                {
                    self.wrong(
                        key.at(),
                        format!("`{name}` has one table per schema; a table_key chooses nothing"),
                    );
                }
                self.key_rule(
                    name,
                    "table_function",
                    key,
                    table.table_function.as_ref(),
                    table.table_bounds.as_ref(),
                    def,
                )
                .map(Some)
            }
        };
        let base = match &table.index_of {
            None => Some(None),
            Some(base) if base.value == name.as_str() => {
                self.wrong(
                    base.at(),
                    format!("`{name}` cannot be an index table of itself"),
                );
                None
            }
            Some(base) if names.contains(&base.value.as_str()) => self
                .take(base.at(), TableName::new(base.value.as_str()))
                .map(Some),
            Some(base) => {
                self.wrong(
                    base.at(),
                    format!(
                        "`{name}` is an index table of `{}`, which is not in the topology{}",
                        base.value,
                        nearest(&base.value, names)
                    ),
                );
                None
            }
        };
        let split = Split {
            schema: schema?,
            table: second?,
        };
        Some(match base? {
            None => Spread::Sharded(split),
            Some(base) => Spread::IndexTable { base, split },
        })
    }

    fn key_rule(
        &mut self,
        name: &TableName,
        field: &str,
        key: &Spanned<String>,
        function: Option<&Spanned<String>>,
        bounds: Option<&Spanned<Vec<i128>>>,
        def: Option<&TableDef>,
    ) -> Option<KeyRule> {
        let column = match def {
            Some(def) => match def.column(&key.value) {
                Some(column) => Some(column.name.clone()),
                None => {
                    let columns: Vec<&ColumnName> =
                        def.columns.iter().map(|column| &column.name).collect();
                    self.wrong(
                        key.at(),
                        format!(
                            "shard key `{}` is not a column of `{name}`{}",
                            key.value,
                            nearest(&key.value, &columns)
                        ),
                    );
                    None
                }
            },
            None => None,
        };
        let Some(function) = function else {
            self.wrong(key.at(), format!("`{name}` has a key but no {field}"));
            return None;
        };
        const NAMES: [&str; 5] = ["mod", "crc32", "drds_hash", "drds_uni_hash", "range"];
        if function.value != "range"
            && let Some(bounds) = bounds
        {
            self.wrong(
                bounds.at(),
                format!("`{name}`: bounds go with the function range only"),
            );
        }
        let function = match function.value.as_str() {
            "mod" => ShardFunction::Mod,
            "crc32" => ShardFunction::Crc32,
            "drds_hash" => ShardFunction::DrdsHash,
            "drds_uni_hash" => ShardFunction::DrdsUniHash,
            "range" => {
                let Some(bounds) = bounds else {
                    self.wrong(
                        function.at(),
                        format!("`{name}`: the function range needs bounds, `bounds: [100, 200]`"),
                    );
                    return None;
                };
                if let Some(pair) = bounds.value.windows(2).find(|pair| pair[0] >= pair[1]) {
                    self.wrong(
                        bounds.at(),
                        format!(
                            "`{name}`: bounds must ascend, {} comes before {}",
                            pair[0], pair[1]
                        ),
                    );
                    return None;
                }
                ShardFunction::Range {
                    bounds: bounds.value.clone(),
                }
            }
            other => {
                self.wrong(
                    function.at(),
                    format!(
                        "`{name}`: unknown shard function `{other}`{}",
                        nearest(other, &NAMES)
                    ),
                );
                return None;
            }
        };
        Some(KeyRule {
            column: column?,
            function,
        })
    }
}

/// The place of a fault inside a DDL text. A block scalar (`ddl: |`) starts on the line behind
/// its key and is indented; any other form is pointed at as a whole.
fn ddl_place(ddl: &Spanned<String>, line: u32, column: u32, text: &str) -> At {
    let At(start, start_column) = ddl.at();
    let lines: Vec<&str> = text.lines().collect();
    let first = ddl.value.lines().next().unwrap_or_default();
    let index = (start as usize).saturating_sub(1);
    // The reader's place of a block scalar is its header or its first line.
    let body = [index, index + 1].into_iter().find(|candidate| {
        lines
            .get(*candidate)
            .is_some_and(|line| !first.is_empty() && line.trim_start() == first.trim_start())
    });
    match body {
        Some(body) => {
            let indent = lines[body].len()
                - lines[body].trim_start().len()
                - (first.len() - first.trim_start().len());
            At(
                body as u64 + u64::from(line),
                indent as u64 + u64::from(column),
            )
        }
        None => At(start, start_column),
    }
}

/// `0-7, 9` as pairs, both ends included.
fn read_ranges(text: &str) -> Result<Vec<(u32, u32)>, String> {
    text.split(',')
        .map(|part| {
            let part = part.trim();
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |digits: &str| {
                digits.trim().parse::<u32>().map_err(|_| {
                    format!("`{part}` is no range of schema numbers; write 0-7, or 0-3,8-11")
                })
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range `{part}` runs backwards"));
            }
            Ok((first, last))
        })
        .collect()
}

/// Ascending numbers as `0-7,9`.
pub fn write_ranges(numbers: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let texts: Vec<String> = parts
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    texts.join(",")
}

/// The topology as a file, which reads back as the same topology.
pub fn render(topology: &Topology) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "version: {VERSION}");
    let _ = writeln!(out, "cluster: {}", scalar(&topology.cluster));
    let _ = writeln!(out, "instances:");
    for (name, endpoint) in &topology.instances {
        let name = scalar(name.as_str());
        let _ = match endpoint {
            Endpoint::Tcp { host, port } => {
                writeln!(out, "  {name}: {{ host: {}, port: {port} }}", scalar(host))
            }
            Endpoint::Socket(path) => {
                writeln!(
                    out,
                    "  {name}: {{ socket: {} }}",
                    scalar(&path.to_string_lossy())
                )
            }
        };
    }
    let _ = writeln!(out, "control: {}", scalar(topology.control.as_str()));
    if let Some(scratch) = &topology.scratch {
        let _ = writeln!(out, "query: {{ scratch: {} }}", scalar(scratch.as_str()));
    }
    check::render(&mut out, &topology.check);
    let _ = writeln!(out, "schemas:");
    let _ = writeln!(
        out,
        "  name: {}",
        scalar(&topology.schema_pattern.to_string())
    );
    let _ = writeln!(out, "  count: {}", topology.schemas.len());
    let _ = writeln!(out, "  on:");
    for instance in topology.instances.keys() {
        let shards: Vec<u32> = topology
            .shards_on(instance)
            .iter()
            .map(|shard| shard.0)
            .collect();
        if !shards.is_empty() {
            let _ = writeln!(
                out,
                "    {}: {}",
                scalar(instance.as_str()),
                scalar(&write_ranges(&shards))
            );
        }
    }
    let _ = writeln!(
        out,
        "tables:{}",
        if topology.tables.is_empty() {
            " {}"
        } else {
            ""
        }
    );
    for table in topology.tables.values() {
        render_table(&mut out, table);
    }
    out
}

fn render_table(out: &mut String, table: &LogicalTable) {
    let _ = writeln!(out, "  {}:", scalar(table.name.as_str()));
    if let Spread::IndexTable { base, .. } = &table.spread {
        let _ = writeln!(out, "    index_of: {}", scalar(base.as_str()));
    }
    match table.spread.split() {
        None => {
            let _ = writeln!(out, "    broadcast: true");
        }
        Some(split) => {
            render_rule(out, &split.schema, ["shard_key", "function", "bounds"]);
            if let Some(rule) = &split.table {
                render_rule(out, rule, ["table_key", "table_function", "table_bounds"]);
            }
        }
    }
    let _ = writeln!(out, "    name: {}", scalar(&table.pattern.to_string()));
    if table.tables_per_schema > 1 {
        let _ = writeln!(out, "    tables_per_schema: {}", table.tables_per_schema);
    }
    if !table.assumptions.is_empty() {
        let names: Vec<&str> = table.assumptions.iter().map(|a| a.name()).collect();
        let _ = writeln!(out, "    assume: [{}]", names.join(", "));
    }
    // A block scalar cannot hold every text: leading spaces, carriage returns, control characters.
    let ddl = &table.ddl;
    let block = !ddl.starts_with([' ', '\n'])
        && ddl.ends_with('\n')
        && !ddl.ends_with("\n\n")
        && ddl.chars().all(|c| c == '\n' || !c.is_control())
        && ddl.lines().all(|line| line.trim_end() == line);
    if block {
        let _ = writeln!(out, "    ddl: |");
        for line in ddl.lines() {
            if line.is_empty() {
                let _ = writeln!(out);
            } else {
                let _ = writeln!(out, "      {line}");
            }
        }
    } else {
        let _ = writeln!(out, "    ddl: {}", quoted(ddl));
    }
}

fn render_rule(out: &mut String, rule: &KeyRule, [key, function, bounds]: [&str; 3]) {
    let _ = writeln!(out, "    {key}: {}", scalar(rule.column.as_str()));
    let _ = writeln!(out, "    {function}: {}", rule.function.name());
    if let ShardFunction::Range { bounds: list } = &rule.function {
        let list: Vec<String> = list.iter().map(i128::to_string).collect();
        let _ = writeln!(out, "    {bounds}: [{}]", list.join(", "));
    }
}

/// A YAML scalar: plain where nothing in it could mean something else, else quoted.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { quoted(text) }
}

/// A double-quoted YAML scalar. JSON strings are one (YAML 1.2 is a superset of JSON).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
