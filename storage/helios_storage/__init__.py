"""Keys and rows: snapshots, transactions and durability over copy-on-write trees. Never SQL.

The README beside this package has the picture and the numbered invariants; `transaction` is what the engine uses.
"""
