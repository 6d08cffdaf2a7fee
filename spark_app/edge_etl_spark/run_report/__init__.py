"""The report of a run: one HTML file for people, beside the table (docs/report.md).

`gathering` and `looking` bring the facts together, `page` turns them into HTML without any I/O, and
`writing` puts the file where the landing service finds it.
"""
