//! Runs cases as long as wanted: `cargo run --release -p bpfsmith-fuzz -- object --seconds 3600`.
//!
//! Cases run in a child process, so that an overflowing stack, an abort or a hang is a failure too, and not the end.
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bpfsmith_fuzz::limits::{self, Cost};
use bpfsmith_fuzz::targets::{TARGETS, Target, by_name};

const USAGE: &str = "\
bpfsmith-fuzz TARGET.. | all  [--seconds N] [--cases N] [--from N] [--seeds DIR] [--keep DIR]
bpfsmith-fuzz TARGET --case N       one case again, or --write FILE its bytes
bpfsmith-fuzz TARGET --file FILE    a file as it is
  --seconds N   for each target (60)            --from N     first case (0)
  --cases N     end after so many               --keep DIR   where failing inputs go (fuzz-failures)
  --seeds DIR   more objects and Rust files to start from
bpfsmith-fuzz TARGET --corpus DIR   writes the seeds as files, for libFuzzer
exit 1 when something failed";

/// A child that finishes no case for so long hangs.
const HANG: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Options {
    targets: Vec<&'static Target>,
    seconds: u64,
    cases: u64,
    from: u64,
    seeds: Option<PathBuf>,
    keep: PathBuf,
    case: Option<u64>,
    write: Option<PathBuf>,
    file: Option<PathBuf>,
    corpus: Option<PathBuf>,
    progress: Option<PathBuf>,
}

fn options(words: &[String]) -> Result<Options, String> {
    let mut out = Options {
        targets: Vec::new(),
        seconds: 60,
        cases: u64::MAX,
        from: 0,
        seeds: None,
        keep: "fuzz-failures".into(),
        case: None,
        write: None,
        file: None,
        corpus: None,
        progress: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` wants a value"));
        let number = |text: &String| {
            text.parse::<u64>()
                .map_err(|_| format!("`{text}` is no number"))
        };
        match word.as_str() {
            "--seconds" => out.seconds = number(value()?)?,
            "--cases" => out.cases = number(value()?)?,
            "--from" => out.from = number(value()?)?,
            "--case" => out.case = Some(number(value()?)?),
            "--seeds" => out.seeds = Some(value()?.into()),
            "--keep" => out.keep = value()?.into(),
            "--write" => out.write = Some(value()?.into()),
            "--file" => out.file = Some(value()?.into()),
            "--corpus" => out.corpus = Some(value()?.into()),
            "--progress" => out.progress = Some(value()?.into()),
            "all" => out.targets.extend(TARGETS),
            name => out.targets.push(by_name(name).ok_or_else(|| {
                let names: Vec<&str> = TARGETS.iter().map(|one| one.name).collect();
                format!("no target `{name}`, there are {}", names.join(", "))
            })?),
        }
    }
    if out.targets.is_empty() {
        return Err("name a target, or `all`".into());
    }
    Ok(out)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match options(&words) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> std::io::Result<bool> {
    let Some(first) = options.targets.first() else {
        return Ok(true);
    };
    if let Some(progress) = &options.progress {
        child(options, first, progress)?;
        return Ok(true);
    }
    if let Some(folder) = &options.corpus {
        std::fs::create_dir_all(folder)?;
        let seeds = (first.seeds)(options.seeds.as_deref());
        for (index, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{index}")), seed)?;
        }
        return Ok(true);
    }
    if options.case.is_some() || options.file.is_some() {
        return once(options, first);
    }
    let mut sound = true;
    for target in &options.targets {
        sound &= parent(options, target)?;
    }
    Ok(sound)
}

/// One case or file, with the panic's own words on standard error.
fn once(options: &Options, target: &Target) -> std::io::Result<bool> {
    let data = match (&options.file, options.case) {
        (Some(file), _) => std::fs::read(file)?,
        (None, number) => {
            let seeds = (target.seeds)(options.seeds.as_deref());
            bpfsmith_fuzz::case(target, &seeds, number.unwrap_or_default())
        }
    };
    if let Some(file) = &options.write {
        std::fs::write(file, &data)?;
    }
    let result = limits::judge(data.len(), || (target.run)(&data));
    match &result {
        Ok(cost) => println!(
            "{} bytes: {:.3} s, {} KiB",
            data.len(),
            cost.seconds,
            cost.bytes >> 10
        ),
        Err(failure) => println!("{} bytes: {failure}", data.len()),
    }
    Ok(result.is_ok())
}

/// Runs cases and writes the number of each before it starts.
fn child(options: &Options, target: &Target, progress: &Path) -> std::io::Result<()> {
    let seeds = (target.seeds)(options.seeds.as_deref());
    let file = std::fs::File::create(progress)?;
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let mut slowest = (Cost::default(), 0);
    let mut largest = (Cost::default(), 0);
    let end = options.from.saturating_add(options.cases);
    let mut number = options.from;
    let mut out = std::io::stdout().lock();
    while number < end && Instant::now() < until {
        file.write_at(&number.to_le_bytes(), 0)?;
        let data = bpfsmith_fuzz::case(target, &seeds, number);
        match limits::judge(data.len(), || (target.run)(&data)) {
            Ok(cost) => {
                if cost.seconds > slowest.0.seconds {
                    slowest = (cost, number);
                }
                if cost.bytes > largest.0.bytes {
                    largest = (cost, number);
                }
            }
            Err(failure) => {
                keep(options, target, number, &data)?;
                writeln!(out, "fail {number} {failure}")?;
            }
        }
        number += 1;
    }
    writeln!(out, "slowest {} {:.3}", slowest.1, slowest.0.seconds)?;
    writeln!(out, "largest {} {}", largest.1, largest.0.bytes)?;
    writeln!(out, "done {number}")
}

fn keep(options: &Options, target: &Target, number: u64, data: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(&options.keep)?;
    std::fs::write(options.keep.join(format!("{}-{number}", target.name)), data)
}

/// Starts children until the time is over, and tells what they found.
fn parent(options: &Options, target: &Target) -> std::io::Result<bool> {
    let progress = std::env::temp_dir().join(format!(
        "bpfsmith-fuzz-{}-{}",
        std::process::id(),
        target.name
    ));
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let end = options.from.saturating_add(options.cases);
    let mut from = options.from;
    let mut failures: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let (mut slowest, mut largest) = ((0.0_f64, 0_u64), (0_u64, 0_u64));
    while from < end && Instant::now() < until {
        let left = until
            .saturating_duration_since(Instant::now())
            .as_secs()
            .max(1);
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            target.name,
            "--seconds",
            &left.to_string(),
            "--from",
            &from.to_string(),
        ]);
        command
            .args(["--cases", &(end - from).to_string()])
            .arg("--progress")
            .arg(&progress);
        command.arg("--keep").arg(&options.keep);
        if let Some(seeds) = &options.seeds {
            command.arg("--seeds").arg(seeds);
        }
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take();
        let reader = std::thread::spawn(move || {
            let lines = output.into_iter().flat_map(|it| BufReader::new(it).lines());
            lines.map_while(Result::ok).collect::<Vec<String>>()
        });
        let hung = watch(&mut process, &progress)?;
        let status = process.wait()?;
        let mut done = None;
        for line in reader.join().unwrap_or_default() {
            let mut words = line.splitn(3, ' ');
            let (Some(word), Some(number)) = (
                words.next(),
                words.next().and_then(|it| it.parse::<u64>().ok()),
            ) else {
                continue;
            };
            let rest = words.next().unwrap_or_default();
            match word {
                "fail" => failures.entry(rest.to_owned()).or_default().push(number),
                "slowest" => {
                    let seconds = rest.parse().unwrap_or_default();
                    if seconds > slowest.0 {
                        slowest = (seconds, number);
                    }
                }
                "largest" => largest = largest.max((rest.parse().unwrap_or_default(), number)),
                _ => done = Some(number),
            }
        }
        from = if let Some(number) = done {
            number
        } else {
            let number = at(&progress);
            let seeds = (target.seeds)(options.seeds.as_deref());
            keep(
                options,
                target,
                number,
                &bpfsmith_fuzz::case(target, &seeds, number),
            )?;
            let what = if hung {
                "no end".to_owned()
            } else {
                format!("the process died: {status}")
            };
            failures.entry(what).or_default().push(number);
            number + 1
        };
    }
    let _ = std::fs::remove_file(&progress);
    let count = from - options.from;
    println!(
        "{:8} {count:>9} executions, slowest {:.3} s (case {}), largest {} KiB (case {}), {} failures",
        target.name,
        slowest.0,
        slowest.1,
        largest.0 >> 10,
        largest.1,
        failures.values().map(Vec::len).sum::<usize>(),
    );
    for (what, cases) in &failures {
        let some: Vec<String> = cases.iter().take(4).map(u64::to_string).collect();
        println!("  {} times: {what}; cases {}", cases.len(), some.join(", "));
    }
    Ok(failures.is_empty())
}

fn at(progress: &Path) -> u64 {
    let bytes = std::fs::read(progress)
        .ok()
        .and_then(|it| it.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// Waits for the child's end; true when it had to be ended because it stood still.
fn watch(process: &mut std::process::Child, progress: &Path) -> std::io::Result<bool> {
    let (mut last, mut since) = (u64::MAX, Instant::now());
    while process.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(50));
        let now = at(progress);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > HANG {
            process.kill()?;
            return Ok(true);
        }
    }
    Ok(false)
}
