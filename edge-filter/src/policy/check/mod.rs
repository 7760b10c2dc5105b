//! From the document to the policy: names become what they stand for, and
//! everything that contradicts the language is found, all of it in one run.

mod definitions;
mod fields;
mod host;
mod interfaces;
pub(super) mod packets;
mod rules;
pub(super) mod transports;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use jiff::civil::Date;

use super::diagnostic::{Findings, Mark};
use super::document::Document;
use super::outline::Node;
use super::rule::{Action, Transport};
use super::{Interface, Mode, Policy, Rule, Taken};

pub(super) use transports::is_ipv6_header;

use fields::quoted;

/// A policy, and where its parts stand: what warnings are made of.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) policy: Policy,
    /// Where each of the policy's rules begins, in the same order.
    pub(super) rule_marks: Vec<Mark>,
    /// Where each role's name stands, in the same order.
    pub(super) interface_marks: Vec<Mark>,
    /// Where the essentials' `router-advertisements` stand.
    pub(super) advertisements_mark: Mark,
    /// Definitions that nothing uses: their kind, name and place.
    pub(super) unused: Vec<(&'static str, String, Mark)>,
}

/// What has been read so far, for what comes later in the file to refer to.
struct Resolver<'a> {
    findings: Findings<'a>,
    today: Date,
    interfaces: Vec<Interface>,
    interface_marks: Vec<Mark>,
    networks: BTreeMap<String, Definition<Vec<IpNet>>>,
    services: BTreeMap<String, Definition<Vec<Transport>>>,
    groups: HashMap<String, Mark>,
    rule_ids: HashMap<String, Written>,
    rules: Vec<Rule>,
    rule_marks: Vec<Mark>,
}

/// A network or a service.
struct Definition<T> {
    mark: Mark,
    used: bool,
    /// Empty if it holds an error; its name is known all the same, so that one
    /// mistake is not reported where the name is used.
    value: T,
}

/// What is known of a rule by its id, even when the rule holds errors.
struct Written {
    mark: Mark,
    action: Option<Action>,
    audit: bool,
    enabled: bool,
}

/// Checks a document. `Err` holds every error; nothing is resolved then.
pub(super) fn resolve<'a>(
    document: &Document,
    root: &Node,
    hash: String,
    today: Date,
    findings: Findings<'a>,
) -> Result<Resolved, Findings<'a>> {
    let mut resolver = Resolver {
        findings,
        today,
        interfaces: Vec::new(),
        interface_marks: Vec::new(),
        networks: BTreeMap::new(),
        services: BTreeMap::new(),
        groups: HashMap::new(),
        rule_ids: HashMap::new(),
        rules: Vec::new(),
        rule_marks: Vec::new(),
    };
    let policy = resolver.policy(document, root, hash);
    match policy {
        Some(policy) if resolver.findings.count() == 0 => Ok(resolver.finish(policy, root)),
        _ => Err(resolver.findings),
    }
}

impl Resolver<'_> {
    fn policy(&mut self, document: &Document, root: &Node, hash: String) -> Option<Policy> {
        self.findings.unknown_keys::<Document>(root, "a policy");
        self.version(document, root);
        let name = self.policy_name(document, root);
        let mode = self
            .findings
            .optional_word(&document.mode, root, "mode")
            .unwrap_or_default();
        self.networks(document, root);
        self.services(document, root);
        self.interfaces(document, root);
        let essentials = self.essentials(document, root);
        let ethertypes = self.ethertypes(document, root);
        let flows = self.flows(document, root);
        let default_action = self.default_action(document, root);
        self.groups(document, root, mode);
        let tests = self.tests(document, root, mode);
        Some(Policy {
            name: name?,
            hash,
            mode,
            interfaces: std::mem::take(&mut self.interfaces),
            essentials,
            ethertypes,
            flows,
            default_action: default_action?,
            rules: std::mem::take(&mut self.rules),
            tests,
            taken: Taken {
                groups: self.groups.keys().cloned().collect(),
                rules: self.rule_ids.keys().cloned().collect(),
            },
        })
    }

    fn finish(self, policy: Policy, root: &Node) -> Resolved {
        let networks = self
            .networks
            .into_iter()
            .filter(|(_, network)| !network.used)
            .map(|(name, network)| ("network", name, network.mark));
        let services = self
            .services
            .into_iter()
            .filter(|(_, service)| !service.used)
            .map(|(name, service)| ("service", name, service.mark));
        Resolved {
            policy,
            rule_marks: self.rule_marks,
            interface_marks: self.interface_marks,
            advertisements_mark: root.get("essentials").key("router-advertisements"),
            unused: networks.chain(services).collect(),
        }
    }

    fn version(&mut self, document: &Document, root: &Node) {
        let Some(version) = self
            .findings
            .required(&document.version, root, "version", "a policy")
        else {
            return;
        };
        let node = root.get("version");
        if let Some(number) = self.findings.number(version, node, "the version")
            && number != 1
        {
            self.findings.help(
                node.mark,
                format!("version {number} of the language is not known to this program"),
                "this program reads 'version: 1'",
            );
        }
    }

    fn policy_name(&mut self, document: &Document, root: &Node) -> Option<String> {
        const LONGEST: usize = 64;
        let name = self
            .findings
            .required(&document.name, root, "name", "a policy")?;
        let length = name.chars().count();
        if length == 0 || length > LONGEST || name.chars().any(char::is_control) {
            self.findings.help(
                root.get("name").mark,
                format!(
                    "the policy's name {} cannot be printed on a line",
                    quoted(name)
                ),
                format!("use 1 to {LONGEST} characters, none of them a control character"),
            );
            return None;
        }
        Some(name.clone())
    }

    fn default_action(&mut self, document: &Document, root: &Node) -> Option<Action> {
        let field = &document.default_action;
        self.findings
            .required_word(field, root, "default_action", "a policy")
    }
}

/// The names of devices that roles have claimed so far.
type Claimed = BTreeSet<String>;

/// Whether a mode, or the policy's, makes drops pass.
fn is_audit(policy: Mode, group: Option<Mode>) -> bool {
    policy == Mode::Audit || group == Some(Mode::Audit)
}

/// The words of an enumeration, in the order of the alphabet.
#[cfg(test)]
pub(super) fn words_of<E: fields::Word>() -> Vec<&'static str> {
    let mut words: Vec<&str> = E::WORDS.iter().map(|(word, _)| *word).collect();
    words.sort_unstable();
    words
}
