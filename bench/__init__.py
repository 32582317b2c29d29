"""The benchmark: the store compared with what a user could choose instead of it.

Modules, bottom up: `data` makes the events. `peers` has the stores, all with the same few methods.
`measure` takes times in turn. `operations` has the rows of the tables, as data. `processes`,
`startup` and `scaling` have the rows that need more than one store in one process, `follow` those
about following one, `page` those about its page, `imports` those about files of logs, and `logs`
those about `logging`. `goals` says what the rows must show, and `reasons` why some goals are lost.
`report` and `chart` write the results. `__main__` runs everything. Separately, `paired` compares
two checkouts of the store; each runs in a process defined by `sides`.
"""
