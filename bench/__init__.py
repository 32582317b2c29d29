"""The benchmark: the store beside what a user would pick instead of it.

Rooms, from the ground up: `data` makes events; `peers` are the stores, each behind the same few
methods; `measure` takes times in turn; `operations` are the rows of the tables as data;
`processes`, `startup` and `scaling` are the rows that need more than one store in one process;
`goals` is what the rows have to show, and `reasons` why some do not; `report` and `chart` write it
down; `__main__` runs it all. Beside these, `paired` compares two checkouts of the store, each in a
process that `sides` is about.
"""
