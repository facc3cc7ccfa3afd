//! What one execution may cost, and how it is measured.
use std::alloc::{GlobalAlloc, Layout, System};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// Processor seconds one execution may take, beside [`PER_MEBIBYTE`].
pub const SECONDS: f64 = 2.0;
/// Seconds for each MiB of input: a target goes over it some twenty times.
pub const PER_MEBIBYTE: f64 = 0.3;
/// Bytes one execution may hold at once, beside [`PER_BYTE`] for each byte of input.
pub const MEMORY: usize = 96 << 20;
/// Columns, indices and texts of a byte of input.
pub const PER_BYTE: usize = 256;
/// Above this the process is ended at once: no machine shall be brought down by a test.
const HARD: usize = 4 << 30;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Panics of the work are told by [`Failure`], not on standard error.
static JUDGING: AtomicBool = AtomicBool::new(false);

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn more(bytes: usize) -> bool {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    if live >= HARD {
        less(bytes);
        return false;
    }
    PEAK.fetch_max(live, Ordering::Relaxed);
    true
}

fn less(bytes: usize) {
    LIVE.fetch_sub(bytes, Ordering::Relaxed);
}

#[allow(
    unsafe_code,
    reason = "an allocator cannot be written without; this one only counts"
)]
// SAFETY: every call is handed on to the system's allocator with the same layout; refusing with null is allowed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !more(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !more(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !more(size) {
            return std::ptr::null_mut();
        }
        less(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// What an execution cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub seconds: f64,
    pub bytes: usize,
}

/// Why an execution failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    Panic(String),
    Slow(f64),
    Memory(usize),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Panic(text) => write!(f, "panic: {text}"),
            Self::Slow(seconds) => write!(f, "{seconds:.1} s of processor time"),
            Self::Memory(bytes) => write!(f, "{} MiB of memory", bytes >> 20),
        }
    }
}

/// Runs `work` on an input of `len` bytes and judges it.
///
/// # Errors
/// The first of the limits it broke.
pub fn judge(len: usize, work: impl FnOnce()) -> Result<Cost, Failure> {
    remember_places();
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let (start, used) = (Instant::now(), processor_time());
    JUDGING.store(true, Ordering::Relaxed);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    JUDGING.store(false, Ordering::Relaxed);
    let mut seconds = start.elapsed().as_secs_f64();
    if seconds > SECONDS / 2.0 {
        // Others may have used the processor: only our own time counts, where it can be asked for.
        let own = processor_time() - used;
        if own > 0.0 {
            seconds = seconds.min(own);
        }
    }
    let bytes = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    outcome.map_err(|cause| Failure::Panic(text(cause.as_ref())))?;
    let allowed = SECONDS + PER_MEBIBYTE * len as f64 / f64::from(1 << 20);
    if seconds > allowed * slowness() {
        return Err(Failure::Slow(seconds));
    }
    if bytes > MEMORY.saturating_add(len.saturating_mul(PER_BYTE)) {
        return Err(Failure::Memory(bytes));
    }
    Ok(Cost { seconds, bytes })
}

/// The limit is for optimised code; `cargo test` has less of it.
fn slowness() -> f64 {
    if cfg!(debug_assertions) { 3.0 } else { 1.0 }
}

fn text(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    format!("{place}: {}", text.unwrap_or_default())
}

/// File and line of the last panic: what was caught does not tell.
static PLACE: Mutex<String> = Mutex::new(String::new());

fn remember_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !JUDGING.load(Ordering::Relaxed) {
                shown(info);
            }
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
        }));
    });
}

/// Of all threads of this process, those that ended too; 0 where there is no `/proc`.
fn processor_time() -> f64 {
    // Fields 14 and 15 after the name in brackets: user and system time in hundredths of a second, proc(5).
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split(' ');
    let ticks: u64 = fields
        .skip(12)
        .take(2)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10).as_secs_f64()
}
