"""The verdicts on claims as numbers, a table and a page."""
