"""Programs that do the edge engine's work with a Python engine, written as its users would.

Each cleans a folder of daily files: types and ranges checked, the first failing reason of each row
counted, of equal (sensor, time) the first row kept, and for each day a Parquet file of rows
(zstd 1, sorted by time) and one of hourly statistics. They are told what the edge program is not:
that columns stand in one order, that no row lacks or has too many of them, that a reading comes
less than a day late, and that no time has fractions or a zone. They keep no ledger, digest
nothing and wait for no disk.
"""
