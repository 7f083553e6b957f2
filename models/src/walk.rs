//! Evaluates a graph node by node on one image, keeping a value only as long as it is needed.

use std::borrow::Cow;

use ndarray::{Array2, Array4};
use rayon::prelude::*;

use crate::{Error, Graph, Result, ValueId};

/// Operands of a node: the first may be worked on in place if nobody else needs it.
pub(crate) struct Operands<'a, T: Clone> {
    pub(crate) x: Cow<'a, [T]>,
    pub(crate) others: Vec<&'a [T]>,
}

impl<T: Clone> Operands<'_, T> {
    /// All of them, one after the other.
    pub(crate) fn concatenated(self) -> Vec<T> {
        let mut all = self.x.into_owned();
        self.others.into_iter().for_each(|part| all.extend_from_slice(part));
        all
    }

    /// Each number of the first with its neighbour in the second.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&T, &T)> {
        self.x.iter().zip(self.others.iter().copied().flatten())
    }
}

/// Index of the last node that uses each value; the answer is used by nobody and stays.
fn last_uses(graph: &Graph) -> Vec<Option<usize>> {
    let mut last = vec![None; graph.nodes().len() + 1];
    for (index, node) in graph.nodes().iter().enumerate() {
        for value in &node.inputs {
            last[*value] = Some(index);
        }
    }
    last
}

/// The answer for one image. `apply(index, operands)` computes node `index`.
pub(crate) fn walk<T: Clone>(
    graph: &Graph,
    input: Vec<T>,
    mut apply: impl FnMut(usize, Operands<'_, T>) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let last = last_uses(graph);
    let mut values: Vec<Vec<T>> = Vec::with_capacity(last.len());
    values.push(input);
    for (index, node) in graph.nodes().iter().enumerate() {
        let take = |v: ValueId, values: &mut Vec<Vec<T>>| {
            (last[v] == Some(index) && node.inputs.iter().filter(|u| **u == v).count() == 1)
                .then(|| std::mem::take(&mut values[v]))
        };
        let first = node.inputs[0];
        let taken = take(first, &mut values);
        let x = taken.map_or_else(|| Cow::Borrowed(values[first].as_slice()), Cow::Owned);
        let others = node.inputs[1..].iter().map(|v| values[*v].as_slice()).collect();
        let output = apply(index, Operands { x, others })?;
        for v in &node.inputs {
            if last[*v] == Some(index) {
                values[*v] = Vec::new();
            }
        }
        values.push(output);
    }
    Ok(values.pop().unwrap_or_default())
}

/// The images of a batch, each as a vector.
///
/// # Errors
/// If their shape is not the graph's.
pub(crate) fn images<T: Copy>(graph: &Graph, batch: &Array4<T>) -> Result<Vec<Vec<T>>> {
    let expected = graph.input_shape();
    if batch.shape()[1..] != expected {
        return Err(Error::Shape {
            model: graph.name().to_owned(),
            node: "input".to_owned(),
            why: format!("images of shape {:?}, the model takes {expected:?}", &batch.shape()[1..]),
        });
    }
    Ok(batch.outer_iter().map(|image| image.iter().copied().collect()).collect())
}

/// Evaluates the images of a batch, one thread an image, into scores (n, classes).
pub(crate) fn batch<T: Copy + Send + Sync>(
    graph: &Graph,
    input: &Array4<T>,
    one: impl Fn(Vec<T>) -> Result<Vec<T>> + Send + Sync,
) -> Result<Array2<T>> {
    let rows: Vec<Vec<T>> = images(graph, input)?.into_par_iter().map(one).collect::<Result<_>>()?;
    Ok(scores(graph, rows))
}

/// Rows of scores as one array (n, classes).
pub(crate) fn scores<T>(graph: &Graph, rows: Vec<Vec<T>>) -> Array2<T> {
    let shape = (rows.len(), graph.classes());
    let flat = rows.into_iter().flatten().collect();
    Array2::from_shape_vec(shape, flat).expect("every row holds one score a class")
}
