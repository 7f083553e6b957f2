//! Which means works here.

use std::sync::OnceLock;

use crate::{Means, Namespaces, Profile};

/// What `auto` comes to on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The first means that works, in the order netem, tun, model.
    pub means: Means,
    /// Those before it, and why they do not work.
    pub without: Vec<(Means, String)>,
}

/// Finds the means that `auto` stands for, by setting up a link with each and removing it again (tens of milliseconds,
/// once in a process).
#[must_use]
pub fn choose() -> Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    CHOICE.get_or_init(|| first_that(works)).clone()
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
}
