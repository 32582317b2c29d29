"""Reading: from a query to a plan, and from the plan to pages of events."""
