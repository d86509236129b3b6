"""PostgreSQL's frontend/backend protocol 3.0 and 3.2 as data: bytes <-> messages, no I/O.

Read `README.md` first, then `connection.py`.
"""
