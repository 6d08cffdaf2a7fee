//! Threads that share the work of a run. With one thread there are none: whoever submits a job
//! does it at once, so that nothing is different but the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
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

/// Threads.
pub struct Crew<'a> {
    jobs: Option<Sender<Job<'a>>>,
    ahead: Option<Sender<Job<'a>>>,
    pub threads: usize,
}

impl<'a> Crew<'a> {
    /// Does a job, here or in a thread; jobs are begun in the order in which they are submitted.
    pub fn submit<R: Send + 'a>(&self, job: impl FnOnce() -> R + Send + 'a) -> Ticket<R> {
        begin(self.jobs.as_ref(), job)
    }

    /// Reads ahead in a thread of its own, which does not wait for any other job.
    pub fn ahead<R: Send + 'a>(&self, job: impl FnOnce() -> R + Send + 'a) -> Ticket<R> {
        begin(self.ahead.as_ref(), job)
    }
}

fn begin<'a, R: Send + 'a>(
    jobs: Option<&Sender<Job<'a>>>,
    job: impl FnOnce() -> R + Send + 'a,
) -> Ticket<R> {
    let Some(jobs) = jobs else { return Ticket::Ready(job()) };
    let (sender, receiver) = channel();
    // Who dropped the ticket does not want to know; whoever has no thread to ask any more is about
    // to panic.
    drop(jobs.send(Box::new(move || drop(sender.send(job())))));
    Ticket::Waiting(receiver)
}

/// Runs `work` with a crew of so many threads; jobs that nobody waits for are dropped in the end.
pub fn with<'a, R>(threads: usize, work: impl FnOnce(&Crew<'a>) -> R) -> R {
    if threads < 2 {
        return work(&Crew { jobs: None, ahead: None, threads: 1 });
    }
    let (sender, receiver) = channel::<Job<'a>>();
    let receiver = Mutex::new(receiver);
    let ended = AtomicBool::new(false);
    let (ahead, reads) = channel::<Job<'a>>();
    let crew = Crew { jobs: Some(sender), ahead: Some(ahead), threads };
    thread::scope(|scope| {
        scope.spawn(move || reads.iter().for_each(|read| read()));
        // The thread that submits has work of its own: it puts together what is done.
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(job) if !ended.load(Ordering::Relaxed) => job(),
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            });
        }
        let result = work(&crew);
        ended.store(true, Ordering::Relaxed);
        drop(crew);
        result
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
