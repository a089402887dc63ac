//! What happens to one run of the tool, and the places where it can be made to kill itself.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::fleet::INSTANCES;

/// What is done to a run of the tool while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    Nothing,
    /// SIGKILL at a pause point of the tool's own.
    Point(&'static str),
    /// SIGKILL after this part of the time that a job usually takes.
    Kill(f64),
    /// A server is killed, and started again so many milliseconds later.
    Server {
        instance: &'static str,
        after: f64,
        down_ms: u64,
    },
    /// The tool and a server are killed together.
    Both {
        instance: &'static str,
        after: f64,
    },
    /// Every connection of the tool to an instance is ended, so many times.
    Cut {
        instance: &'static str,
        after: f64,
        times: u32,
    },
    /// Every connection of the applications to an instance is ended.
    CutWriters {
        instance: &'static str,
        after: f64,
    },
    /// Another operator resumes the job meanwhile.
    Second {
        after: f64,
    },
    /// The process stands still until its lease and its connections are gone, another takes over
    /// and goes on, then it wakes up.
    Sleeper {
        after: f64,
    },
    /// A disk is full for so many milliseconds.
    Full {
        instance: &'static str,
        after: f64,
        ms: u64,
    },
    /// Ctrl-C.
    Signal {
        after: f64,
    },
}

impl Fault {
    /// Whether it can be done to a run that waits for a person and would hand its job over.
    pub fn suits_who_waits(&self) -> bool {
        !matches!(self, Fault::Second { .. } | Fault::Sleeper { .. })
    }

    /// The word it is counted under.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::Nothing => "nothing",
            Fault::Point(_) => "tool killed at a pause point",
            Fault::Kill(_) => "tool killed at any time",
            Fault::Server { .. } => "server killed",
            Fault::Both { .. } => "tool and server killed",
            Fault::Cut { .. } => "tool's connections cut",
            Fault::CutWriters { .. } => "writers' connections cut",
            Fault::Second { .. } => "second operator",
            Fault::Sleeper { .. } => "overslept its lease",
            Fault::Full { .. } => "disk full",
            Fault::Signal { .. } => "Ctrl-C",
        }
    }

    /// Any but a pause point.
    pub fn any(random: &mut ChaCha8Rng, small_disks: bool) -> Self {
        let after = random.random_range(0.0..1.1);
        let instance = INSTANCES[random.random_range(0..INSTANCES.len())];
        match random.random_range(0..100) {
            0..50 => Fault::Kill(after),
            50..58 => Fault::Server {
                instance,
                after,
                down_ms: [0, 50, 400, 1_500][random.random_range(0..4)],
            },
            58..66 => Fault::Both { instance, after },
            66..76 => Fault::Cut {
                instance,
                after,
                times: random.random_range(1..4),
            },
            76..81 => Fault::CutWriters { instance, after },
            81..87 => Fault::Second { after },
            87..92 => Fault::Sleeper { after },
            92..93 if small_disks => Fault::Full {
                instance,
                after,
                ms: random.random_range(100..2_000),
            },
            92..97 => Fault::Signal { after },
            _ => Fault::Nothing,
        }
    }
}

/// Which commands of the tool come past a pause point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To the target.
    Forward,
    /// Back to the source before the switch.
    Cancel,
    /// Dropping what the source kept.
    Finish,
    /// To the target, with the stream back being tried before the switch.
    Kept,
    /// Back to the source after the switch.
    Back,
    /// Leaving the rows with the target after all.
    CancelBack,
    /// Dropping what the target kept.
    Return,
    /// With writers refused from before the copy.
    Offline,
}

/// The pause points of each way, taken in turn.
pub fn points(way: Way) -> &'static [&'static str] {
    match way {
        Way::Forward => &[
            "before prepare",
            "within prepare 1",
            "after prepare",
            "before locate",
            "after locate",
            "before copy",
            "within copy 1",
            "within copy 3",
            "within copy 7",
            "after copy",
            "before index",
            "within index 1",
            "within index 4",
            "after index",
            "before compare",
            "within compare 1",
            "within compare 4",
            "after compare",
            "before fence",
            "within fence 1",
            "after fence",
            "before drain",
            "after drain",
            "before commit",
            "after commit",
            "before publish",
            "within publish 1",
            "after publish",
            "before drop",
            "within drop 1",
            "after drop",
        ],
        Way::Cancel => &[
            "before unfence",
            "within unfence 1",
            "after unfence",
            "before clear",
            "within clear 1",
            "after clear",
        ],
        Way::Finish => &["before drop", "within drop 1", "after drop"],
        Way::Kept => &[
            "after copy",
            "before locate back",
            "after locate back",
            "before try back",
            "after try back",
            "before fence",
            "after fence",
            "after drain",
            "before commit",
            "after commit",
            "within publish 1",
            "after publish",
        ],
        Way::Back => &[
            "before compare back",
            "within compare back 2",
            "after compare back",
            "before fence back",
            "within fence back 1",
            "after fence back",
            "before drain back",
            "after drain back",
            "before commit back",
            "after commit back",
            "before publish back",
            "within publish back 1",
            "after publish back",
        ],
        Way::CancelBack => &[
            "before unfence back",
            "within unfence back 1",
            "after unfence back",
        ],
        Way::Return => &["before clear", "within clear 1", "after clear"],
        Way::Offline => &[
            "after fence",
            "within copy 2",
            "after copy",
            "within compare 2",
            "after compare",
        ],
    }
}
