//! The report as a page: one file, nothing loaded from elsewhere, no script.

use std::fmt::Write as _;

use super::report::{Bin, Percentiles, Report};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1b1f;--paper:#fff;--line:#c8c8d0;--good:#2f6fb0;--bad:#b03a2e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e6ea;--paper:#17171b;--line:#4a4a55;--good:#6aa9e6;--bad:#e57f73}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse}th,td{text-align:right;padding:.2rem .8rem;border-bottom:1px solid var(--line)}\
th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto}text{fill:var(--ink);font:12px system-ui,sans-serif}\
.axis{stroke:var(--line)}.good{fill:var(--good)}.bad{fill:var(--bad)}";

/// Width and height of a plot, and of the room for its labels.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 60.0;
const BELOW: f64 = 30.0;
/// Bars of the plot over time; longer runs have more seconds to a bar.
const BARS: usize = 120;

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let Report { kind, of, done, succeeded, failed, seconds, per_second, .. } = report;
    let partial = if report.interrupted { ", interrupted" } else { "" };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Load: {kind}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>Load: {kind}</h1>\n<p>{done} of {of}{partial}: {succeeded} succeeded, {failed} failed, in {seconds:.1} s; \
         {per_second:.1} a second.</p>\n"
    );
    // Writing to a string does not fail.
    if let Some(Percentiles { min, mean, p50, p90, p95, p99, max }) = report.milliseconds {
        let _ = writeln!(
            page,
            "<h2>Time of each, in milliseconds</h2>\n<table><tr><th>min</th><th>mean</th><th>p50</th><th>p90</th><th>p95</th>\
             <th>p99</th><th>max</th></tr><tr><td>{min:.1}</td><td>{mean:.1}</td><td>{p50:.1}</td><td>{p90:.1}</td>\
             <td>{p95:.1}</td><td>{p99:.1}</td><td>{max:.1}</td></tr></table>"
        );
        let bars = report.histogram.iter().map(|Bin { from, to, count }| Bar {
            label: format!("{from:.2} to {to:.2} ms"),
            short: short(*from),
            counts: [*count, 0],
        });
        page.push_str(&plot("How many took so long, by milliseconds", &bars.collect::<Vec<_>>()));
    }
    let _ = writeln!(page, "<h2>Over time</h2>");
    page.push_str(&plot("How many ended in each second: succeeded, and failed above them", &over_time(report)));
    if !report.errors.is_empty() {
        page.push_str("<h2>Errors</h2>\n<table><tr><th>kind</th><th>count</th></tr>");
        for error in &report.errors {
            let _ = write!(page, "<tr><td>{}</td><td>{}</td></tr>", escaped(&error.kind), error.count);
        }
        page.push_str("</table>\n");
    }
    page.push_str("</body></html>\n");
    page
}

struct Bar {
    label: String,
    short: String,
    /// Succeeded, failed.
    counts: [usize; 2],
}

fn short(bound: f64) -> String {
    if bound < 1.0 { format!("{bound:.2}") } else { format!("{bound:.0}") }
}

fn over_time(report: &Report) -> Vec<Bar> {
    let seconds = report.timeline.len().div_ceil(BARS).max(1);
    let parts = report.timeline.chunks(seconds).enumerate();
    parts
        .map(|(part, counts)| Bar {
            label: format!("from second {}", part * seconds),
            short: (part * seconds).to_string(),
            counts: [0, 1]
                .map(|way| (counts.iter().filter_map(|counts| counts.get(way)).sum::<usize>()).div_ceil(counts.len())),
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "these are pixels")]
fn plot(title: &str, bars: &[Bar]) -> String {
    /// Labels below the axis, at most.
    const LABELS: usize = 15;
    let highest = bars.iter().map(|bar| bar.counts.iter().sum::<usize>()).max().unwrap_or_default().max(1);
    let step = (WIDTH - LEFT) / bars.len().max(1) as f64;
    let every = bars.len().div_ceil(LABELS).max(1);
    let (bottom, scale) = (HEIGHT - BELOW, (HEIGHT - BELOW - 10.0) / highest as f64);
    let mut svg = format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"><title>{title}</title>\
         <line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{WIDTH}\" y2=\"{bottom}\"/>\
         <line class=\"axis\" x1=\"{LEFT}\" y1=\"10\" x2=\"{WIDTH}\" y2=\"10\"/>\
         <text x=\"{x}\" y=\"14\" text-anchor=\"end\">{highest}</text>\
         <text x=\"{x}\" y=\"{bottom}\" text-anchor=\"end\">0</text>",
        x = LEFT - 6.0
    );
    for (number, Bar { label, short, counts: [good, bad] }) in bars.iter().enumerate() {
        let x = LEFT + step * number as f64;
        let mut top = bottom;
        for (class, count) in [("good", *good), ("bad", *bad)] {
            let height = count as f64 * scale;
            top -= height;
            if count > 0 {
                let width = (step * 0.85).max(0.5);
                // Writing to a string does not fail.
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
                     <title>{label}: {count}</title></rect>"
                );
            }
        }
        if number % every == 0 {
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y}\">{short}</text>", y = HEIGHT - 10.0);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Text from servers, as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn a_page_says_it_all_and_loads_nothing() {
        let page = page(&report(3, true));
        for part in
            ["103 of 200, interrupted", "<td>99.0</td>", "refused &lt;by&gt;", "class=\"bad\"", "class=\"good\""]
        {
            assert!(page.contains(part), "{page}");
        }
        for none in ["http", "<script", "src=", "\u{1b}"] {
            assert!(!page.contains(none), "{none}");
        }
        assert_eq!(page.matches("<svg").count(), 2);
    }

    #[test]
    fn a_long_run_has_a_bar_for_several_seconds() {
        let mut long = report(0, false);
        long.timeline = vec![[3, 0]; 1_000];
        let bars = over_time(&long);
        assert!(bars.len() <= BARS && bars.iter().all(|bar| bar.counts == [3, 0]));
        long.timeline.clear();
        assert!(plot("none", &over_time(&long)).contains("<svg"));
    }
}
