// SPDX-License-Identifier: GPL-2.0

//! Backing devices: spindles that serve one request after the other.

use crate::{Ns, Sectors, SECOND};

/// What a backing device is like.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Disks that work at the same time; requests are spread over them by chunks.
    pub spindles: usize,
    /// Sectors of a chunk.
    pub chunk: Sectors,
    /// Shortest and longest time to get to another place, with the rotation, in nanoseconds.
    pub seek: (Ns, Ns),
    /// Sectors per second of one spindle.
    pub speed: Sectors,
    /// Time on the wire, which keeps no spindle busy.
    pub wire: Ns,
    /// Sectors of the device.
    pub size: Sectors,
}

const MIB: Sectors = 2048;
const MS: Ns = 1_000_000;

/// A device that is slow by a limit of its throughput alone (`null_blk` with `mbps`).
pub const fn throttled(mib_per_second: Sectors, size: Sectors) -> Spec {
    Spec {
        spindles: 1,
        chunk: size,
        seek: (0, 0),
        speed: mib_per_second * MIB,
        wire: 0,
        size,
    }
}

/// A disk of 7200 rpm.
pub const fn hdd(size: Sectors) -> Spec {
    Spec {
        spindles: 1,
        chunk: size,
        seek: (5 * MS, 14 * MS),
        speed: 150 * MIB,
        wire: 0,
        size,
    }
}

/// Eight such disks, striped by 512 KiB.
pub const fn raid(size: Sectors) -> Spec {
    Spec {
        spindles: 8,
        chunk: 1024,
        ..hdd(size)
    }
}

/// A disk at the other end of a slow network.
pub const fn network(size: Sectors) -> Spec {
    Spec {
        spindles: 1,
        chunk: size,
        seek: (0, 0),
        speed: 20 * MIB,
        wire: 4 * MS,
        size,
    }
}

/// A backing device at work.
pub struct Disk {
    spec: Spec,
    spindles: Vec<Spindle>,
}

#[derive(Clone, Copy, Default)]
struct Spindle {
    free_at: Ns,
    head: Sectors,
}

impl Disk {
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            spindles: vec![Spindle::default(); spec.spindles],
        }
    }

    /// Takes a request; gives when it will be done.
    pub fn submit(&mut self, now: Ns, start: Sectors, sectors: Sectors) -> Ns {
        let chunk = start / self.spec.chunk;
        let count = self.spindles.len() as u64;
        let place = chunk / count * self.spec.chunk + start % self.spec.chunk;
        let seek = self.seek(self.spindles[(chunk % count) as usize].head, place);
        let spindle = &mut self.spindles[(chunk % count) as usize];
        let begin = spindle.free_at.max(now);
        spindle.free_at = begin + seek + sectors * SECOND / self.spec.speed;
        spindle.head = place + sectors;
        spindle.free_at + self.spec.wire
    }

    fn seek(&self, from: Sectors, to: Sectors) -> Ns {
        let (short, long) = self.spec.seek;
        if from == to {
            return 0;
        }
        let far = from.abs_diff(to) as f64 / (self.spec.size as f64 / self.spindles.len() as f64);
        short + ((long - short) as f64 * far.min(1.0).sqrt()) as Ns
    }
}
