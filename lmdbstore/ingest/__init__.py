"""From the lines of log files to events in any store."""
