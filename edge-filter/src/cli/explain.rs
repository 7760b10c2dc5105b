//! `edge-filter explain`: what a policy does to one packet.

use super::args::ExplainArgs;
use super::failure::Failure;
use super::output::{print, print_json};
use super::policy_file;
use crate::policy::describe::{Words, describe};
use crate::policy::explain::{Explanation, explain};

pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let policy = policy_file::read(&args.policy)?.policy;
    let spec = describe(Words {
        interface: &args.interface,
        direction: args.direction.into(),
        protocol: &args.protocol,
        from: &args.from,
        to: &args.to,
        tcp_flags: args.tcp_flags.as_deref(),
    })
    .map_err(Failure::NoVerdict)?;
    let explanation =
        explain(&policy, &spec).map_err(|error| Failure::NoVerdict(error.to_string()))?;
    if args.json.json {
        return print_json(&explanation);
    }
    let Explanation {
        action,
        id,
        line,
        answers,
    } = explanation;
    let answers = answers.map_or(String::new(), |rule| {
        format!(
            "\n  While a conversation that '{rule}' allows is open, this packet answers it, and \
             passes as '{rule}/reply'"
        )
    });
    let verdict = match line {
        Some(line) => {
            let file = args.policy.display();
            let comment = policy
                .rules
                .iter()
                .find(|rule| rule.line == line)
                .and_then(|rule| rule.comment.as_deref())
                .map_or(String::new(), |comment| format!("\n  {comment}"));
            format!("{action} by rule '{id}' ({file}:{line}){comment}")
        }
        None => format!("{action} as {id}: no rule decided"),
    };
    print(&format!("{verdict}{answers}"))
}
