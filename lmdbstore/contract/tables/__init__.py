"""Events as the tables of other libraries: Arrow, pandas and polars."""
