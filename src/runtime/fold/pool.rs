//! Threads that fold: they take a task with all it needs and give it back, so nothing is shared and nothing is locked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

type Task = Box<dyn FnOnce() + Send>;

/// A thread that folded has panicked: what it held is lost, and the process must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fold thread panicked: {0}")]
pub(crate) struct Panicked(pub String);

/// The fold threads of a process beside those that own a projection: with `threads` in all, the owner of a batch does the
/// first part of it itself and hands the others over.
#[derive(Debug)]
pub(crate) struct FoldPool {
    tasks: Vec<Sender<Task>>,
    threads: Vec<JoinHandle<()>>,
}

impl FoldPool {
    pub fn start(threads: usize) -> std::io::Result<FoldPool> {
        let mut pool = FoldPool { tasks: Vec::new(), threads: Vec::new() };
        for number in 1..threads.max(1) {
            let (sender, tasks) = channel();
            let thread = std::thread::Builder::new().name(format!("fold-{number}")).spawn(move || work(&tasks))?;
            pool.tasks.push(sender);
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// How many parts a batch is best cut into.
    pub fn width(&self) -> usize {
        self.tasks.len() + 1
    }

    /// Does `work` with each part, in parallel, and joins. Part `i` is always done by the same thread. Results come in the
    /// order of the parts; with fewer than two parts no other thread is asked.
    pub fn run<T, R>(&self, parts: Vec<T>, work: impl Fn(T) -> R + Clone + Send + 'static) -> Result<Vec<R>, Panicked>
    where
        T: Send + 'static,
        R: Send + 'static,
    {
        let (sender, results) = channel();
        let mut parts = parts.into_iter().enumerate();
        let first = parts.next();
        let mut handed_over = 0;
        for (index, part) in parts {
            let (sender, work) = (sender.clone(), work.clone());
            let task: Task = Box::new(move || {
                let result = guarded(|| work(part));
                drop(work);
                let _ = sender.send((index, result)); // nobody waits when the owner is gone
            });
            self.tasks[(index - 1) % self.tasks.len()].send(task).map_err(|_| gone())?;
            handed_over += 1;
        }
        drop(sender);
        let mut done = Vec::with_capacity(handed_over + 1);
        if let Some((_, part)) = first {
            done.push((0, guarded(|| work(part))?));
        }
        for _ in 0..handed_over {
            let (index, result) = results.recv().map_err(|_| gone())?;
            done.push((index, result?));
        }
        done.sort_unstable_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }
}

impl Drop for FoldPool {
    fn drop(&mut self) {
        self.tasks.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // it caught its panics
        }
    }
}

fn work(tasks: &Receiver<Task>) {
    while let Ok(task) = tasks.recv() {
        task();
    }
}

fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked(message(panic.as_ref())))
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

fn gone() -> Panicked {
    Panicked("it is gone".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_in_order_whatever_the_width() {
        for width in 1..5 {
            let pool = FoldPool::start(width).expect("threads");
            let parts: Vec<u32> = (0..width as u32).collect();
            assert_eq!(pool.run(parts.clone(), |n| n * 2), Ok(parts.iter().map(|n| n * 2).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn a_panic_is_reported_and_the_thread_goes_on() {
        let pool = FoldPool::start(2).expect("threads");
        for bad in [0, 1] {
            let result = pool.run(vec![0, 1], move |n| assert!(n != bad, "part {n} broke"));
            assert_eq!(result, Err(Panicked(format!("part {bad} broke"))));
        }
        assert_eq!(pool.run(vec![1, 2], |n| n), Ok(vec![1, 2]));
    }
}
