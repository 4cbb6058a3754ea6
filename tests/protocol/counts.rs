//! How much happened, so that a schedule in which nothing does is noticed.

/// Counts over schedules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub schedules: u64,
    pub steps: u64,
    pub puts: u64,
    pub deletes: u64,
    pub listings: u64,
    pub gets: u64,
    pub failed_before: u64,
    pub failed_after: u64,
    pub late: u64,
    pub landed: u64,
    pub torn: u64,
    pub paged: u64,
    pub deleted_nothing: u64,
    pub killed: u64,
    pub suspended: u64,
    pub hidden: u64,
    pub unfound: u64,
    pub misread: u64,
    pub damaged: u64,
    pub lost_segments: u64,
    pub backups: u64,
    pub unforgets: u64,
    pub forgets: u64,
    pub prunes: u64,
    pub restores: u64,
    pub ended: u64,
    pub gave_up: u64,
    pub commits: u64,
    pub taken_over: u64,
    pub started_over: u64,
    pub brought_back: u64,
    pub fenced: u64,
    pub decided: u64,
    pub adopted: u64,
    pub moved: u64,
    pub merged: u64,
    pub deleted_packs: u64,
    pub zombies: u64,
    pub restored: u64,
}

macro_rules! each {
    ($do:ident) => {
        $do!(
            schedules,
            steps,
            puts,
            deletes,
            listings,
            gets,
            failed_before,
            failed_after,
            late,
            landed,
            torn,
            paged,
            deleted_nothing,
            killed,
            suspended,
            hidden,
            unfound,
            misread,
            damaged,
            lost_segments,
            backups,
            unforgets,
            forgets,
            prunes,
            restores,
            ended,
            gave_up,
            commits,
            taken_over,
            started_over,
            brought_back,
            fenced,
            decided,
            adopted,
            moved,
            merged,
            deleted_packs,
            zombies,
            restored
        )
    };
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        macro_rules! sum {
            ($($name:ident),*) => { $(self.$name += other.$name;)* };
        }
        each!(sum);
    }

    /// What never happened.
    pub fn idle(&self) -> Vec<&'static str> {
        let mut idle = Vec::new();
        macro_rules! look {
            ($($name:ident),*) => { $(if self.$name == 0 { idle.push(stringify!($name)); })* };
        }
        each!(look);
        idle
    }
}
