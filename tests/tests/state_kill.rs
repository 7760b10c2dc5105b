//! A process that writes state is killed at any instant: what is read afterwards is what
//! it wrote last, or what it was about to write.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_filter::generation::state_dir::StateDir;
use edge_filter_tests::generate::seeded;
use edge_filter_tests::{soak, writing};
use rand::RngExt;

/// How often the writer is killed, in a soak run.
const KILLS: usize = 500;

#[test]
fn state_is_old_or_new_after_a_kill_at_any_instant() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let state = StateDir::new(directory.path().to_owned());
    let mut random = seeded(soak::first_seed());
    let (mut older, mut between, mut newer, mut unfinished) = (0, 0, 0, 0);
    let kills = soak::times(KILLS);
    for kill in 0..kills {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_state_writer"))
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(writer.stdout.take().context("piped")?).lines();
        // It writes by now; from here on any instant will do.
        let mut last = lines.next().context("the writer said nothing")??;
        sleep(Duration::from_micros(random.random_range(0..20_000)));
        writer.kill()?;
        writer.wait()?;
        for line in lines {
            last = line?;
        }
        let last: u64 = last
            .parse()
            .with_context(|| format!("the writer said {last}"))?;
        let tally = state.tally()?.folded;
        let records = state.records()?;
        let written: u64 = records
            .first()
            .map_or(Ok(0), |record| record.policy.name.parse())?;
        ensure!(
            [last, last - 1].contains(&tally) && [last, last - 1].contains(&written),
            "kill {kill}: {last} was on its way, and there are {written} and {tally}"
        );
        ensure!(tally <= written, "kill {kill}: the later one came first");
        if let Some(record) = records.first() {
            let whole = writing::record(written);
            ensure!(
                record.policy == whole.policy,
                "kill {kill}: {written} is not whole"
            );
        }
        match (written == last, tally == last) {
            (false, _) => older += 1,
            (true, false) => between += 1,
            (true, true) => newer += 1,
        }
        let leftover = |name: &str| directory.path().join(name).exists();
        if leftover("tally.new") || leftover(&format!("generations/{}.new", writing::GENERATION)) {
            unfinished += 1;
        }
        state.sweep()?;
        ensure!(!leftover("tally.new"), "kill {kill}: it is not swept");
    }
    println!(
        "{kills} kills: {older} before the record, {between} between the two files, {newer} after \
         both; {unfinished} left an unfinished file"
    );
    ensure!(unfinished > 0, "none was killed while it wrote");
    Ok(())
}
