//! Other filters under the same rules, on wires of the same kind, in the same run:
//! xdp-filter, nftables and iptables.

pub(super) mod costs;
mod iptables;
mod nft_script;
mod nftables;
mod rules;
mod tool;
mod xdp_filter;

use anyhow::{Context, Result};

use super::bar::Bar;
use super::documented::{POLICY, ROLE};
use super::plot::Level;
use super::progress::say;
use super::rate::Rate;
use super::receiver::{Product, Receiver, Reference};
use super::ruleset;
use super::runner::{Cores, Volume, cores};
use super::throughput::{DOCUMENTED, contest, our_name};
use super::traffic::{Fate, Traffic};
use costs::{PORTS_ONLY, PORTS_ONLY_POLICY};
use iptables::Iptables;
use nftables::Nftables;
use xdp_filter::XdpFilter;

pub(super) use nft_script::{Form, script};
pub(super) use rules::Rules;
pub use tool::Tool;
pub(super) use tool::{NFT, section, tools};

/// What is held against what, for those who read the figures.
pub(super) const COMPARED: &str = "\
All stand at one device, count, and drop what no rule allows. nftables, at the ingress
hook, has the policy's rules for what arrives, its protected sources, ARP and neighbour
discovery, as rules or as one concatenated interval set for each family; iptables, in raw
PREROUTING, has their IPv4 part; xdp-filter (native, policy deny) has the open ports without
the networks, with TCP alone by its object for that, beside which stands edge-filter where it
is asked for as little (TCP ports only). None of them looks for the faults of a frame that
edge-filter looks for, and none is asked for replies.";

/// How many rules the policies have that differ in nothing else.
const SIZES: [usize; 4] = [10, 100, 1000, 10_000];

/// Packets per second of all of them, beside edge-filter and a program that only drops.
pub(super) fn measure(volume: Volume) -> Result<Vec<Rate>> {
    let [traffic, _] = Traffic::NO_RULE;
    let first = *cores()?.first().context("a core to run on")?;
    let contest = |name: &str, receivers: Vec<Box<dyn Receiver>>| {
        say(format_args!("packets per second of others: {name}"));
        let receivers: Vec<&dyn Receiver> = receivers.iter().map(AsRef::as_ref).collect();
        contest(&receivers, traffic, Cores::One(first), volume)
    };

    let rules = Rules::read(POLICY, ROLE)?;
    let mut receivers: Vec<Box<dyn Receiver>> = vec![
        Box::new(Reference::new(Fate::Dropped)?),
        Box::new(Product::new(our_name(DOCUMENTED), POLICY)?),
    ];
    for form in [Form::Sets, Form::Rules] {
        add(&mut receivers, Nftables::new(DOCUMENTED, &rules, form));
    }
    for features in [xdp_filter::TCP_AND_UDP, xdp_filter::TCP] {
        add(&mut receivers, XdpFilter::new(features, &rules));
    }
    receivers.push(Box::new(Product::new(
        our_name(PORTS_ONLY),
        PORTS_ONLY_POLICY,
    )?));
    add(&mut receivers, Iptables::new(DOCUMENTED, &rules));
    let mut rates = contest(DOCUMENTED, receivers)?;

    for size in SIZES {
        let (name, policy) = (sized(size), ruleset::policy(size));
        let rules = Rules::read(&policy, ruleset::ROLE)?;
        let product = Product::new(our_name(&name), &policy)?;
        let mut receivers: Vec<Box<dyn Receiver>> = vec![
            Box::new(Reference::new(Fate::Dropped)?),
            Box::new(product.in_series(size)),
        ];
        for form in [Form::Sets, Form::Rules] {
            let filter = Nftables::new(&name, &rules, form);
            let in_series = |filter: Option<Nftables>| filter.map(|filter| filter.in_series(size));
            add(&mut receivers, filter.map(in_series));
        }
        rates.extend(contest(&name, receivers)?);
    }
    Ok(rates)
}

/// Adds another filter, if it is installed. One that does not work is nothing that ours has
/// to wait for.
fn add<R: Receiver + 'static>(receivers: &mut Vec<Box<dyn Receiver>>, receiver: Result<Option<R>>) {
    match receiver {
        Ok(receiver) => {
            receivers.extend(receiver.map(|receiver| Box::new(receiver) as Box<dyn Receiver>));
        }
        Err(error) => say(format_args!("NOT MEASURED: {error:#}")),
    }
}

/// What a table calls the policy of so many rules.
fn sized(rules: usize) -> String {
    format!("{rules} rules")
}

/// What a packet costs by those whose rules have no number.
pub(super) fn levels(rates: &[Rate]) -> Vec<Level> {
    let others = rates.iter().filter(|rate| {
        let name = &rate.receiver;
        name.starts_with(xdp_filter::NAME) || name.starts_with(iptables::NAME)
    });
    others
        .filter_map(|rate| {
            let y = rate.nanoseconds_over_base()?;
            let name = format!("veth: {}", rate.receiver);
            Some(Level { name, y })
        })
        .collect()
}

/// How much faster edge-filter is to be than nftables under the same policy.
pub(super) fn bars(rates: &[Rate]) -> Vec<Bar> {
    let ratio = |receiver: &str| rates.iter().find(|rate| rate.receiver == receiver)?.ratio;
    let many = sized(10_000);
    let over = |policy: &str, form| {
        Some(ratio(&our_name(policy))? / ratio(&nftables::name(policy, form))?)
    };
    let of_documented = [Form::Rules, Form::Sets].map(|form| over(DOCUMENTED, form));
    let [rules, sets] = of_documented;
    let least = rules.zip(sets).map(|(rules, sets)| rules.min(sets));
    [
        (
            format!("drop rate ÷ nftables, {DOCUMENTED}, in the faster of its forms"),
            3.5,
            least,
        ),
        (
            format!("drop rate ÷ nftables, {many} as a concatenated interval set"),
            3.0,
            over(&many, Form::Sets),
        ),
        (
            format!("drop rate ÷ nftables, {many} as rules"),
            500.0,
            over(&many, Form::Rules),
        ),
    ]
    .map(|(name, bar, found)| Bar::at_least(name, bar, found))
    .into()
}
