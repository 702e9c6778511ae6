//! How a command ends, and the exit code that says so: the one place that knows the numbers.
//!
//! They stay below 126, which shells use for signals and for commands that cannot be started.

/// How a command ended, the better before the worse: what several commands come to is the greatest of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum End {
    /// Every property held.
    Clean,
    /// Nothing was run: an empty range, or a filter that nothing passes.
    NothingRan,
    /// Not all was run, or a checker gave up.
    Undetermined,
    /// A schedule does not fit this build, or what it replays parted from what was recorded.
    Diverged,
    /// A property is broken.
    Broken,
    /// The same schedule gave two different runs: no other verdict can be trusted before this is mended.
    NotDeterministic,
}

impl End {
    /// All of them.
    pub const ALL: [End; 6] =
        [End::Clean, End::NothingRan, End::Undetermined, End::Diverged, End::Broken, End::NotDeterministic];

    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            End::Clean => 0,
            End::Broken => 1,
            End::Undetermined => 2,
            End::NotDeterministic => 3,
            End::NothingRan => 4,
            End::Diverged => 5,
        }
    }

    /// What is said of it in a summary.
    pub fn words(self) -> &'static str {
        match self {
            End::Clean => "every property held",
            End::Broken => "a property is broken",
            End::Undetermined => "not everything was run",
            End::NotDeterministic => "the same seed gave two different runs",
            End::NothingRan => "nothing was run",
            End::Diverged => "a schedule does not fit this build",
        }
    }
}

/// The exit code of a command line that makes no sense.
pub const USAGE: u8 = 64;

/// The exit code when something is wrong with the harness itself, or with the machine below it.
pub const INTERNAL: u8 = 70;

/// A command line that makes no sense, or a file that it names. Anything else that goes wrong is the harness's own trouble.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A schedule or a recording that this build cannot run, for it was made for another.
#[derive(Debug)]
pub struct Incompatible(pub String);

impl std::fmt::Display for Incompatible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Incompatible {}

/// The exit code of an error.
pub fn code_of(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<Incompatible>().is_some() {
        End::Diverged.code()
    } else if error.downcast_ref::<Usage>().is_some() {
        USAGE
    } else {
        INTERNAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_a_code_of_its_own() {
        let mut codes: Vec<u8> = End::ALL.map(End::code).to_vec();
        codes.extend([USAGE, INTERNAL]);
        codes.sort_unstable();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 64, 70]);
    }

    #[test]
    fn the_worst_of_several_is_the_greatest() {
        assert_eq!([End::Undetermined, End::Broken, End::Clean].into_iter().max(), Some(End::Broken));
        assert_eq!([End::NotDeterministic, End::Broken].into_iter().max(), Some(End::NotDeterministic));
        assert!(End::ALL.is_sorted());
    }

    #[test]
    fn an_error_is_of_usage_only_when_it_says_so() {
        use anyhow::Context as _;
        let usage = Err::<(), _>(Usage("no".into())).context("--shard").unwrap_err();
        assert_eq!(code_of(&usage), USAGE);
        let other = Err::<(), _>(Incompatible("format 1".into()))
            .context("line 1")
            .context(Usage("x.sched".into()))
            .unwrap_err();
        assert_eq!(code_of(&other), End::Diverged.code());
        assert_eq!(code_of(&anyhow::anyhow!("disk full")), INTERNAL);
    }
}
