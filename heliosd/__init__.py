"""heliosd: a hardened SQL server that speaks PostgreSQL's wire protocol."""
