//! Where a job stands.

use serde::{Deserialize, Serialize};

/// Where a job stands. Each says what is true once it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The job is recorded and target schemas are being created,
    Prepare,
    /// then, online, the ends of the sources' logs are read,
    Locate,
    /// then rows are copied while the log is applied,
    LiveCopy,
    /// then secondary indexes are built,
    Index,
    /// then both sides are compared while the log is applied,
    LiveVerify,
    /// then, where a person is to say when, the log is applied until then,
    Ready,
    /// then, where there is to be a way back, the ends of the targets' logs are read,
    LocateBack,
    /// then a stream back to the sources is shown to work,
    TryBack,
    /// then the source's tables are renamed away from their writers,
    Cutover,
    /// then the log is applied to its end, after which the switch comes,
    Drain,
    /// unless that fails, and the source's tables are given their names back.
    Reopen,
    /// Offline, what was prepared is followed by a fence:
    /// the source's tables are renamed away from their writers,
    Fence,
    /// then their rows are copied under hidden names,
    Copy,
    /// then both sides are compared,
    Verify,
    /// then, both being equal, the new shard map is being committed,
    Switch,
    /// which is done now, and target tables are given their final names,
    Publish,
    /// under which they serve, while the source's copy is kept
    Watch,
    /// until it is dropped,
    Finish,
    /// and the job is over.
    Done,
    /// From the watch there may be a way back: both sides are compared under load,
    VerifyBack,
    /// then the target's tables are renamed away from their writers,
    FenceBack,
    /// then their log is applied to the source to its end, after which the switch back comes,
    DrainBack,
    /// unless that fails, and the target's tables are given their names back.
    ReopenBack,
    /// The old shard map is being committed as a new version,
    SwitchBack,
    /// which is done now, and the source's tables are given their names,
    PublishBack,
    /// under which they serve, while the target's copy is kept
    Returned,
    /// until it is dropped,
    ClearBack,
    /// and the job is over, the source with all that was written since.
    RolledBack,
    /// Before the commit it may be taken back: the source is being un-fenced,
    Undo,
    /// then the target is cleared of what was copied,
    Clear,
    /// and the job is over, the source as it was.
    Cancelled,
}

/// The side whose rows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The instances of the shard map before the job.
    Source,
    /// The instances of the shard map after it.
    Target,
}

impl Phase {
    /// Every phase, in the order of a job that goes well; then those of one that is taken back.
    pub const ALL: [Phase; 31] = [
        Phase::Prepare,
        Phase::Locate,
        Phase::LiveCopy,
        Phase::Index,
        Phase::LiveVerify,
        Phase::Ready,
        Phase::LocateBack,
        Phase::TryBack,
        Phase::Cutover,
        Phase::Drain,
        Phase::Reopen,
        Phase::Fence,
        Phase::Copy,
        Phase::Verify,
        Phase::Switch,
        Phase::Publish,
        Phase::Watch,
        Phase::Finish,
        Phase::Done,
        Phase::VerifyBack,
        Phase::FenceBack,
        Phase::DrainBack,
        Phase::ReopenBack,
        Phase::SwitchBack,
        Phase::PublishBack,
        Phase::Returned,
        Phase::ClearBack,
        Phase::RolledBack,
        Phase::Undo,
        Phase::Clear,
        Phase::Cancelled,
    ];

    /// Whose rows count.
    pub fn owner(self) -> Owner {
        match self {
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Ready
            | Phase::LocateBack
            | Phase::TryBack
            | Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch
            | Phase::PublishBack
            | Phase::Returned
            | Phase::ClearBack
            | Phase::RolledBack
            | Phase::Undo
            | Phase::Clear
            | Phase::Cancelled => Owner::Source,
            Phase::Publish
            | Phase::Watch
            | Phase::Finish
            | Phase::Done
            | Phase::VerifyBack
            | Phase::FenceBack
            | Phase::DrainBack
            | Phase::ReopenBack
            | Phase::SwitchBack => Owner::Target,
        }
    }

    /// Whether what is under way can still be taken back: the move, or the way back from it.
    pub fn can_cancel(self) -> bool {
        match self {
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Ready
            | Phase::LocateBack
            | Phase::TryBack
            | Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch
            | Phase::VerifyBack
            | Phase::FenceBack
            | Phase::DrainBack
            | Phase::ReopenBack
            | Phase::SwitchBack => true,
            Phase::Publish
            | Phase::Watch
            | Phase::Finish
            | Phase::Done
            | Phase::PublishBack
            | Phase::Returned
            | Phase::ClearBack
            | Phase::RolledBack
            | Phase::Undo
            | Phase::Clear
            | Phase::Cancelled => false,
        }
    }

    /// Whether tables of the moving schemas may be there under hidden names only, so that neither
    /// side can be read as the shard map says.
    pub fn hides_tables(self) -> bool {
        match self {
            Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch
            | Phase::Publish
            | Phase::FenceBack
            | Phase::DrainBack
            | Phase::ReopenBack
            | Phase::SwitchBack
            | Phase::PublishBack
            | Phase::Undo => true,
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Ready
            | Phase::LocateBack
            | Phase::TryBack
            | Phase::Watch
            | Phase::Finish
            | Phase::Done
            | Phase::VerifyBack
            | Phase::Returned
            | Phase::ClearBack
            | Phase::RolledBack
            | Phase::Clear
            | Phase::Cancelled => false,
        }
    }

    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        match self {
            Phase::Done | Phase::Cancelled | Phase::RolledBack => true,
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Ready
            | Phase::LocateBack
            | Phase::TryBack
            | Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch
            | Phase::Publish
            | Phase::Watch
            | Phase::Finish
            | Phase::VerifyBack
            | Phase::FenceBack
            | Phase::DrainBack
            | Phase::ReopenBack
            | Phase::SwitchBack
            | Phase::PublishBack
            | Phase::Returned
            | Phase::ClearBack
            | Phase::Undo
            | Phase::Clear => false,
        }
    }

    /// The word for people, the journal and the exit of a stopped run.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Prepare => "prepare",
            Phase::Locate => "locate",
            Phase::LiveCopy => "live_copy",
            Phase::Index => "index",
            Phase::LiveVerify => "live_verify",
            Phase::Ready => "ready",
            Phase::LocateBack => "locate_back",
            Phase::TryBack => "try_back",
            Phase::Cutover => "cutover",
            Phase::Drain => "drain",
            Phase::Reopen => "reopen",
            Phase::Fence => "fence",
            Phase::Copy => "copy",
            Phase::Verify => "verify",
            Phase::Switch => "switch",
            Phase::Publish => "publish",
            Phase::Watch => "watch",
            Phase::Finish => "finish",
            Phase::Done => "done",
            Phase::VerifyBack => "verify_back",
            Phase::FenceBack => "fence_back",
            Phase::DrainBack => "drain_back",
            Phase::ReopenBack => "reopen_back",
            Phase::SwitchBack => "switch_back",
            Phase::PublishBack => "publish_back",
            Phase::Returned => "returned",
            Phase::ClearBack => "clear_back",
            Phase::RolledBack => "rolled_back",
            Phase::Undo => "undo",
            Phase::Clear => "clear",
            Phase::Cancelled => "cancelled",
        }
    }

    /// What is true in this phase, for the `now:` line of an error.
    pub fn truth(self) -> &'static str {
        match self {
            Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::LocateBack
            | Phase::TryBack => {
                "the source owns every row and takes writes; a copy is on the target under hidden names, in part"
            }
            Phase::Drain => {
                "the source owns every row and is fenced, so writes to it are refused; the target lacks the end of the log"
            }
            Phase::Ready => {
                "the source owns every row and takes writes; the target has them all but for the log's lag, and the switch waits for `shardctl job cutover`"
            }
            Phase::Prepare => "the source owns every row and takes writes; nothing was copied",
            Phase::Fence | Phase::Cutover | Phase::Reopen => {
                "the source owns every row; some of its tables may be fenced, so writes to them are refused"
            }
            Phase::Copy | Phase::Verify | Phase::Switch => {
                "the source owns every row and is fenced, so writes to it are refused; nothing was switched"
            }
            Phase::Publish => {
                "the shard map is switched: the target owns every row; some of its tables may not carry their final names yet"
            }
            Phase::Watch | Phase::VerifyBack => {
                "the target owns every row and serves; the source's copy is kept"
            }
            Phase::FenceBack | Phase::ReopenBack => {
                "the target owns every row; some of its tables may be fenced, so writes to them are refused"
            }
            Phase::DrainBack | Phase::SwitchBack => {
                "the target owns every row and is fenced, so writes to it are refused; nothing was switched back"
            }
            Phase::PublishBack => {
                "the shard map is switched back: the source owns every row; some of its tables may not carry their names yet"
            }
            Phase::Returned => {
                "the source owns every row and serves, with all that was written to the target; the target's copy is kept"
            }
            Phase::ClearBack => {
                "the source owns every row and serves; the target's copy is partly dropped"
            }
            Phase::RolledBack => {
                "the source owns every row, with all that was written to the target; nothing of the target is left"
            }
            Phase::Finish => {
                "the target owns every row and serves; the source's copy is partly dropped"
            }
            Phase::Done => "the target owns every row; nothing of the source is left",
            Phase::Undo => {
                "the source owns every row; some of its tables may still be fenced, so writes to them are refused"
            }
            Phase::Clear => {
                "the source owns every row and takes writes as before; what was copied is still on the target in part, under hidden names"
            }
            Phase::Cancelled => "the source owns every row and is as it was",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
