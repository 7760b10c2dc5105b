//! `groups`: the rules, in the order in which they decide.

use jiff::civil::Date;

use super::super::diagnostic::{Mark, suggest};
use super::super::document::{self, Document, Field, List};
use super::super::outline::Node;
use super::super::rule::{Action, Direction, Endpoint, Ports, Rule};
use super::super::{EssentialCounter, Interface, Mode, Outbound};
use super::definitions::Networks;
use super::{Resolver, Written, is_audit, quoted};

/// What a rule takes from the group that it stands in.
struct Group<'d> {
    name: &'d str,
    enabled: bool,
    audit: bool,
}

impl Resolver<'_> {
    pub(super) fn groups(&mut self, document: &Document, root: &Node, mode: Mode) {
        if !document.groups.is_written() {
            self.findings
                .say(root.mark, "a policy has no 'groups', and needs them");
        }
        let Some(groups) = self.section(&document.groups, root, "groups") else {
            return;
        };
        let node = root.get("groups");
        for (index, group) in groups.iter().enumerate() {
            let node = node.at(index);
            if let Some(group) = self.findings.item(group, node, "an entry of 'groups'") {
                self.group(group, node, mode);
            }
        }
    }

    fn group(&mut self, group: &document::Group, node: &Node, policy: Mode) {
        self.findings
            .unknown_keys::<document::Group>(node, "a group");
        let name = self.findings.required(&group.name, node, "name", "a group");
        if let Some(name) = name {
            let mark = node.get("name").mark;
            self.findings.name(name, mark, "the name of a group");
            if let Some(first) = self.groups.insert(name.clone(), mark) {
                self.findings.help(
                    mark,
                    format!("a second group is called '{name}'"),
                    format!("the first is on line {}; rename one of them", first.line),
                );
            }
        }
        let enabled = self.findings.optional(&group.enabled, node, "enabled");
        let mode = self.findings.optional_word(&group.mode, node, "mode");
        let context = Group {
            name: name.map_or("", String::as_str),
            enabled: enabled.copied().unwrap_or(true),
            audit: is_audit(policy, mode),
        };
        // As with the top-level lists, a group whose last rule was commented
        // out stays valid.
        if !group.rules.is_written() {
            self.findings
                .say(node.mark, "a group has no 'rules', and needs them");
        }
        let Some(rules) = self.section(&group.rules, node, "rules") else {
            return;
        };
        let node = node.get("rules");
        for (index, rule) in rules.iter().enumerate() {
            let node = node.at(index);
            if let Some(rule) = self.findings.item(rule, node, "an entry of 'rules'") {
                self.findings.about(rule.id.given().map(String::as_str));
                let resolved = self.rule(rule, node, &context);
                self.findings.about(None);
                if let Some(resolved) = resolved
                    && context.enabled
                {
                    self.rules.push(resolved);
                    self.rule_marks.push(node.mark);
                }
            }
        }
    }

    fn rule(&mut self, rule: &document::Rule, node: &Node, group: &Group<'_>) -> Option<Rule> {
        let before = self.findings.count();
        self.findings.unknown_keys::<document::Rule>(node, "a rule");
        let id = self.findings.required(&rule.id, node, "id", "a rule");
        let action = self
            .findings
            .required_word(&rule.action, node, "action", "a rule");
        if let Some(id) = id {
            self.rule_id(id, node, action, group);
        }
        let (interface, direction) = self.hook(&rule.interface, &rule.direction, node, "a rule");
        let from = self.endpoint(&rule.from, node, "from");
        let to = self.endpoint(&rule.to, node, "to");
        let to_ports = to.as_ref().map(|to| to.ports.clone());
        let from_ports = from
            .as_ref()
            .map_or_else(Ports::new, |from| from.ports.clone());
        let transports = self.transports(rule, node, to_ports, &from_ports);
        let drops_replies = self.replies(&rule.replies, node, action);
        let comment = self
            .findings
            .optional(&rule.comment, node, "comment")
            .cloned();
        let refs = self.refs(&rule.refs, node);
        let expires = self.expires(&rule.expires, node, group.enabled);
        if self.findings.count() > before {
            return None;
        }
        Some(Rule {
            id: id?.clone(),
            group: group.name.to_owned(),
            interface: interface?,
            direction: direction?,
            from: from?,
            to: Endpoint {
                ports: Ports::new(),
                ..to?
            },
            transports: transports?,
            action: action?,
            drops_replies,
            audit: group.audit,
            comment,
            refs,
            expires,
            line: node.mark.line,
        })
    }

    fn rule_id(&mut self, id: &str, node: &Node, action: Option<Action>, group: &Group<'_>) {
        let mark = node.get("id").mark;
        if EssentialCounter::ALL
            .iter()
            .any(|essential| essential.as_str() == id)
        {
            self.findings.help(
                mark,
                format!("the id '{id}' is the name of an essential's counter"),
                format!("name the rule otherwise, such as '{id}-rule'"),
            );
        } else {
            self.findings.name(id, mark, "the id of a rule");
        }
        let written = Written {
            mark,
            action,
            audit: group.audit,
            enabled: group.enabled,
        };
        if let Some(first) = self.rule_ids.insert(id.to_owned(), written) {
            self.findings.help(
                mark,
                format!("a second rule has the id '{id}'"),
                format!(
                    "the first is on line {}; an id names one counter, so rename one of them",
                    first.mark.line
                ),
            );
        }
    }

    /// The hook that a rule or a test names: role and direction.
    pub(super) fn hook(
        &mut self,
        interface: &Field<String>,
        direction: &Field<String>,
        node: &Node,
        of: &str,
    ) -> (Option<String>, Option<Direction>) {
        let role = self.findings.required(interface, node, "interface", of);
        let direction = self
            .findings
            .required_word(direction, node, "direction", of);
        let Some(role) = role else {
            return (None, direction);
        };
        let mark = node.get("interface").mark;
        let Some(interface) = self
            .interfaces
            .iter()
            .find(|interface| interface.name == *role)
        else {
            self.no_role(role, mark);
            return (None, direction);
        };
        if interface.outbound == Outbound::Ignore && direction == Some(Direction::Outbound) {
            self.findings.help(
                node.get("direction").mark,
                format!("nothing that leaves through the role '{role}' is looked at"),
                format!("set 'outbound: enforce' (or track) for the role '{role}'"),
            );
        }
        (Some(role.clone()), direction)
    }

    fn no_role(&mut self, name: &str, mark: Mark) {
        let plays = |role: &&Interface| role.devices.iter().any(|device| device == name);
        if let Some(role) = self.interfaces.iter().find(plays) {
            let help = format!("write 'interface: {}', the role that it plays", role.name);
            let message = format!("{} is a device, where a role is expected", quoted(name));
            self.findings.help(mark, message, help);
        } else {
            let help = suggest(name, self.interfaces.iter().map(|role| role.name.as_str()));
            let message = format!(
                "there is no role called {} under 'interfaces'",
                quoted(name)
            );
            self.findings.add(mark, message, help);
        }
    }

    /// One side of a rule; absent means any address and any port.
    fn endpoint(
        &mut self,
        field: &Field<document::Endpoint>,
        node: &Node,
        side: &str,
    ) -> Option<Endpoint> {
        let mut endpoint = Endpoint::default();
        if !field.is_written() {
            return Some(endpoint);
        }
        let written = self.findings.optional(field, node, side)?;
        let node = node.get(side);
        let before = self.findings.count();
        self.findings
            .unknown_keys::<document::Endpoint>(node, &format!("'{side}'"));
        if let Some(list) = self.findings.optional(&written.networks, node, "networks") {
            endpoint.networks = match self.network_list(list, node.get("networks")) {
                Some(Networks::These(prefixes)) => Some(prefixes),
                Some(Networks::Any) | None => None,
            };
        }
        if let Some(list) = self.findings.optional(&written.except, node, "except") {
            let except = self.network_list(list, node.get("except"));
            endpoint.except = except.map(Networks::prefixes).unwrap_or_default();
        }
        if let Some(ports) = self.optional_ports(&written.ports, node) {
            endpoint.ports = ports;
        }
        (self.findings.count() == before).then_some(endpoint)
    }

    fn replies(&mut self, field: &Field<String>, node: &Node, action: Option<Action>) -> bool {
        let Some(word) = self.findings.optional(field, node, "replies") else {
            return false;
        };
        let mark = node.get("replies").mark;
        if word != "drop" {
            self.findings.help(
                mark,
                format!(
                    "{} is not a value of 'replies', which can only be 'drop'",
                    quoted(word)
                ),
                "remove it; replies to what rules allow pass by themselves",
            );
        } else if action == Some(Action::Allow) {
            self.findings.help(
                mark,
                "'replies: drop' stands in a rule that allows",
                "put it into a drop rule, which then also drops what replies to allowed packets",
            );
        }
        word == "drop"
    }

    fn refs(&mut self, field: &Field<List<String>>, node: &Node) -> Vec<String> {
        let Some(list) = self.findings.optional(field, node, "refs") else {
            return Vec::new();
        };
        let node = node.get("refs");
        let mut refs = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            refs.extend(
                self.findings
                    .item(item, node.at(index), "an entry of 'refs'")
                    .cloned(),
            );
        }
        refs
    }

    fn expires(&mut self, field: &Field<String>, node: &Node, enabled: bool) -> Option<Date> {
        let text = self.findings.optional(field, node, "expires")?;
        let mark = node.get("expires").mark;
        let bytes = text.as_bytes();
        let shape = bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-';
        let Some(date) = text.parse::<Date>().ok().filter(|_| shape) else {
            self.findings.help(
                mark,
                format!("{} is not a date", quoted(text)),
                "write year, month and day: 2027-06-30",
            );
            return None;
        };
        if date < self.today && enabled {
            self.findings.help(
                mark,
                format!("the rule expired on {date}"),
                "remove the rule, disable its group, or give it a later day",
            );
        }
        Some(date)
    }
}
