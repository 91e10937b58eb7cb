//! What every page has to be, as a browser sees it.

use serde_json::{Value, json};

use crate::webdriver::Window;

/// What axe-core finds against WCAG 2.2 A and AA and its best practices, a line each: the rule, and the element it is about.
const AXE: &str = "
    const line = (rule, node) => rule.id + ': ' + node.html;
    return axe.run({ rules: { 'target-size': { enabled: true } } }).then(found => found.passes.length < 10
        ? ['hardly anything was looked at']
        : found.violations.flatMap(rule => rule.nodes.map(node => line(rule, node))));
";

/// What axe-core, whose text this is, finds wrong with the page as it is; a list of lines.
pub fn violations(window: &Window<'_>, axe: &str) -> Value {
    window.evaluate(&format!("{axe};{AXE}"))
}

/// Has the page shown in these colours, without movement.
pub fn colours(window: &Window<'_>, scheme: &str) {
    let media = json!({ "features": [
        { "name": "prefers-color-scheme", "value": scheme },
        // No picture of colours on their way.
        { "name": "prefers-reduced-motion", "value": "reduce" },
    ] });
    window.chrome("Emulation.setEmulatedMedia", &media);
}
