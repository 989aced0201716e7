// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which optional dependencies the resolved features really switch on.

use std::collections::BTreeMap;

use cargo_metadata::{FeatureName, Package};

/// Whether the features that are on ask for the dependency. The lock file, and with it the resolved
/// graph, also holds optional packages that are named by nothing but weak features (`ring?/alloc`);
/// they are not compiled.
pub(super) fn is_on(user: &Package, on: &[FeatureName], to: &Package) -> bool {
    let mut asked = user
        .dependencies
        .iter()
        .filter(|asked| asked.name == to.name.as_str())
        .peekable();
    // An edge that the manifest does not explain is kept: the rules then see too much, not too little.
    if asked.peek().is_none() {
        return true;
    }
    asked.any(|asked| {
        let name = asked.rename.as_ref().unwrap_or(&asked.name);
        let on = on.iter().map(|feature| feature.as_str());
        !asked.optional || asks_for(&user.features, on, name)
    })
}

/// Whether one of the features names the optional dependency: `dep:ring`, `ring` or `ring/alloc`.
fn asks_for<'a>(
    features: &BTreeMap<String, Vec<String>>,
    on: impl Iterator<Item = &'a str>,
    name: &str,
) -> bool {
    let names = |value: &str| {
        let dependency = value
            .strip_prefix("dep:")
            .or_else(|| value.split_once('/').map(|(before, _)| before));
        dependency == Some(name)
    };
    on.filter_map(|feature| features.get(feature))
        .flatten()
        .any(|value| names(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_feature_does_not_ask_for_its_dependency() {
        let feature = |name: &str, values: &[&str]| {
            (
                name.to_owned(),
                values.iter().map(ToString::to_string).collect::<Vec<_>>(),
            )
        };
        let features: BTreeMap<_, _> = [
            feature("alloc", &["ring?/alloc"]),
            feature("ring", &["dep:ring"]),
            feature("fast", &["ring/fast"]),
        ]
        .into();
        let asks = |on: &[&str]| asks_for(&features, on.iter().copied(), "ring");
        assert!(!asks(&["alloc"]));
        assert!(asks(&["alloc", "ring"]));
        assert!(asks(&["fast"]));
    }
}
