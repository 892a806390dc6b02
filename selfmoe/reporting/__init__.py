"""What a run found out: results.json, the page, its figures, and the tables in the terminal."""
