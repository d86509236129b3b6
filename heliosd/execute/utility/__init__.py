"""Utility statements: one function per statement, declared with `@runs` (see registry.py)."""
