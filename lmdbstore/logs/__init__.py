"""What logs hold: text, JSON, logfmt and tables, and the readers that make events of them."""
