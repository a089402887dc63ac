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
//! | [`Ready`](Phase::Ready) | online: as above, and compared; a person says when to switch | source | resume applies the log on | undo |
//! | [`LocateBack`](Phase::LocateBack) | online: as above; the positions of the targets' logs are being read | source | resume reads them again | undo |
//! | [`TryBack`](Phase::TryBack) | online: those are recorded, and no target table has its name yet | source | resume reads them again | undo |
//! | [`Cutover`](Phase::Cutover) | online: compared, but for rows that are named; some source tables may be hidden | source | resume fences the rest | undo |
//! | [`Drain`](Phase::Drain) | online: every source table is hidden, and the log's end is known | source | resume applies the rest | undo |
//! | [`Reopen`](Phase::Reopen) | online: the drain took too long or found a difference; some source tables may be visible again | source | resume un-fences the rest | undo |
//! | [`Fence`](Phase::Fence) | all targets are prepared; some source tables may carry hidden names | source | resume fences the rest | undo |
//! | [`Copy`](Phase::Copy) | every source table is hidden: nobody writes; targets hold a part of the rows under hidden names | source | resume goes on behind the last committed chunk | undo |
//! | [`Verify`](Phase::Verify) | every row was copied | source | resume compares again | undo |
//! | [`Switch`](Phase::Switch) | source and target were compared and are equal | source | resume commits | undo |
//! | [`Publish`](Phase::Publish) | the new shard map is committed: the point of no return is behind | target | resume publishes the rest | too late |
//! | [`Watch`](Phase::Watch) | targets serve; the source's tables are kept under hidden names, and the targets' log is applied to them while a run watches | target | resume applies it from where it was | too late: finish, or roll back |
//! | [`Finish`](Phase::Finish) | some of the kept tables may be dropped | target | resume drops the rest | too late |
//! | [`Done`](Phase::Done) | nothing of the source is left | target | - | - |
//! | [`VerifyBack`](Phase::VerifyBack) | as in the watch, and someone wants to go back | target | resume compares again | watch |
//! | [`FenceBack`](Phase::FenceBack) | some target tables may be hidden again | target | resume fences the rest | un-fence, watch |
//! | [`DrainBack`](Phase::DrainBack) | every target table is hidden, and its log's end is known | target | resume applies the rest | un-fence, watch |
//! | [`ReopenBack`](Phase::ReopenBack) | that took too long or found a difference; some target tables may be visible again | target | resume un-fences the rest | goes on |
//! | [`SwitchBack`](Phase::SwitchBack) | the source has everything that the targets have | target | resume commits | un-fence, watch |
//! | [`PublishBack`](Phase::PublishBack) | the old shard map is committed as a new version: a second point of no return is behind | source | resume publishes the rest | too late |
//! | [`Returned`](Phase::Returned) | the source serves; the targets' tables are kept under hidden names | source | nothing runs | too late: finish |
//! | [`ClearBack`](Phase::ClearBack) | some of the kept tables may be dropped | source | resume drops the rest | may abandon a target |
//! | [`RolledBack`](Phase::RolledBack) | the source has all that was written, nothing of the target is left | source | - | - |
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
//!   written in one transaction on the control instance, and so are [`PublishBack`](Phase::PublishBack)
//!   and the version after that. So the journal's phase says whether the
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
//! - *The way back is open before it is needed.* The targets' logs have nothing under the tables'
//!   own names before `Publish`, so a position read before the fence is older than every write to
//!   them; a stream from there has carried a row to the sources before the switch, or there is no
//!   switch. It saves its position with the rows, as the other does, and what rolls back waits for
//!   its end behind a fence, as the move did. So a rollback loses nothing that was written since.
//! - *Nobody waits for what fails.* Whatever goes wrong between fence and switch un-fences.
//! - *Nothing is dropped on an error path.* Target objects are dropped in `Clear` only, the
//!   source's in `Finish` only, and only what the job lists. Both are decisions of a person (or of
//!   the flag that asked for it), not reactions to an error.

mod event;
mod job;
mod phase;

pub use self::event::{Effect, Event, Misplaced};
pub use self::job::{
    Evidence, FORMAT, Hooks, Job, Kind, LogPlace, SchemaMove, Suspects, TableMove, Way,
};
pub use self::phase::{Owner, Phase};

/// The protocol: the job after the event and what to do then. The job is saved before the effect
/// is begun.
///
/// # Errors
/// The event has no place in this phase; the job stays what it is.
pub fn step(job: &Job, event: Event) -> Result<(Job, Effect), Misplaced> {
    use Effect::{
        BuildIndexes, ClearTargets, CommitShardMap, Compare, CompareLive, CopyLive, CopyRows,
        DrainLog, DropSource, End, FenceLive, FenceSource, KeepUp, PrepareTargets, Publish,
        ReadPositions, Unfence, Wait,
    };
    use Phase::{
        Cancelled, Clear, ClearBack, Copy, Cutover, Done, Drain, DrainBack, Fence, FenceBack,
        Finish, Index, LiveCopy, LiveVerify, Locate, LocateBack, Prepare, PublishBack, Ready,
        Reopen, ReopenBack, Returned, RolledBack, Switch, SwitchBack, TryBack, Undo, Verify,
        VerifyBack, Watch,
    };
    use Way::{Back, Forward};
    Ok(match (job.phase, event) {
        (Prepare, Event::Resumed) => job.to(Prepare, PrepareTargets),
        (Prepare, Event::Prepared) => match job.kind {
            Kind::OfflineRebalance => job.to(Fence, FenceSource),
            Kind::OnlineRebalance => job.to(Locate, ReadPositions(Forward)),
        },

        (Locate, Event::Resumed) => job.to(Locate, ReadPositions(Forward)),
        // Saved before the first row is read: the position is older than every chunk.
        (Locate, Event::Located { positions }) => {
            let (mut after, effect) = job.to(LiveCopy, CopyLive);
            after.positions = positions;
            (after, effect)
        }

        (LiveCopy, Event::Resumed) => job.to(LiveCopy, CopyLive),
        (LiveCopy, Event::Copied) => job.to(Index, BuildIndexes),

        (Index, Event::Resumed) => job.to(Index, BuildIndexes),
        (Index, Event::Indexed) => job.to(LiveVerify, CompareLive(Forward)),

        (LiveVerify, Event::Resumed) => job.to(LiveVerify, CompareLive(Forward)),
        (LiveVerify, Event::Different { differences }) => {
            job.differing(differences).to(LiveVerify, Wait)
        }
        (LiveVerify, Event::Alike { evidence, suspects }) => {
            let job = job.alike(evidence, suspects);
            match job.waits_for_cutover {
                true => job.to(Ready, KeepUp),
                false => towards_cutover(&job),
            }
        }

        (Ready, Event::Resumed) => job.to(Ready, KeepUp),
        (Ready, Event::CutoverRequested) => towards_cutover(job),

        // Read anew: nothing was written under the tables' own names yet, and the log that an older
        // place needs may be gone.
        (LocateBack | TryBack, Event::Resumed) => job.to(LocateBack, ReadPositions(Back)),
        (LocateBack, Event::Located { positions }) => {
            let (mut after, effect) = job.to(TryBack, Effect::TryBack);
            after.back_from = positions;
            (after, effect)
        }
        (TryBack, Event::Tried) => job.to(Cutover, FenceLive(Forward)),

        (Cutover, Event::Resumed) => job.to(Cutover, FenceLive(Forward)),
        (Cutover, Event::FencedAt { positions }) => {
            let (mut after, effect) = job.to(Drain, DrainLog(Forward));
            after.fenced_at = positions;
            (after, effect)
        }

        (Drain, Event::Resumed) => job.to(Drain, DrainLog(Forward)),
        (Drain, Event::Drained) => job.to(Switch, CommitShardMap(Forward)),
        (Drain, Event::TooSlow) => job.hindered(TOO_SLOW).to(Reopen, Unfence(Forward)),
        (Drain, Event::Different { differences }) => {
            job.differing(differences).to(Reopen, Unfence(Forward))
        }
        (Cutover | Drain | Switch, Event::Hindered { reason })
            if job.kind == Kind::OnlineRebalance =>
        {
            job.hindered(&reason).to(Reopen, Unfence(Forward))
        }

        (Reopen, Event::Resumed) => job.to(Reopen, Unfence(Forward)),
        // A person decides when the writers are refused once more.
        (Reopen, Event::Unfenced) => job.to(LiveVerify, Wait),

        (Fence, Event::Resumed) => job.to(Fence, FenceSource),
        (Fence, Event::Fenced) => job.to(Copy, CopyRows),

        (Copy, Event::Resumed) => job.to(Copy, CopyRows),
        (Copy, Event::Copied) => job.to(Verify, Compare),

        (Verify, Event::Resumed) => job.to(Verify, Compare),
        (Verify, Event::Different { differences }) => job.differing(differences).to(Verify, Wait),
        (Verify, Event::Equal { evidence }) => job
            .alike(evidence, Vec::new())
            .to(Switch, CommitShardMap(Forward)),

        (Switch, Event::Resumed) => job.to(Switch, CommitShardMap(Forward)),
        // The point of no return: saved in the transaction that commits the shard map.
        (Switch, Event::Committed) => job.to(Phase::Publish, Publish(Forward)),

        (Phase::Publish, Event::Resumed) => job.to(Phase::Publish, Publish(Forward)),
        (Phase::Publish, Event::Published) if job.keep_source => watching(job),
        (Phase::Publish, Event::Published) => job.to(Finish, DropSource),

        (Watch, Event::Resumed) => watching(job),
        (Watch, Event::FinishRequested) => job.to(Finish, DropSource),
        (Watch, Event::RollbackRequested { compare }) if job.has_way_back() => match compare {
            true => job.to(VerifyBack, CompareLive(Back)),
            false => job.unsuspicious().to(FenceBack, FenceLive(Back)),
        },

        (VerifyBack, Event::Resumed) => job.to(VerifyBack, CompareLive(Back)),
        (VerifyBack, Event::Different { differences }) => {
            job.differing(differences).to(Watch, Wait)
        }
        (VerifyBack, Event::Alike { evidence, suspects }) => {
            job.alike(evidence, suspects).to(FenceBack, FenceLive(Back))
        }

        (FenceBack, Event::Resumed) => job.to(FenceBack, FenceLive(Back)),
        (FenceBack, Event::FencedAt { positions }) => {
            let (mut after, effect) = job.to(DrainBack, DrainLog(Back));
            after.back_fenced_at = positions;
            (after, effect)
        }

        (DrainBack, Event::Resumed) => job.to(DrainBack, DrainLog(Back)),
        (DrainBack, Event::Drained) => job.to(SwitchBack, CommitShardMap(Back)),
        (DrainBack, Event::TooSlow) => job.hindered(TOO_SLOW).to(ReopenBack, Unfence(Back)),
        (DrainBack, Event::Different { differences }) => {
            job.differing(differences).to(ReopenBack, Unfence(Back))
        }
        (FenceBack | DrainBack | SwitchBack, Event::Hindered { reason }) => {
            job.hindered(&reason).to(ReopenBack, Unfence(Back))
        }
        // What is taken back here is the way back alone.
        (
            VerifyBack | FenceBack | DrainBack | ReopenBack | SwitchBack,
            Event::CancelRequested { abandon },
        ) if abandon.is_empty() => job.to(ReopenBack, Unfence(Back)),
        (ReopenBack, Event::Resumed) => job.to(ReopenBack, Unfence(Back)),
        (ReopenBack, Event::Unfenced) => job.to(Watch, Wait),

        (SwitchBack, Event::Resumed) => job.to(SwitchBack, CommitShardMap(Back)),
        // The second point of no return.
        (SwitchBack, Event::Committed) => job.to(PublishBack, Publish(Back)),

        (PublishBack, Event::Resumed) => job.to(PublishBack, Publish(Back)),
        (PublishBack, Event::Published) => job.to(Returned, Wait),

        (Returned, Event::Resumed) => job.to(Returned, Wait),
        (Returned, Event::FinishRequested) => job.to(ClearBack, ClearTargets),

        (ClearBack, Event::CancelRequested { abandon }) => {
            job.abandoning(abandon).to(ClearBack, ClearTargets)
        }
        (ClearBack, Event::Resumed | Event::FinishRequested) => job.to(ClearBack, ClearTargets),
        (ClearBack, Event::Cleared) => job.to(RolledBack, End),

        (Finish, Event::Resumed | Event::FinishRequested) => job.to(Finish, DropSource),
        (Finish, Event::Dropped) => job.to(Done, End),

        (phase, Event::CancelRequested { abandon })
            if phase.can_cancel() && phase.owner() == Owner::Source || phase == Undo =>
        {
            job.abandoning(abandon).to(Undo, Unfence(Forward))
        }
        (Undo, Event::Resumed) => job.to(Undo, Unfence(Forward)),
        (Undo, Event::Unfenced) => job.to(Clear, ClearTargets),

        (Clear, Event::CancelRequested { abandon }) => {
            job.abandoning(abandon).to(Clear, ClearTargets)
        }
        (Clear, Event::Resumed) => job.to(Clear, ClearTargets),
        (Clear, Event::Cleared) => job.to(Cancelled, End),

        (Done, Event::Resumed) => job.to(Done, End),
        (Cancelled, Event::Resumed) => job.to(Cancelled, End),
        (RolledBack, Event::Resumed) => job.to(RolledBack, End),

        (phase, event) => {
            return Err(Misplaced {
                phase,
                event: event.words().to_owned(),
            });
        }
    })
}

/// From a compared copy to the fence, by way of the stream back where there is to be one.
fn towards_cutover(job: &Job) -> (Job, Effect) {
    match job.has_way_back() {
        true => job.to(Phase::LocateBack, Effect::ReadPositions(Way::Back)),
        false => job.to(Phase::Cutover, Effect::FenceLive(Way::Forward)),
    }
}

fn watching(job: &Job) -> (Job, Effect) {
    match job.has_way_back() {
        true => job.to(Phase::Watch, Effect::KeepBack),
        false => job.to(Phase::Watch, Effect::Wait),
    }
}

const TOO_SLOW: &str = "the end of the log was not applied in time";

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
            back_from: Vec::new(),
            back_fenced_at: Vec::new(),
            waits_for_cutover: false,
            hindrance: None,
            hooks: Hooks::default(),
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
            match phase {
                Phase::TryBack => assert_eq!(after.phase, Phase::LocateBack),
                _ => assert_eq!(after.phase, phase, "a resume alone changes nothing"),
            }
            assert_eq!(effect == Effect::End, phase.is_over(), "{phase}");
        }
    }

    #[test]
    fn cancel_is_taken_exactly_where_the_phase_says_so() {
        for phase in Phase::ALL {
            let taken = step(&job(phase), CANCEL);
            match phase {
                Phase::Undo | Phase::Clear | Phase::ClearBack => assert!(taken.is_ok()),
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
