"""Keys and rows: snapshots, transactions and durability over copy-on-write trees. Never SQL.

`storage/README.md` has the picture and the numbered invariants; the engine uses `storage.Storage`
and `transaction.Transaction`.
"""
