"""Comparisons with PostgreSQL: both servers, one interleaved run, ratios."""
