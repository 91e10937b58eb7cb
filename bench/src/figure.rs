//! One figure: what was measured, what it was measured against, and what it is to reach.

use std::fmt;

use serde_json::{Value, json};

/// What a figure is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// The value: this or more.
    AtLeast(f64),
    /// The value: less than this.
    Below(f64),
    /// The ratio: this or more.
    RatioAtLeast(f64),
    /// The ratio: less than this.
    RatioBelow(f64),
}

/// One measured figure.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What was measured, from the general to the special: `reader.select_and_read`.
    pub(crate) name: &'static str,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// The value divided by that of something else measured in the same run, and what that was.
    pub(crate) ratio: Option<(f64, String)>,
    /// What it is to reach, all of it.
    pub(crate) targets: Vec<Target>,
}

impl Figure {
    pub(crate) const fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, ratio: None, targets: Vec::new() }
    }

    /// The same figure beside another value of the same unit.
    pub(crate) fn beside(mut self, other: f64, what: &str) -> Self {
        self.ratio = Some((self.value / other, format!("{what}, {} {}", rounded(other), self.unit)));
        self
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Whether it reaches what it is to reach; `None` if there is nothing of the kind.
    pub(crate) fn holds(&self) -> Option<bool> {
        (!self.targets.is_empty()).then(|| {
            self.targets.iter().all(|target| match *target {
                Target::AtLeast(least) => self.value >= least,
                Target::Below(limit) => self.value < limit,
                Target::RatioAtLeast(least) => self.ratio.as_ref().is_some_and(|(ratio, _)| *ratio >= least),
                Target::RatioBelow(limit) => self.ratio.as_ref().is_some_and(|(ratio, _)| *ratio < limit),
            })
        })
    }

    /// As one line for a program: `{name, value, unit, ratio, ratio_to, target, holds}`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "ratio": self.ratio.as_ref().map(|(ratio, _)| ratio),
            "ratio_to": self.ratio.as_ref().map(|(_, to)| to),
            "target": self.holds().map(|_| self.wanted()),
            "holds": self.holds(),
        })
    }

    fn wanted(&self) -> String {
        let wanted = self.targets.iter().map(|target| match target {
            Target::AtLeast(least) => format!(">= {} {}", rounded(*least), self.unit),
            Target::Below(limit) => format!("< {} {}", rounded(*limit), self.unit),
            Target::RatioAtLeast(least) => format!("ratio >= {least}"),
            Target::RatioBelow(limit) => format!("ratio < {limit}"),
        });
        wanted.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Figure {
    /// As one line for a user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34} {:>12} {}", self.name, rounded(self.value), self.unit)?;
        if let Some((ratio, to)) = &self.ratio {
            write!(f, "   {ratio:.2} of {to}")?;
        }
        match self.holds() {
            Some(true) => write!(f, "   [{}: holds]", self.wanted()),
            Some(false) => write!(f, "   [{}: MISSED]", self.wanted()),
            None => Ok(()),
        }
    }
}

/// Three digits that matter, thousands apart.
fn rounded(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.*}", if value < 1.0 { 3 } else { 1 });
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_it_holds() {
        let figure = Figure::new("a.b", 9_500.0, "APDU/s").beside(10_000.0, "nothing at all");
        assert_eq!(figure.holds(), None);
        let figure = figure.target(Target::AtLeast(5_000.0)).target(Target::RatioAtLeast(0.9));
        assert_eq!(figure.holds(), Some(true));
        assert_eq!(figure.to_json()["target"], ">= 5,000 APDU/s, ratio >= 0.9");
        assert_eq!(figure.to_json()["ratio_to"], "nothing at all, 10,000 APDU/s");
        assert_eq!(figure.clone().target(Target::Below(9_500.0)).holds(), Some(false));
        assert_eq!(figure.clone().target(Target::RatioBelow(0.95)).holds(), Some(false));
        assert_eq!(figure.clone().target(Target::RatioBelow(0.96)).holds(), Some(true));
        assert!(figure.to_string().contains("0.95 of nothing at all"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0312, 7.25, 1_234_567.8].map(rounded), ["0.031", "7.2", "1,234,568"]);
    }
}
