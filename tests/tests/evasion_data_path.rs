//! The table of hostile frames against the data path: the library on the host,
//! and the program in the kernel.

use edge_filter::kernel::context;
use edge_filter::policy::{Action, Direction, Policy};
use edge_filter_tests::cases::{self, ROLE};
use edge_filter_tests::judge::{Hook, HostJudge, Judge, KernelJudge, require_root};

/// A judge for one policy after the other: it is made anew when the policy
/// changes, which the table seldom does.
fn cached<J: Judge>(
    make: impl Fn(Hook<'_>) -> J,
    direction: Direction,
    software_lengths: bool,
) -> impl FnMut(&Policy, &[u8]) -> (String, Action) {
    let mut current: Option<(String, J)> = None;
    move |policy, frame| {
        if current
            .as_ref()
            .is_none_or(|(hash, _)| *hash != policy.hash)
        {
            let hook = Hook {
                policy,
                interface: ROLE,
                direction,
                software_lengths,
            };
            current = Some((policy.hash.clone(), make(hook)));
        }
        let (_, judge) = current.as_mut().expect("it was just made");
        let verdict = judge.judge(frame);
        (verdict.counter, verdict.action)
    }
}

#[test]
fn on_the_host() {
    let report = cases::run(cached(HostJudge::new, Direction::Inbound, false));
    println!("{} frames judged on the host", report.judged);
    report.assert_clean();
}

#[test]
fn runts_on_the_host() {
    cases::run_cases(
        &cases::runts(),
        cached(HostJudge::new, Direction::Inbound, false),
    )
    .assert_clean();
}

#[test]
fn super_packets_on_the_host() {
    for software in [false, true] {
        let frames = cases::super_packets(software);
        cases::run_cases(
            &frames,
            cached(HostJudge::new, Direction::Inbound, software),
        )
        .assert_clean();
    }
}

/// Every case moves exactly one counter, by one packet and the frame's bytes:
/// the judge asserts it.
#[test]
fn in_the_kernel() {
    let report = cases::run(cached(KernelJudge::new, Direction::Inbound, false));
    println!("{} frames judged in the kernel", report.judged);
    report.assert_clean();
}

#[test]
fn outbound_on_the_host() {
    let judge = cached(HostJudge::new, Direction::Outbound, true);
    cases::run_cases(&cases::outbound(), judge).assert_clean();
}

#[test]
fn outbound_in_the_kernel() {
    let judge = cached(KernelJudge::new, Direction::Outbound, true);
    cases::run_cases(&cases::outbound(), judge).assert_clean();
}

/// Valid frames cut at every byte from 14 on, as they are and with the length
/// in their IP header made to fit: none is accepted by a rule whose header is cut.
#[test]
fn cut_frames() {
    let policy = cases::policy();
    let hook = Hook::inbound(&policy, ROLE);
    let mut host = HostJudge::new(hook);
    let mut kernel = KernelJudge::new(hook);
    let frames = cases::valid_frames();
    assert!(frames.len() >= 50, "{}", frames.len());
    let mut cut = 0;
    for valid in &frames {
        for judge in [&mut host as &mut dyn Judge, &mut kernel] {
            let whole = judge.judge(&valid.frame);
            assert_eq!(whole.counter, valid.counter, "{}", valid.name);
            assert_eq!(whole.action, Action::Allow, "{}", valid.name);
        }
        for frame in valid
            .prefixes()
            .map(<[u8]>::to_vec)
            .chain(valid.shortened())
        {
            let on_host = host.judge(&frame);
            assert_eq!(
                on_host.action,
                Action::Drop,
                "{} cut to {}",
                valid.name,
                frame.len()
            );
            assert_eq!(
                kernel.judge(&frame),
                on_host,
                "{} cut to {}",
                valid.name,
                frame.len()
            );
            cut += 1;
        }
    }
    println!("{cut} cut frames");
    assert!(cut > 1_000);
}

/// The first buffer ends anywhere in the headers: the verdict is the same.
#[test]
fn headers_beyond_the_first_buffer() {
    let policy = cases::policy();
    let hook = Hook::inbound(&policy, ROLE);
    let host = HostJudge::new(hook);
    let mut kernel = KernelJudge::new(hook);
    let mut beyond = 0;
    for valid in cases::valid_frames() {
        let whole = kernel.judge(&valid.frame);
        for linear in 14..valid.frame.len() {
            match host.judge_linear(&valid.frame, linear) {
                Some(verdict) => assert_eq!(verdict, whole, "{} at {linear}", valid.name),
                None => beyond += 1,
            }
            assert_eq!(
                kernel.judge_linear(&valid.frame, linear),
                whole,
                "{} at {linear}",
                valid.name
            );
        }
    }
    println!("{beyond} frames reached beyond the first buffer");
    assert!(beyond > 1_000);
}

/// What is behind the first buffer counts, padding as well, whether the kernel's own context
/// says that it is there or the length of the frame does.
#[test]
fn padding_beyond_the_first_buffer_is_counted() {
    require_root();
    assert!(
        context::is_known(),
        "this kernel does not let programs have its context: run the tests on Linux 6.2 or later"
    );
    let policy = cases::policy();
    let hook = Hook::inbound(&policy, ROLE);
    let judges = [
        KernelJudge::new(hook),
        KernelJudge::without_kernel_context(hook),
    ];
    let mut padded = 0;
    for mut kernel in judges {
        for valid in cases::valid_frames() {
            let whole = kernel.judge(&valid.frame);
            let mut frame = valid.frame.clone();
            frame.extend([0; 6]);
            if kernel.judge(&frame) != whole {
                // Padding may be a fault of its own.
                continue;
            }
            // The judge asserts the bytes.
            for linear in valid.frame.len() - 1..=frame.len() {
                let verdict = kernel.judge_linear(&frame, linear);
                assert_eq!(verdict, whole, "{} at {linear}", valid.name);
                padded += 1;
            }
        }
    }
    println!("{padded} frames with padding");
    assert!(padded > 500, "{padded}");
}
