"""Statements whose answers PostgreSQL 15 gave; see compare.py."""
