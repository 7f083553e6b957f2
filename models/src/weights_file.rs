//! Weights as files in the safetensors format: `NAME.weight` and `NAME.bias` for each node, f32.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Error, Graph, Layer, Op, Result, Weights, sha256_mismatch};

impl Weights {
    /// Reads the weights of `graph` from the bytes of the file `path`, refusing other tensors than the graph's.
    ///
    /// # Errors
    /// If the bytes' SHA-256 is not `sha256` (when given), or they are not these weights: an [`Error::File`] that names
    /// the file.
    pub fn from_safetensors(path: &str, bytes: &[u8], sha256: Option<&str>, graph: &Graph) -> Result<Self> {
        let wrong = |why: String| Error::File { path: path.to_owned(), why };
        if let Some(why) = sha256.and_then(|expected| sha256_mismatch(bytes, expected)) {
            return Err(wrong(format!("{why}; restore the file or fetch it again")));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(format!("not a safetensors file: {e}")))?;
        let read = |name: String, shape: &[usize]| {
            let tensor = file.tensor(&name).map_err(|_| wrong(format!("no tensor '{name}'")))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
                let (dtype, is) = (tensor.dtype(), tensor.shape());
                return Err(wrong(format!("tensor '{name}' is {dtype:?} {is:?}, the graph needs F32 {shape:?}")));
            }
            let numbers = tensor.data().as_chunks::<4>().0;
            Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<f32>>())
        };
        let mut layers = BTreeMap::new();
        for (name, shape) in shapes(graph) {
            let weights = read(format!("{name}.weight"), &shape)?;
            let bias = read(format!("{name}.bias"), &shape[..1])?;
            layers.insert(name, Layer { weights, bias });
        }
        if file.len() != 2 * layers.len() {
            return Err(wrong(format!("{} tensors, the graph has {}", file.len(), 2 * layers.len())));
        }
        Ok(Self { layers })
    }

    /// The file that [`Weights::from_safetensors`] reads. The same weights give the same bytes.
    ///
    /// # Errors
    /// If these are not the weights of `graph`.
    pub fn to_safetensors(&self, graph: &Graph) -> Result<Vec<u8>> {
        let wrong = |why: String| Error::Weights { model: graph.name().to_owned(), why };
        let bytes = |numbers: &[f32]| -> Vec<u8> { numbers.iter().flat_map(|v| v.to_le_bytes()).collect() };
        let mut tensors = Vec::new();
        for (name, shape) in shapes(graph) {
            let layer = self.layers.get(&name).ok_or_else(|| wrong(format!("no weights for '{name}'")))?;
            tensors.push((format!("{name}.weight"), shape.clone(), bytes(&layer.weights)));
            tensors.push((format!("{name}.bias"), vec![shape[0]], bytes(&layer.bias)));
        }
        let views = tensors
            .iter()
            .map(|(name, shape, data)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data)?)))
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
        let file = views.and_then(|views| safetensors::serialize(views, None));
        file.map_err(|e| wrong(e.to_string()))
    }
}

/// Name and weights' shape of each node that has weights: (out, in / groups, kh, kw) or (out, in).
pub(crate) fn shapes(graph: &Graph) -> Vec<(String, Vec<usize>)> {
    let nodes = graph.nodes().iter();
    nodes
        .filter_map(|node| {
            let input = graph.shape(node.inputs[0]);
            let shape = match &node.op {
                Op::Conv { out_channels, window, groups } => {
                    vec![*out_channels, input[0] / groups, window.kernel[0], window.kernel[1]]
                }
                Op::Fc { out_features } => vec![*out_features, input.iter().product()],
                _ => return None,
            };
            Some((node.name.clone(), shape))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sha256_hex, zoo};

    #[test]
    fn weights_read_back() {
        let graph = zoo::graph("tiny").unwrap();
        let weights = Weights::random(&graph, 5);
        let file = weights.to_safetensors(&graph).unwrap();
        assert_eq!(file, weights.to_safetensors(&graph).unwrap());
        assert_eq!(Weights::from_safetensors("f", &file, Some(&sha256_hex(&file)), &graph).unwrap(), weights);
        assert!(Weights::default().to_safetensors(&graph).is_err());
    }

    #[test]
    fn a_damaged_file_is_refused_with_both_hashes() {
        let graph = zoo::graph("tiny").unwrap();
        let mut file = Weights::random(&graph, 5).to_safetensors(&graph).unwrap();
        let pinned = sha256_hex(&file);
        *file.last_mut().unwrap() ^= 1;
        let e = Weights::from_safetensors("some/file", &file, Some(&pinned), &graph).unwrap_err().to_string();
        assert!(e.starts_with("some/file: ") && e.contains(&pinned) && e.contains(&sha256_hex(&file)), "{e}");
        assert!(!e.contains('\n'));
    }

    #[test]
    fn a_file_for_another_graph_is_refused() {
        let (tiny, cnn4) = (zoo::graph("tiny").unwrap(), zoo::graph("mnist-cnn4").unwrap());
        let file = Weights::random(&tiny, 5).to_safetensors(&tiny).unwrap();
        let read = |bytes: &[u8], graph| Weights::from_safetensors("f", bytes, None, graph).unwrap_err().to_string();
        assert!(read(&file, &cnn4).contains("conv1.weight"));
        assert!(read(&file[..file.len() - 4], &tiny).contains("not a safetensors file"));
        assert!(read(b"", &tiny).contains("not a safetensors file"));
        assert!(read(&[0xff; 64], &tiny).contains("not a safetensors file"));
    }
}
