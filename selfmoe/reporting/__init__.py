"""What a run found out: results.json and the tables in the terminal."""
