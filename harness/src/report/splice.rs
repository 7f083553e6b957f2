//! Puts generated text between markers of a page that people write.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// What stands between `<!-- bench:NAME begin -->` and `<!-- bench:NAME end -->` is replaced by `text`.
///
/// # Errors
/// If a marker is missing, stands twice, or the end comes before the beginning.
pub(crate) fn splice(page: &str, name: &str, text: &str) -> Result<String> {
    let place = |marker: String| -> Result<(usize, usize)> {
        let found: Vec<_> = page.match_indices(&marker).collect();
        match found.as_slice() {
            [(at, _)] => Ok((*at, at + marker.len())),
            _ => bail!("marker '{marker}' stands {} times, not once", found.len()),
        }
    };
    let (_, begin) = place(format!("<!-- bench:{name} begin -->"))?;
    let (end, _) = place(format!("<!-- bench:{name} end -->"))?;
    ensure!(begin <= end, "the end marker of bench:{name} comes before its beginning");
    Ok(format!("{}\n\n{}\n\n{}", &page[..begin], text.trim(), &page[end..]))
}

/// Splices several texts into a file; nothing is written unless all markers are there.
///
/// # Errors
/// If the file cannot be read or written, or see [`splice`].
pub(crate) fn splice_file(path: &Path, texts: &[(&str, String)]) -> Result<()> {
    let shown = path.display();
    let mut page = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    for (name, text) in texts {
        page = splice(&page, name, text).with_context(|| shown.to_string())?;
    }
    fs::write(path, page).with_context(|| format!("cannot write {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Title\n<!-- bench:a begin -->old<!-- bench:a end -->\nrest\n";

    #[test]
    fn only_what_stands_between_the_markers_changes_and_again_changes_nothing() {
        let once = splice(PAGE, "a", "| table |\n").unwrap();
        assert_eq!(once, "# Title\n<!-- bench:a begin -->\n\n| table |\n\n<!-- bench:a end -->\nrest\n");
        assert_eq!(splice(&once, "a", "| table |").unwrap(), once);
    }

    #[test]
    fn broken_markers_are_refused_and_leave_the_file_alone() {
        let refused = |page: &str, expect: &str| {
            let e = splice(page, "a", "x").unwrap_err().to_string();
            assert!(e.contains(expect), "{e}");
        };
        refused("no markers", "stands 0 times");
        refused(&PAGE.replace("<!-- bench:a end -->", ""), "'<!-- bench:a end -->' stands 0 times");
        refused(&format!("{PAGE}{PAGE}"), "stands 2 times");
        refused("<!-- bench:a end --><!-- bench:a begin -->", "before its beginning");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("README.md");
        fs::write(&path, PAGE).unwrap();
        assert!(splice_file(&path, &[("a", "x".into()), ("b", "y".into())]).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), PAGE);
        splice_file(&path, &[("a", "x".into())]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("x\n\n<!-- bench:a end -->"));
    }
}
