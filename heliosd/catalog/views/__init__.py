"""The relations of pg_catalog and information_schema, computed from the catalog's objects.

TO ADD A VIEW: write a generator of rows in a module of this package and mark it
`@catalog_view("name")`; its columns, their order and types are PostgreSQL's, from
`facts/relations.tsv`. A relation of PostgreSQL that no function fills is there and empty.
"""
