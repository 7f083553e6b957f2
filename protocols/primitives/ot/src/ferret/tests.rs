//! Senders that deviate consistently, from an ideal start.

use std::time::Duration;

use si_wire::Channel;

use super::*;
use crate::cipher::Prg;
use crate::{Error, Result, tree};

const PARAMS: FerretParams = FerretParams::SMALL;
const DELTA: Block = 0x8123_4567_89AB_CDEF_0F1E_2D3C_4B5A_6979;

/// Correlated OTs out of thin air.
fn ideal() -> (Buffer, Buffer) {
    let (mut q, mut v) = (Buffer::default(), Buffer::default());
    let n = PARAMS.consumed();
    Prg::new(3).fill(0, q.add(n).unwrap());
    let v_blocks = v.add(n).unwrap();
    Prg::new(4).fill(0, v_blocks);
    for (q, v) in q.filled().to_vec().iter().zip(v_blocks) {
        let u = *v & 1;
        *v = (q & !1) ^ (DELTA & u.wrapping_neg());
    }
    let cleared: Vec<Block> = q.filled().iter().map(|q| q & !1).collect();
    q.take(n);
    q.add(n).unwrap().copy_from_slice(&cleared);
    (q, v)
}

/// What `sender` makes of its side, against an honest receiver that wants one part.
fn against_receiver(
    malicious: bool,
    sender: impl FnOnce(&mut FerretSender, &mut Channel) -> Result<()> + Send,
) -> Result<Buffer> {
    let session = Session::new([9; 32]);
    let purpose = Purpose { session: &session, name: "test", malicious };
    let (q, v) = ideal();
    let (mut ch_s, mut ch_r) = Channel::memory_pair(Duration::from_secs(20));
    std::thread::scope(|s| {
        s.spawn(move || {
            let mut o = FerretSender::new(PARAMS, purpose, Prg::new(5), DELTA, q);
            // The receiver's verdict is what counts: it may be gone before we are done.
            let _ = sender(&mut o, &mut ch_s);
            let _ = ch_s.flush();
        });
        let mut out = Buffer::default();
        FerretReceiver::new(PARAMS, purpose, v).extend(&mut ch_r, 1, &mut out)?;
        Ok(out)
    })
}

/// One part by a sender that changes the corrections of its trees, and takes note of the changed ones itself.
fn cheating_part(o: &mut FerretSender, ch: &mut Channel, cheat: impl Fn(usize, &mut [Block])) -> Result<()> {
    let (h, run) = (PARAMS.depth(), PARAMS.run());
    let mut left_sums = vec![0; h];
    let trees: Vec<usize> = (0..PARAMS.part_trees()).collect();
    for group in trees.chunks(TREES_PER_MESSAGE) {
        let mut message = Vec::new();
        for together in group.chunks(LEAVES_TOGETHER / run) {
            let mut leaves = vec![0; together.len() * run];
            let mut bytes = Vec::new();
            for (i, t) in together.iter().enumerate() {
                let leaves = &mut leaves[i * run..(i + 1) * run];
                tree::expand(&o.iteration.hash, *t as Block + 77, DELTA, leaves, &mut left_sums);
                tree::finish(leaves);
                let levels = o.iteration.levels(i).iter();
                let mut corrections: Vec<Block> = levels.zip(&left_sums).map(|(q, s)| q ^ s).collect();
                cheat(*t, &mut corrections);
                crate::block::encode(&corrections, &mut bytes);
            }
            o.iteration.finish(&bytes, &mut leaves, None);
            message.extend(bytes);
        }
        ch.send(&message)?;
    }
    let masks = o.iteration.masks();
    let question = ch.recv_exact("Ferret check", 16)?;
    let question = Block::from_le_bytes(question.try_into().unwrap());
    ch.send(&o.iteration.check.as_mut().unwrap().answer(question, &masks, DELTA))?;
    ch.flush()?;
    Ok(())
}

fn is_caught(result: Result<Buffer>) -> bool {
    match result {
        Ok(_) => false,
        Err(Error::Check { check, .. }) => check.contains("Ferret"),
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn honest_parts_pass_and_are_the_senders() {
    assert!(!is_caught(against_receiver(true, |o, ch| o.extend(ch, 1, &mut Buffer::default()))));
    assert!(!is_caught(against_receiver(true, |o, ch| cheating_part(o, ch, |_, _| ()))));
}

#[test]
fn another_difference_in_the_trees_is_caught() {
    let cheat = |o: &mut FerretSender, ch: &mut Channel| {
        o.delta ^= 2;
        o.extend(ch, 1, &mut Buffer::default())
    };
    assert!(is_caught(against_receiver(true, cheat)));
    // Without the check it goes unseen: the test is of the check.
    assert!(!is_caught(against_receiver(false, cheat)));
}

#[test]
fn a_false_sum_at_any_level_of_any_tree_is_caught() {
    for tree in [0, 63, 64, PARAMS.part_trees() - 1] {
        for level in [0, 5, PARAMS.depth() - 1] {
            let cheat = |t: usize, c: &mut [Block]| c[level] ^= Block::from(t == tree) << 9;
            assert!(is_caught(against_receiver(true, |o, ch| cheating_part(o, ch, cheat))), "{tree} {level}");
        }
    }
}
