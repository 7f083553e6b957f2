//! Messages changed on the way: each check has one that it must catch, by name; senseless messages are errors. Parties
//! that deviate consistently, so that only the algebra of a check tells, are in the tests beside the checks.

use super::*;
use crate::Error;

const N: usize = 3000;

fn reserve(config: OtConfig, changes: [Change; 2]) -> Outcome<(), ()> {
    run_tapped(config, Level::detect(), changes, |s, ch| s.reserve(ch, N), |r, ch| r.reserve(ch, N))
}

fn at(message: usize, mut change: impl FnMut(&mut Vec<u8>) + Send + 'static) -> Change {
    Box::new(move |i, payload| {
        if i == message {
            change(payload);
        }
    })
}

fn as_is() -> Change {
    Box::new(|_, _| ())
}

/// Flips the lowest bit of every 16-byte block.
#[allow(clippy::ptr_arg, reason = "the type of a change")]
fn flip_all(payload: &mut Vec<u8>) {
    payload.iter_mut().step_by(16).for_each(|b| *b ^= 1);
}

fn kos() -> OtConfig {
    OtConfig::new(Extension::Kos)
}

fn ferret() -> OtConfig {
    OtConfig::new(Extension::FerretMalicious(FerretParams::SMALL))
}

#[track_caller]
fn caught<T>(result: Result<T>, what: &str) {
    match result {
        Err(Error::Check { check, peer }) => {
            assert!(check.contains(what) && (peer == "sender" || peer == "receiver"), "{check}");
        }
        Err(e) => panic!("not the check '{what}' but: {e}"),
        Ok(_) => panic!("the check '{what}' passed"),
    }
}

#[track_caller]
fn malformed<T>(result: Result<T>, what: &str) {
    match result {
        Err(Error::Wire(si_wire::Error::Malformed { what: w, .. })) => assert!(w.contains(what), "{w}"),
        Err(Error::Wire(si_wire::Error::TooLong { .. })) => {}
        Err(e) => panic!("'{what}' is malformed, but: {e}"),
        Ok(_) => panic!("'{what}' was accepted"),
    }
}

#[test]
fn base_ot_refuses_points_that_are_none() {
    // Not canonical (above the prime), not on the curve, zero.
    for bad in [
        [0xFF; 32],
        {
            let mut b = [0; 32];
            b[0] = 2;
            b
        },
        [0; 32],
    ] {
        for config in configs() {
            let out = reserve(config, [at(0, move |p| p[32 + 64..32 + 96].copy_from_slice(&bad)), as_is()]);
            malformed(out.receiver, "group element");
            let out = reserve(config, [as_is(), at(0, move |p| p[..32].copy_from_slice(&bad))]);
            malformed(out.sender, "group element");
        }
    }
}

#[test]
fn base_ot_catches_false_challenges_and_answers() {
    let out = reserve(kos(), [as_is(), at(0, |p| p[32..32 + 128 * 16].iter_mut().for_each(|b| *b ^= 1))]);
    caught(out.sender, "challenges");
    let out = reserve(kos(), [as_is(), at(0, |p| *p.last_mut().unwrap() ^= 1)]);
    caught(out.sender, "challenges");
    // A receiver that does not know the keys cannot answer.
    let out = reserve(kos(), [at(1, |p| p[0] ^= 1), as_is()]);
    caught(out.receiver, "knows a key");
}

/// A false challenge for one instance is noticed by a receiver that chose 1 there: a guess at one bit of Δ.
#[test]
fn base_ot_catches_a_guess_half_of_the_time() {
    let seen = (10..34).filter(|i| {
        let challenge = 32 + 16 * i;
        reserve(kos(), [as_is(), at(0, move |p| p[challenge] ^= 1)]).sender.is_err()
    });
    let seen = seen.count();
    assert!((3..=21).contains(&seen), "{seen} of 24");
}

#[test]
fn who_was_caught_gets_no_second_try_and_no_stock() {
    let out = run_tapped(
        kos(),
        Level::detect(),
        [as_is(), at(1, flip_all)],
        |s, ch| {
            caught(s.reserve(ch, N), "every column");
            assert_eq!(s.available(), 0);
            assert!(matches!(s.reserve(ch, 1), Err(Error::Ended)));
            assert!(matches!(s.random_bits(ch, 1), Err(Error::Ended)));
            Ok(())
        },
        |r, ch| r.reserve(ch, N),
    );
    assert!(out.sender.is_ok());
}

#[test]
fn columns_with_different_choices_are_caught() {
    // Message 1 is the first (and only) tile: change one OT's choice in every column but the first.
    let out = reserve(kos(), [as_is(), at(1, |p| p.iter_mut().step_by(64 * 16).for_each(|b| *b ^= 4))]);
    caught(out.sender, "every column");
    // In the OTs that only mask the check.
    let out = reserve(kos(), [as_is(), at(3, flip_all)]);
    caught(out.sender, "every column");
    // The hashes themselves.
    let out = reserve(kos(), [as_is(), at(4, |p| p[16 * 5] ^= 1)]);
    caught(out.sender, "every column");
}

#[test]
fn false_trees_of_seeds_are_caught() {
    let out = reserve(ferret(), [as_is(), at(1, flip_all)]);
    caught(out.sender, "trees of seeds");
    let out = reserve(ferret(), [as_is(), at(2, |p| p[3] ^= 1)]);
    caught(out.sender, "trees of seeds");
    let out = reserve(ferret(), [as_is(), at(2, |p| *p.last_mut().unwrap() ^= 1)]);
    caught(out.sender, "trees of seeds");
    // A change of one side of one level is seen if the path takes the other: a guess at one bit of Δ.
    let seen = (0..16).filter(|b| {
        let side = 2 * 8 * b * 16;
        reserve(ferret(), [as_is(), at(1, move |p| p[side] ^= 1)]).sender.is_err()
    });
    assert!((1..=15).contains(&seen.count()));
    // And the columns made from them.
    let out = reserve(ferret(), [as_is(), at(3, flip_all)]);
    caught(out.sender, "every column");
}

#[test]
fn false_trees_of_ferret_are_caught_at_every_level() {
    for level in [0, 4, 9] {
        let out = reserve(ferret(), [at(2, move |p| p[(17 * 10 + level) * 16 + 3] ^= 8), as_is()]);
        caught(out.receiver, "Ferret");
    }
    // In the last message of the part, and in the answer.
    let out = reserve(ferret(), [at(3, |p| p[0] ^= 1), as_is()]);
    caught(out.receiver, "Ferret");
    let out = reserve(ferret(), [at(4, |p| p[31] ^= 1), as_is()]);
    caught(out.receiver, "Ferret");
}

#[test]
fn a_false_question_of_ferrets_receiver_gets_no_answer_that_fits() {
    let tiles = 75_188usize.div_ceil(64 * 128);
    // Base OT, trees, their check, the tiles and the mask's tile, the opened hashes; then the question.
    let question = 3 + tiles + 1 + 1;
    let out = reserve(ferret(), [as_is(), at(question, |p| p[0] ^= 1)]);
    caught(out.receiver, "Ferret");
}

#[test]
fn messages_of_a_wrong_length_are_refused() {
    for config in configs() {
        for message in 0..3 {
            for longer in [false, true] {
                let change = move || {
                    at(message, move |p: &mut Vec<u8>| {
                        if longer {
                            p.push(0);
                        } else {
                            p.pop();
                        }
                    })
                };
                let out = reserve(config, [change(), as_is()]);
                let sent_by_sender = out.receiver.is_err() || out.sender.is_ok();
                assert!(sent_by_sender, "{config:?} message {message} of the sender");
                let out = reserve(config, [as_is(), change()]);
                assert!(out.sender.is_err() || out.receiver.is_ok(), "{config:?} message {message} of the receiver");
            }
        }
    }
    let out = reserve(kos(), [as_is(), at(1, |p| p.truncate(100))]);
    malformed(out.sender, "OT extension");
    let out = reserve(ferret(), [at(2, |p| p.truncate(100)), as_is()]);
    malformed(out.receiver, "Ferret trees");
}

#[test]
fn padding_and_lengths_of_requests_and_answers_are_checked() {
    let config = OtConfig::new(Extension::Iknp);
    let ring = si_ring::Ring::new(3).unwrap();
    // Messages of the sender: points, answer, then the operation; of the receiver: challenges, the extension (two
    // tiles), then the operation.
    for change in [|p: &mut Vec<u8>| *p.last_mut().unwrap() |= 0x80, |p: &mut Vec<u8>| p.push(0)] {
        let out = run_tapped(
            config,
            Level::detect(),
            [as_is(), at(3, change)],
            |s, ch| s.correlated(ch, ring, &[1; 5]),
            |r, ch| r.correlated_begin(ch, &bits(1, 5)).map(drop),
        );
        malformed(out.sender, "OT choices");
        let out = run_tapped(
            config,
            Level::detect(),
            [as_is(), at(3, change)],
            |s, ch| s.one_of_many(ch, 3, 1, &[1; 40]),
            |r, ch| r.one_of_many_begin(ch, 3, &[1; 5]).map(drop),
        );
        malformed(out.sender, "OT indices");
        let out = run_tapped(
            config,
            Level::detect(),
            [at(2, change), as_is()],
            |s, ch| s.correlated(ch, ring, &[1; 5]),
            |r, ch| {
                let pending = r.correlated_begin(ch, &bits(1, 5))?;
                r.correlated_finish(ch, ring, pending)
            },
        );
        malformed(out.receiver, "correlated OT");
        let out = run_tapped(
            config,
            Level::detect(),
            [at(2, change), as_is()],
            |s, ch| s.one_of_many(ch, 1, 3, &[1; 10]),
            |r, ch| {
                let pending = r.one_of_many_begin(ch, 1, &[1; 5])?;
                r.one_of_many_finish(ch, 1, 3, pending)
            },
        );
        malformed(out.receiver, "1-of-many OT");
        let lookups = |m, changes| {
            run_tapped(
                config,
                Level::detect(),
                changes,
                |s, ch| {
                    let requested = s.lookups_read(ch, m, 5)?;
                    s.lookups_answer::<1, u32>(ch, requested, [1; 5].into_iter())
                },
                |r, ch| {
                    let pending = r.lookups_begin::<1, u32>(ch, m, vec![1; 5])?;
                    r.lookups_finish(ch, pending)
                },
            )
        };
        malformed(lookups(3, [as_is(), at(3, change)]).sender, "indices of lookups");
        malformed(lookups(2, [at(2, change), as_is()]).receiver, "answers of lookups");
    }
}
