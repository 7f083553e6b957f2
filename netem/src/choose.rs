//! Which means works here.

use std::sync::OnceLock;

use crate::{Means, Namespaces, Profile};

/// Logical cores from which on `auto` takes a TUN link (local): one for each party, and one for the link, which carries every
/// packet in user space. With fewer it takes its time from what is measured.
const CORES_FOR_TUN: usize = 3;

/// What `auto` comes to on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The first means that works and leaves the parties their cores, in the order netem, tun, model.
    pub means: Means,
    /// Those before it, and why they do not work.
    pub without: Vec<(Means, String)>,
}

/// Finds the means that `auto` stands for, by setting up a link with each and removing it again (tens of milliseconds,
/// once in a process).
#[must_use]
pub fn choose() -> Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    CHOICE.get_or_init(|| first_that(|means| is_fair(means, cores()).and_then(|()| works(means)))).clone()
}

/// Logical cores of this machine, as far as it tells.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether a link by this means leaves the parties what they need.
fn is_fair(means: Means, cores: usize) -> Result<(), String> {
    if means == Means::Tun && cores < CORES_FOR_TUN {
        let plural = if cores == 1 { "" } else { "s" };
        return Err(format!("it needs a core beside the two parties', and here are {cores} core{plural}"));
    }
    Ok(())
}

/// Whether a link can be made by this means here.
///
/// # Errors
/// Why not, in one line.
pub fn works(means: Means) -> Result<(), String> {
    if !means.is_kernel() {
        return Ok(());
    }
    let trial = Profile::find(Profile::built_in().map_err(|e| e.to_string())?, "wan").map_err(|e| e.to_string())?;
    let up = Namespaces::up(&trial.by(means)).map_err(|e| e.to_string())?;
    up.down().map_err(|e| e.to_string())
}

fn first_that(works: impl Fn(Means) -> Result<(), String>) -> Choice {
    let mut without = Vec::new();
    for means in [Means::Netem, Means::Tun] {
        match works(means) {
            Ok(()) => return Choice { means, without },
            Err(why) => without.push((means, why)),
        }
    }
    Choice { means: Means::Model, without }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_works_is_taken_and_the_others_say_why_not() {
        let only = |working: &'static [Means]| {
            first_that(move |m| if working.contains(&m) { Ok(()) } else { Err(format!("no {m}")) })
        };
        assert_eq!(only(&[Means::Netem, Means::Tun]), Choice { means: Means::Netem, without: vec![] });
        let tun = only(&[Means::Tun]);
        assert_eq!((tun.means, tun.without), (Means::Tun, vec![(Means::Netem, "no netem".to_owned())]));
        let model = only(&[]);
        assert_eq!((model.means, model.without.len()), (Means::Model, 2));
        assert_eq!((works(Means::Model), works(Means::None)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_link_in_user_space_does_not_take_the_parties_cores() {
        assert!(is_fair(Means::Tun, 2).unwrap_err().ends_with("here are 2 cores"));
        assert!(is_fair(Means::Tun, 1).unwrap_err().ends_with("here are 1 core"));
        assert_eq!(is_fair(Means::Tun, 3), Ok(()));
        assert_eq!((is_fair(Means::Netem, 1), is_fair(Means::Model, 1)), (Ok(()), Ok(())));
    }
}
