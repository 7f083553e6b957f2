//! The whole report as one page that needs nothing else: figures are inlined, and no script, style sheet, font or image is
//! fetched.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A page of the report: its file, and its Markdown.
pub(crate) struct Page<'a> {
    pub(crate) file: &'a str,
    pub(crate) markdown: &'a str,
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:74rem;margin:0 auto;padding:0 1rem 4rem}\
    h1{font-size:1.7rem}h2{margin-top:3rem;border-top:2px solid #ddd;padding-top:1rem}h1,h2,h3,h4{line-height:1.25}\
    nav a{margin-right:1.2em}a{color:#0072b2}code{font-size:.92em;background:#f3f3f3;padding:0 .2em}pre{background:#f3f3f3;padding:.6em;overflow-x:auto}\
    .scroll{overflow-x:auto;margin:1em 0}table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}\
    th,td{padding:.22em .6em;border-bottom:1px solid #ddd;vertical-align:top}thead th{border-bottom:2px solid #888;text-align:left;position:sticky;top:0;background:#fff}\
    tbody tr:hover{background:#f6f9fc}figure{margin:1.5em 0}figure svg{max-width:100%;height:auto}figcaption{color:#666;font-size:.86rem}";

/// The page: a table of contents, then every page as a section, in order.
///
/// # Errors
/// If a figure that a page shows is not in `figures`.
pub(crate) fn page(title: &str, pages: &[Page<'_>], figures: &Path) -> Result<String> {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<nav>"
    );
    for p in pages {
        let _ = write!(out, "<a href=\"#{}\">{}</a> ", anchor(p.file), escaped(heading(p.markdown)));
    }
    out += "</nav>\n";
    let mut shown = BTreeSet::new();
    for p in pages {
        let _ =
            write!(out, "<section id=\"{}\">\n{}</section>\n", anchor(p.file), section(p, pages, figures, &mut shown)?);
    }
    out += "</body>\n</html>\n";
    Ok(out)
}

/// `fusion-cost` for `fusion-cost.md`.
fn anchor(file: &str) -> String {
    file.split('.').next().unwrap_or(file).to_lowercase()
}

/// The text of the first heading.
fn heading(markdown: &str) -> &str {
    markdown.lines().find_map(|l| l.strip_prefix("# ")).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn section(p: &Page<'_>, pages: &[Page<'_>], figures: &Path, shown: &mut BTreeSet<String>) -> Result<String> {
    let mut events = Vec::new();
    let mut image: Option<(String, String)> = None;
    // Whether each open link is kept: one that leads out of the page's world is left as text.
    let mut links = Vec::new();
    for event in Parser::new_ext(p.markdown, Options::ENABLE_TABLES) {
        match (event, &mut image) {
            (Event::Start(Tag::Image { dest_url, .. }), _) => image = Some((dest_url.into_string(), String::new())),
            (Event::End(TagEnd::Image), i) => {
                if let Some((file, caption)) = i.take() {
                    events.push(Event::Html(figure(&file, &caption, figures, shown)?.into()));
                }
            }
            (Event::Text(t) | Event::Code(t), Some((_, caption))) => *caption += &t,
            (_, Some(_)) => {}
            (Event::Start(Tag::Link { link_type, dest_url, title, id }), None) => {
                let target = target(&dest_url, pages);
                links.push(target.is_some());
                if let Some(t) = target {
                    events.push(Event::Start(Tag::Link { link_type, dest_url: CowStr::from(t), title, id }));
                }
            }
            (Event::End(TagEnd::Link), None) => {
                if links.pop() == Some(true) {
                    events.push(Event::End(TagEnd::Link));
                }
            }
            (Event::Start(Tag::Heading { level, id, classes, attrs }), None) => {
                events.push(Event::Start(Tag::Heading { level: below(level), id, classes, attrs }));
            }
            (Event::End(TagEnd::Heading(level)), None) => events.push(Event::End(TagEnd::Heading(below(level)))),
            (e @ Event::Start(Tag::Table(_)), None) => events.extend([Event::Html("<div class=\"scroll\">".into()), e]),
            (e @ Event::End(TagEnd::Table), None) => events.extend([e, Event::Html("</div>\n".into())]),
            (Event::Html(_) | Event::InlineHtml(_), None) => {} // comments on who made the page
            (e, None) => events.push(e),
        }
    }
    let mut out = String::new();
    html::push_html(&mut out, events.into_iter());
    Ok(out)
}

/// One level lower: the page has a title of its own.
fn below(level: HeadingLevel) -> HeadingLevel {
    HeadingLevel::try_from(level as usize + 1).unwrap_or(HeadingLevel::H6)
}

/// Where a link leads: another page of the report is a section of this one; the web stays; files are not here.
fn target(link: &str, pages: &[Page<'_>]) -> Option<String> {
    if link.starts_with("https://") || link.starts_with('#') {
        return Some(link.to_owned());
    }
    let file = link.split('#').next()?.rsplit('/').next()?;
    pages.iter().any(|p| p.file == file).then(|| format!("#{}", anchor(file)))
}

/// A figure once; after that, a link to it.
fn figure(file: &str, caption: &str, figures: &Path, shown: &mut BTreeSet<String>) -> Result<String> {
    let (name, caption) = (anchor(file), escaped(caption));
    if !shown.insert(name.clone()) {
        return Ok(format!("<a href=\"#figure-{name}\">Figure: {caption}</a>"));
    }
    let path = figures.join(file);
    let svg = fs::read_to_string(&path).with_context(|| format!("cannot read the figure {}", path.display()))?;
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{caption}\" "), 1);
    Ok(format!("<figure id=\"figure-{name}\">{svg}<figcaption>{caption}</figcaption></figure>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pages: &[Page<'_>]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let svg = "<svg width=\"1\" height=\"1\" xmlns=\"http://www.w3.org/2000/svg\">\n</svg>\n";
        fs::write(dir.path().join("time.svg"), svg).unwrap();
        page("Report", pages, dir.path()).unwrap()
    }

    #[test]
    fn pages_become_sections_and_figures_are_inlined_once() {
        let text = made(&[
            Page {
                file: "README.md",
                markdown: "<!-- Made by -->\n\n# Totals\n\n![Time of `a < b`](time.svg)\n\n[claims](claims.md), [x](../x.csv)",
            },
            Page { file: "claims.md", markdown: "# Claims\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n![Time](time.svg)\n" },
        ]);
        for part in [
            "<a href=\"#claims\">Claims</a>",
            "<section id=\"readme\">",
            "<h2>Totals</h2>",
            "<figure id=\"figure-time\"><svg role=\"img\" aria-label=\"Time of a &lt; b\" width=\"1\"",
            "<a href=\"#claims\">claims</a>, x",
            "<div class=\"scroll\"><table>",
            "<td style=\"text-align: right\">2</td>",
            "<a href=\"#figure-time\">Figure: Time</a>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("<svg").count(), 1);
        assert!(!text.contains("Made by"), "{text}");
    }

    #[test]
    fn nothing_is_fetched() {
        let text = made(&[Page { file: "a.md", markdown: "# A\n\n![x](time.svg)\n\n<img src=\"http://x/y.png\">" }]);
        for fetching in ["<script", "<link", "<img", "<iframe", " src=", "url(", "@import"] {
            assert!(!text.contains(fetching), "{fetching}: {text}");
        }
    }

    #[test]
    fn a_figure_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let pages = [Page { file: "a.md", markdown: "![x](none.svg)" }];
        assert!(page("t", &pages, dir.path()).unwrap_err().to_string().contains("none.svg"));
    }
}
