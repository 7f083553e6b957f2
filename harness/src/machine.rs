//! Facts about the machine and the build that a reader of times needs.

use std::fs;

use crate::record::Machine;

/// The commit of the code, with `-dirty` behind it if it was changed since; without git, [`SOURCES`] and `-dirty`.
pub(crate) const COMMIT: &str = env!("SI_COMMIT");

/// A digest of the code's files.
pub(crate) const SOURCES: &str = env!("SI_SOURCES");

/// The compiler.
pub(crate) const RUSTC: &str = env!("SI_RUSTC");

/// `release, opt-level 3` and the like.
pub(crate) const PROFILE: &str = env!("SI_PROFILE");

/// Has the GNU C library ask for huge pages behind a party's large buffers, where the kernel leaves that to programs: what OT
/// extension reads at random positions, and transformed weights, are megabytes. A value in the environment is kept.
pub(crate) const HUGE_PAGES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// The commit without the mark of a dirty tree, and the mark.
pub(crate) fn commit() -> (&'static str, bool) {
    COMMIT.strip_suffix("-dirty").map_or((COMMIT, false), |c| (c, true))
}

/// This machine.
pub(crate) fn describe() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = field(&cpuinfo, "model name").unwrap_or(std::env::consts::ARCH);
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown kernel".to_owned());
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Machine {
        name: name(cpu),
        cpu: cpu.to_owned(),
        logical_cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        memory_bytes: kib(field(&meminfo, "MemTotal")).unwrap_or(0),
        os: format!("{} {kernel}", std::env::consts::OS),
        cpu_features: features(),
        rustc: RUSTC.to_owned(),
        notes: format!(
            "{}; {}; build {PROFILE} for {} with {}; load average at the start {}",
            governor(),
            huge_pages(),
            env!("SI_TARGET"),
            env!("SI_TARGET_FEATURES"),
            load_avg_milli().map_or("unknown".to_owned(), |l| format!("{}.{:03}", l / 1000, l % 1000))
        ),
    }
}

/// The one-minute load average in thousandths, if the system tells.
pub(crate) fn load_avg_milli() -> Option<u64> {
    let text = read("/proc/loadavg")?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some((load * 1000.0).round() as u64)
}

/// Greatest resident memory of this process so far, if the system tells.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    kib(field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM"))
}

/// Begins to measure the peak anew, where the system can: what was loaded and freed before does not count.
pub(crate) fn reset_peak_rss() {
    // Linux only, and a matter of accuracy: where it fails the peak is that of the whole process, an upper bound.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// How many processes the system has killed for want of memory since it started, if it tells.
pub(crate) fn oom_kills() -> Option<u64> {
    let text = fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|l| l.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// SIMD features that the code may use at run time, joined by `+`; `scalar` if it must not or there are none.
pub(crate) fn features_in_use() -> String {
    if std::env::var_os("SI_NO_SIMD").is_some_and(|v| !v.is_empty() && v != "0") {
        return "scalar".to_owned();
    }
    features()
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn features() -> String {
    let mut found = Vec::new();
    macro_rules! look_for {
        ($($name:tt)*) => { $(if std::arch::is_x86_feature_detected!($name) { found.push($name); })* };
    }
    look_for!("sse2" "aes" "pclmulqdq" "avx2" "vaes" "vpclmulqdq" "gfni" "avx512f" "avx512dq" "avx512vl" "avx512ifma");
    if found.is_empty() { "scalar".to_owned() } else { found.join("+") }
}

#[cfg(target_arch = "aarch64")]
fn features() -> String {
    let mut found = Vec::new();
    for (name, there) in [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("pmull", std::arch::is_aarch64_feature_detected!("pmull")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ] {
        if there {
            found.push(name);
        }
    }
    if found.is_empty() { "scalar".to_owned() } else { found.join("+") }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn features() -> String {
    "scalar".to_owned()
}

/// How the clock rate is chosen, for it moves times.
fn governor() -> String {
    read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        .map_or("frequency governor unknown".to_owned(), |g| format!("frequency governor {g}"))
}

/// Whether large buffers lie in huge pages, for that moves times too.
fn huge_pages() -> String {
    let (name, ours) = HUGE_PAGES;
    let asked = std::env::var(name).unwrap_or_else(|_| ours.to_owned());
    let setting = read("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let chosen = setting.split(['[', ']']).nth(1).unwrap_or("unknown");
    format!("transparent huge pages: {chosen}, parties run with {name}={asked}")
}

/// A short name of letters, digits and dashes: of `SI_MACHINE` if set, else of the processor and the number of cores.
fn name(cpu: &str) -> String {
    let given = std::env::var("SI_MACHINE").ok().filter(|n| !n.is_empty());
    let text = given.unwrap_or_else(|| {
        let noise = ["processor", "cpu", "(r)", "(tm)", "with", "gen"];
        let words = cpu.split_whitespace().take_while(|w| *w != "@").map(|w| {
            let low = w.to_lowercase();
            noise.iter().fold(low, |w, n| w.replace(n, ""))
        });
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let short: Vec<_> = words.filter(|w| !w.is_empty() && !w.ends_with("-core")).take(4).collect();
        format!("{}-{cores}c", short.join("-"))
    });
    let dashed: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let parts: Vec<_> = dashed.split('-').filter(|p| !p.is_empty()).collect();
    if parts.is_empty() { "machine".to_owned() } else { parts.join("-") }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty())
}

/// The value of the first `key : value` line.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == key))?;
    line.split_once(':').map(|(_, v)| v.trim())
}

fn kib(value: Option<&str>) -> Option<u64> {
    value?.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|k| k * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_files() {
        let text = "VmPeak:\t  10 kB\nVmHWM:\t     123 kB\nmodel name\t: A CPU: fast\n";
        assert_eq!(kib(field(text, "VmHWM")), Some(123 * 1024));
        assert_eq!(field(text, "model name"), Some("A CPU: fast"));
        assert_eq!(kib(field(text, "VmRSS")), None);
        assert_eq!(kib(Some("12 MB")), None);
    }

    #[test]
    fn the_machine_has_a_name_for_folders() {
        let m = describe();
        assert!(!m.name.is_empty() && m.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{}", m.name);
        assert!(m.logical_cores > 0 && !m.cpu.is_empty() && !m.rustc.is_empty());
    }
}
