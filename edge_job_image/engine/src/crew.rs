//! Threads that share the work of a run. With one thread there are none: whoever submits a job
//! does it at once, so that nothing is different but the time.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

type Job<'a, T> = Box<dyn FnOnce(&mut T) + Send + 'a>;
type Ahead<'a> = Box<dyn FnOnce() + Send + 'a>;

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

/// Threads, each with tools of its own.
pub struct Crew<'a, T> {
    jobs: Option<Sender<Job<'a, T>>>,
    ahead: Option<Sender<Ahead<'a>>>,
    /// The tools of the thread that submits jobs.
    pub tools: T,
    pub threads: usize,
}

impl<'a, T> Crew<'a, T> {
    /// Does a job, here or in a thread; jobs are begun in the order in which they are submitted.
    pub fn submit<R: Send + 'a>(&mut self, job: impl FnOnce(&mut T) -> R + Send + 'a) -> Ticket<R> {
        let Some(jobs) = &self.jobs else {
            return Ticket::Ready(job(&mut self.tools));
        };
        let (sender, receiver) = channel();
        // Who dropped the ticket does not want to know; whoever has no thread to ask any more is
        // about to panic.
        let job = Box::new(move |tools: &mut T| drop(sender.send(job(tools))));
        drop(jobs.send(job));
        Ticket::Waiting(receiver)
    }

    /// Reads ahead in a thread of its own, which does not wait for any other job.
    pub fn ahead<R: Send + 'a>(&mut self, job: impl FnOnce() -> R + Send + 'a) -> Ticket<R> {
        let Some(jobs) = &self.ahead else {
            return Ticket::Ready(job());
        };
        let (sender, receiver) = channel();
        drop(jobs.send(Box::new(move || drop(sender.send(job())))));
        Ticket::Waiting(receiver)
    }
}

/// Runs `work` with a crew of so many threads; jobs that nobody waits for are dropped in the end.
pub fn with<'a, T: Send, R>(
    threads: usize,
    tools: impl Fn() -> io::Result<T>,
    work: impl FnOnce(&mut Crew<'a, T>) -> R,
) -> io::Result<R> {
    if threads < 2 {
        return Ok(work(&mut Crew { jobs: None, ahead: None, tools: tools()?, threads: 1 }));
    }
    let (sender, receiver) = channel::<Job<'a, T>>();
    let receiver = Mutex::new(receiver);
    let ended = AtomicBool::new(false);
    let (ahead, reads) = channel::<Ahead<'a>>();
    let mut crew = Crew { jobs: Some(sender), ahead: Some(ahead), tools: tools()?, threads };
    // The thread that submits has work of its own: it puts together what is done.
    let all_tools: Vec<T> = (0..threads).map(|_| tools()).collect::<io::Result<_>>()?;
    thread::scope(|scope| {
        scope.spawn(move || reads.iter().for_each(|read| read()));
        for mut tools in all_tools {
            let (receiver, ended) = (&receiver, &ended);
            scope.spawn(move || {
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(job) if !ended.load(Ordering::Relaxed) => job(&mut tools),
                        Ok(_) => {}
                        Err(_) => return,
                    }
                }
            });
        }
        let result = work(&mut crew);
        ended.store(true, Ordering::Relaxed);
        drop(crew);
        Ok(result)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_done_by_any_number_of_threads() {
        for threads in [1, 2, 4] {
            let sum = with(
                threads,
                || Ok(0_u64),
                |crew| {
                    let tickets: Vec<_> = (0..100_u64)
                        .map(|number| {
                            crew.submit(move |done| {
                                *done += 1;
                                number * number
                            })
                        })
                        .collect();
                    tickets.into_iter().map(Ticket::wait).sum::<u64>()
                },
            );
            assert_eq!(sum.unwrap(), 328_350);
        }
    }

    #[test]
    fn what_nobody_waits_for_is_dropped() {
        let done = with(
            2,
            || Ok(()),
            |crew| {
                for _ in 0..1_000 {
                    drop(crew.submit(|()| thread::yield_now()));
                }
            },
        );
        assert!(done.is_ok());
    }
}
