// SPDX-License-Identifier: GPL-2.0

//! A cache set with its devices, under one kind of controller.

use crate::{
    disk::{self, Disk},
    load::{self, Load},
    thread::Thread,
    timer, Ns, Sectors, HZ, JIFFY, SECOND,
};
use bcache_core::writeback::{
    control::{Control, Input, Law, Reason},
    idle::{Idle, MaxGate, Round, MAX_RATE, QUIT_RATE},
    latency::Waits,
    pi::{self, PiInput, PiState},
};
use model::c_rate;
use std::sync::atomic::AtomicU64;

/// Whose controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// C's arithmetic and idle detection.
    C,
    /// The code of the driver.
    Ours(Law),
    /// The driver at one rate all the time, sectors per second: what a law is measured by.
    Constant(u32),
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Ours(Law::Pi) => "pi",
            Self::Ours(Law::Adaptive) => "adaptive",
            Self::Ours(Law::Latency) => "latency",
            Self::Constant(_) => "constant",
        }
    }
}

/// What the administrator set, and the cache; all devices alike.
#[derive(Clone, Debug)]
pub struct Settings {
    pub nbuckets: u64,
    pub bucket: Sectors,
    pub percent: u32,
    pub update_seconds: u32,
    pub p_inverse: u32,
    pub i_inverse: u32,
    pub minimum: u32,
    pub maximum: u32,
    pub delay: u64,
    pub idle: bool,
    pub latency_target_us: u32,
    /// Buckets in use, percent, if it is not for the dirty data of this run to decide.
    pub in_use: u32,
    /// The integral of C's law at the start, sectors times seconds: there was another load before.
    pub integral: i64,
}

impl Settings {
    /// The defaults of the driver.
    pub fn for_cache(bytes: u64, bucket: Sectors) -> Self {
        Self {
            nbuckets: bytes / 512 / bucket,
            bucket,
            percent: 10,
            update_seconds: 5,
            p_inverse: 40,
            i_inverse: 10_000,
            minimum: 8,
            maximum: MAX_RATE,
            delay: 30,
            idle: true,
            latency_target_us: 20_000,
            in_use: 10,
            integral: 0,
        }
    }
}

/// What is seen of a device in one second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    pub t: f64,
    pub dirty: f64,
    pub target: f64,
    pub rate: f64,
    pub p: f64,
    pub i: f64,
    /// Sectors that users wrote, and that writeback made clean, in the second.
    pub written: f64,
    pub cleaned: f64,
    /// Mean and longest latency of the reads that ended in the second, microseconds.
    pub latency: Option<f64>,
    pub worst: f64,
    pub reason: Reason,
}

enum Brain {
    C {
        state: PiState,
    },
    Ours {
        law: Law,
        control: Box<Control>,
        idle: Idle<AtomicU64>,
    },
    Constant,
}

/// A device of the set.
struct Device {
    load: Load,
    disk: Disk,
    size: Sectors,
    thread: Thread,
    brain: Brain,
    rate: u32,
    next_step: Ns,
    waits: Waits,
    /// Terms and target as the last step left them.
    row: Row,
    seen: Seen,
}

/// What happened in the second that is not over yet.
#[derive(Default)]
struct Seen {
    written: u64,
    cleaned_before: u64,
    reads: u64,
    sum_us: u64,
    worst_us: u64,
}

/// C counts for the whole set.
#[derive(Default)]
struct CIdle {
    counter: u64,
    at_max: bool,
}

/// The set.
pub struct World {
    settings: Settings,
    kind: Kind,
    devices: Vec<Device>,
    c_idle: CIdle,
}

impl World {
    pub fn new(kind: Kind, settings: &Settings, devices: &[(disk::Spec, load::Spec)]) -> Self {
        let devices = devices.iter().enumerate();
        let devices = devices.map(|(n, d)| Device::new(kind, settings, d, n as u64));
        let mut world = Self {
            settings: settings.clone(),
            kind,
            devices: devices.collect(),
            c_idle: CIdle::default(),
        };
        for n in 0..world.devices.len() {
            let target = pi::target(&world.input(n, SECOND).pi);
            world.devices[n].row.target = target as f64;
        }
        world
    }

    /// Runs for some seconds; gives the rows of each device.
    pub fn run(mut self, seconds: u64) -> Vec<Vec<Row>> {
        let mut rows = vec![Vec::new(); self.devices.len()];
        let mut now = SECOND;
        let end = now + seconds * SECOND;
        while now < end {
            for n in 0..self.devices.len() {
                self.tick(n, now);
            }
            now += JIFFY;
            if now.is_multiple_of(SECOND) {
                for (device, rows) in self.devices.iter_mut().zip(&mut rows) {
                    rows.push(device.row(now - SECOND));
                }
            }
        }
        rows
    }

    fn tick(&mut self, n: usize, now: Ns) {
        if self.devices[n].users(now) {
            self.note_io(n);
        }
        if now >= self.devices[n].next_step {
            self.step(n, now);
        }
        let device = &mut self.devices[n];
        let (kind, dirty, target) = (self.kind, device.thread.dirty(), device.row.target as i64);
        let delay = self.settings.delay * SECOND;
        let paused = |since: Ns| {
            let early = match kind {
                Kind::C => false,
                Kind::Constant(_) => since >= SECOND,
                Kind::Ours(law) => since >= SECOND && law.cuts_delay(dirty, target),
            };
            since < delay && !early
        };
        device
            .thread
            .run(now, device.rate, &mut device.disk, paused);
    }

    fn note_io(&mut self, n: usize) {
        match &self.devices[n].brain {
            Brain::C { .. } => {
                self.c_idle.counter = 0;
                if std::mem::take(&mut self.c_idle.at_max) {
                    self.devices.iter_mut().for_each(|d| d.rate = QUIT_RATE);
                }
            }
            Brain::Ours { idle, .. } => {
                if idle.note_io() {
                    self.devices[n].rate = QUIT_RATE;
                }
            }
            Brain::Constant => (),
        }
    }

    fn step(&mut self, n: usize, now: Ns) {
        let s = &self.settings;
        let input = self.input(n, now);
        let attached = self.devices.len() as u64;
        let device = &mut self.devices[n];
        let mut raised = false;
        let period = match &mut device.brain {
            Brain::C { state } => {
                if input.pi.dirty != 0 && s.idle {
                    // Twice, as in `set_at_max_writeback_rate`.
                    for _ in 0..2 {
                        self.c_idle.counter += 1;
                        raised = self.c_idle.counter >= attached * attached * 6;
                        if !raised {
                            break;
                        }
                        self.c_idle.at_max = true;
                        device.rate = MAX_RATE;
                    }
                }
                if input.pi.dirty != 0 && !raised {
                    let out = c_rate::in_c(&input.pi, &mut state.integral).expect("in range for C");
                    device.rate = out.rate;
                    device.show(&out, Reason::Terms);
                }
                s.update_seconds
            }
            Brain::Ours { law, control, idle } => {
                let gate = MaxGate {
                    enabled: s.idle,
                    gc_mark_valid: true,
                    steps: law.idle_steps(s.update_seconds),
                };
                let dirty = input.pi.dirty != 0;
                let raise = || device.rate = s.maximum.max(s.minimum);
                raised = dirty && idle.set_at_max(&gate, raise) == Round::Idle;
                if dirty && !raised {
                    let step = control.step(&input);
                    device.rate = step.out.rate;
                    device.waits = Waits::default();
                    let period = law.period(s.update_seconds);
                    device.show(&step.out, step.reason);
                    period
                } else {
                    law.period(s.update_seconds)
                }
            }
            Brain::Constant => s.update_seconds,
        };
        if raised {
            device.row.p = 0.0;
            device.row.i = 0.0;
            device.row.reason = Reason::Idle;
        }
        device.next_step = timer::fires(now, u64::from(period) * u64::from(HZ));
    }

    fn input(&self, n: usize, now: Ns) -> Input {
        let s = &self.settings;
        let device = &self.devices[n];
        let dirty: i64 = self.devices.iter().map(|d| d.thread.dirty()).sum();
        let in_use = (dirty as u64 * 100 / (s.nbuckets * s.bucket)).max(u64::from(s.in_use));
        let pi = PiInput {
            nbuckets: s.nbuckets,
            bucket_sectors: s.bucket as u32,
            flash_dirty: 0,
            bdev_sectors: device.size,
            cached_dev_sectors: self.devices.iter().map(|d| d.size).sum(),
            percent: s.percent,
            dirty: device.thread.dirty(),
            avail_buckets: s.nbuckets * 100u64.saturating_sub(in_use) / 100,
            in_use: in_use as u32,
            consider_fragment: true,
            update_seconds: s.update_seconds,
            p_inverse: s.p_inverse,
            i_inverse: s.i_inverse,
            fp_low: 1,
            fp_mid: 10,
            fp_high: 1000,
            minimum: s.minimum,
            now_ns: now,
            next_ns: device.thread.limiter.next_ns,
            old_rate: device.rate,
        };
        Input {
            law: match self.kind {
                Kind::C | Kind::Constant(_) => Law::Pi,
                Kind::Ours(law) => law,
            },
            pi,
            maximum: s.maximum,
            cleaned: device.thread.cleaned(),
            waits: device.waits,
            latency_target_us: s.latency_target_us,
        }
    }
}

/// A controller whose integral is not 0, by a step far from the target.
fn attached_before(law: Law, s: &Settings) -> Control {
    let mut control = Control::default();
    if s.integral != 0 {
        control.step(&Input {
            law,
            pi: PiInput {
                dirty: s.integral,
                update_seconds: 1,
                i_inverse: s.i_inverse,
                next_ns: SECOND,
                ..PiInput::default()
            },
            maximum: s.maximum,
            ..Input::default()
        });
        assert_eq!(control.integral(), s.integral);
    }
    control
}

impl Device {
    fn new(kind: Kind, s: &Settings, spec: &(disk::Spec, load::Spec), seed: u64) -> Self {
        let (disk, load) = spec;
        let brain = match kind {
            Kind::C => Brain::C {
                state: PiState {
                    integral: s.integral,
                },
            },
            Kind::Ours(law) => Brain::Ours {
                law,
                control: Box::new(attached_before(law, s)),
                idle: Idle::new(AtomicU64::new(0), AtomicU64::new(0)),
            },
            Kind::Constant(_) => Brain::Constant,
        };
        let rate = match kind {
            Kind::Constant(rate) => rate,
            _ => 1024,
        };
        let mut device = Self {
            load: Load::new(load.clone(), 0x5eed + seed),
            disk: Disk::new(*disk),
            size: disk.size,
            thread: Thread::new(load.region / load.size, load.size, kind != Kind::C),
            brain,
            rate,
            next_step: SECOND + u64::from(s.update_seconds) * SECOND,
            waits: Waits::default(),
            row: Row::default(),
            seen: Seen::default(),
        };
        device.thread.limiter.reset(SECOND);
        device
    }

    /// What users do until the next jiffy; true if they did anything.
    fn users(&mut self, now: Ns) -> bool {
        let Self {
            load, thread, disk, ..
        } = self;
        let (size, mut count) = (load.spec.size, 0);
        load.writes(now, JIFFY, |block| {
            thread.write(block);
            count += 1;
        });
        self.seen.written += count * size;
        let (waits, seen) = (&mut self.waits, &mut self.seen);
        let any = load.reads(
            (now, JIFFY),
            self.size,
            |sector| disk.submit(now, sector, 8),
            |took| {
                let us = took / 1000;
                waits.count += 1;
                waits.sum_us += us;
                seen.reads += 1;
                seen.sum_us += us;
                seen.worst_us = seen.worst_us.max(us);
            },
        );
        any || count != 0
    }

    /// The row of the second that is over.
    fn row(&mut self, now: Ns) -> Row {
        let seen = std::mem::take(&mut self.seen);
        self.seen.cleaned_before = self.thread.cleaned();
        Row {
            t: load::seconds(now),
            dirty: self.thread.dirty() as f64,
            rate: f64::from(self.rate),
            written: seen.written as f64,
            cleaned: (self.thread.cleaned() - seen.cleaned_before) as f64,
            latency: (seen.reads != 0).then(|| seen.sum_us as f64 / seen.reads as f64),
            worst: seen.worst_us as f64,
            ..self.row
        }
    }

    fn show(&mut self, out: &pi::PiOutput, reason: Reason) {
        self.row.target = out.target as f64;
        self.row.p = out.proportional as f64;
        self.row.i = out.integral_scaled as f64;
        self.row.reason = reason;
    }
}
