// SPDX-License-Identifier: GPL-2.0

//! What must be so, said aloud: a line of KTAP for each.

#[derive(Default)]
pub struct Report {
    pub said: u32,
    pub failed: u32,
    /// The share by which a figure that a law steers may lie above what it steers for, where it was measured.
    pub room: f64,
}

impl Report {
    fn say(&mut self, ok: bool, text: &str) {
        self.said += 1;
        println!("{} {} {text}", if ok { "ok" } else { "not ok" }, self.said);
        self.failed += u32::from(!ok);
    }

    pub fn at_most(&mut self, what: &str, got: f64, most: f64) {
        self.say(got <= most, &format!("{what}: {got:.2} <= {most:.2}"));
    }

    pub fn at_least(&mut self, what: &str, got: f64, least: f64) {
        self.say(got >= least, &format!("{what}: {got:.2} >= {least:.2}"));
    }

    /// Within a share of what it should be.
    pub fn near(&mut self, what: &str, got: f64, wanted: f64, share: f64) {
        let ok = (got - wanted).abs() <= share * wanted.abs();
        let off = (got / wanted - 1.0) * 100.0;
        let share = share * 100.0;
        self.say(
            ok,
            &format!("{what}: {got:.2}, {wanted:.2} is known: {off:+.1} % (±{share:.0} %)"),
        );
    }

    /// As [`Self::near`], or nearer than `least`, which cannot be told apart.
    pub fn near_or(&mut self, what: &str, got: f64, wanted: f64, share: f64, least: f64) {
        if (got - wanted).abs() <= least {
            self.say(
                true,
                &format!("{what}: {got:.2}, {wanted:.2} is known (±{least})"),
            );
        } else {
            self.near(what, got, wanted, share);
        }
    }

    /// It happened, and in time.
    pub fn by(&mut self, what: &str, got: Option<f64>, most: f64) {
        match got {
            Some(got) => self.at_most(what, got, most),
            None => self.say(false, &format!("{what}: never")),
        }
    }
}
