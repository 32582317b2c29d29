"""The rows about importing files of logs, from the start of a command to its end.

Modules, bottom up: `logs` makes the files. `importers` has the commands of the peers, as data.
`rows` runs them in turn.
"""
