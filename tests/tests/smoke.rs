//! smoke
use edge_filter::policy::*;
use edge_filter_tests::judge::*;
#[test]
fn smoke() {
    let policy = Policy {
        name: "x".into(),
        hash: String::new(),
        mode: Mode::Enforce,
        interfaces: vec![Interface {
            name: "external".into(),
            devices: vec![],
            outbound: Outbound::Ignore,
            trust: Trust::Untrusted,
            vlans: None,
            protects: vec!["192.0.2.10/32".parse().unwrap()],
        }],
        essentials: Essentials::default(),
        ethertypes: Default::default(),
        flows: Flows::default(),
        default_action: Action::Drop,
        rules: (0..200)
            .map(|i| Rule {
                id: format!("r{i}"),
                group: "g".into(),
                interface: "external".into(),
                direction: Direction::Inbound,
                from: Endpoint::default(),
                to: Endpoint {
                    networks: Some(vec![format!("192.0.2.{}/32", i).parse().unwrap()]),
                    ..Default::default()
                },
                transports: vec![Transport {
                    protocol: 6,
                    ports: vec![443..=443],
                }],
                action: Action::Allow,
                drops_replies: false,
                audit: false,
                comment: None,
                refs: vec![],
                expires: None,
                line: 1,
            })
            .collect(),
        tests: vec![],
    };
    let hook = Hook::inbound(&policy, "external");
    let mut k = KernelJudge::new(hook);
    println!("insns {}", k.verified_instructions());
    let mut f = vec![];
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([198, 51, 100, 7], [192, 0, 2, 70], 64)
        .tcp(40000, 443, 1, 1024)
        .syn()
        .write(&mut f, &[])
        .unwrap();
    let mut h = HostJudge::new(hook);
    let mut m = ModelJudge::new(hook);
    println!("{} {} {}", m.judge(&f), h.judge(&f), k.judge(&f));
    println!("{}", k.judge_linear(&f, 30));
}
