//! Threads that share the work of a run. With one thread there are none: whoever submits a job
//! does it at once, so that nothing is different but the time.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// What a job will return.
pub enum Ticket<R> {
    Ready(R),
    Waiting(Receiver<R>),
}

impl<R> Ticket<R> {
    /// Waits for the job.
    pub fn wait(self) -> R {
        match self {
            Self::Ready(result) => result,
            // A thread that panicked takes its sender along; the scope then panics, too.
            Self::Waiting(receiver) => receiver.recv().expect("the thread has not panicked"),
        }
    }
}

/// Jobs that wait for a thread. Nobody is woken who is awake: that takes longer than a small job.
#[derive(Default)]
struct Jobs<'a> {
    waiting: Mutex<Waiting<'a>>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting<'a> {
    jobs: VecDeque<Job<'a>>,
    /// Threads that have nothing to do.
    idle: usize,
    /// Whether nobody wants what is left.
    ended: bool,
}

impl<'a> Jobs<'a> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<'a>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job<'a>) {
        let mut waiting = self.waiting();
        waiting.jobs.push_back(job);
        let is_awaited = waiting.idle > 0;
        drop(waiting);
        if is_awaited {
            self.more.notify_one();
        }
    }

    /// The next job; None at the end.
    fn next(&self) -> Option<Job<'a>> {
        let mut waiting = self.waiting();
        while !waiting.ended {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            waiting.idle += 1;
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
        None
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn end(&self) {
        self.waiting().ended = true;
        self.more.notify_all();
    }
}

/// Threads.
pub struct Crew<'a> {
    jobs: Option<Arc<Jobs<'a>>>,
    pub threads: usize,
}

impl<'a> Crew<'a> {
    /// Does a job, here or in a thread; jobs are begun in the order in which they are submitted.
    pub fn submit<R: Send + 'a>(&self, job: impl FnOnce() -> R + Send + 'a) -> Ticket<R> {
        let Some(jobs) = &self.jobs else { return Ticket::Ready(job()) };
        let (sender, receiver) = channel();
        // Who dropped the ticket does not want to know.
        jobs.push(Box::new(move || drop(sender.send(job()))));
        Ticket::Waiting(receiver)
    }
}

impl Drop for Crew<'_> {
    /// Also where who submits panics: else the threads would wait for more.
    fn drop(&mut self) {
        self.jobs.iter().for_each(|jobs| jobs.end());
    }
}

/// Runs `work` with a crew of so many threads; jobs that nobody waits for are dropped in the end.
pub fn with<'a, R>(threads: usize, work: impl FnOnce(&Crew<'a>) -> R) -> R {
    if threads < 2 {
        return work(&Crew { jobs: None, threads: 1 });
    }
    let jobs = Arc::<Jobs<'a>>::default();
    let crew = Crew { jobs: Some(Arc::clone(&jobs)), threads };
    thread::scope(|scope| {
        // The thread that submits has work of its own: it puts together what is done.
        for _ in 0..threads {
            scope.spawn(|| jobs.work());
        }
        // The crew ends with the work, and the threads with the crew.
        let crew = crew;
        work(&crew)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_done_by_any_number_of_threads() {
        for threads in [1, 2, 4] {
            let sum = with(threads, |crew| {
                let tickets: Vec<_> =
                    (0..100_u64).map(|number| crew.submit(move || number * number)).collect();
                tickets.into_iter().map(Ticket::wait).sum::<u64>()
            });
            assert_eq!(sum, 328_350);
        }
    }

    #[test]
    fn what_nobody_waits_for_is_dropped() {
        with(2, |crew| {
            for _ in 0..1_000 {
                drop(crew.submit(thread::yield_now));
            }
        });
    }
}
