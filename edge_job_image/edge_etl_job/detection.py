"""Decide how a file is written, from its first bytes and from what the schema looks for.

What ``source.csv`` declares is not second-guessed. What it leaves to ``auto`` is decided only where
the evidence agrees; where it contradicts itself, DialectError says how, and the file is left alone.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice, zip_longest
from typing import Final

import msgspec

from edge_etl_job.cells import split, split_all, text_of
from edge_etl_job.dialect import ASCII, UTF_16, Dialect, DialectError, decoded, size_of, wide
from edge_etl_job.documents import JobDocument
from edge_etl_job.evidence import decimal_of, encoding_of, is_second_header
from edge_etl_job.layout import lay_out, wanted_names
from edge_etl_job.reasons import (
    AMBIGUOUS_DIALECT,
    EMPTY_HEADER,
    INVALID_ENCODING,
    MISSING_COLUMN,
    NOT_TEXT,
)
from edge_etl_job.rejection import RejectionError

SAMPLE: Final = 1 << 17
"""Bytes of a file that are looked at: more than its longest line."""
DELIMITERS: Final = (";", ",", "\t", "|")
_BANNER: Final = 100  # lines among which the header is looked for
_SECOND: Final = 4  # lines behind it that can belong to it
_ROWS: Final = 500  # rows that are looked at
_NEARLY_ALL: Final = 0.9
_ENOUGH: Final = 3  # rows from which on their number of fields says something


class Decision(msgspec.Struct, frozen=True):
    """A file's dialect, and what about it was found rather than usual."""

    dialect: Dialect
    note: str | None = None


class _Header(msgspec.Struct, frozen=True):
    line: int
    columns: tuple[str, ...]
    delimiter: str


class _Known(msgspec.Struct, frozen=True):
    """A header that began a plain file before, and what its second line must be like."""

    decision: Decision
    delimiter: bytes
    width: int
    timestamp: int


class Detector:
    """Decides for the files of one job."""

    def __init__(self, job: JobDocument) -> None:
        self._job = job
        self._csv = job.source.csv
        self._delimiters = DELIMITERS if self._csv.delimiter == "auto" else (self._csv.delimiter,)
        self._wanted = wanted_names(job)
        self._numbers = tuple(
            field.columns for field in job.schema.fields if field.type == "double"
        )
        self._known: dict[bytes, _Known] = {}

    def decide(self, sample: bytes, *, whole: bool) -> Decision | None:
        """Return how a file is written that begins with these bytes; None while they are blank.

        ``whole``: the sample is the whole file, and its last line is complete. Raise DialectError
        when the file cannot be read.
        """
        return self._quickly(sample) or self._thoroughly(sample, whole=whole)

    def refined(self, dialect: Dialect, sample: bytes) -> Dialect:
        """Return the dialect of a file that goes on with these bytes, which may be cut.

        What has been decided stays. What has not shown itself so far may do so now.
        """
        if dialect.encoding == ASCII and not sample.isascii():
            encoding, _, _ = encoding_of(sample, self._csv.encoding, whole=False)
            if encoding not in UTF_16:
                dialect = msgspec.structs.replace(dialect, encoding=encoding)
        if dialect.decimal is None and b"," in sample:
            lines = decoded(sample[: len(sample) & -dialect.wide], dialect.encoding)
            rows = self._rows(lines.split(dialect.newline)[:-1], dialect.delimiter)
            decimal, _ = self._decimal(dialect.columns, rows)
            dialect = msgspec.structs.replace(dialect, decimal=decimal)
        return dialect

    def _quickly(self, sample: bytes) -> Decision | None:
        """Return the decision of a file that began alike, if nothing asks for a closer look.

        Where there are many small files, most are such.
        """
        end = sample.find(b"\n") + 1
        known = self._known.get(sample[:end])
        if known is None or not sample.isascii() or b'"' in sample or b"\0" in sample:
            return None
        if b"\r" in sample and sample.count(b"\r") != sample.count(b"\r\n"):
            return None
        if known.delimiter != b"," and b"," in sample:
            return None
        second = sample.find(b"\n", end)
        cells = sample[end : max(end, second)].split(known.delimiter)
        if len(cells) != known.width:
            return None
        time = cells[known.timestamp].strip()
        return known.decision if len(time) >= 8 and time[:1].isdigit() else None

    def _thoroughly(self, sample: bytes, *, whole: bool) -> Decision | None:
        encoding, bom, found = encoding_of(sample, self._csv.encoding, whole=whole)
        notes = [found] if found else []
        text = decoded(sample[bom : bom + (len(sample) - bom & -wide(encoding))], encoding)
        newline = "\n" if "\n" in text or "\r" not in (text if whole else text[:-1]) else "\r"
        lines = text.split(newline)
        is_open = whole and lines[-1] != ""
        if not is_open and not (len(lines) == 1 and len(sample) >= SAMPLE):
            lines.pop()
        if newline == "\r":
            notes.append("lines end with carriage returns")
        header = self._header(lines, encoding)
        if header is None:
            return None
        if header.line < 0:
            notes.append("no header, columns as source.csv.columns names them")
        elif header.line > 0:
            notes.append(f"header on line {header.line + 1}")
        behind = self._behind(header, lines)
        if header.line >= 0 and behind > header.line + 1:
            notes.append(f"line {behind} belongs to the header")
        rows = self._rows(lines[behind:], header.delimiter)
        columns, extra = self._width(header, rows, lines[behind:], notes)
        decimal, found = self._decimal(columns, [row for row in rows if len(row) == len(columns)])
        notes += [found] if found else []
        dialect = Dialect(
            columns=columns,
            delimiter=header.delimiter,
            start=bom + size_of("".join(line + newline for line in lines[:behind]), encoding),
            lines=behind,
            encoding=encoding,
            newline=newline,
            decimal=decimal,
            extra=extra,
            judged=bool(rows),
        )
        if is_open and behind == len(lines):
            # The header is the file's last line, and has no end.
            dialect = msgspec.structs.replace(
                dialect, start=dialect.start - dialect.wide, lines=dialect.lines - 1
            )
        decision = Decision(dialect, "; ".join(notes) or None)
        self._remember(sample, decision)
        return decision

    def _header(self, lines: Sequence[str], encoding: str) -> _Header | None:
        """Return the first line that names what each row needs, None when all lines are blank.

        Raise what keeps the line that names most of it from being the header.
        """
        if self._csv.header == "absent":
            return self._without(lines)
        best: tuple[int, DialectError] | None = None
        for at, line in enumerate(lines[:_BANNER]):
            if not line.strip():
                continue
            try:
                columns, delimiter = self._columns(line, encoding)
                if not any(columns):
                    raise DialectError(EMPTY_HEADER, "the header names no column")
                lay_out(columns, self._job)
                return _Header(at, columns, delimiter)
            except DialectError as error:
                names = len(self._wanted.intersection(error.columns))
                if best is None or names > best[0]:
                    best = names, error
        if best is None:
            return None
        if best[0] == 0 and self._csv.columns and self._csv.header == "auto":
            return self._without(lines)
        raise best[1]

    def _columns(self, line: str, encoding: str) -> tuple[tuple[str, ...], str]:
        """Return the columns that a line names, and the separator under which it names most."""
        errors = "surrogatepass" if encoding in UTF_16 else "surrogateescape"
        try:
            text = text_of(line.encode("utf-8", errors))
            delimiter = max(self._delimiters, key=lambda each: self._fit(text, each))
            columns = split(text, delimiter)
        except RejectionError as error:
            reason = NOT_TEXT if error.reason == INVALID_ENCODING else error.reason
            raise DialectError(reason, f"the header cannot be read: {error.detail}") from None
        return self._named(columns), delimiter

    def _named(self, columns: list[str]) -> tuple[str, ...]:
        """Return the columns of a header that may be written as a comment."""
        mark = self._csv.comment
        if mark and columns[0].startswith(mark) and columns[0] not in self._wanted:
            columns[0] = columns[0].removeprefix(mark).strip()
        return tuple(columns)

    def _fit(self, text: str, delimiter: str) -> tuple[int, int]:
        try:
            columns = self._named(split(text, delimiter))
        except RejectionError:
            return (-1, 0)
        return (len(self._wanted.intersection(columns)), len(columns))

    def _without(self, lines: Sequence[str]) -> _Header | None:
        """Return the declared columns in the place of a header."""
        if not any(line.strip() for line in lines):
            return None
        columns = self._csv.columns
        lay_out(columns, self._job)

        def fitting(delimiter: str) -> int:
            rows = self._rows(lines, delimiter)
            return sum(len(row) == len(columns) for row in rows)

        delimiter = max(self._delimiters, key=fitting)
        if self._csv.header == "auto" and not fitting(delimiter):
            message = (
                f"no line names the schema's columns, and none has the {len(columns)} fields "
                "that source.csv.columns names"
            )
            raise DialectError(MISSING_COLUMN, message)
        return _Header(-1, columns, delimiter)

    def _behind(self, header: _Header, lines: Sequence[str]) -> int:
        """Return the number of lines up to the last one that belongs to the header."""
        behind = header.line + 1
        if header.line < 0:
            return behind
        timestamp = lay_out(header.columns, self._job).timestamp
        for at in range(behind, min(behind + _SECOND, len(lines))):
            rows = self._rows(lines[at : at + 1], header.delimiter)
            if rows:
                if not is_second_header(rows[0], header.columns, timestamp, self._job):
                    break
                behind = at + 1
        return behind

    def _rows(self, lines: Sequence[str], delimiter: str) -> list[list[str]]:
        """Return the cells of the first lines that are neither blank nor comments."""
        blank, comment = " \t" + delimiter, self._csv.comment or "\0"
        texts = (line.removesuffix("\r") for line in lines)
        records = (text for text in texts if text.strip(blank) and not text.startswith(comment))
        rows: list[list[str]] = []
        # Nearly all lines are records: seldom more than the first ones are looked at.
        while first := list(islice(records, _ROWS - len(rows))):
            rows += split_all(first, delimiter)
        return rows

    def _width(
        self,
        header: _Header,
        rows: Sequence[Sequence[str]],
        lines: Sequence[str],
        notes: list[str],
    ) -> tuple[tuple[str, ...], int]:
        """Return the columns of nearly all rows, and how many of them the header lacks.

        They can only differ from the header's in empty fields at their end.
        """
        columns, known = header.columns, len(header.columns)
        if not rows:
            return columns, 0
        width, count = max(Counter(map(len, rows)).items(), key=lambda each: each[1])
        if width == known or count < _NEARLY_ALL * len(rows):
            return columns, 0
        if width < known and not any(columns[width:]):
            notes.append(f"{known - width} empty fields at the header's end that no row has")
            return columns[:width], 0
        alike = [row for row in rows if len(row) == width]
        if width > known and not any(cell for row in alike for cell in row[known:]):
            notes.append(f"{width - known} empty fields at the end of each row")
            return columns + ("",) * (width - known), width - known
        self._check_separator(header, lines, len(rows))
        return columns, 0

    def _check_separator(self, header: _Header, lines: Sequence[str], count: int) -> None:
        for other in self._delimiters:
            fitting = sum(len(row) == len(header.columns) for row in self._rows(lines, other))
            if other != header.delimiter and fitting >= max(_ENOUGH, _NEARLY_ALL * count):
                message = (
                    f"the header is separated by {header.delimiter!r}, its rows by {other!r}: "
                    "mend one of them"
                )
                raise DialectError(AMBIGUOUS_DIALECT, message, header.columns)

    def _decimal(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]]
    ) -> tuple[str | None, str | None]:
        if self._csv.decimal != "auto":
            return self._csv.decimal, None
        places = {
            columns.index(name)
            for names in self._numbers
            for name in [next((name for name in names if name in columns), None)]
            if name is not None
        }
        # What a short row lacks is empty, and no number.
        whole = enumerate(zip_longest(*rows, fillvalue=""))
        cells = chain.from_iterable(
            zip(*(cells for at, cells in whole if at in places), strict=True)
        )
        return decimal_of(cells, self._csv.thousands, tuple(columns))

    def _remember(self, sample: bytes, decision: Decision) -> None:
        dialect, end = decision.dialect, sample.find(b"\n") + 1
        plain = decision.note is None and dialect.start == end and sample[:end].isascii()
        layout = lay_out(dialect.columns, self._job)
        if not plain or not dialect.judged or dialect.decimal == ",":
            return
        if self._csv.decimal == "auto" and dialect.delimiter != ",":
            dialect = msgspec.structs.replace(dialect, decimal=None)
        self._known[sample[:end]] = _Known(
            Decision(dialect),
            dialect.delimiter.encode(),
            len(dialect.columns),
            layout.timestamp[0],
        )
