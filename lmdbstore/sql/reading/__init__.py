"""Reading from PostgreSQL: queries as SQL, pages, views, the feed."""
