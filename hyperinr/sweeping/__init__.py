"""`hyperinr sweep`: trials of a config, each a run of its own, by any number of processes or several in one program.

`space_file` reads what is searched, `opened` opens the search in its folder, `one_by_one` and `in_one_program` work on
trials, `results` writes what was found, and `command` puts these together. How draws and trials work in general is in
`hyperinr.searching`; the page is drawn in `hyperinr.inspection`.
"""
