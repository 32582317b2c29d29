"""The store on PostgreSQL: the same contract beyond one machine."""
