//! The module `edge_etl_engine`: what the edge program sees of the engine.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use sha2::{Digest, Sha256};

use crate::clean::Outside;
use crate::discovery;
use crate::engine::{self, Failure, Input, Outcome, Read, Refused};
use crate::glob::Pattern;
use crate::plan::Plan;
use crate::reason::Quarantine;
use crate::sink;
use crate::source::Compression;
use crate::timestamp::date;

/// Name, path, first record, start, end, lines, dialect, compression, digested.
type Range = (String, PathBuf, u64, u64, u64, u64, usize, String, u64);

/// Cleans the inputs, each a range, as the plan (JSON) says.
///
/// `progress` is told the bytes read so far; what it raises ends the work.
#[pyfunction]
fn clean(
    py: Python<'_>,
    plan: &str,
    inputs: Vec<Range>,
    work_dir: PathBuf,
    progress: Py<PyAny>,
) -> PyResult<Py<PyDict>> {
    let plan: Plan =
        serde_json::from_str(plan).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let inputs: Vec<Input> = inputs
        .into_iter()
        .map(|(name, path, first, start, end, lines, dialect, compression, digested)| {
            let compression = Compression::named(&compression)
                .ok_or_else(|| PyValueError::new_err(format!("no compression {compression:?}")))?;
            Ok(Input { name, path, first, start, end, lines, dialect, compression, digested })
        })
        .collect::<PyResult<_>>()?;
    let result = py.detach(|| {
        // An exception of a callback is kept until the engine has ended.
        let raised = RefCell::new(None);
        let repr = |text: &str| {
            Python::attach(|py| {
                let shown =
                    text.into_pyobject(py).map_err(PyErr::from).and_then(|text| text.repr());
                shown.map_or_else(|_| text.to_owned(), |shown| shown.to_string())
            })
        };
        let go_on = |done: u64| {
            let result = Python::attach(|py| {
                py.check_signals()?;
                progress.call1(py, (done,)).map(drop)
            });
            if let Err(error) = result {
                raised.borrow_mut().get_or_insert(error);
            }
            raised.borrow().is_none()
        };
        let outside = Outside { repr: &repr };
        let result = engine::run(&plan, &inputs, &work_dir, outside, &go_on);
        match (result, raised.into_inner()) {
            (_, Some(error)) => Err(error),
            (Ok(outcome), None) => Ok(outcome),
            (Err(Failure::Work(error)), None) => Err(os_error(&error)),
            (Err(Failure::Stopped), None) => Err(PyOSError::new_err("stopped")),
        }
    })?;
    described(py, result)
}

/// The exception with its `errno`, by which Python tells a full disk from others; PyO3's own
/// conversion keeps only the text.
fn os_error(error: &io::Error) -> PyErr {
    let code = error.raw_os_error().unwrap_or(libc::EIO);
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    PyOSError::new_err((code, text.to_owned()))
}

fn described(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyDict>> {
    let result = PyDict::new(py);
    let inputs = outcome.inputs.into_iter().map(|input| match input {
        Ok(read) => read_to_dict(py, &read),
        Err(refused) => refused_to_dict(py, refused),
    });
    result.set_item("inputs", inputs.collect::<PyResult<Vec<_>>>()?)?;
    let files: Vec<_> = outcome
        .files
        .into_iter()
        .map(|finished| {
            let file = finished.file;
            (file.name, finished.kind, finished.day.map(date), file.rows, file.bytes, file.sha256)
        })
        .collect();
    result.set_item("files", files)?;
    result.set_item("latest", outcome.latest)?;
    result.set_item("history", outcome.history)?;
    Ok(result.unbind())
}

fn read_to_dict<'py>(py: Python<'py>, read: &Read) -> PyResult<Bound<'py, PyDict>> {
    let result = PyDict::new(py);
    let rejected = PyDict::new(py);
    for (reason, count) in &read.rejected {
        rejected.set_item(reason.name(), count)?;
    }
    result.set_item("rows", read.rows)?;
    result.set_item("clean", read.clean)?;
    result.set_item("duplicate", read.duplicate)?;
    result.set_item("rejected", rejected)?;
    result.set_item("refused", PyBytes::new(py, &read.refused.packed()))?;
    result.set_item("lines", read.lines)?;
    result.set_item("content", PyBytes::new(py, &read.content))?;
    Ok(result)
}

fn refused_to_dict(py: Python<'_>, refused: Refused) -> PyResult<Bound<'_, PyDict>> {
    let result = PyDict::new(py);
    match refused {
        Refused::Quarantined(Quarantine { reason, message }) => {
            result.set_item("quarantined", (reason, message))?;
        }
        Refused::Shrunk { at, end } => result.set_item("shrunk", (at, end))?,
        Refused::NotRegular => result.set_item("irregular", true)?,
        Refused::Failed(errno) => result.set_item("errno", errno)?,
    }
    Ok(result)
}

/// The files of a source, and the directories that cannot be listed.
#[pyclass(frozen)]
struct Listing(discovery::Listing);

/// Name, path, device and inode, size, and the nanoseconds of its times.
type Found = (String, OsString, String, u64, i64, i64);

#[pymethods]
impl Listing {
    #[getter]
    fn digest(&self) -> [u8; 16] {
        self.0.digest().to_be_bytes()
    }

    #[getter]
    fn unreadable(&self) -> Vec<String> {
        self.0.unreadable.clone()
    }

    #[getter]
    fn passed_over(&self) -> Vec<String> {
        self.0.passed_over.clone()
    }

    fn __len__(&self) -> usize {
        self.0.files.len()
    }

    fn files(&self) -> Vec<Found> {
        let found = |(file, path): (&discovery::Found, PathBuf)| {
            let identity = format!("{}:{}", file.device, file.inode);
            let path = path.into_os_string();
            (file.name.clone(), path, identity, file.size, file.modified, file.changed)
        };
        self.0.sorted().into_iter().map(found).collect()
    }
}

/// Lists the regular files below a source whose relative names match one of the patterns; raises
/// OSError if the source itself cannot be listed.
#[pyfunction]
fn discover(py: Python<'_>, source: PathBuf, patterns: Vec<String>) -> PyResult<Listing> {
    let patterns: Vec<Pattern> = patterns.iter().map(|pattern| Pattern::new(pattern)).collect();
    let listed = py.detach(|| discovery::discover(&source, &patterns));
    listed.map(Listing).map_err(|error| os_error(&error))
}

/// The SHA-256 of some bytes in hexadecimal digits.
#[pyfunction]
fn sha256(content: &[u8]) -> String {
    sink::hexadecimal(Sha256::digest(content).as_slice())
}

#[pymodule]
fn edge_etl_engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    #[cfg(feature = "agent")]
    crate::agent::python::register(module)?;
    module.add_class::<Listing>()?;
    module.add_function(wrap_pyfunction!(sha256, module)?)?;
    module.add_function(wrap_pyfunction!(discover, module)?)?;
    module.add_function(wrap_pyfunction!(clean, module)?)
}
