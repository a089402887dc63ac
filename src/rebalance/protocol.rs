//! The protocol of a rebalance, all of it: one pure [`step`] from a job and an event to the job
//! after it and the effect to perform.
//!
//! Two kinds of job share it. An offline one fences its writers before the first row is read. An
//! online one copies while they write: rows come by chunks that are locking reads, and by the log,
//! which is applied from before the first chunk until the fence; only what is left then is waited
//! for with writers refused.
//!
//! | phase | what is true in it | owner | a crash here | cancel here |
//! |---|---|---|---|---|
//! | [`Prepare`](Phase::Prepare) | some target schemas may exist, empty | source | resume prepares again | undo |
//! | [`Locate`](Phase::Locate) | online: as above, and the logs' positions are being read | source | resume reads them again | undo |
//! | [`LiveCopy`](Phase::LiveCopy) | online: positions from before the first chunk are recorded; hidden targets hold a part of the rows and of the log | source | resume goes on behind the last chunk and position | undo |
//! | [`Index`](Phase::Index) | online: every chunk is copied; secondary indexes are being built once the log has caught up | source | resume builds what lacks | undo |
//! | [`LiveVerify`](Phase::LiveVerify) | online: targets are whole but for the log's lag | source | resume compares again | undo |
//! | [`Cutover`](Phase::Cutover) | online: compared, but for rows that are named; some source tables may be hidden | source | resume fences the rest | undo |
//! | [`Drain`](Phase::Drain) | online: every source table is hidden, and the log's end is known | source | resume applies the rest | undo |
//! | [`Reopen`](Phase::Reopen) | online: the drain took too long or found a difference; some source tables may be visible again | source | resume un-fences the rest | undo |
//! | [`Fence`](Phase::Fence) | all targets are prepared; some source tables may carry hidden names | source | resume fences the rest | undo |
//! | [`Copy`](Phase::Copy) | every source table is hidden: nobody writes; targets hold a part of the rows under hidden names | source | resume goes on behind the last committed chunk | undo |
//! | [`Verify`](Phase::Verify) | every row was copied | source | resume compares again | undo |
//! | [`Switch`](Phase::Switch) | source and target were compared and are equal | source | resume commits | undo |
//! | [`Publish`](Phase::Publish) | the new shard map is committed: the point of no return is behind | target | resume publishes the rest | too late |
//! | [`Watch`](Phase::Watch) | targets serve; the source's tables are kept under hidden names | target | nothing runs | too late: finish |
//! | [`Finish`](Phase::Finish) | some of the kept tables may be dropped | target | resume drops the rest | too late |
//! | [`Done`](Phase::Done) | nothing of the source is left | target | - | - |
//! | [`Undo`](Phase::Undo) | some source tables may be visible again; the target is as it was left | source | resume un-fences the rest | runs already |
//! | [`Clear`](Phase::Clear) | the source is as it was and takes writes; some hidden target tables may be left | source | resume clears the rest | may abandon a target |
//! | [`Cancelled`](Phase::Cancelled) | the source is as it was, nothing of the target is left | source | - | - |
//!
//! # Why it holds
//!
//! - *Intention before effect.* The job with its new phase is saved before the effect of that
//!   phase begins, so whoever resumes knows what may have been done. Every effect may be performed
//!   again: it looks at what is there and does the rest.
//! - *One visible line.* The shard map's new version and the phase [`Publish`](Phase::Publish) are
//!   written in one transaction on the control instance. So the journal's phase says whether the
//!   map is committed, always; a lost answer is settled by reading the job again.
//! - *Two owners never accept writes.* A source table carries its hidden name from `Fence` until
//!   undone or dropped, a target table until `Publish`. `Undo` and `Publish` exclude each other:
//!   neither is left for the other.
//! - *A lost target keeps nobody waiting.* `Undo` needs the sources alone, so a job whose target is
//!   gone can be taken back; what is left there waits in `Clear` or is abandoned by name.
//! - *Log and copy never fight over a row.* The position is older than every chunk; a chunk leaves
//!   out the rows that the log touches while it is on its way and those that the log has brought
//!   (`rows::touched`); the log's changes are full images in order, applied as delete by key, then
//!   insert (`rebalance::apply`), each batch in one transaction with its position.
//! - *No target goes back.* A target is given nothing of the log that it has saved already, though
//!   its stream begins again at the oldest of its targets; and a run takes over the progress of
//!   every copy and every stream before it applies a change, so that its predecessor commits nothing.
//! - *The fence is the end of the log.* Renamed tables take no writes, so a position read after
//!   the renaming is behind every change of theirs.
//! - *Nothing is dropped on an error path.* Target objects are dropped in `Clear` only, the
//!   source's in `Finish` only, and only what the job lists. Both are decisions of a person (or of
//!   the flag that asked for it), not reactions to an error.

mod event;
mod job;
mod phase;

pub use self::event::{Effect, Event, Misplaced};
pub use self::job::{Evidence, FORMAT, Job, Kind, LogPlace, SchemaMove, Suspects, TableMove, Way};
pub use self::phase::{Owner, Phase};

/// The protocol: the job after the event and what to do then. The job is saved before the effect
/// is begun.
///
/// # Errors
/// The event has no place in this phase; the job stays what it is.
pub fn step(job: &Job, event: Event) -> Result<(Job, Effect), Misplaced> {
    use Effect::{
        BuildIndexes, ClearTargets, CommitShardMap, Compare, CompareLive, CopyLive, CopyRows,
        DrainLog, DropSource, End, FenceLive, FenceSource, PrepareTargets, PublishTargets,
        ReadPositions, UnfenceSource, Wait,
    };
    use Phase::{
        Cancelled, Clear, Copy, Cutover, Done, Drain, Fence, Finish, Index, LiveCopy, LiveVerify,
        Locate, Prepare, Publish, Reopen, Switch, Undo, Verify, Watch,
    };
    Ok(match (job.phase, event) {
        (Prepare, Event::Resumed) => job.to(Prepare, PrepareTargets),
        (Prepare, Event::Prepared) => match job.kind {
            Kind::OfflineRebalance => job.to(Fence, FenceSource),
            Kind::OnlineRebalance => job.to(Locate, ReadPositions),
        },

        (Locate, Event::Resumed) => job.to(Locate, ReadPositions),
        // Saved before the first row is read: the position is older than every chunk.
        (Locate, Event::Located { positions }) => {
            let (mut after, effect) = job.to(LiveCopy, CopyLive);
            after.positions = positions;
            (after, effect)
        }

        (LiveCopy, Event::Resumed) => job.to(LiveCopy, CopyLive),
        (LiveCopy, Event::Copied) => job.to(Index, BuildIndexes),

        (Index, Event::Resumed) => job.to(Index, BuildIndexes),
        (Index, Event::Indexed) => job.to(LiveVerify, CompareLive),

        (LiveVerify, Event::Resumed) => job.to(LiveVerify, CompareLive),
        (LiveVerify, Event::Different { differences }) => {
            let (mut after, effect) = job.to(LiveVerify, Wait);
            after.differences = differences;
            (after, effect)
        }
        (LiveVerify, Event::Alike { evidence, suspects }) => {
            let (after, effect) = job.to(Cutover, FenceLive);
            let mut after = after.with_evidence(evidence);
            after.suspects = suspects;
            (after, effect)
        }

        (Cutover, Event::Resumed) => job.to(Cutover, FenceLive),
        (Cutover, Event::FencedAt { positions }) => {
            let (mut after, effect) = job.to(Drain, DrainLog);
            after.fenced_at = positions;
            (after, effect)
        }

        (Drain, Event::Resumed) => job.to(Drain, DrainLog),
        (Drain, Event::Drained) => job.to(Switch, CommitShardMap),
        (Drain, Event::TooSlow) => job.to(Reopen, UnfenceSource),
        (Drain, Event::Different { differences }) => {
            let (mut after, effect) = job.to(Reopen, UnfenceSource);
            after.differences = differences;
            (after, effect)
        }

        (Reopen, Event::Resumed) => job.to(Reopen, UnfenceSource),
        // A person decides when the writers are refused once more.
        (Reopen, Event::Unfenced) => job.to(LiveVerify, Wait),

        (Fence, Event::Resumed) => job.to(Fence, FenceSource),
        (Fence, Event::Fenced) => job.to(Copy, CopyRows),

        (Copy, Event::Resumed) => job.to(Copy, CopyRows),
        (Copy, Event::Copied) => job.to(Verify, Compare),

        (Verify, Event::Resumed) => job.to(Verify, Compare),
        (Verify, Event::Different { differences }) => {
            let (mut after, effect) = job.to(Verify, Wait);
            after.differences = differences;
            (after, effect)
        }
        (Verify, Event::Equal { evidence }) => {
            let (after, effect) = job.to(Switch, CommitShardMap);
            (after.with_evidence(evidence), effect)
        }

        (Switch, Event::Resumed) => job.to(Switch, CommitShardMap),
        // The point of no return: saved in the transaction that commits the shard map.
        (Switch, Event::Committed) => job.to(Publish, PublishTargets),

        (Publish, Event::Resumed) => job.to(Publish, PublishTargets),
        (Publish, Event::Published) if job.keep_source => job.to(Watch, Wait),
        (Publish, Event::Published) => job.to(Finish, DropSource),

        (Watch, Event::Resumed) => job.to(Watch, Wait),
        (Watch, Event::FinishRequested) => job.to(Finish, DropSource),

        (Finish, Event::Resumed | Event::FinishRequested) => job.to(Finish, DropSource),
        (Finish, Event::Dropped) => job.to(Done, End),

        (phase, Event::CancelRequested { abandon }) if phase.can_cancel() || phase == Undo => {
            job.abandoning(abandon).to(Undo, UnfenceSource)
        }
        (Undo, Event::Resumed) => job.to(Undo, UnfenceSource),
        (Undo, Event::Unfenced) => job.to(Clear, ClearTargets),

        (Clear, Event::CancelRequested { abandon }) => {
            job.abandoning(abandon).to(Clear, ClearTargets)
        }
        (Clear, Event::Resumed) => job.to(Clear, ClearTargets),
        (Clear, Event::Cleared) => job.to(Cancelled, End),

        (Done, Event::Resumed) => job.to(Done, End),
        (Cancelled, Event::Resumed) => job.to(Cancelled, End),

        (phase, event) => {
            return Err(Misplaced {
                phase,
                event: event.words().to_owned(),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance::moves::Move;

    fn job(phase: Phase) -> Job {
        Job {
            format: FORMAT,
            id: "7f2a01".to_owned(),
            kind: Kind::OfflineRebalance,
            phase,
            epoch: 1,
            moves: Vec::new(),
            map_before: 1,
            topology_before: String::new(),
            topology_after: String::new(),
            keep_source: false,
            workers: 1,
            started: String::new(),
            differences: Vec::new(),
            positions: Vec::new(),
            fenced_at: Vec::new(),
            suspects: Vec::new(),
            abandoned: Vec::new(),
        }
    }

    const CANCEL: Event = Event::CancelRequested {
        abandon: Vec::new(),
    };

    #[test]
    fn a_resumed_job_has_a_next_effect_in_every_phase() {
        for phase in Phase::ALL {
            let (after, effect) = step(&job(phase), Event::Resumed).unwrap();
            assert_eq!(after.phase, phase, "a resume alone changes nothing");
            assert_eq!(effect == Effect::End, phase.is_over(), "{phase}");
        }
    }

    #[test]
    fn cancel_is_taken_exactly_where_the_phase_says_so() {
        for phase in Phase::ALL {
            let taken = step(&job(phase), CANCEL);
            match phase {
                Phase::Undo | Phase::Clear => assert!(taken.is_ok()),
                _ => assert_eq!(taken.is_ok(), phase.can_cancel(), "{phase}"),
            }
        }
        let error = step(&job(Phase::Publish), CANCEL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a job in phase publish cannot take a cancel"
        );
    }

    #[test]
    fn the_record_reads_back() {
        let mut job = job(Phase::Copy);
        job.moves.push(SchemaMove {
            at: Move {
                shard: crate::names::ShardId(3),
                schema: "shop_03".parse().unwrap(),
                from: "db-1".parse().unwrap(),
                to: "db-2".parse().unwrap(),
            },
            charset: "utf8mb4".to_owned(),
            collation: "utf8mb4_bin".to_owned(),
            target_had_schema: false,
            tables: vec![TableMove {
                table: "member_03".parse().unwrap(),
                hidden: Job::hidden_name("7f2a01", 0).parse().unwrap(),
                evidence: None,
            }],
        });
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}
