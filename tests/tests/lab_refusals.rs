//! What the kernel refuses, made to happen: the message names the device, the cause and the
//! remedy, what was enforced is enforced still and counts on, and nothing is left behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::foreign::{Foreign, ForeignLink};
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, binary, expect_exit};
use edge_filter_tests::lab::standing::{Standing, refusal};
use edge_filter_tests::lab::trial::FIRST;
use edge_filter_tests::lab::wire::End;
use edge_filter_tests::lab::{Lab, Plan, sample};
use nix::libc;

/// As many programs as a side of a device can have (`bpf_mprog_max` in
/// `include/linux/bpf_mprog.h`).
const MOST_PROGRAMS: usize = 63;

/// A lab that enforces [`sample::POLICY`] on two devices; a third one refuses.
fn enforcing() -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let first = lab.mounts.write("first.yaml", sample::POLICY)?;
    lab.apply(&first, Mode::Native)?;
    let other = sample::moved().replace("devices: [external]", "devices: [external, third]");
    let other = lab.mounts.write("other.yaml", &other)?;
    Ok((lab, other))
}

/// Makes `third`, whose peer sends through so many queues.
fn make_third(lab: &Lab, queues: u8) -> Result<End> {
    lab.edge.ip(&format!(
        "link add third numtxqueues 1 numrxqueues 1 type veth peer name third-peer numtxqueues \
         {queues} numrxqueues 1\n\
         link set third-peer up\nlink set third up\n"
    ))?;
    Ok(End {
        namespace: lab.edge.clone(),
        device: "third",
        mac: [0; 6],
    })
}

fn apply(lab: &Lab, policy: &PathBuf, arguments: &[&str]) -> Result<Command> {
    let mut command = lab.edge_filter(&["apply"])?;
    command.arg(policy).args(arguments);
    Ok(command)
}

/// Fails unless `apply` of another policy to the third device, too, is refused in such
/// words and changes nothing; what it said.
fn assert_refused(
    lab: &Lab,
    policy: &PathBuf,
    arguments: &[&str],
    words: &[&str],
) -> Result<String> {
    let mut probe = Probe::new(lab)?;
    ensure!(probe.open()? == FIRST);
    let (before, counted) = (Standing::of(lab)?, lab.counters()?);
    let message = refusal(&mut apply(lab, policy, arguments)?, words)?;
    before.assert_same(lab)?;
    ensure!(probe.open()? == FIRST, "the former policy does not decide");
    let grown = lab.counters()?.total("external")?.packets - counted.total("external")?.packets;
    ensure!(grown == 2, "{grown} of 2 packets were counted");
    println!("{message}");
    Ok(message)
}

/// The words between the last backquotes but `skip` of a message that begin with `begin`.
fn quoted(message: &str, begin: &str) -> Result<Vec<String>> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let command = quoted.find(|words| words.starts_with(begin));
    let command = command.with_context(|| format!("no `{begin} …` in:\n{message}"))?;
    Ok(command.split(' ').map(str::to_owned).collect())
}

/// Does as the message says, after which `apply` works.
fn follow(lab: &Lab, policy: &PathBuf, arguments: &[&str], remedy: &[String]) -> Result<()> {
    let mut command = lab.edge.command_in(&remedy[0], &lab.mounts);
    expect_exit(command.args(&remedy[1..]), 0)
        .context("`apt-get install bpftool iproute2` installs what the messages name")?;
    expect_exit(&mut apply(lab, policy, arguments)?, 0)?;
    ensure!(lab.edge.devices()?["third"].is_some());
    Ok(())
}

#[test]
fn a_foreign_link_of_xdp() -> Result<()> {
    for (native, mode) in [
        (true, "native"),
        (false, "generic"),
        (true, "generic"),
        (false, "native"),
        (false, "auto"),
    ] {
        let (lab, policy) = enforcing()?;
        let third = make_third(&lab, 1)?;
        let foreign = Foreign::load()?;
        let _link: ForeignLink = foreign.attach(&third, native)?;
        let cause = match (native, mode) {
            (true, "native") | (false, "generic") => "Device or resource busy",
            _ => "File exists",
        };
        let program = format!("program {} ('foreign')", foreign.id()?);
        let where_it_is = if native {
            "native mode"
        } else {
            "generic mode"
        };
        let arguments = ["--mode", mode];
        // What filters a device is not asked to change its mode.
        let arguments: &[&str] = if mode == "generic" { &[] } else { &arguments };
        let words = ["third", cause, &program, where_it_is, "is not ours"];
        if mode == "generic" {
            // The others are filtered natively: one command would refuse to change that.
            let (lab, _) = (&lab, lab.run(&["detach"], 0)?);
            let message = refusal(&mut apply(lab, &policy, &["--mode", mode])?, &words)?;
            ensure!(lab.mounts.pins()? == Vec::<PathBuf>::new());
            ensure!(lab.edge.devices()?["external"].is_none());
            println!("{message}");
            continue;
        }
        let message = assert_refused(&lab, &policy, arguments, &words)?;
        let remedy = quoted(&message, "bpftool link detach id")?;
        follow(&lab, &policy, arguments, &remedy)?;
    }
    Ok(())
}

#[test]
fn a_foreign_program_of_ip() -> Result<()> {
    for key in ["xdpdrv", "xdpgeneric"] {
        let (lab, policy) = enforcing()?;
        make_third(&lab, 1)?;
        let foreign = Foreign::load()?;
        foreign.pin(&lab.mounts.outside("bpffs/foreign"))?;
        let mut ip = lab.edge.command_in("ip", &lab.mounts);
        ip.args(["link", "set", "dev", "third", key, "pinned"]);
        expect_exit(ip.arg(lab.mounts.inside("bpffs/foreign")), 0)?;
        let remedy = format!("ip link set dev third {key} off");
        let program = format!("program {} ('foreign')", foreign.id()?);
        let message = assert_refused(&lab, &policy, &[], &["third", &program, &remedy])?;
        follow(&lab, &policy, &[], &quoted(&message, "ip link")?)?;
    }
    Ok(())
}

#[test]
fn a_device_that_is_not_there() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let words = ["'third'", "no such device", "--interface ROLE=DEVICE"];
    assert_refused(&lab, &policy, &[], &words)?;
    let long = "a-name-of-sixteen";
    let arguments = ["--interface", &format!("external=external,{long}")];
    assert_refused(&lab, &policy, &arguments, &[long, "at most 15 bytes"])?;
    Ok(())
}

#[test]
fn every_device_that_has_gone_during_a_trial() -> Result<()> {
    let (lab, policy) = enforcing()?;
    make_third(&lab, 1)?;
    let mut begin = apply(&lab, &policy, &["--confirm", "1h"])?;
    expect_exit(&mut begin, 0)?;
    lab.edge
        .ip("link del third\nlink del internal\nlink del external\n")?;
    let before = Standing::of(&lab)?;
    // Neither command has options that name devices.
    for command in ["confirm", "rollback"] {
        let words = [
            "'external'",
            "`edge-filter apply POLICY --interface ROLE=DEVICE`",
        ];
        refusal(&mut lab.edge_filter(&[command])?, &words)?;
        before.assert_same(&lab)?;
    }
    Ok(())
}

#[test]
fn too_few_queues() -> Result<()> {
    let (lab, policy) = enforcing()?;
    make_third(&lab, 4)?;
    let words = ["third", "No space left", "rx queues", "--mode generic"];
    assert_refused(&lab, &policy, &["--mode", "native"], &words)?;
    Ok(())
}

#[test]
fn too_many_programs_on_what_leaves() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let first = lab.mounts.write("first.yaml", &sample::both_ways())?;
    lab.apply(&first, Mode::Native)?;
    let policy = sample::both_ways().replace("devices: [external]", "devices: [external, third]");
    let policy = lab.mounts.write("other.yaml", &policy)?;
    let third = make_third(&lab, 1)?;
    let mut links = Vec::new();
    for _ in 0..MOST_PROGRAMS {
        links.push(Foreign::load_egress()?.attach_egress(&third, false)?);
    }
    let words = [
        "outbound side of third",
        "as many programs",
        "bpftool net show dev third",
    ];
    assert_refused(&lab, &policy, &[], &words)?;
    // With one place left it is the first of all.
    links.pop();
    expect_exit(&mut apply(&lab, &policy, &[])?, 0)?;
    Ok(())
}

#[test]
fn a_qdisc_that_takes_the_place_of_clsact() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let first = lab.mounts.write("first.yaml", &sample::both_ways())?;
    expect_exit(&mut apply(&lab, &first, &["--egress", "clsact"])?, 0)?;
    let policy = sample::both_ways().replace("devices: [external]", "devices: [external, third]");
    let policy = lab.mounts.write("other.yaml", &policy)?;
    make_third(&lab, 1)?;
    let mut tc = lab.edge.command("tc");
    expect_exit(tc.args(["qdisc", "add", "dev", "third", "ingress"]), 0)?;
    let words = [
        "outbound side of third by clsact",
        "tc qdisc show dev third",
    ];
    assert_refused(&lab, &policy, &["--egress", "clsact"], &words)?;
    Ok(())
}

/// The product, as `program` with `before` its own arguments.
fn wrapped(lab: &Lab, policy: &PathBuf, program: &str, before: &[&str]) -> Result<Command> {
    let mut command = lab.edge.command_in(program, &lab.mounts);
    command
        .env("EDGE_FILTER_PIN_ROOT", lab.mounts.pin_root())
        .env("EDGE_FILTER_STATE_DIR", lab.mounts.state_dir())
        .args(before)
        .arg(lab.mounts.install(&binary()?, "edge-filter-copy")?)
        .arg("apply")
        .arg(policy);
    Ok(command)
}

#[test]
fn who_may_not_is_told_what_is_lacking() -> Result<()> {
    let (lab, policy) = enforcing()?;
    make_third(&lab, 1)?;
    let before = Standing::of(&lab)?;
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut command = wrapped(&lab, &policy, "setpriv", &nobody)?;
    println!("{}", refusal(&mut command, &["uid 0", "run it as root"])?);
    // In a place of one's own it is the kernel that says no.
    let own = lab.mounts.outside("bpffs/own");
    fs::create_dir(&own)?;
    fs::set_permissions(&own, Permissions::from_mode(0o700))?;
    chown(&own, Some(65_534), Some(65_534))?;
    let mut command = wrapped(&lab, &policy, "setpriv", &nobody)?;
    command
        .env("EDGE_FILTER_PIN_ROOT", lab.mounts.inside("bpffs/own"))
        .env("EDGE_FILTER_STATE_DIR", lab.mounts.inside("state/own"));
    let words = [
        "Operation not permitted",
        "this is user 65534, without CAP_BPF",
    ];
    println!("{}", refusal(&mut command, &words)?);
    fs::remove_dir_all(&own)?;
    before.assert_same(&lab)?;
    for (dropped, words) in [
        ("-sys_admin,-bpf", &["CAP_BPF", "CAP_SYS_ADMIN"][..]),
        ("-sys_admin,-net_admin", &["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]),
    ] {
        let bounding = format!("--bounding-set={dropped}");
        let without = ["--inh-caps=-all", &bounding];
        let message = refusal(
            &mut wrapped(&lab, &policy, "setpriv", &without)?,
            &["root without"],
        )?;
        println!("{message}");
        for word in words {
            ensure!(message.contains(word), "{message}");
        }
        before.assert_same(&lab)?;
    }
    let mapped = ["--user", "--map-root-user"];
    let message = refusal(
        &mut wrapped(&lab, &policy, "unshare", &mapped)?,
        &["user namespace", "bpf(2)"],
    )?;
    println!("{message}");
    before.assert_same(&lab)
}

#[test]
fn a_filter_of_system_calls_is_named() -> Result<()> {
    let (lab, policy) = enforcing()?;
    make_third(&lab, 1)?;
    let before = Standing::of(&lab)?;
    let mut command = apply(&lab, &policy, &[])?;
    // SAFETY: between fork and exec, one system call and no allocation.
    unsafe { command.pre_exec(forbid_bpf) };
    let message = refusal(
        &mut command,
        &["Operation not permitted", "seccomp", "bpf(2)"],
    )?;
    println!("{message}");
    before.assert_same(&lab)
}

/// Has the kernel answer `EPERM` to bpf(2) from now on (seccomp(2)).
fn forbid_bpf() -> std::io::Result<()> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let bpf = u32::try_from(libc::SYS_bpf).map_err(std::io::Error::other)?;
    let forbidden = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    let mut instructions = [
        // The number of the system call is the first word of `struct seccomp_data`.
        instruction(LOAD_WORD, 0, 0, 0),
        instruction(JUMP_IF_EQUAL, 0, 1, bpf),
        instruction(RETURN, 0, 0, forbidden),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: instructions.as_mut_ptr(),
    };
    // SAFETY: the program is four instructions long, as it says, and lives during the call.
    let answer = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
