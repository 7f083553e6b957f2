//! The checks against true and false statements, and how often bad columns go unnoticed.

use super::*;
use crate::parameters::{Parameters, log2_missed};
use crate::statement::Link;
use rand::RngExt;
use si_rlwe::ole::PRIME;

const TRIALS: u32 = 2000;

/// A small code and blocks of 3 neurons and 2 queries.
fn small() -> (Code, Geometry) {
    let field = Field::new(PRIME).unwrap();
    let geometry = Geometry::new(2, 3, 2);
    let parameters = Parameters { servers: 96, watched: 6, ..Parameters::unchecked(96, geometry.slots(), 14) };
    (Code::new(field, parameters).unwrap(), geometry)
}

fn watched(code: &Code, rng: &mut ChaCha20Rng) -> Vec<usize> {
    let n = code.parameters().servers;
    let mut order: Vec<usize> = (0..n).collect();
    (0..code.parameters().watched).for_each(|i| order.swap(i, rng.random_range(i..n)));
    order.truncate(code.parameters().watched);
    order
}

/// How often a proof about `rows` goes through, with the masks and the watchlist anew each time.
fn passes(code: &Code, geometry: &Geometry, rows: &[Row], claim: impl Fn(&[Row]) -> Statement<'_>) -> u32 {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    // Masks and their combination are the honest ones: one proof serves all watchlists.
    let masks: Vec<Masks> = (0..REPETITIONS).map(|_| Masks::new(code, &mut rng)).collect();
    let challenge = [7; CHALLENGE_BYTES];
    let proof = message(&prove(code, geometry, &claim(rows), &masks, &challenge));
    assert_eq!(proof.len(), proof_bytes(code));
    (0..TRIALS)
        .filter(|_| {
            let servers = watched(code, &mut rng);
            let view = View { code, watched: Some(&servers) };
            let seen: Vec<Row> = rows.iter().map(|row| view.select(row.clone())).collect();
            let masks: Vec<Masks> = (masks.iter())
                .map(|m| Masks::take(&mut m.rows().map(|row| view.select(row.to_vec())).into_iter()))
                .collect();
            verify(&view, geometry, &claim(&seen), &masks, &challenge, &proof).is_ok()
        })
        .count() as u32
}

fn codewords(code: &Code, blocks: &[Vec<u64>]) -> Vec<Row> {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    blocks.iter().map(|block| code.encode(block, code.parameters().threshold, &mut rng)).collect()
}

fn words(rows: &[Row]) -> Statement<'_> {
    Statement { narrow: rows.iter().collect(), ..Statement::default() }
}

/// Five standard deviations.
fn close(passed: u32, log2_expected: f64) -> bool {
    let p = log2_expected.exp2();
    let trials = f64::from(TRIALS);
    (f64::from(passed) - p * trials).abs() <= 5.0 * (trials * p * (1.0 - p)).sqrt() + 1e-9
}

#[test]
fn bad_columns_go_unnoticed_as_often_as_nobody_watches_them() {
    let (code, geometry) = small();
    for bad in [0, 1, 5, 12, 30, 96] {
        let mut rows = codewords(&code, &vec![vec![5; 6]; 4]);
        // Proven are the codewords; the shares at some servers are others.
        let field = code.field();
        let honest = rows.clone();
        for (i, x) in rows.iter_mut().map(|row| &mut row[..bad]).enumerate() {
            x.iter_mut().for_each(|x| *x = field.add(*x, i as u64 + 1));
        }
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let masks: Vec<Masks> = (0..REPETITIONS).map(|_| Masks::new(&code, &mut rng)).collect();
        let challenge = [3; CHALLENGE_BYTES];
        let proof = message(&prove(&code, &geometry, &words(&honest), &masks, &challenge));
        let passed = (0..TRIALS)
            .filter(|_| {
                let servers = watched(&code, &mut rng);
                let view = View { code: &code, watched: Some(&servers) };
                let seen: Vec<Row> = rows.iter().map(|row| view.select(row.clone())).collect();
                let masks: Vec<Masks> = (masks.iter())
                    .map(|m| Masks::take(&mut m.rows().map(|row| view.select(row.to_vec())).into_iter()))
                    .collect();
                verify(&view, &geometry, &words(&seen), &masks, &challenge, &proof).is_ok()
            })
            .count() as u32;
        let expected = log2_missed(96, bad, code.parameters().watched);
        assert!(close(passed, expected), "{bad} bad columns: {passed} of {TRIALS}, expected 2^{expected:.2}");
    }
}

#[test]
fn words_far_from_the_code_are_found() {
    let (code, geometry) = small();
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let mut rows = codewords(&code, &vec![vec![5; 6]; 3]);
    rows[1] = code.random(code.parameters().threshold + 1, &mut rng);
    // The polynomial without its highest coefficient agrees with the word almost nowhere.
    assert!(passes(&code, &geometry, &rows, words) <= 1);
    let honest = codewords(&code, &vec![vec![5; 6]; 3]);
    assert_eq!(passes(&code, &geometry, &honest, words), TRIALS);
}

#[test]
fn relations_that_do_not_hold_are_found() {
    let (code, geometry) = small();
    let field = code.field();
    let product = |rows: &[Row]| -> Row {
        rows[0].iter().zip(&rows[1]).zip(&rows[2]).map(|((&x, &y), &z)| field.sub(field.mul(x, y), z)).collect()
    };
    let slots = move |rows: &[Row]| Statement { zeros: vec![product(rows)], ..Statement::default() };
    let mut blocks = vec![vec![3, 1, 4, 1, 5, 9], vec![2, 6, 5, 3, 5, 8], vec![6, 6, 20, 3, 25, 72]];
    let claim = |rows: &[Row]| -> bool {
        let statement = slots(rows);
        prove_and_verify_all(&code, &geometry, &statement).is_ok()
    };
    assert!(claim(&codewords(&code, &blocks)));
    blocks[2][5] += 1;
    assert!(!claim(&codewords(&code, &blocks)));

    let bits = |block: Vec<u64>| {
        let rows = codewords(&code, &[block]);
        let statement = Statement { bits: rows.iter().collect(), ..Statement::default() };
        prove_and_verify_all(&code, &geometry, &statement)
    };
    assert_eq!(bits(vec![0, 1, 1, 0, 0, 1]), Ok(()));
    assert_eq!(bits(vec![0, 1, 1, 0, 2, 1]), Err(Refused::Slots));

    let equal = |how: Equal, block: Vec<u64>| {
        let rows = codewords(&code, &[block, vec![8; 6]]);
        let statement = Statement { equal: vec![(how, rows.iter().collect())], ..Statement::default() };
        prove_and_verify_all(&code, &geometry, &statement)
    };
    assert_eq!(equal(Equal::Neurons, vec![4, 4, 4, 7, 7, 7]), Ok(()));
    assert_eq!(equal(Equal::Neurons, vec![4, 4, 5, 7, 7, 7]), Err(Refused::Linear));
    assert_eq!(equal(Equal::Queries, vec![1, 2, 3, 1, 2, 3]), Ok(()));
    assert_eq!(equal(Equal::Queries, vec![1, 2, 3, 1, 2, 4]), Err(Refused::Linear));

    // Values 10, 20 of query 0 and 30, 40 of query 1 minus masks 1, 2 and 3, 4.
    let link = |minus: bool, shifts: [u64; 6]| {
        let rows = codewords(&code, &[vec![10, 20, 0, 30, 40, 0], vec![1, 1, 1, 3, 3, 3], vec![2, 2, 2, 4, 4, 4]]);
        let link = Link { values: rows[0].clone(), rows: &rows[1..], shifts: &shifts, minus };
        prove_and_verify_all(&code, &geometry, &Statement { links: vec![link], ..Statement::default() })
    };
    let negative = |x: u64| field.neg(x);
    assert_eq!(link(false, [9, 18, 0, 27, 36, 0]), Ok(()));
    assert_eq!(link(false, [9, 18, 0, 27, 37, 0]), Err(Refused::Linear));
    assert_eq!(link(true, [negative(9), negative(18), 0, negative(27), negative(36), 0]), Ok(()));
    assert_eq!(link(true, [9, 18, 0, 27, 36, 0]), Err(Refused::Linear));
}

/// A verifier that watches all servers.
fn prove_and_verify_all(code: &Code, geometry: &Geometry, statement: &Statement<'_>) -> Result<(), Refused> {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let masks: Vec<Masks> = (0..REPETITIONS).map(|_| Masks::new(code, &mut rng)).collect();
    let challenge = [5; CHALLENGE_BYTES];
    let proof = message(&prove(code, geometry, statement, &masks, &challenge));
    let view = View { code, watched: None };
    verify(&view, geometry, statement, &masks, &challenge, &proof)
}
