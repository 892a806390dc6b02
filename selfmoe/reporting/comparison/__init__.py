"""A comparison of systems as numbers, tables and a page."""
