//! What goes over the wire, with fixed seeds: it must not change unseen, nor with the instructions of the processor.

use si_ring::Ring;

use super::*;

/// A little of everything; returns the outputs that must not depend on the level.
fn session(config: OtConfig, level: Level) -> Outcome<Vec<u64>, Vec<u64>> {
    let ring = Ring::new(37).unwrap();
    let n = 150;
    run_tapped(
        config,
        level,
        honest(),
        |s, ch| {
            let mut out = s.correlated(ch, ring, &words(5, n))?;
            s.chosen(ch, 9, &words(6, n), &words(7, n))?;
            s.one_of_many(ch, 4, 2, &vec![1; n << 4])?;
            let (m0, m1) = s.random_bits(ch, n)?;
            out.extend(m0.words());
            out.extend(m1.words());
            Ok(out)
        },
        |r, ch| {
            let pending = r.correlated_begin(ch, &bits(8, n))?;
            let mut out = r.correlated_finish(ch, ring, pending)?;
            let pending = r.chosen_begin(ch, &bits(9, n))?;
            out.extend(r.chosen_finish(ch, 9, pending)?);
            let pending = r.one_of_many_begin(ch, 4, &vec![3; n])?;
            out.extend(r.one_of_many_finish(ch, 4, 2, pending)?.into_iter().map(u64::from));
            out.extend(r.random_bits(ch, n)?.1.words());
            Ok(out)
        },
    )
}

#[test]
fn digests_of_the_wire() {
    let small = FerretParams::SMALL;
    let pinned = [
        (Extension::Iknp, "50ba13fd0f82d204", "bf15d82ec8ff5716"),
        (Extension::Kos, "b730545196b0cc89", "b80caac0eaaacc4c"),
        (Extension::SoftSpoken, "d61b89cd58cccf2b", "de1f5e3fdde95e44"),
        (Extension::SoftSpoken2, "b07954e5308b71e3", "f9977bb8e7ae3d21"),
        (Extension::Ferret(small), "4caad65f24b962c8", "72bdddfdc66d7aea"),
        (Extension::FerretMalicious(small), "839c0f1b677ceed8", "194d513b3c207c76"),
    ];
    let mut wrong = Vec::new();
    for (extension, sender, receiver) in pinned {
        let out = session(OtConfig::new(extension), Level::detect());
        if (&*out.sender_wire, &*out.receiver_wire) != (sender, receiver) {
            wrong.push((extension, out.sender_wire, out.receiver_wire));
        }
    }
    assert!(wrong.is_empty(), "the bytes on the wire have changed: {wrong:#?}");
}

#[test]
fn every_level_says_and_computes_the_same() {
    for config in configs() {
        let expect = session(config, Level::Scalar);
        for level in Level::all() {
            let out = session(config, level);
            assert_eq!(
                (out.sender_wire, out.receiver_wire),
                (expect.sender_wire.clone(), expect.receiver_wire.clone())
            );
            assert_eq!(out.sender.unwrap(), *expect.sender.as_ref().unwrap(), "{config:?} {level:?}");
            assert_eq!(out.receiver.unwrap(), *expect.receiver.as_ref().unwrap(), "{config:?} {level:?}");
        }
    }
}

#[test]
fn traffic_is_as_declared() {
    let small = FerretParams::SMALL;
    let (n, ring) = (1000, Ring::new(37).unwrap());
    let (sent, received) = run(
        OtConfig::new(Extension::Ferret(small)),
        |s, ch| {
            let before = ch.meter().totals().sent_bytes;
            s.reserve(ch, 2 * small.part()).unwrap();
            let extension = ch.meter().totals().sent_bytes - before;
            s.correlated(ch, ring, &words(1, n)).unwrap();
            let correlated = ch.meter().totals().sent_bytes - before - extension;
            s.one_of_many(ch, 4, 2, &vec![0; n << 4]).unwrap();
            let many = ch.meter().totals().sent_bytes - before - extension - correlated;
            s.random_bits(ch, n).unwrap();
            assert_eq!(ch.meter().totals().sent_bytes, before + extension + correlated + many);
            [extension, correlated, many]
        },
        |r, ch| {
            r.reserve(ch, 2 * small.part()).unwrap();
            let before = ch.meter().totals().sent_bytes;
            let pending = r.correlated_begin(ch, &bits(2, n)).unwrap();
            let correlated = ch.meter().totals().sent_bytes - before;
            r.correlated_finish(ch, ring, pending).unwrap();
            let pending = r.one_of_many_begin(ch, 4, &vec![0; n]).unwrap();
            let many = ch.meter().totals().sent_bytes - before - correlated;
            r.one_of_many_finish(ch, 4, 2, pending).unwrap();
            r.random_bits(ch, n).unwrap();
            [correlated, many]
        },
    );
    let trees = (2 * small.part() / small.run()) as u64;
    let messages = 4; // 64 trees a message, twice 97 trees
    assert_eq!(sent, [trees * 16 * 10 + messages * 4, 37 * n as u64 / 8 + 4, 32 * n as u64 / 8 + 4]);
    assert_eq!(received, [n as u64 / 8 + 4, 4 * n as u64 / 8 + 4]);
}
