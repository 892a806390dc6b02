"""Experts that came one by one: the numbers, the tables, the page."""
