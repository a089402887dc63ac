//! What people see: help, output, messages and exit codes of every subcommand that needs no server.

use std::process::{Command, Stdio};

/// Exit code, stdout and stderr of the program, run in the repository's folder.
fn shardctl(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
    command
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHARDCTL_")) {
        command.env_remove(name);
    }
    let output = command.output().expect("the program runs");
    let mut shown = format!("exit code {}\n", output.status.code().unwrap_or(-1));
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            shown.push_str(&format!("-- {name}\n{}", String::from_utf8_lossy(bytes)));
        }
    }
    shown
}

#[test]
fn the_help_lists_every_subcommand() {
    insta::assert_snapshot!(shardctl(&["-h"]), @r#"
    exit code 0
    -- stdout
    Plan, create, fill, rebalance, query and verify a sharded MySQL or MariaDB fleet

    Usage: shardctl [OPTIONS] <COMMAND>

    Commands:
      plan       Plan a topology from capacity estimates
      check      Check the file, the servers and the capacity: a gate for CI
      create     Create the schemas and tables that the servers lack
      fill       Fill an empty user center with generated members
      status     Show instances, schemas, rows, bytes and the fill against the limit
      query      Answer a SELECT over logical tables as one server would
      route      Show where a key lives, from the topology file alone
      rebalance  Move schemas between instances, from the shard map in force to a wanted topology
      job        Look after the jobs that move data
      verify     Check that every row is in its shard and index tables equal what they index
      sandbox    Start and remove real local servers
      demo       Tell the whole story on real local servers: plan, create, fill, query, move, verify
      help       Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr

    Exit codes:
      0  all is well
      1  the answer is no: drift, a limit passed, rows differ
      2  usage, or a bad file
      3  a server could not be reached, or refused
      4  stopped safely, can be resumed
      5  state unknown, look before acting
    "#);
}

#[test]
fn help_of_plan() {
    insta::assert_snapshot!(shardctl(&["plan", "-h"]), @r#"
    exit code 0
    -- stdout
    Plan a topology from capacity estimates

    Usage: shardctl plan [OPTIONS]

    Options:
          --rows-per-year <ROWS>          Rows that come in the first year; of several years one after
                                          another: 40M,60M,90M
          --table <NAME=RATIO>            A table's rows for each of --rows-per-year
                                          (member_address=1.4), or its own a year (orders=40M); can be
                                          repeated
          --growth <PERCENT>              How many more rows each further year brings: 20%, or +8M
                                          [default: 0]
          --start-rows <ROWS>             Rows that are there already [default: 0]
          --retention <PERIOD>            How long rows are kept: 3y, 90d [default: for ever]
          --years <PERIOD>                How far to plan ahead: 5, 5y or 60mo [default: 2] [alias:
                                          --horizon]
          --start <DATE>                  Day the first year starts [default: today]
          --estimates <FILE>              Read estimates from this file; flags count before it
          --tables <FILE>                 Tables of this topology or SQL file: bytes of their rows by
                                          their DDL; --write keeps a topology's cluster, instances and
                                          tables [default: the file of -t, where that is said without
                                          --from]
          --row-bytes <SIZE>              Bytes of a row with its share of the indexes
          --page-fill <PERCENT>           How full pages are, for bytes by the DDL: 50 worst, 69 keys in
                                          random order, 94 rebuilt [default: 69]
          --instances <N>                 Servers to start with [default: 2]
          --schemas <N>                   Schemas in all [default: eight to an instance, and its
                                          doubles]
          --max-rows-per-table <ROWS>     Rows that a physical table should not pass [default: 5M]
          --max-bytes-per-table <SIZE>    Bytes that a physical table should not pass, with its indexes
          --disk-per-instance <SIZE>      Disk of each instance for data and indexes
          --max-schemas-per-instance <N>  Schemas that an instance should not pass
          --max-tables-per-instance <N>   Physical tables that an instance should not pass
          --headroom <PERCENT>            Share of rows, bytes and disk that is to stay free [default:
                                          0]
          --move-rate <SIZE>              Bytes that a split or move copies in a second [default: 50M]
          --records-per-user <N>          Records that a user has in the largest table [default: 3 where
                                          no table is named]
          --write <FILE>                  Write the recommended layout as a topology file
          --report <FILE>                 Write the plan as a page for a browser or a printer
          --force                         With --write and --report: replace the file if it is there
      -h, --help                          Print help (see more with '--help')

    From a live database:
          --from <INSTANCE/SCHEMA>  Measure rows, bytes and growth of this live schema in place of
                                    estimates (can be repeated). INSTANCE is one of the topology or
                                    sandbox, or HOST:PORT, or a socket's path; `topology` alone measures
                                    every schema of the topology
          --exact                   Count rows, and read tables whole for their growth, in place of the
                                    server's estimates
          --created <COLUMN>        Column that says when a row came to be [default: found by its name]
          --history <FILE>          Earlier measurements, for tables that have neither such a column nor
                                    AUTO_INCREMENT

    Real keys:
          --sample <SOURCE>           Count the real keys of this source under each shard function: a
                                      live column INSTANCE/SCHEMA.TABLE.COLUMN, all physical tables of
                                      topology/TABLE (by its shard key; or topology/TABLE.COLUMN), a
                                      file with a key on each line, or - for stdin
          --sample-rows <N>           Take so many keys at random, not all
          --sample-percent <PERCENT>  Take this percentage of the keys at random, not all
          --sample-seed <N>           Number that the random choice starts from: the same gives the same
                                      sample [default: 1]
          --sample-column <COLUMN>    The file is CSV: take the column of this name in its header, or of
                                      this number in a file without one
          --sample-bytes              Measure the bytes of each row of a live table, which reads the
                                      rows whole
          --key-type <TYPE>           SQL type of the keys of a file, such as "bigint unsigned"
                                      [default: by the first key]
          --functions <LIST>          Shard functions to try [default: all that take the keys' type]
                                      [possible values: mod, crc32, drds_hash, drds_uni_hash, range]
          --shards <LIST>             Numbers of shards to try, 16,32,64; 16x4 for four tables in each
                                      [default: the plan's, or 16,32,64]
          --max-skew <X>              Fail (exit code 1) where a candidate's fullest shard or table has,
                                      or by the interval of a sample may have, more than X times the
                                      mean

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_check() {
    insta::assert_snapshot!(shardctl(&["check", "-h"]), @r"
    exit code 0
    -- stdout
    Check the file, the servers and the capacity: a gate for CI

    Usage: shardctl check [OPTIONS]

    Options:
          --capacity  Measure rows and bytes: what is full first, and when
          --drift     Compare every schema and table with the file
          --routing   Look for routing traps in the file; needs no server
          --live      Look at the servers' state: shard map, jobs, settings that differ, keys that leave
                      shards empty
      -h, --help      Print help (see more with '--help')

    Capacity:
          --exact                          Count the rows instead of taking the servers' estimates
          --horizon <TIME>                 How long the capacity must hold: 12mo, 2y, 6w or 90d
                                           [default: the file's, or 12mo]
          --warn <TIME>                    What is full sooner is warned of [default: the horizon]
          --fail <TIME>                    What is full sooner is a failure [default: the horizon]
          --max-rows-per-table <ROWS>      Rows that a physical table should not pass [default: the
                                           file's, or 5M]
          --max-bytes-per-instance <SIZE>  Bytes that the schemas of an instance should not pass
                                           [default: the file's, or any]
          --rows-per-year <[TABLE=]ROWS>   Growth where it was not measured: rows a year of all sharded
                                           tables, or of one (can be repeated)
          --history <FILE>                 Keep measurements in this file of JSON lines, not on the
                                           control instance
          --no-record                      Do not keep this measurement

    For CI:
          --junit <FILE>             Write the results as JUnit XML
          --annotations <FORMAT>     Mark the findings in the topology file, as this CI system shows
                                     them [possible values: github, gitlab, azure, sarif]
          --annotations-file <FILE>  Write the annotations to this file; gitlab and sarif need it,
                                     github and azure read stdout

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    ");
}

#[test]
fn a_file_is_checked_without_any_server() {
    insta::assert_snapshot!(shardctl(&["check", "--routing"]), @r"
    exit code 0
    -- stdout
    topology.yaml: all is well (2 notes: -v shows them)
      file      ok       2 instances, 16 schemas, 6 tables (96 physical)
      routing   ok       6 tables by drds_hash
    ");
    insta::assert_snapshot!(shardctl(&["check", "--routing", "-v"]), @r"
    exit code 0
    -- stdout
    topology.yaml: all is well
      file      ok       2 instances, 16 schemas, 6 tables (96 physical)
      routing   ok       6 tables by drds_hash
        note     `member_login_account_memberAccount` assumes no_trailing_spaces: the file vouches for it, no server does (topology.yaml:87:3)
        note     `memberAccount` of `member_login_account_memberAccount` is text: a statement that compares it with a number literal has another place to a router, which hashes the literal's own type (topology.yaml:89:16)
                 write the literal in quotes
    ");
    insta::assert_snapshot!(shardctl(&["-t", "tests/data/bad.yaml", "check", "--annotations", "github"]), @r"
    exit code 2
    -- stdout
    ::error file=tests/data/bad.yaml,line=5,col=3,title=shardctl file%3A bad_file::instances a and b have the same address 127.0.0.1:3306
    ::error file=tests/data/bad.yaml,line=7,col=9,title=shardctl file%3A bad_file::`shop` names all 4 schemas alike; put {:02} where the number goes
    ::error file=tests/data/bad.yaml,line=10,col=5,title=shardctl file%3A bad_file::schemas 2-3 are placed nowhere
    ::error file=tests/data/bad.yaml,line=11,col=5,title=shardctl file%3A bad_file::there is no instance `c`; did you mean `a`?
    ::error file=tests/data/bad.yaml,line=12,col=8,title=shardctl file%3A bad_file::schema 1 is placed twice, on a and on b
    ::error file=tests/data/bad.yaml,line=16,col=15,title=shardctl file%3A bad_file::`item`: unknown shard function `modulo`; did you mean `mod`?
    ::error file=tests/data/bad.yaml,line=20,col=14,title=shardctl file%3A bad_file::table `item`: unknown column type `varchr`
    ::error file=tests/data/bad.yaml,line=23,col=15,title=shardctl file%3A bad_file::`tag` is an index table of `itm`, which is not in the topology; did you mean `item`?
    -- stderr
    error: the topology file has 8 problems
      where:  tests/data/bad.yaml:5:3: instances a and b have the same address 127.0.0.1:3306
                    b: { host: 127.0.0.1, port: 3306 }
                    ^
              tests/data/bad.yaml:7:9: `shop` names all 4 schemas alike; put {:02} where the number goes
                    name: shop
                          ^
              tests/data/bad.yaml:10:5: schemas 2-3 are placed nowhere
                      a: 0-1
                      ^
              tests/data/bad.yaml:11:5: there is no instance `c`; did you mean `a`?
                      c: 2
                      ^
              tests/data/bad.yaml:12:8: schema 1 is placed twice, on a and on b
                      b: 1
                         ^
              tests/data/bad.yaml:16:15: `item`: unknown shard function `modulo`; did you mean `mod`?
                      function: modulo
                                ^
              tests/data/bad.yaml:20:14: table `item`: unknown column type `varchr`
                          name varchr(10)
                               ^
              tests/data/bad.yaml:23:15: `tag` is an index table of `itm`, which is not in the topology; did you mean `item`?
                      index_of: itm
                                ^
    ");
}

#[test]
fn arguments_of_check_that_cannot_be_meant_are_refused() {
    insta::assert_snapshot!(shardctl(&["check", "--horizon", "12m"]), @r"
    exit code 2
    -- stderr
    error: invalid value '12m' for '--horizon <TIME>': `12m` is not a length of time; write 12mo, 2y, 6w or 90d

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["check", "--fail", "500y"]), @r"
    exit code 2
    -- stderr
    error: invalid value '500y' for '--fail <TIME>': `500y` is longer than 100 years

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["check", "--warn", "3mo", "--fail", "1y"]), @r"
    exit code 2
    -- stderr
    error: --warn 3mo is sooner than --fail 1y: nothing would ever be warned of
      next:   give --warn the longer time
    ");
    insta::assert_snapshot!(shardctl(&["check", "--max-rows-per-table", "0"]), @r"
    exit code 2
    -- stderr
    error: a table must hold at least one row: --max-rows-per-table is 0
    ");
    insta::assert_snapshot!(shardctl(&["check", "--rows-per-year", "membr=5M"]), @r"
    exit code 2
    -- stderr
    error: --rows-per-year: there is no table `membr`
      next:   there are: member, member_address, member_login_account, member_login_account_memberAccount, email_verify, member_company
    ");
    insta::assert_snapshot!(shardctl(&["check", "--rows-per-year", "5M", "--rows-per-year", "6M"]), @r"
    exit code 2
    -- stderr
    error: --rows-per-year is said twice of all tables
    ");
    insta::assert_snapshot!(shardctl(&["check", "--annotations", "gitlab"]), @r"
    exit code 2
    -- stderr
    error: annotations of this format are a file of their own
      next:   name it with --annotations-file FILE
    ");
    insta::assert_snapshot!(shardctl(&["check", "--annotations", "github", "-o", "json"]), @r"
    exit code 2
    -- stderr
    error: annotations would stand between the lines of the JSON
      next:   name a file with --annotations-file FILE, or take --output table
    ");
    insta::assert_snapshot!(shardctl(&["check", "--junit", "no/such/folder/check.xml"]), @r"
    exit code 2
    -- stderr
    error: there is no folder to write the results into
      where:  no/such/folder/check.xml
    ");
}

#[test]
fn a_bad_file_is_in_every_report_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let junit = folder.path().join("check.xml").display().to_string();
    let quality = folder.path().join("quality.json").display().to_string();
    let shown = shardctl(&[
        "-t",
        "tests/data/bad.yaml",
        "check",
        "--junit",
        &junit,
        "-o",
        "json",
        "--annotations",
        "gitlab",
        "--annotations-file",
        &quality,
    ]);
    assert!(shown.starts_with("exit code 2\n"), "{shown}");
    let json = shown
        .split_once("-- stdout\n")
        .and_then(|(_, rest)| rest.split_once("-- stderr\n"))
        .map(|(json, _)| json)
        .expect("a report and an error");
    let report: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let findings = report["checks"][0]["cases"][0]["findings"]
        .as_array()
        .expect("findings");
    assert_eq!(findings.len(), 8);
    assert!(
        findings
            .iter()
            .all(|finding| finding["at"]["line"].as_u64() > Some(0))
    );
    let xml = std::fs::read_to_string(&junit).expect("JUnit");
    let document = roxmltree::Document::parse(&xml).expect("XML");
    assert_eq!(
        document
            .descendants()
            .filter(|node| node.has_tag_name("failure"))
            .count(),
        1
    );
    let quality = std::fs::read_to_string(&quality).expect("a code quality report");
    let quality: Vec<serde_json::Value> = serde_json::from_str(&quality).expect("JSON");
    assert_eq!(quality.len(), 8);
}

/// The time is that of the whole process, in a build without optimisation on a busy machine: the
/// best of several runs is what the work itself takes.
#[test]
fn a_file_alone_is_checked_in_no_time() {
    let best = (0..20)
        .map(|_| {
            let started = std::time::Instant::now();
            assert!(shardctl(&["check", "--routing"]).starts_with("exit code 0"));
            started.elapsed()
        })
        .min()
        .expect("a run");
    assert!(best.as_millis() < 50, "{best:?}");
}

#[test]
fn the_workflow_of_the_readme_is_one() {
    let readme = include_str!("../README.md");
    let start = readme.find("```yaml\nname: fleet").expect("the workflow") + "```yaml\n".len();
    let text = &readme[start..start + readme[start..].find("```").expect("its end")];
    let workflow: serde_json::Value = serde_yaml::from_str(text).expect("YAML");
    assert!(workflow["on"]["schedule"][0]["cron"].is_string());
    let jobs = workflow["jobs"].as_object().expect("jobs");
    let mut commands = 0;
    for job in jobs.values() {
        assert!(!job["runs-on"].is_null());
        for step in job["steps"].as_array().expect("steps") {
            let Some(command) = step["run"].as_str() else {
                assert!(
                    step["uses"]
                        .as_str()
                        .is_some_and(|action| action.contains("@v"))
                );
                continue;
            };
            commands += 1;
            let args: Vec<&str> = command.split_whitespace().skip(1).collect();
            // Only whether the arguments are known: --help says nothing against the others.
            let shown = shardctl(&[&args[..], &["--help"]].concat());
            assert!(shown.starts_with("exit code 0"), "{command}\n{shown}");
        }
    }
    assert_eq!(commands, 2);
}

#[test]
fn help_of_create() {
    insta::assert_snapshot!(shardctl(&["create", "-h"]), @r#"
    exit code 0
    -- stdout
    Create the schemas and tables that the servers lack

    Usage: shardctl create [OPTIONS]

    Options:
          --dry-run  Print the SQL and run nothing
          --offline  With --dry-run: do not connect, print what a fleet with nothing on it needs
      -h, --help     Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_fill() {
    insta::assert_snapshot!(shardctl(&["fill", "-h"]), @r#"
    exit code 0
    -- stdout
    Fill an empty user center with generated members

    Usage: shardctl fill [OPTIONS]

    Options:
          --members <N>        How many members [default: 200K]
          --seed <SEED>        Seed of the generator [default: 1]
          --until <DATE>       Time at which the last member registers [default: 2026-01-01]
          --writers <WRITERS>  Connections that write to each instance [default: 2]
          --again              Empty the tables first, if a fill of them was interrupted
          --yes                With --again: go on without asking
      -h, --help               Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_status() {
    insta::assert_snapshot!(shardctl(&["status", "-h"]), @r#"
    exit code 0
    -- stdout
    Show instances, schemas, rows, bytes and the fill against the limit

    Usage: shardctl status [OPTIONS]

    Options:
          --exact                      Count the rows instead of taking the servers' estimates
          --max-rows-per-table <ROWS>  Rows a physical table should not pass [default: 5M]
          --watch [<SECONDS>]          Show it again every so many seconds, until Ctrl-C
          --write <FILE>               Write the topology of the shard map in force to this file and do
                                       nothing else
      -h, --help                       Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_route() {
    insta::assert_snapshot!(shardctl(&["route", "-h"]), @r#"
    exit code 0
    -- stdout
    Show where a key lives, from the topology file alone

    Usage: shardctl route [OPTIONS] [COLUMN=VALUE]...

    Arguments:
      [COLUMN=VALUE]...  Keys, such as memberId=1001 or memberAccount=alice@example.com

    Options:
          --sql <STATEMENT>  Show the tables that can hold an answer to this SELECT
          --table <NAME>     Look at this logical table only (can be repeated)
      -h, --help             Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_query() {
    insta::assert_snapshot!(shardctl(&["query", "-h"]), @r#"
    exit code 0
    -- stdout
    Answer a SELECT over logical tables as one server would

    Usage: shardctl query [OPTIONS] [SQL]

    Arguments:
      [SQL]  The statement; - reads it from standard input. Without one: an interactive shell in a
             terminal, else the statements of standard input, each ended by ;

    Options:
      -f, --file <FILE>               Read the statement from this file
          --param <VALUE>             A value for a `?` of the statement, in their order: a number where
                                      it looks like one, else a text; number:17, text:17 and null say
                                      which (can be repeated)
          --explain                   Show how it would be answered, and do not run it
          --analyze                   Run it and show, in place of its rows, what each shard took for it
                                      and how its server went about it (EXPLAIN), with the shards marked
                                      that differ from most
          --by-shard                  Run it on each shard as written and show the answers side by side,
                                      unmerged
          --trust-index               Find the shards through an index table where the statement names
                                      its key: the answer is then as right as that table, and a row that
                                      it lacks is not found
          --shards <LIST>             Ask these shards only, such as 0-3,7: the answer is then partial
                                      knowledge of the table
          --partial                   Answer without the shards that fail: what is missing is named, and
                                      the exit code is 3
          --snapshot                  Read all shards in snapshots that are opened together, and tell
                                      how far apart they are
          --max-shards <N>            Refuse to ask more shards than this
          --max-rows <N>              Refuse an answer of more rows [default: 100000]
          --timeout <SECONDS>         End the statements after so many seconds [default: 60]
          --force                     Go on after a statement that failed, where standard input has
                                      several
          --no-gather                 Refuse what would have to be gathered on a scratch server
          --scratch <INSTANCE>        Gather on this instance of the topology [default: the topology's
                                      query.scratch, else a private server of the installed binaries]
          --max-gather-rows <N>       Refuse to gather more rows [default: 5000000]
          --max-gather-bytes <BYTES>  Refuse to gather more bytes of values [default: 2147483648]
          --scratch-idle <SECONDS>    Keep the private scratch server for so long after its last use
                                      [default: 600]
      -h, --help                      Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr

    Examples:
      shardctl query "SELECT * FROM member WHERE memberId = 100000001"
      shardctl query "SELECT status, COUNT(*) FROM member GROUP BY status ORDER BY 2 DESC"
      shardctl query "SELECT * FROM member_address WHERE memberId = ?" --param 100000001
      shardctl query "SELECT c.* FROM member m JOIN member_company c USING (memberId) LIMIT 9"
      shardctl query --by-shard "SELECT COUNT(*) FROM member"
      shardctl query -o csv -f report.sql
      shardctl query                        # an interactive shell; \h in it lists its commands
      shardctl query --force < many.sql
    "#);
}

#[test]
fn help_of_rebalance() {
    insta::assert_snapshot!(shardctl(&["rebalance", "-h"]), @r#"
    exit code 0
    -- stdout
    Move schemas between instances, from the shard map in force to a wanted topology

    Usage: shardctl rebalance [OPTIONS] <--to <FILE>|--add-instance <NAME=HOST:PORT>|--drain <NAME>>

    Options:
          --to <FILE>                      Reach the topology of this file
          --add-instance <NAME=HOST:PORT>  Add an instance and spread the schemas evenly with the fewest
                                           moves (can be repeated); with --sandbox the name alone is
                                           enough
          --drain <NAME>                   Move every schema off an instance and take it out of the
                                           topology
          --offline                        Refuse writes to the moving schemas from before their copy
                                           until the switch
          --dry-run                        Show the moves and change nothing
          --yes                            Go on without asking
          --keep-source                    Keep the source's fenced copy until `shardctl job finish`;
                                           what is written to the target flows back to it, so that
                                           `shardctl job rollback` loses nothing (not with --offline)
          --cutover <WHEN>                 Switch as soon as all is copied and compared, or when
                                           `shardctl job cutover` says so [default: auto] [possible
                                           values: auto, manual]
          --no-watch                       End after the switch instead of keeping the rows flowing
                                           back; `shardctl job resume` does that
          --on-fence <COMMAND>             Run this command once writers are refused; if it fails,
                                           nothing is switched and they are let in
          --on-switch <COMMAND>            Run this command once the target serves
          --on-rollback <COMMAND>          Run this command once the source serves again
          --workers <N>                    Tables copied or compared at once [default: 4]
          --progress <HOW>                 How progress is shown on stderr [default: auto] [possible
                                           values: auto, lines, json, none]
          --write <FILE>                   Write the new topology to this file once it is in force
      -h, --help                           Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_verify() {
    insta::assert_snapshot!(shardctl(&["verify", "-h"]), @r#"
    exit code 0
    -- stdout
    Check that every row is in its shard and index tables equal what they index

    Usage: shardctl verify [OPTIONS]

    Options:
          --table <NAME>  Check this logical table only (can be repeated)
          --workers <N>   Physical tables read at once [default: 8]
      -h, --help          Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_sandbox() {
    insta::assert_snapshot!(shardctl(&["sandbox", "-h"]), @r#"
    exit code 0
    -- stdout
    Start and remove real local servers

    Usage: shardctl sandbox [OPTIONS] <COMMAND>

    Commands:
      up     Start servers from the installed mysqld or mariadbd
      add    Start one more server in a running sandbox
      start  Start a server of a sandbox that was stopped or has died
      stop   Stop a server of a sandbox and keep its data
      down   End the servers of a sandbox and remove it with its data
      list   Show the sandboxes of this user, also broken ones [alias: ls]
      help   Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_demo() {
    insta::assert_snapshot!(shardctl(&["demo", "-h"]), @r#"
    exit code 0
    -- stdout
    Tell the whole story on real local servers: plan, create, fill, query, move, verify

    Usage: shardctl demo [OPTIONS]

    Options:
          --members <MEMBERS>  How many members the user center gets [default: 200000]
      -e, --engine <ENGINE>    Family of server, mysql or mariadb [default: the one that is installed]
          --keep               Leave the servers running at the end
      -h, --help               Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn help_of_job() {
    insta::assert_snapshot!(shardctl(&["job", "-h"]), @r#"
    exit code 0
    -- stdout
    Look after the jobs that move data

    Usage: shardctl job [OPTIONS] <COMMAND>

    Commands:
      list      List every job, the newest first
      status    Show where a job stands
      resume    Go on with a job that was stopped, from where it is
      cutover   Switch now, where a job waits for that
      cancel    Take a job back: possible until its shard map is committed
      rollback  Go back to the source after the switch, with all that was written since
      finish    Drop the copy that a move, or its way back, has kept
      report    Print the evidence of a job: tables, rows, checksums
      help      Print this message or the help of the given subcommand(s)

    Options:
          --progress <HOW>  How progress is shown on stderr [default: auto] [possible values: auto,
                            lines, json, none]
      -h, --help            Print help (see more with '--help')

    Global options:
      -t, --topology <FILE>       Topology file [env: SHARDCTL_TOPOLOGY=] [default: topology.yaml]
      -o, --output <OUTPUT>       How results are printed [default: table] [possible values: table,
                                  json, vertical, csv, tsv, ndjson]
          --defaults-file <FILE>  Read credentials from this MySQL option file only
      -u, --user <NAME>           User to log in as
      -p, --ask-password          Ask for the password
          --sandbox <NAME>        Use the servers of this sandbox in place of the topology's addresses
                                  [env: SHARDCTL_SANDBOX=]
      -v, --verbose...            Log what is done to stderr (repeat for more)
      -q, --quiet                 No progress and no notes on stderr
    "#);
}

#[test]
fn the_plan_of_2016_is_sixteen_schemas_for_two_years() {
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01"]), @r"
    exit code 0
    -- stdout
    40M rows a year, from 2016-01-01: 80M records after 2 years, about 26.7M users at 3 records each
    +----+-----------+---------+-------------+--------+------------+---------------+------+------------------------+---------------------------+
    |    | instances | schemas | tables each | tables | rows/table | rows/instance | idle | lasts until            | next split                |
    +==========================================================================================================================================+
    | => |         2 |      16 |           1 |     16 |  5,000,000 |    40,000,000 | 0 %  | 2018-01-01 (2.0 years) | to 32 schemas: 40M rows   |
    |    |         2 |      32 |           1 |     32 |  2,500,000 |    40,000,000 | 50 % | 2020-01-01 (4.0 years) | to 64 schemas: 80M rows   |
    |    |         2 |      64 |           1 |     64 |  1,250,000 |    40,000,000 | 75 % | 2024-01-01 (8.0 years) | to 128 schemas: 160M rows |
    +----+-----------+---------+-------------+--------+------------+---------------+------+------------------------+---------------------------+
    recommended: 16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2018-01-01. It holds 80M rows of a logical table in 16 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2018-01-01 each schema is split in two, 32 in all: 40M rows move, and it lasts until 2020-01-01.
    for 5 years, 200M rows of about 66.7M users: 16 schemas of 4 tables on 2 instances: the smallest layout that lasts 5 years; it meets its first limit, rows per table, on 2024-01-01.
    ");
}

#[test]
fn the_plan_for_five_years_shows_the_two_year_answer_beside_it() {
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01", "--years", "5"]), @r"
    exit code 0
    -- stdout
    40M rows a year, from 2016-01-01: 200M records after 5 years, about 66.7M users at 3 records each
    +----+-----------+---------+-------------+--------+------------+---------------+------+-----------------------------------+---------------------------+
    |    | instances | schemas | tables each | tables | rows/table | rows/instance | idle | lasts until                       | next split                |
    +=====================================================================================================================================================+
    |    |         2 |      16 |           1 |     16 | 12,500,000 |   100,000,000 | 0 %  | 2018-01-01 (2.0 years, too short) | to 32 schemas: 40M rows   |
    |    |         2 |      16 |           2 |     32 |  6,250,000 |   100,000,000 | 0 %  | 2020-01-01 (4.0 years, too short) | to 32 schemas: 80M rows   |
    |    |         2 |      32 |           1 |     32 |  6,250,000 |   100,000,000 | 0 %  | 2020-01-01 (4.0 years, too short) | to 64 schemas: 80M rows   |
    | => |         2 |      16 |           4 |     64 |  3,125,000 |   100,000,000 | 37 % | 2024-01-01 (8.0 years)            | to 32 schemas: 160M rows  |
    |    |         2 |      32 |           2 |     64 |  3,125,000 |   100,000,000 | 37 % | 2024-01-01 (8.0 years)            | to 64 schemas: 160M rows  |
    |    |         2 |      64 |           1 |     64 |  3,125,000 |   100,000,000 | 37 % | 2024-01-01 (8.0 years)            | to 128 schemas: 160M rows |
    +----+-----------+---------+-------------+--------+------------+---------------+------+-----------------------------------+---------------------------+
    recommended: 16 schemas of 4 tables on 2 instances: the smallest layout that lasts 5 years; it meets its first limit, rows per table, on 2024-01-01. It holds 320M rows of a logical table in 64 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2024-01-01 each schema is split in two, 32 in all: 160M rows move, and it lasts until 2032-01-01.
    for 2 years, 80M rows of about 26.7M users: 16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2018-01-01.
    note: the published rule plans for one to two years: what is bought for later stands idle
    ");
}

#[test]
fn a_plan_with_disks_says_when_they_are_full() {
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01", "--row-bytes", "400", "--disk-per-instance", "20G", "--growth", "25%"]), @r"
    exit code 0
    -- stdout
    40M rows a year, 25 % more each year, from 2016-01-01: 90M records and 33.5 GiB after 2 years, about 30M users at 3 records each
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+----------------------+
    |    | instances | schemas | tables each | tables | rows/table | size/table | rows/instance | size/instance | idle                 |
    +==================================================================================================================================+
    |    |         2 |      16 |           1 |     16 |  5,625,000 |    2.1 GiB |    45,000,000 |      16.8 GiB | 0 % rows, 16 % disk  |
    | => |         2 |      16 |           2 |     32 |  2,812,500 |    1.0 GiB |    45,000,000 |      16.8 GiB | 43 % rows, 16 % disk |
    |    |         2 |      32 |           1 |     32 |  2,812,500 |    1.0 GiB |    45,000,000 |      16.8 GiB | 43 % rows, 16 % disk |
    |    |         2 |      64 |           1 |     64 |  1,406,250 |  536.4 MiB |    45,000,000 |      16.8 GiB | 71 % rows, 16 % disk |
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+----------------------+
    +----+-----------+---------+-------------+-----------------------------------+-------------------+--------------------+-----------------------+--------------------------------------+-----------+
    |    | instances | schemas | tables each | lasts until                       | first limit       | rows per table met | disk per instance met | next split                           | takes     |
    +================================================================================================================================================================================================+
    |    |         2 |      16 |           1 | 2017-10-20 (1.8 years, too short) | rows per table    | 2017-10-20         | 2018-04-13            | to 32 schemas: 40M rows, 14.9 GiB    | 6 minutes |
    | => |         2 |      16 |           2 | 2018-04-13 (2.3 years)            | disk per instance | 2019-02-06         | 2018-04-13            | to 4 instances: 53.7M rows, 20.0 GiB | 7 minutes |
    |    |         2 |      32 |           1 | 2018-04-13 (2.3 years)            | disk per instance | 2019-02-06         | 2018-04-13            | to 4 instances: 53.7M rows, 20.0 GiB | 7 minutes |
    |    |         2 |      64 |           1 | 2018-04-13 (2.3 years)            | disk per instance | 2020-12-01         | 2018-04-13            | to 4 instances: 53.7M rows, 20.0 GiB | 7 minutes |
    +----+-----------+---------+-------------+-----------------------------------+-------------------+--------------------+-----------------------+--------------------------------------+-----------+
    recommended: 16 schemas of 2 tables on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, disk per instance, on 2018-04-13. It holds 160M rows of a logical table in 32 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2018-04-13 half of the schemas move to as many new instances, 4 in all: 53.7M rows move (20.0 GiB, 7 minutes at 50.0 MiB a second), and it lasts until 2019-02-06.
    for 5 years, 328.3M rows of about 109.4M users: 16 schemas of 8 tables on 8 instances: the smallest layout that lasts 5 years (4 instances would meet disk per instance on 2019-10-19); it meets its first limit, disk per instance, on 2021-10-31.

    limits of the recommended layout:
    +-------------------+-----------+-----+---------------+------------+
    | limit             |   at most | now | after 2 years | met on     |
    +==================================================================+
    | rows per table    | 5,000,000 |   0 |     2,812,500 | 2019-02-06 |
    | disk per instance |  20.0 GiB | 0 B |      16.8 GiB | 2018-04-13 |
    +-------------------+-----------+-----+---------------+------------+
    ");
}

#[test]
fn a_plan_for_known_tables_shows_the_bytes_of_their_rows() {
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01", "--tables", "topology.yaml"]), @r"
    exit code 0
    -- stdout
    6 tables, 240M rows in the first year, from 2016-01-01: 480M rows and 101.7 GiB after 2 years
    +------------------------------------+-----------------+---------------+-----------+--------------+--------------------+
    | table                              | rows            | after 2 years | row bytes | with indexes | size after 2 years |
    +======================================================================================================================+
    | member                             | 40M rows a year |    80,000,000 |       137 |          309 |           23.0 GiB |
    | member_address                     | 40M rows a year |    80,000,000 |       203 |          340 |           25.3 GiB |
    | member_login_account               | 40M rows a year |    80,000,000 |        92 |          237 |           17.7 GiB |
    | member_login_account_memberAccount | 40M rows a year |    80,000,000 |        79 |          133 |            9.9 GiB |
    | email_verify                       | 40M rows a year |    80,000,000 |        92 |          155 |           11.5 GiB |
    | member_company                     | 40M rows a year |    80,000,000 |       114 |          191 |           14.2 GiB |
    +------------------------------------+-----------------+---------------+-----------+--------------+--------------------+
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+------+
    |    | instances | schemas | tables each | tables | rows/table | size/table | rows/instance | size/instance | idle |
    +==================================================================================================================+
    | => |         2 |      16 |           1 |     16 |  5,000,000 |    1.6 GiB |   240,000,000 |      50.9 GiB | 0 %  |
    |    |         2 |      32 |           1 |     32 |  2,500,000 |  810.6 MiB |   240,000,000 |      50.9 GiB | 50 % |
    |    |         2 |      64 |           1 |     64 |  1,250,000 |  405.3 MiB |   240,000,000 |      50.9 GiB | 75 % |
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+------+
    +----+-----------+---------+-------------+------------------------+--------------------------------------+------------+
    |    | instances | schemas | tables each | lasts until            | next split                           | takes      |
    +=====================================================================================================================+
    | => |         2 |      16 |           1 | 2018-01-01 (2.0 years) | to 32 schemas: 240M rows, 50.9 GiB   | 18 minutes |
    |    |         2 |      32 |           1 | 2020-01-01 (4.0 years) | to 64 schemas: 480M rows, 101.7 GiB  | 35 minutes |
    |    |         2 |      64 |           1 | 2024-01-01 (8.0 years) | to 128 schemas: 960M rows, 203.4 GiB | 70 minutes |
    +----+-----------+---------+-------------+------------------------+--------------------------------------+------------+
    recommended: 16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2018-01-01. It holds 80M rows of a logical table in 16 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2018-01-01 each schema is split in two, 32 in all: 240M rows move (50.9 GiB, 18 minutes at 50.0 MiB a second), and it lasts until 2020-01-01.
    for 5 years, 1.2B rows: 16 schemas of 4 tables on 2 instances: the smallest layout that lasts 5 years; it meets its first limit, rows per table, on 2024-01-01.
    note: each table is taken to have as many rows as the largest; --table NAME=RATIO says otherwise
    note: bytes are by the DDL, pages taken as 69 % full; texts are taken as half as long as they may be up to 20 characters, and an eighth of what they may be above that; one character in four as a long one; TEXT, BLOB and JSON as 512 bytes; one in five nullable values as NULL
    ");
}

#[test]
fn a_plan_of_named_tables_adds_them_up_against_every_limit() {
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "13M", "--table", "member=1", "--table", "member_address=1.4", "--table", "member_login_account=2.85", "--table", "email_verify=0.9", "--table", "member_company=0.08", "--tables", "topology.yaml", "--start", "2016-01-01", "--start-rows", "26M", "--growth", "20%", "--disk-per-instance", "60G", "--headroom", "20%", "--max-tables-per-instance", "1000"]), @r"
    exit code 0
    -- stdout
    6 tables, 118M rows in the first year, 236.1M there already, from 2016-01-01: 495.8M rows and 101.4 GiB after 2 years
    +------------------------------------+----------------------------------------+------------+---------------+-----------+--------------+--------------------+
    | table                              | rows                                   |        now | after 2 years | row bytes | with indexes | size after 2 years |
    +==========================================================================================================================================================+
    | member                             | 13M rows a year, 20 % more each year   | 26,000,000 |    54,600,000 |       137 |          309 |           15.7 GiB |
    | member_address                     | 18.2M rows a year, 20 % more each year | 36,400,000 |    76,440,000 |       203 |          340 |           24.2 GiB |
    | member_login_account               | 37.1M rows a year, 20 % more each year | 74,100,000 |   155,610,000 |        92 |          237 |           34.3 GiB |
    | email_verify                       | 11.7M rows a year, 20 % more each year | 23,400,000 |    49,140,000 |        92 |          155 |            7.1 GiB |
    | member_company                     | 1M rows a year, 20 % more each year    |  2,080,000 |     4,368,000 |       114 |          191 |          795.6 MiB |
    | member_login_account_memberAccount | 37.1M rows a year, 20 % more each year | 74,100,000 |   155,610,000 |        79 |          133 |           19.3 GiB |
    +------------------------------------+----------------------------------------+------------+---------------+-----------+--------------+--------------------+
    +----+-----------+---------+-------------+--------+------------------------+------------------------+----------------------------+----------------------+----------------------+
    |    | instances | schemas | tables each | tables |             rows/table |             size/table |              rows/instance |        size/instance | idle                 |
    +==============================================================================================================================================================================+
    |    |         2 |      16 |           4 |     64 | 1,157,813 -> 2,431,407 | 261.7 MiB -> 549.5 MiB | 118,040,000 -> 247,884,000 | 24.1 GiB -> 50.7 GiB | 39 % rows, 0 % disk  |
    |    |         2 |      32 |           2 |     64 | 1,157,813 -> 2,431,407 | 261.7 MiB -> 549.5 MiB | 118,040,000 -> 247,884,000 | 24.1 GiB -> 50.7 GiB | 39 % rows, 0 % disk  |
    |    |         2 |      64 |           1 |     64 | 1,157,813 -> 2,431,407 | 261.7 MiB -> 549.5 MiB | 118,040,000 -> 247,884,000 | 24.1 GiB -> 50.7 GiB | 39 % rows, 0 % disk  |
    |    |         4 |      16 |           2 |     32 | 2,315,625 -> 4,862,813 |   523.4 MiB -> 1.1 GiB |  59,020,000 -> 123,942,000 | 12.1 GiB -> 25.4 GiB | 0 % rows, 47 % disk  |
    |    |         4 |      32 |           1 |     32 | 2,315,625 -> 4,862,813 |   523.4 MiB -> 1.1 GiB |  59,020,000 -> 123,942,000 | 12.1 GiB -> 25.4 GiB | 0 % rows, 47 % disk  |
    | => |         4 |      16 |           4 |     64 | 1,157,813 -> 2,431,407 | 261.7 MiB -> 549.5 MiB |  59,020,000 -> 123,942,000 | 12.1 GiB -> 25.4 GiB | 39 % rows, 47 % disk |
    |    |         4 |      32 |           2 |     64 | 1,157,813 -> 2,431,407 | 261.7 MiB -> 549.5 MiB |  59,020,000 -> 123,942,000 | 12.1 GiB -> 25.4 GiB | 39 % rows, 47 % disk |
    |    |         4 |      64 |           1 |     64 | 1,157,813 -> 2,431,407 | 261.7 MiB -> 549.5 MiB |  59,020,000 -> 123,942,000 | 12.1 GiB -> 25.4 GiB | 39 % rows, 47 % disk |
    +----+-----------+---------+-------------+--------+------------------------+------------------------+----------------------------+----------------------+----------------------+
    +----+-----------+---------+-------------+-----------------------------------+-------------------+--------------------+-----------------------+---------------------------------------+------------+
    |    | instances | schemas | tables each | lasts until                       | first limit       | rows per table met | disk per instance met | next split                            | takes      |
    +==================================================================================================================================================================================================+
    |    |         2 |      16 |           4 | 2017-10-25 (1.8 years, too short) | disk per instance | 2019-09-27         | 2017-10-25            | to 4 instances: 234.7M rows, 48.0 GiB | 17 minutes |
    |    |         2 |      32 |           2 | 2017-10-25 (1.8 years, too short) | disk per instance | 2019-09-27         | 2017-10-25            | to 4 instances: 234.7M rows, 48.0 GiB | 17 minutes |
    |    |         2 |      64 |           1 | 2017-10-25 (1.8 years, too short) | disk per instance | 2019-09-27         | 2017-10-25            | to 4 instances: 234.7M rows, 48.0 GiB | 17 minutes |
    |    |         4 |      16 |           2 | 2017-05-20 (1.4 years, too short) | rows per table    | 2017-05-20         | 2020-04-14            | to 32 schemas: 204M rows, 41.7 GiB    | 15 minutes |
    |    |         4 |      32 |           1 | 2017-05-20 (1.4 years, too short) | rows per table    | 2017-05-20         | 2020-04-14            | to 64 schemas: 204M rows, 41.7 GiB    | 15 minutes |
    | => |         4 |      16 |           4 | 2019-09-27 (3.7 years)            | rows per table    | 2019-09-27         | 2020-04-14            | to 32 schemas: 408M rows, 83.5 GiB    | 29 minutes |
    |    |         4 |      32 |           2 | 2019-09-27 (3.7 years)            | rows per table    | 2019-09-27         | 2020-04-14            | to 64 schemas: 408M rows, 83.5 GiB    | 29 minutes |
    |    |         4 |      64 |           1 | 2019-09-27 (3.7 years)            | rows per table    | 2019-09-27         | 2020-04-14            | to 128 schemas: 408M rows, 83.5 GiB   | 29 minutes |
    +----+-----------+---------+-------------+-----------------------------------+-------------------+--------------------+-----------------------+---------------------------------------+------------+
    recommended: 16 schemas of 4 tables on 4 instances: the smallest layout that lasts 2 years (2 instances would meet disk per instance on 2017-10-25); it meets its first limit, rows per table, on 2019-09-27. It holds 256M rows of a logical table in 64 physical tables and grows to 8 or 16 instances by moving whole schemas; on 2019-09-27 each schema is split in two, 32 in all: 408M rows move (83.5 GiB, 29 minutes at 50.0 MiB a second), and it lasts until 2020-04-14.
    for 5 years, 1.1B rows: 16 schemas of 8 tables on 8 instances: the smallest layout that lasts 5 years (4 instances would meet disk per instance on 2020-04-14); it meets its first limit, rows per table, on 2022-08-20.

    limits of the recommended layout:
    +---------------------+-----------+-----------+-----------+---------------+------------------+
    | limit               |   at most | less 20 % |       now | after 2 years | met on           |
    +============================================================================================+
    | rows per table      | 5,000,000 | 4,000,000 | 1,157,813 |     2,431,407 | 2019-09-27       |
    | disk per instance   |  60.0 GiB |  48.0 GiB |  12.1 GiB |      25.4 GiB | 2020-04-14       |
    | tables per instance |     1,000 |     1,000 |        96 |            96 | not in 100 years |
    +---------------------+-----------+-----------+-----------+---------------+------------------+
    note: bytes are by the DDL, pages taken as 69 % full; texts are taken as half as long as they may be up to 20 characters, and an eighth of what they may be above that; one character in four as a long one; TEXT, BLOB and JSON as 512 bytes; one in five nullable values as NULL
    ");
}

#[test]
fn a_plan_by_year_with_retention() {
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M,60M,90M", "--retention", "3y", "--years", "60mo", "--row-bytes", "300", "--start", "2016-01-01"]), @r"
    exit code 0
    -- stdout
    40M, 60M, 90M rows in the first 3 years, kept 3 years, from 2016-01-01: 270M records and 75.4 GiB after 60 months, about 90M users at 3 records each
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+------+
    |    | instances | schemas | tables each | tables | rows/table | size/table | rows/instance | size/instance | idle |
    +==================================================================================================================+
    |    |         2 |      16 |           1 |     16 | 16,875,000 |    4.7 GiB |   135,000,000 |      37.7 GiB | 0 %  |
    |    |         2 |      16 |           2 |     32 |  8,437,500 |    2.4 GiB |   135,000,000 |      37.7 GiB | 0 %  |
    |    |         2 |      32 |           1 |     32 |  8,437,500 |    2.4 GiB |   135,000,000 |      37.7 GiB | 0 %  |
    | => |         2 |      16 |           4 |     64 |  4,218,750 |    1.2 GiB |   135,000,000 |      37.7 GiB | 15 % |
    |    |         2 |      32 |           2 |     64 |  4,218,750 |    1.2 GiB |   135,000,000 |      37.7 GiB | 15 % |
    |    |         2 |      64 |           1 |     64 |  4,218,750 |    1.2 GiB |   135,000,000 |      37.7 GiB | 15 % |
    +----+-----------+---------+-------------+--------+------------+------------+---------------+---------------+------+
    +----+-----------+---------+-------------+-----------------------------------+-------------------------------------+-----------+
    |    | instances | schemas | tables each | lasts until                       | next split                          | takes     |
    +==============================================================================================================================+
    |    |         2 |      16 |           1 | 2017-09-02 (1.7 years, too short) | to 32 schemas: 40.1M rows, 11.2 GiB | 4 minutes |
    |    |         2 |      16 |           2 | 2018-09-02 (2.7 years, too short) | to 32 schemas: 80.1M rows, 22.4 GiB | 8 minutes |
    |    |         2 |      32 |           1 | 2018-09-02 (2.7 years, too short) | to 64 schemas: 80.1M rows, 22.4 GiB | 8 minutes |
    | => |         2 |      16 |           4 | over 100 years                    | none                                |           |
    |    |         2 |      32 |           2 | over 100 years                    | none                                |           |
    |    |         2 |      64 |           1 | over 100 years                    | none                                |           |
    +----+-----------+---------+-------------+-----------------------------------+-------------------------------------+-----------+
    recommended: 16 schemas of 4 tables on 2 instances: the smallest layout that lasts 60 months, and no limit is met in a hundred years. It holds 320M rows of a logical table in 64 physical tables and grows to 4, 8 or 16 instances by moving whole schemas.
    for 2 years, 100M rows of about 33.3M users: 16 schemas of 2 tables on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2018-09-02.
    note: the published rule plans for one to two years: what is bought for later stands idle
    ");
}

#[test]
fn one_of_anything_is_said_as_one() {
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "1", "--instances", "1", "--schemas", "1", "--records-per-user", "1", "--years", "1", "--start", "2016-01-01"]), @r"
    exit code 0
    -- stdout
    one row a year, from 2016-01-01: one record after one year, about one user at one record each
    +----+-----------+---------+-------------+--------+------------+---------------+------+----------------+------------+
    |    | instances | schemas | tables each | tables | rows/table | rows/instance | idle | lasts until    | next split |
    +===================================================================================================================+
    | => |         1 |       1 |           1 |      1 |          1 |             1 | 99 % | over 100 years | none       |
    +----+-----------+---------+-------------+--------+------------+---------------+------+----------------+------------+
    recommended: one schema of one table on one instance: the smallest layout that lasts one year, and no limit is met in a hundred years. It holds 5M rows of a logical table in one physical table and cannot grow by moving whole schemas.
    for 2 years, 2 rows of about 2 users: one schema of one table on one instance: the smallest layout that lasts 2 years, and no limit is met in a hundred years.
    ");
}

#[test]
fn plans_of_nonsense_are_refused() {
    insta::assert_snapshot!(shardctl(&["plan"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  nothing says how many rows come
      next:   say --rows-per-year 40M, --table NAME=40M for each table, or --estimates FILE
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "-40M"]), @r"
    exit code 2
    -- stderr
    error: invalid value '-40M' for '--rows-per-year <ROWS>': `-40M` is less than nothing; write 40M, 5_000_000, 1.5B, 250k or 1e6

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--schemas", "0"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  a layout has at least one schema
      next:   say --schemas 16, or leave it out to see eight to an instance and its doubles
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--instances", "-2"]), @r"
    exit code 2
    -- stderr
    error: invalid value '-2' for '--instances <N>': `-2` is not a whole number that can be planned; write 1, 2 or 16

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--years", "0"]), @r"
    exit code 2
    -- stderr
    error: invalid value '0' for '--years <PERIOD>': `0` is no time at all; write 2, 5y or 60mo

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-02-30"]), @r"
    exit code 2
    -- stderr
    error: invalid value '2016-02-30' for '--start <DATE>': `2016-02-30` is not a day of the calendar; write 2016-01-31

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--headroom", "100"]), @r"
    exit code 2
    -- stderr
    error: invalid value '100' for '--headroom <PERCENT>': `100` leaves no room at all; write 20 or 7.5%

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--table", "member=50000"]), @r"
    exit code 2
    -- stderr
    error: invalid value 'member=50000' for '--table <NAME=RATIO>': `50000` rows for each row are more than the 1000 that a ratio can be; write rows a year with their unit: 50k or 40M

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--table", "membr=1", "--tables", "topology.yaml"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  there is no table `membr`; did you mean `member`?
      next:   name the tables as the file of --tables does
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--table", "member=1", "--tables", "topology.yaml"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  nothing says how many rows `member_address`, `member_login_account`, `email_verify`, `member_company` get
      next:   say --table member_address=1.4 --table member_login_account=1.4 --table email_verify=1.4 --table member_company=1.4, or =0 for one that stays small
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--table", "member=1"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  the ratio of `member` has nothing to be a ratio of
      next:   say the entity's rows with --rows-per-year 13M, or the table's own with --table NAME=40M
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--disk-per-instance", "1T"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  disk per instance is a limit, and the bytes of a row are not known
      next:   give --row-bytes, or --tables FILE to have them computed from the DDL
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--growth", "+5"]), @r"
    exit code 2
    -- stderr
    error: invalid value '+5' for '--growth <PERCENT>': `+5` may be rows or percent; write 5% or at least +1k rows

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "9990-01-01", "--years", "20"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  9990-01-01 and 20 years more are beyond the end of the calendar
      next:   start earlier, or look less far ahead
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--years", "100", "--growth", "10000%"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  the rows after 100 years are too many to count
      next:   look less far ahead, or at slower growth
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--estimates", "no-such.yaml"]), @r"
    exit code 2
    -- stderr
    error: could not read the file of estimates
      where:  no-such.yaml
      cause:  No such file or directory (os error 2)
      next:   name a file that is there and can be read
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "0"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  there are no rows to plan for: none are there and none come
      next:   say how many come with --rows-per-year 40M, or how many are there with --start-rows
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01", "--schemas", "16", "--instances", "17"]), @r"
    exit code 2
    -- stderr
    error: no plan can be made
      cause:  16 schemas do not spread evenly over 17 instances
      next:   take 16 instances, or 32 instances with 32 schemas
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01", "--growth", "-5"]), @r"
    exit code 2
    -- stderr
    error: invalid value '-5' for '--growth <PERCENT>': `-5`: rows that become fewer need no plan; growth is 0 or more, and rows that are deleted are a retention

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "4OM"]), @r#"
    exit code 2
    -- stderr
    error: invalid value '4OM' for '--rows-per-year <ROWS>': `4OM` is not a count; write 40M, 5_000_000, 1.5B, 250k or 1e6

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01", "--years", "500"]), @r"
    exit code 2
    -- stderr
    error: invalid value '500' for '--years <PERIOD>': `500` is more than the 100 years that can be planned

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--rows-per-year", "40M", "--start", "2016-01-01", "--max-rows-per-table", "99999999T"]), @r#"
    exit code 2
    -- stderr
    error: invalid value '99999999T' for '--max-rows-per-table <ROWS>': `99999999T` is too large

    For more information, try '--help'.
    "#);
}

#[test]
fn a_key_is_routed_from_the_file_alone() {
    insta::assert_snapshot!(shardctl(&["route", "memberId=1001", "memberAccount=alice@example.com"]), @r#"
    exit code 0
    -- stdout
    +-----------------------------------+--------------------------------------------------------------------------+-----------+-------+----------+----------------+---------------------------------------+
    | key                               | table                                                                    | function  | shard | instance | schema         | physical table                        |
    +======================================================================================================================================================================================================+
    | memberId = 1001                   | member                                                                   | drds_hash | 9     | rds-2    | user_center_09 | member_09                             |
    | memberId = 1001                   | member_address                                                           | drds_hash | 9     | rds-2    | user_center_09 | member_address_09                     |
    | memberId = 1001                   | member_login_account                                                     | drds_hash | 9     | rds-2    | user_center_09 | member_login_account_09               |
    | memberId = 1001                   | email_verify                                                             | drds_hash | 9     | rds-2    | user_center_09 | email_verify_09                       |
    | memberId = 1001                   | member_company                                                           | drds_hash | 9     | rds-2    | user_center_09 | member_company_09                     |
    | memberAccount = alice@example.com | member_login_account_memberAccount (index table of member_login_account) | drds_hash | 13    | rds-2    | user_center_13 | member_login_account_memberAccount_13 |
    +-----------------------------------+--------------------------------------------------------------------------+-----------+-------+----------+----------------+---------------------------------------+
    "#);
    insta::assert_snapshot!(shardctl(&["-t", "tests/data/order_center.yaml", "route", "buyerId=17", "--table", "orders", "-o", "json"]), @r#"
    exit code 0
    -- stdout
    {
      "routes": [
        {
          "table": "orders",
          "column": "buyerId",
          "key": "17",
          "function": "mod",
          "shard": 4,
          "places": [
            {
              "instance": "rds-2",
              "schema": "order_center_04",
              "table": "orders_0017"
            }
          ],
          "index_of": null
        }
      ]
    }
    "#);
}

#[test]
fn a_statement_is_routed_from_the_file_alone() {
    insta::assert_snapshot!(shardctl(&["route", "--sql", "SELECT * FROM member WHERE memberId IN (1, 17, 2)"]), @r#"
    exit code 0
    -- stdout
    +----------+----------------+----------------+
    | instance | schema         | physical table |
    +============================================+
    | rds-1    | user_center_01 | member_01      |
    | rds-1    | user_center_02 | member_02      |
    +----------+----------------+----------------+
    the shard key `memberId` leaves 2 of 16 tables
    "#);
    insta::assert_snapshot!(shardctl(&["route", "--sql", "DROP TABLE member"]), @r#"
    exit code 2
    -- stderr
    error: the statement is refused
      cause:  only SELECT is answered: this tool reads
    "#);
}

#[test]
fn keys_that_are_none_are_refused() {
    insta::assert_snapshot!(shardctl(&["route", "memberId=abc"]), @r#"
    exit code 2
    -- stderr
    error: `abc` is no key of `member`
      cause:  `abc` is not an integer
    "#);
    insta::assert_snapshot!(shardctl(&["route", "nickname=x"]), @r#"
    exit code 2
    -- stderr
    error: no table is split by `nickname`
      next:   the shard keys are: memberAccount, memberId
    "#);
    insta::assert_snapshot!(shardctl(&["route", "1001"]), @r#"
    exit code 2
    -- stderr
    error: `1001` does not say which column it is a key of
      next:   write COLUMN=VALUE, such as memberId=1001
    "#);
    insta::assert_snapshot!(shardctl(&["route", "memberId=99999999999999999999999"]), @r#"
    exit code 2
    -- stderr
    error: `99999999999999999999999` is no key of `member`
      cause:  99999999999999999999999 is outside BIGINT UNSIGNED, which holds 0 to 18446744073709551615
    "#);
    insta::assert_snapshot!(shardctl(&["route", "memberId=1", "--table", "members"]), @r#"
    exit code 2
    -- stderr
    error: there is no logical table `members` in the topology
    "#);
}

#[test]
fn a_topology_that_is_not_there_is_said_so() {
    insta::assert_snapshot!(shardctl(&["-t", "no/such/file.yaml", "status"]), @r#"
    exit code 2
    -- stderr
    error: could not read the topology file
      where:  no/such/file.yaml
      cause:  No such file or directory (os error 2)
      next:   name it with --topology FILE, or write one with `shardctl plan --write`
    "#);
}

#[test]
fn a_dry_run_needs_no_server() {
    insta::assert_snapshot!(shardctl(&["-t", "tests/data/small.yaml", "create", "--dry-run", "--offline"]), @r#"
    exit code 0
    -- stdout
    -- instance a
    CREATE DATABASE IF NOT EXISTS `shop_0` DEFAULT CHARACTER SET utf8mb4;
    CREATE TABLE `shop_0`.`item_0000` (
      id bigint NOT NULL, -- from the shop
      PRIMARY KEY (id)
    );
    CREATE TABLE `shop_0`.`item_0001` (
      id bigint NOT NULL, -- from the shop
      PRIMARY KEY (id)
    );
    CREATE DATABASE IF NOT EXISTS `shop_1` DEFAULT CHARACTER SET utf8mb4;
    CREATE TABLE `shop_1`.`item_0002` (
      id bigint NOT NULL, -- from the shop
      PRIMARY KEY (id)
    );
    CREATE TABLE `shop_1`.`item_0003` (
      id bigint NOT NULL, -- from the shop
      PRIMARY KEY (id)
    );
    -- to create: 2 schemas, 4 tables; there already and as wanted: 0 tables
    "#);
}

#[test]
fn problems_of_a_topology_are_shown_all_at_once_with_their_lines() {
    insta::assert_snapshot!(shardctl(&["-t", "tests/data/bad.yaml", "route", "id=1"]), @r#"
    exit code 2
    -- stderr
    error: the topology file has 8 problems
      where:  tests/data/bad.yaml:5:3: instances a and b have the same address 127.0.0.1:3306
                    b: { host: 127.0.0.1, port: 3306 }
                    ^
              tests/data/bad.yaml:7:9: `shop` names all 4 schemas alike; put {:02} where the number goes
                    name: shop
                          ^
              tests/data/bad.yaml:10:5: schemas 2-3 are placed nowhere
                      a: 0-1
                      ^
              tests/data/bad.yaml:11:5: there is no instance `c`; did you mean `a`?
                      c: 2
                      ^
              tests/data/bad.yaml:12:8: schema 1 is placed twice, on a and on b
                      b: 1
                         ^
              tests/data/bad.yaml:16:15: `item`: unknown shard function `modulo`; did you mean `mod`?
                      function: modulo
                                ^
              tests/data/bad.yaml:20:14: table `item`: unknown column type `varchr`
                          name varchr(10)
                               ^
              tests/data/bad.yaml:23:15: `tag` is an index table of `itm`, which is not in the topology; did you mean `item`?
                      index_of: itm
                                ^
    "#);
}

#[test]
fn a_key_that_cannot_be_routed_is_said_with_its_line() {
    insta::assert_snapshot!(shardctl(&["-t", "tests/data/unroutable.yaml", "route", "id=1"]), @r#"
    exit code 2
    -- stderr
    error: the topology file has 3 problems
      where:  tests/data/unroutable.yaml:12:16: column `id` of `reading` has a type that cannot be a shard key
                      shard_key: id
                                 ^
              tests/data/unroutable.yaml:27:22: table `item`: the primary key names `idd`, which is no column
                          PRIMARY KEY (idd)
                                       ^
              tests/data/unroutable.yaml:37:22: table `tag`: an index names `name`, which is no column
                          KEY by_name (name)
                                       ^
    "#);
}

#[test]
fn a_sample_without_a_key_passes_no_gate() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "16\n32\n48\n").unwrap();
    let path = file.path().display().to_string();
    let shown = shardctl(&[
        "plan",
        "--sample",
        &path,
        "--shards",
        "16",
        "--sample-percent",
        "0.0001",
        "--max-skew",
        "1.2",
    ]);
    assert!(shown.contains("exit code 2"), "{shown}");
    assert!(shown.contains("the sample holds no key"), "{shown}");
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    insta::assert_snapshot!(shardctl(&["-t", "/dev/zero", "route", "id=1"]), @r#"
    exit code 2
    -- stderr
    error: could not read the topology file
      where:  /dev/zero
      cause:  it has more than 16 MiB, so it is another file
      next:   name it with --topology FILE, or write one with `shardctl plan --write`
    "#);
}

#[test]
fn a_server_that_is_not_there_is_exit_code_3() {
    insta::assert_snapshot!(shardctl(&["-t", "tests/data/small.yaml", "create"]), @r#"
    exit code 3
    -- stderr
    error: could not connect
      where:  instance a (127.0.0.1:1)
      cause:  the connection failed: Input/output error: Connection refused (os error 111)
      next:   check that the server runs and that the address is right
    "#);
}

#[test]
fn statements_that_are_not_answered_say_why() {
    insta::assert_snapshot!(shardctl(&["query", "DELETE FROM member"]), @r#"
    exit code 2
    -- stderr
    error: the statement is refused
      cause:  only SELECT is answered: this tool reads
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--no-gather", "SELECT 1"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be answered
      cause:  the statement names no table
    "#);
    insta::assert_snapshot!(shardctl(&["query", "SELECT * FROM members"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be answered
      cause:  there is no logical table `members`; there are: member, member_address, member_login_account, member_login_account_memberAccount, email_verify, member_company
    "#);
    insta::assert_snapshot!(shardctl(&["query", "SELECT SLEEP(1) FROM member WHERE memberId = 1"]), @r#"
    exit code 2
    -- stderr
    error: the statement is refused
      cause:  SLEEP() is refused: it sleeps, locks or reads files
    "#);
    insta::assert_snapshot!(shardctl(&["query"]), @r#"
    exit code 2
    -- stderr
    error: there is no statement
      next:   give one, a file with -f, or several on standard input
    "#);
    insta::assert_snapshot!(shardctl(&["query", "SELEC 1"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be read
      cause:  Expected: an SQL statement, found: SELEC at Line: 1, Column: 1
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--no-gather", "SELECT a.memberId FROM member a JOIN member_address b ON a.nickname = b.receiver"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be answered exactly
      cause:  `member` and `member_address` are not joined on shard keys that split them alike, so rows of different shards meet
    "#);
    insta::assert_snapshot!(shardctl(&["query", "SELECT my_function(memberId) FROM member"]), @r#"
    exit code 2
    -- stderr
    error: the statement is refused
      cause:  the function my_function() is not known; it may be one of your own, and do more than read
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--no-gather", "SELECT GROUP_CONCAT(nickname) FROM member"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be answered exactly
      cause:  group_concat() over shards is not merged
      next:   name the shard key so that one shard answers, or see each shard's own answer with --by-shard
    "#);
    insta::assert_snapshot!(shardctl(&["query", "SELECT LAST_INSERT_ID(), a.memberId FROM member a JOIN member_address b USING (memberId)"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be answered exactly
      cause:  LAST_INSERT_ID() tells about the session or the server, and a gathered statement runs on another
      next:   name the shard key so that one shard answers, or see each shard's own answer with --by-shard
    "#);
    insta::assert_snapshot!(shardctl(&["query", "SHOW FULL PROCESSLIST"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be answered exactly
      cause:  of what the servers show, that of the tables is answered: SHOW TABLES, SHOW COLUMNS FROM t, DESCRIBE t and SHOW CREATE TABLE t, without LIKE and WHERE; the rest is one server's own
    "#);
    insta::assert_snapshot!(shardctl(&["query", "EXPLAIN SELECT nickname FROM member WHERE memberId = 17"]), @r#"
    exit code 0
    -- stdout
    way:     one shard (1 table of `member`)
    because: the shard key `memberId` leaves 1 of 16 tables
    asked:   SELECT nickname FROM `user_center_01`.`member_01` AS `member` WHERE memberId = 17
    of:      rds-1/user_center_01.member_01
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--max-shards", "4", "SELECT COUNT(*) FROM member a JOIN member_address b USING (memberId)"]), @r#"
    exit code 2
    -- stderr
    error: the statement asks 16 shards, and --max-shards allows 4
      cause:  no condition on the shard key `memberId`
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--max-shards", "4", "SELECT COUNT(*) FROM member"]), @r#"
    exit code 2
    -- stderr
    error: the statement asks 16 shards, and --max-shards allows 4
      cause:  no condition on the shard key `memberId`
    "#);
}

#[test]
fn a_statement_for_one_shard_is_explained_without_a_server() {
    insta::assert_snapshot!(shardctl(&["query", "--explain", "SELECT nickname FROM member WHERE memberId = 17 AND status = 1"]), @r#"
    exit code 0
    -- stdout
    way:     one shard (1 table of `member`)
    because: the shard key `memberId` leaves 1 of 16 tables
    asked:   SELECT nickname FROM `user_center_01`.`member_01` AS `member` WHERE memberId = 17 AND status = 1
    of:      rds-1/user_center_01.member_01
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--explain", "SELECT nickname FROM member WHERE memberId = ? AND nickname <> ?", "--param", "17", "--param", "' OR 1=1 -- "]), @r#"
    exit code 0
    -- stdout
    way:     one shard (1 table of `member`)
    because: the shard key `memberId` leaves 1 of 16 tables
    asked:   SELECT nickname FROM `user_center_01`.`member_01` AS `member` WHERE memberId = 17 AND nickname <> ''' OR 1=1 -- '
    of:      rds-1/user_center_01.member_01
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--explain", "SELECT nickname FROM member WHERE memberId = ?"]), @r#"
    exit code 2
    -- stderr
    error: the statement cannot be read
      cause:  there is a `?` without a value; give one with --param
    "#);
    insta::assert_snapshot!(shardctl(&["query", "--explain", "SELECT COUNT(*) FROM member m LEFT JOIN member_address USING (memberId) WHERE m.memberId = 17"]), @r#"
    exit code 0
    -- stdout
    way:     one shard (1 table of `member`)
    because: the shard key `memberId` leaves 1 of 16 tables
    asked:   SELECT COUNT(*) FROM `user_center_01`.`member_01` m LEFT JOIN `user_center_01`.`member_address_01` AS `member_address` USING (memberId) WHERE m.memberId = 17
    of:      rds-1/user_center_01.member_01
    "#);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_shardctl"))
        .args(["create", "--dry-run", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// A file of keys for a test, in a folder of its own.
fn keys(lines: impl Iterator<Item = String>) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.txt");
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, text).expect("a file");
    let path = path.to_string_lossy().into_owned();
    (folder, path)
}

#[test]
fn keys_in_steps_are_shown_to_be_bad_under_mod() {
    let (_folder, path) = keys((0..10_000).map(|n| (n * 8 + 1).to_string()));
    let shown = shardctl(&[
        "plan",
        "--sample",
        &path,
        "--shards",
        "16,16x4",
        "--row-bytes",
        "400",
        "--max-skew",
        "1.2",
    ]);
    insta::assert_snapshot!(shown.replace(&path, "keys.txt"), @r"
    exit code 1
    -- stdout
    10,000 keys of keys.txt (BIGINT): all of them, 10,000 different, 1 to 79993, in steps of 8
    +--------+---------------+------------+-------+-------+-----------+----------+--------------------+-----------+-------+
    | shards | function      | rows/shard | least |  most |   largest | max/mean | max/mean of tables | deviation | empty |
    +=====================================================================================================================+
    |     16 | mod           |        625 |     0 | 5,000 |   1.9 MiB |    8.000 |              8.000 |   264.6 % |    14 |
    |     16 | crc32         |        625 |   601 |   644 | 251.6 KiB |    1.030 |              1.030 |     2.0 % |     0 |
    |     16 | drds_hash     |        625 |     0 | 5,000 |   1.9 MiB |    8.000 |              8.000 |   264.6 % |    14 |
    |     16 | drds_uni_hash |        625 |     0 | 5,000 |   1.9 MiB |    8.000 |              8.000 |   264.6 % |    14 |
    |     16 | range         |        625 |   625 |   625 | 244.1 KiB |    1.000 |              1.000 |     0.0 % |     0 |
    |   16x4 | mod           |        625 |     0 | 1,250 | 488.3 KiB |    2.000 |              8.000 |   100.0 % |     8 |
    |   16x4 | crc32         |        625 |   614 |   636 | 248.4 KiB |    1.018 |              1.082 |     1.1 % |     0 |
    |   16x4 | drds_hash     |        625 |     0 | 1,250 | 488.3 KiB |    2.000 |              8.000 |   100.0 % |     8 |
    |   16x4 | drds_uni_hash |        625 |     0 | 5,000 |   1.9 MiB |    8.000 |              8.000 |   264.6 % |    14 |
    +--------+---------------+------------+-------+-------+-----------+----------+--------------------+-----------+-------+
    evenest over 16: crc32 (1.030)
    evenest over 16x4: crc32 (1.082)
    no key comes twice
    warning: mod, drds_hash, drds_uni_hash over 16: 100.0 % of the keys leave 1 divided by 8: 2 of 16 tables take them
    warning: mod, drds_hash, drds_uni_hash over 16x4: 100.0 % of the keys leave 1 divided by 8: 8 of 64 tables take them
    warning: range: the bounds fit the keys of today; where keys ascend, every new row goes to the last shard
    FAILED: mod over 16, drds_hash over 16, drds_uni_hash over 16, mod over 16x4, drds_hash over 16x4, drds_uni_hash over 16x4 exceed --max-skew 1.2
    ");
}

#[test]
fn a_big_key_is_named_with_its_share_and_json_has_every_shard() {
    let (_folder, path) = keys((0..4_000).map(|n| {
        if n % 4 == 0 {
            "shop-1".to_owned()
        } else {
            format!("shop-{n}")
        }
    }));
    let shown = shardctl(&[
        "plan",
        "--sample",
        &path,
        "--shards",
        "4",
        "--functions",
        "crc32,drds_hash",
    ]);
    insta::assert_snapshot!(shown.replace(&path, "keys.txt"), @r"
    exit code 0
    -- stdout
    4,000 keys of keys.txt (VARCHAR): all of them, 3,000 different
    +--------+-----------+------------+-------+-------+----------+-----------+-------+
    | shards | function  | rows/shard | least |  most | max/mean | deviation | empty |
    +================================================================================+
    |      4 | crc32     |      1,000 |   746 | 1,755 |    1.755 |    43.6 % |     0 |
    |      4 | drds_hash |      1,000 |   750 | 1,750 |    1.750 |    43.3 % |     0 |
    +--------+-----------+------------+-------+-------+----------+-----------+-------+
    evenest over 4: drds_hash (1.750)

    +--------------+-------+----------+
    | biggest keys |  rows |    share |
    +=================================+
    | shop-1       | 1,001 | 25.025 % |
    +--------------+-------+----------+
    the counts are exact
    warning: key `shop-1` alone has 25.0 % of the rows, more than the fair share of a table (25.0 % with 4): no function splits one key
    warning: crc32, drds_hash over 4: the fullest table has 1.75 times the mean
    ");
    let shown = shardctl(&[
        "plan",
        "-o",
        "json",
        "--sample",
        &path,
        "--shards",
        "2",
        "--functions",
        "crc32",
        "--sample-rows",
        "1000",
    ]);
    insta::assert_snapshot!(shown.replace(&path, "keys.txt"), @r#"
    exit code 0
    -- stdout
    {
      "skew": {
        "source": "keys.txt",
        "taken": "a random sample of 4,000 keys",
        "key_type": "VARCHAR",
        "keys": 1000,
        "nulls": 0,
        "rows": 4000,
        "is_sample": true,
        "distinct": {
          "keys": 757,
          "is_exact": true
        },
        "least": null,
        "greatest": null,
        "step": null,
        "biggest": [
          {
            "key": "shop-1",
            "keys_least": 244,
            "keys_most": 244,
            "share": 0.244,
            "share_low": 0.2216960348731064,
            "share_high": 0.26777585948976024
          }
        ],
        "biggest_error": 0,
        "candidates": [
          {
            "function": "crc32",
            "schemas": 2,
            "tables_per_schema": 1,
            "max_over_mean": 1.232,
            "max_over_mean_low": 1.1715066867826953,
            "max_over_mean_high": 1.2907504448659612,
            "coefficient": 0.232,
            "table_max_over_mean": 1.232,
            "table_max_over_mean_high": 1.2907504448659612,
            "empty": 0,
            "empty_tables": 0,
            "unplaced": 0,
            "fault": null,
            "pattern": null,
            "bounds": [],
            "shards": [
              {
                "keys": 616,
                "rows": 2464,
                "bytes": null,
                "share": 0.616,
                "share_low": 0.5857533433913477,
                "share_high": 0.6453752224329806
              },
              {
                "keys": 384,
                "rows": 1536,
                "bytes": null,
                "share": 0.384,
                "share_low": 0.3546247775670194,
                "share_high": 0.41424665660865234
              }
            ]
          }
        ],
        "warnings": [],
        "skew_max": null,
        "exceeding": []
      }
    }
    "#);
}

#[test]
fn the_plan_and_the_keys_are_shown_together() {
    let (_folder, path) = keys((0..20_000).map(|n| n.to_string()));
    let shown = shardctl(&[
        "plan",
        "--rows-per-year",
        "40M",
        "--start",
        "2016-01-01",
        "--sample",
        &path,
        "--functions",
        "drds_hash",
    ]);
    insta::assert_snapshot!(shown.replace(&path, "keys.txt"), @r"
    exit code 0
    -- stdout
    40M rows a year, from 2016-01-01: 80M records after 2 years, about 26.7M users at 3 records each
    +----+-----------+---------+-------------+--------+------------+---------------+------+------------------------+---------------------------+
    |    | instances | schemas | tables each | tables | rows/table | rows/instance | idle | lasts until            | next split                |
    +==========================================================================================================================================+
    | => |         2 |      16 |           1 |     16 |  5,000,000 |    40,000,000 | 0 %  | 2018-01-01 (2.0 years) | to 32 schemas: 40M rows   |
    |    |         2 |      32 |           1 |     32 |  2,500,000 |    40,000,000 | 50 % | 2020-01-01 (4.0 years) | to 64 schemas: 80M rows   |
    |    |         2 |      64 |           1 |     64 |  1,250,000 |    40,000,000 | 75 % | 2024-01-01 (8.0 years) | to 128 schemas: 160M rows |
    +----+-----------+---------+-------------+--------+------------+---------------+------+------------------------+---------------------------+
    recommended: 16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; it meets its first limit, rows per table, on 2018-01-01. It holds 80M rows of a logical table in 16 physical tables and grows to 4, 8 or 16 instances by moving whole schemas; on 2018-01-01 each schema is split in two, 32 in all: 40M rows move, and it lasts until 2020-01-01.
    for 5 years, 200M rows of about 66.7M users: 16 schemas of 4 tables on 2 instances: the smallest layout that lasts 5 years; it meets its first limit, rows per table, on 2024-01-01.

    20,000 keys of keys.txt (BIGINT): all of them, more than 16,384 different, 0 to 19999
    +--------+-----------+------------+-------+-------+----------+-----------+-------+
    | shards | function  | rows/shard | least |  most | max/mean | deviation | empty |
    +================================================================================+
    |     16 | drds_hash |      1,250 | 1,250 | 1,250 |    1.000 |     0.0 % |     0 |
    |     32 | drds_hash |        625 |   625 |   625 |    1.000 |     0.0 % |     0 |
    |     64 | drds_hash |        312 |   312 |   313 |    1.002 |     0.2 % |     0 |
    +--------+-----------+------------+-------+-------+----------+-----------+-------+
    evenest over 16: drds_hash (1.000)
    evenest over 32: drds_hash (1.000)
    evenest over 64: drds_hash (1.002)
    no key has more than 2 rows
    ");
}

#[test]
fn keys_that_cannot_be_counted_are_refused() {
    let (_folder, path) = keys(["1", "2", "x"].map(str::to_owned).into_iter());
    let shown = |args: &[&str]| {
        let mut all = vec!["plan", "--sample", path.as_str()];
        all.extend(args);
        shardctl(&all).replace(&path, "keys.txt")
    };
    insta::assert_snapshot!(shown(&[]), @r"
    exit code 2
    -- stderr
    error: a line holds no key of the stated type
      where:  keys.txt, line 3
      cause:  `x` is not an integer
      next:   the first key was taken to say that all are BIGINT; say --key-type if they are not
    ");
    insta::assert_snapshot!(shown(&["--key-type", "blob sky"]), @r#"
    exit code 2
    -- stderr
    error: `blob sky` is no type that a shard key can have
      next:   such as bigint, "int unsigned", decimal(20), varchar(64), binary(16)
    "#);
    insta::assert_snapshot!(shown(&["--key-type", "varbinary(20)", "--functions", "mod"]), @r"
    exit code 2
    -- stderr
    error: mod is not defined for VARBINARY, the type of the keys
    ");
    insta::assert_snapshot!(shown(&["--shards", "0"]), @r"
    exit code 2
    -- stderr
    error: invalid value '0' for '--shards <LIST>': `0` is no number of shards; write 16, or 16x4 for four tables in each, at most 1048576 tables in all

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["--sample-percent", "0"]), @r"
    exit code 2
    -- stderr
    error: --sample-percent is more than 0 and at most 100, not 0
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--sample", "nothing.txt"]), @r"
    exit code 2
    -- stderr
    error: there is no file `nothing.txt`
      next:   write INSTANCE/SCHEMA.TABLE.COLUMN for a live table, or - for stdin
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--sample", "rds-9/shop.orders.buyer"]), @r"
    exit code 2
    -- stderr
    error: there is no file `rds-9/shop.orders.buyer`
      cause:  nor is it a live table: there is no instance `rds-9`
      next:   the topology has rds-1, rds-2; or name the server by its address: HOST:PORT/SCHEMA.TABLE.COLUMN
    ");
    insta::assert_snapshot!(shardctl(&["plan", "--from", "user_center_00"]), @r"
    exit code 2
    -- stderr
    error: `user_center_00` is not INSTANCE/SCHEMA
      next:   write rds-1/SCHEMA for an instance of the topology, or 10.0.0.7:3306/SCHEMA, or /run/mysqld/mysqld.sock/SCHEMA
    ");
}

#[test]
fn the_demo_has_one_form() {
    insta::assert_snapshot!(shardctl(&["demo", "-o", "json"]), @r"
    exit code 2
    -- stderr
    error: the demo is a story for people, and has one form
      next:   each command that it shows takes --output by itself
    ");
}
