//! A model of a move: the real `step` in a world of writers, crashes, lost answers, two operators
//! and a copy that may be wrong, searched exhaustively. Each protocol rule is then broken in turn,
//! and the model must find it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use shardctl::names::ShardId;
use shardctl::rebalance::moves::Move;
use shardctl::rebalance::protocol::{
    Effect, Event, Evidence, FORMAT, Hooks, Job, Kind, Misplaced, Owner, Phase, SchemaMove,
    TableMove, Way, step,
};
use stateright::{Checker, Model, Property};

mod online;

/// Schemas that move, each with one table.
const SCHEMAS: usize = 2;

/// A rule of the protocol or of the loop around it, broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    None,
    CopyWithoutFence,
    SwitchWithoutCompare,
    SwitchOnDifference,
    PublishBeforeCommit,
    DropBeforeSwitch,
    CancelAfterCommit,
    CopyAgainWhileUndoing,
    NoWayOutOfUndo,
    ResumeWatchAsFinishedUndo,
    CommitApartFromJob,
    SaveWithoutEpoch,
    ActWithoutGuard,
    UndoClearsTargetOnly,
    ClearBeforeUnfence,
}

/// A table somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Absent,
    Hidden,
    Final,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Table {
    name: Name,
    /// A bit for each write it holds.
    rows: u8,
}

/// A process of the tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Runner {
    epoch: u64,
    job: Job,
    effect: Effect,
    /// Parts of the effect that are done.
    at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    /// The job as the control instance has it.
    journal: Job,
    /// The lease's epoch on the control instance.
    lease: u64,
    map_committed: bool,
    source: [Table; SCHEMAS],
    target: [Table; SCHEMAS],
    /// The copy's last key on each target.
    copied: [u8; SCHEMAS],
    acknowledged: [u8; SCHEMAS],
    /// The process that holds the lease.
    runner: Option<Runner>,
    /// One that lost the lease and does not know.
    stale: Option<Runner>,
    writes: u8,
    crashes: u8,
    takeovers: u8,
    corruptions: u8,
    difference_seen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Write(usize, Owner),
    Start(Ask),
    Act,
    ActStale,
    Crash,
    Corrupt(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    Resume,
    Cancel,
    Finish,
}

struct Rebalance {
    fault: Fault,
    keep_source: bool,
    writes: u8,
    crashes: u8,
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// A job that moves these schemas, each from an instance to another.
fn new_job(kind: Kind, moves: &[(&str, &str)], keep_source: bool) -> Job {
    let moves = moves
        .iter()
        .enumerate()
        .map(|(index, (from, to))| SchemaMove {
            at: Move {
                shard: ShardId(index as u32),
                schema: name(&format!("s{index}")),
                from: name(from),
                to: name(to),
            },
            charset: String::new(),
            collation: String::new(),
            target_had_schema: false,
            tables: vec![TableMove {
                table: name("t"),
                hidden: name(&Job::hidden_name("1", index)),
                evidence: None,
            }],
        })
        .collect();
    Job {
        format: FORMAT,
        id: "1".to_owned(),
        kind,
        phase: Phase::Prepare,
        epoch: 0,
        moves,
        map_before: 1,
        topology_before: String::new(),
        topology_after: String::new(),
        keep_source,
        workers: 1,
        started: String::new(),
        differences: Vec::new(),
        positions: Vec::new(),
        fenced_at: Vec::new(),
        suspects: Vec::new(),
        back_from: Vec::new(),
        back_fenced_at: Vec::new(),
        waits_for_cutover: false,
        hindrance: None,
        hooks: Hooks::default(),
        abandoned: Vec::new(),
    }
}

impl Rebalance {
    /// The real `step`, with the planted fault.
    fn step(&self, job: &Job, event: Event) -> Result<(Job, Effect), Misplaced> {
        let to = |phase, effect| {
            let mut job = job.clone();
            job.phase = phase;
            Ok((job, effect))
        };
        match (self.fault, job.phase, &event) {
            (Fault::CopyWithoutFence, Phase::Prepare, Event::Prepared) => {
                to(Phase::Copy, Effect::CopyRows)
            }
            (Fault::SwitchWithoutCompare, Phase::Copy, Event::Copied)
            | (Fault::SwitchOnDifference, Phase::Verify, Event::Different { .. }) => {
                to(Phase::Switch, Effect::CommitShardMap(Way::Forward))
            }
            (Fault::PublishBeforeCommit, Phase::Verify, Event::Equal { .. }) => {
                to(Phase::Switch, Effect::Publish(Way::Forward))
            }
            (Fault::DropBeforeSwitch, Phase::Verify, Event::Equal { .. }) => {
                to(Phase::Switch, Effect::DropSource)
            }
            (Fault::CancelAfterCommit, Phase::Publish, Event::CancelRequested { .. }) => {
                to(Phase::Undo, Effect::Unfence(Way::Forward))
            }
            (Fault::CopyAgainWhileUndoing, Phase::Undo, Event::Resumed) => {
                to(Phase::Copy, Effect::CopyRows)
            }
            (Fault::ClearBeforeUnfence, phase, Event::CancelRequested { .. })
                if phase.can_cancel() =>
            {
                to(Phase::Clear, Effect::ClearTargets)
            }
            (Fault::NoWayOutOfUndo, Phase::Undo, Event::Resumed) => Err(Misplaced {
                phase: Phase::Undo,
                event: "a resume".to_owned(),
            }),
            (Fault::ResumeWatchAsFinishedUndo, Phase::Watch, Event::Resumed) => {
                to(Phase::Undo, Effect::Unfence(Way::Forward))
            }
            _ => step(job, event),
        }
    }

    /// Performs the next part of the runner's effect. `None`: the process is over.
    fn act(&self, world: &mut World, mut runner: Runner) -> Option<Runner> {
        let holds_lease = runner.epoch == world.lease;
        let may_save = holds_lease || self.fault == Fault::SaveWithoutEpoch;
        let may_act = holds_lease || self.fault == Fault::ActWithoutGuard;
        if runner.effect == Effect::CommitShardMap(Way::Forward) {
            if !may_save {
                return None;
            }
            if self.fault == Fault::CommitApartFromJob && !world.map_committed {
                world.map_committed = true;
                return Some(runner);
            }
            let (job, effect) = self.step(&runner.job, Event::Committed).ok()?;
            world.map_committed = true;
            world.journal = job.clone();
            runner.job = job;
            runner.effect = effect;
            runner.at = 0;
            return Some(runner);
        }
        if !may_act {
            return None;
        }
        if let Some(event) = self.part(world, &mut runner) {
            if !may_save {
                return None;
            }
            let (job, effect) = self.step(&runner.job, event).ok()?;
            world.journal = job.clone();
            if matches!(effect, Effect::Wait | Effect::End) {
                return None;
            }
            runner.job = job;
            runner.effect = effect;
            runner.at = 0;
        }
        Some(runner)
    }

    /// One statement of the effect; the event once there is none left.
    fn part(&self, world: &mut World, runner: &mut Runner) -> Option<Event> {
        let at = runner.at;
        runner.at += 1;
        match runner.effect {
            Effect::PrepareTargets => Some(Event::Prepared),
            Effect::FenceSource => {
                let Some(table) = world.source.get_mut(at) else {
                    return Some(Event::Fenced);
                };
                if table.name == Name::Final {
                    table.name = Name::Hidden;
                }
                None
            }
            Effect::CopyRows => {
                if at >= SCHEMAS {
                    return Some(Event::Copied);
                }
                let target = &mut world.target[at];
                if target.name == Name::Absent {
                    *target = Table {
                        name: Name::Hidden,
                        rows: 0,
                    };
                    world.copied[at] = 0;
                }
                let behind = world.source[at].rows >> world.copied[at] << world.copied[at];
                if behind != 0 {
                    let next = behind.trailing_zeros() as u8;
                    target.rows |= 1 << next;
                    world.copied[at] = next + 1;
                    runner.at = at;
                }
                None
            }
            Effect::Compare => {
                let fenced = world.source.iter().all(|table| table.name == Name::Hidden);
                let equal = (0..SCHEMAS).all(|s| world.source[s].rows == world.target[s].rows);
                // The look at the fence alone would hide that another rule is broken.
                let trusts_the_fence = matches!(
                    self.fault,
                    Fault::CopyWithoutFence | Fault::CopyAgainWhileUndoing
                );
                if (fenced || trusts_the_fence) && equal {
                    let evidence = Evidence {
                        rows: 0,
                        checksum: String::new(),
                    };
                    Some(Event::Equal {
                        evidence: vec![vec![evidence]; SCHEMAS],
                    })
                } else {
                    world.difference_seen = true;
                    Some(Event::Different {
                        differences: vec![String::new()],
                    })
                }
            }
            Effect::Publish(Way::Forward) => {
                let Some(table) = world.target.get_mut(at) else {
                    return Some(Event::Published);
                };
                if table.name == Name::Hidden {
                    table.name = Name::Final;
                }
                None
            }
            Effect::DropSource => {
                let Some(table) = world.source.get_mut(at) else {
                    return Some(Event::Dropped);
                };
                if table.name == Name::Hidden {
                    *table = Table {
                        name: Name::Absent,
                        rows: 0,
                    };
                }
                None
            }
            Effect::Unfence(Way::Forward) => {
                let Some(table) = world.source.get_mut(at) else {
                    return Some(Event::Unfenced);
                };
                if table.name == Name::Hidden && self.fault != Fault::UndoClearsTargetOnly {
                    table.name = Name::Final;
                }
                None
            }
            Effect::ClearTargets => {
                let Some(table) = world.target.get_mut(at) else {
                    return Some(Event::Cleared);
                };
                if table.name == Name::Hidden {
                    *table = Table {
                        name: Name::Absent,
                        rows: 0,
                    };
                }
                None
            }
            // Of the online protocol, which this world does not have.
            Effect::ReadPositions(_)
            | Effect::TryBack
            | Effect::KeepUp
            | Effect::KeepBack
            | Effect::CommitShardMap(Way::Back)
            | Effect::Publish(Way::Back)
            | Effect::Unfence(Way::Back)
            | Effect::CopyLive
            | Effect::BuildIndexes
            | Effect::CompareLive(_)
            | Effect::FenceLive(_)
            | Effect::DrainLog(_) => None,
            Effect::CommitShardMap(Way::Forward) | Effect::Wait | Effect::End => None,
        }
    }
}

impl Model for Rebalance {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        // A row in each schema from before the job.
        let table = |name, rows| Table { name, rows };
        vec![World {
            journal: new_job(
                Kind::OfflineRebalance,
                &[("a", "b"); SCHEMAS],
                self.keep_source,
            ),
            lease: 0,
            map_committed: false,
            source: [table(Name::Final, 1), table(Name::Final, 1)],
            target: [table(Name::Absent, 0), table(Name::Absent, 0)],
            copied: [0; SCHEMAS],
            acknowledged: [1; SCHEMAS],
            runner: None,
            stale: None,
            writes: self.writes,
            crashes: self.crashes,
            takeovers: 1,
            corruptions: 1,
            difference_seen: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for schema in 0..SCHEMAS {
            if world.writes > 0 {
                actions.push(Action::Write(schema, Owner::Source));
                actions.push(Action::Write(schema, Owner::Target));
            }
            if world.corruptions > 0 && world.journal.phase == Phase::Copy {
                actions.push(Action::Corrupt(schema));
            }
        }
        if world.runner.is_none() || world.takeovers > 0 {
            actions.push(Action::Start(Ask::Resume));
            actions.push(Action::Start(Ask::Cancel));
            actions.push(Action::Start(Ask::Finish));
        }
        if world.runner.is_some() {
            actions.push(Action::Act);
            // A crash after a part is done is also its lost answer.
            if world.crashes > 0 {
                actions.push(Action::Crash);
            }
        }
        if world.stale.is_some() {
            actions.push(Action::ActStale);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Write(schema, side) => {
                // The application may believe either map; what counts is who takes the write.
                let table = match side {
                    Owner::Source => &mut world.source[schema],
                    Owner::Target => &mut world.target[schema],
                };
                if table.name != Name::Final {
                    return None;
                }
                let bit = 1 << (1 + self.writes - world.writes);
                table.rows |= bit;
                world.acknowledged[schema] |= bit;
                world.writes -= 1;
            }
            Action::Start(ask) => {
                if let Some(runner) = world.runner.take() {
                    world.takeovers -= 1;
                    world.stale = Some(runner);
                }
                let event = match ask {
                    Ask::Resume => Event::Resumed,
                    Ask::Cancel => Event::CancelRequested {
                        abandon: Vec::new(),
                    },
                    Ask::Finish => Event::FinishRequested,
                };
                let (job, effect) = self.step(&world.journal, event).ok()?;
                world.lease += 1;
                world.journal = job.clone();
                if !matches!(effect, Effect::Wait | Effect::End) {
                    world.runner = Some(Runner {
                        epoch: world.lease,
                        job,
                        effect,
                        at: 0,
                    });
                }
                if world.runner.is_none() && world.stale == last.stale {
                    return None;
                }
            }
            Action::Act => {
                let runner = world.runner.take()?;
                world.runner = self.act(&mut world, runner);
            }
            Action::ActStale => {
                let runner = world.stale.take()?;
                world.stale = self.act(&mut world, runner);
            }
            Action::Crash => {
                world.runner = None;
                world.crashes -= 1;
            }
            Action::Corrupt(schema) => {
                let table = &mut world.target[schema];
                if table.name != Name::Hidden || table.rows == 0 {
                    return None;
                }
                table.rows &= table.rows - 1;
                world.corruptions -= 1;
            }
        }
        // The epoch only ever grows; what matters of it is who holds the lease.
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "the owner has every acknowledged write",
                |_, world: &World| {
                    let side = match world.journal.phase.owner() {
                        Owner::Source => &world.source,
                        Owner::Target => &world.target,
                    };
                    (0..SCHEMAS).all(|s| side[s].rows == world.acknowledged[s])
                },
            ),
            Property::always("never two owners that accept writes", |_, world: &World| {
                (0..SCHEMAS).all(|s| {
                    world.source[s].name != Name::Final || world.target[s].name != Name::Final
                })
            }),
            Property::always("who accepts writes is the owner", |_, world: &World| {
                let side = match world.journal.phase.owner() {
                    Owner::Source => &world.target,
                    Owner::Target => &world.source,
                };
                side.iter().all(|table| table.name != Name::Final)
            }),
            Property::always(
                "the phase says whether the map is committed",
                |_, world: &World| {
                    (world.journal.phase.owner() == Owner::Target) == world.map_committed
                },
            ),
            Property::always(
                "an unfinished job has a next step",
                |model: &Self, world: &World| {
                    let phase = world.journal.phase;
                    match model.step(&world.journal, Event::Resumed) {
                        Ok((_, Effect::End)) => phase.is_over(),
                        Ok((_, Effect::Wait)) => model
                            .step(&world.journal, Event::FinishRequested)
                            .is_ok_and(|(_, effect)| effect != Effect::Wait),
                        Ok(_) => true,
                        Err(_) => false,
                    }
                },
            ),
            Property::always("a finished job leaves nothing over", |_, world: &World| {
                let names = |tables: &[Table; SCHEMAS]| tables.clone().map(|table| table.name);
                match world.journal.phase {
                    Phase::Done => {
                        names(&world.source) == [Name::Absent; SCHEMAS]
                            && names(&world.target) == [Name::Final; SCHEMAS]
                    }
                    Phase::Cancelled => {
                        names(&world.source) == [Name::Final; SCHEMAS]
                            && names(&world.target) == [Name::Absent; SCHEMAS]
                    }
                    _ => true,
                }
            }),
            Property::always(
                "a job that only clears keeps nobody from the source",
                |_, world: &World| {
                    !matches!(world.journal.phase, Phase::Clear | Phase::Cancelled)
                        || world.source.iter().all(|table| table.name == Name::Final)
                },
            ),
            Property::sometimes("it finishes", |_, world: &World| {
                world.journal.phase == Phase::Done
            }),
            Property::sometimes(
                "it is taken back after the copy began",
                |_, world: &World| world.journal.phase == Phase::Cancelled && world.lease > 1,
            ),
            Property::sometimes("a wrong copy is seen", |_, world: &World| {
                world.difference_seen
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.lease <= u64::from(self.crashes) + 3
    }
}

fn model(fault: Fault, keep_source: bool) -> Rebalance {
    Rebalance {
        fault,
        keep_source,
        writes: 3,
        crashes: 2,
    }
}

#[test]
fn the_protocol_keeps_every_promise() {
    for keep_source in [false, true] {
        let checker = model(Fault::None, keep_source)
            .checker()
            .threads(2)
            .spawn_bfs()
            .join();
        println!("{} states", checker.unique_state_count());
        checker.assert_properties();
    }
}

#[test]
fn every_planted_fault_is_found() {
    for (fault, keep_source) in [
        (Fault::CopyWithoutFence, false),
        (Fault::SwitchWithoutCompare, false),
        (Fault::SwitchOnDifference, false),
        (Fault::PublishBeforeCommit, false),
        (Fault::DropBeforeSwitch, false),
        (Fault::CancelAfterCommit, false),
        (Fault::CopyAgainWhileUndoing, false),
        (Fault::NoWayOutOfUndo, false),
        (Fault::ResumeWatchAsFinishedUndo, true),
        (Fault::CommitApartFromJob, false),
        (Fault::SaveWithoutEpoch, false),
        (Fault::ActWithoutGuard, false),
        (Fault::UndoClearsTargetOnly, false),
        (Fault::ClearBeforeUnfence, false),
    ] {
        // A smaller world is enough to find them, the shortest way first.
        let small = Rebalance {
            writes: 2,
            crashes: 1,
            ..model(fault, keep_source)
        };
        let checker = small
            .checker()
            .threads(2)
            .finish_when(stateright::HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found: Vec<&str> = checker
            .discoveries()
            .into_keys()
            .filter(|name| {
                model(fault, keep_source)
                    .properties()
                    .iter()
                    .any(|p| p.name == *name && p.expectation == stateright::Expectation::Always)
            })
            .collect();
        println!("{fault:?}: {found:?}");
        assert!(!found.is_empty(), "{fault:?} is not found");
    }
}
