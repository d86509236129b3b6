"""Privileges on what is never stored: system relations, built-in functions, types, languages,
settings.

What PostgreSQL's initdb grants and revokes is here; a GRANT or REVOKE on such a thing is kept as a
`BuiltInAcl` in the catalog, which then says everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliosd.catalog.kinds import KINDS
from heliosd.catalog.objects import (
    BOOTSTRAP_ROLE_OID,
    PUBLIC_ROLE,
    Acl,
    AclItem,
    BuiltInAcl,
    SystemView,
)
from heliosd.catalog.state import BUILT_IN_ACL

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

PG_MONITOR: Final = 3373
PG_READ_ALL_STATS: Final = 3375

_CLOSED_RELATIONS: Final = frozenset(
    {"pg_statistic", "pg_authid", "pg_shadow", "pg_statistic_ext_data", "pg_file_settings"}
    | {"pg_hba_file_rules", "pg_ident_file_mappings", "pg_config", "pg_user_mapping"}
    | {"pg_replication_origin_status", "pg_subscription", "pg_largeobject"}
)
_STATISTICS_RELATIONS: Final = frozenset({"pg_backend_memory_contexts", "pg_shmem_allocations"})
_CLOSED_COLUMNS: Final = frozenset({("pg_subscription", "subconninfo")})

_CLOSED_FUNCTIONS: Final = frozenset(
    {765, 3775, 2307, 3776, 6170, 6232, 3329, 3401, 6250, 3098, 2848, 3071, 3072, 2622, 2621, 3800}
    | {3801, 3826, 2624, 3828, 3827, 3295, 3307, 2625, 3297, 4543, 6004, 6008, 6009, 6007, 6006}
    | {6012, 6013, 6011, 6014, 3400, 2623, 6010, 2172, 2739, 3436, 2274, 3777, 6230, 764, 767}
    | {3293, 6003, 6005}
)
"""Functions from which initdb revokes PUBLIC's EXECUTE, by oid."""
_MONITOR_FUNCTIONS: Final = frozenset({5031, 5029, 6270, 6272, 3354, 3353, 5030, 6271})
_STATISTICS_FUNCTIONS: Final = frozenset({2282, 5052})
_UNTRUSTED_LANGUAGES: Final = frozenset({12, 13})
"""internal and c: nobody but superusers may use them, so what was granted does not matter."""


def find_built_in(catalog: Catalog, kind: str, target: int | str) -> BuiltInAcl | None:
    """The stored grants on a built-in thing: `kind` function, type, language, relation,
    tablespace (by oid) or parameter (by lower-case name)."""
    database = 0 if kind in ("parameter", "tablespace") else catalog.database.oid
    found = catalog.by_name((BUILT_IN_ACL, database, f"{kind}:{target}"))
    return found if isinstance(found, BuiltInAcl) else None


def stored_acl(catalog: Catalog, kind: str, target: int | str) -> Acl:
    """What GRANT and REVOKE left; None while what initdb made holds."""
    found = find_built_in(catalog, kind, target)
    return None if found is None else found.acl


def built_in_items(catalog: Catalog, kind: str, target: int | str) -> tuple[AclItem, ...]:
    """What holds now for a built-in thing."""
    stored = stored_acl(catalog, kind, target)
    return initial_items(kind, target) if stored is None else stored


def initial_items(kind: str, target: int | str) -> tuple[AclItem, ...]:
    """What holds until the first GRANT or REVOKE."""
    if kind == "function" and isinstance(target, int):
        explicit = initial_function_acl(target)
        if explicit is not None:
            return explicit
    rule = KINDS[kind]
    own = AclItem(BOOTSTRAP_ROLE_OID, BOOTSTRAP_ROLE_OID, rule.letters)
    if rule.public:
        return (AclItem(PUBLIC_ROLE, BOOTSTRAP_ROLE_OID, rule.public), own)
    return (own,)


def initial_function_acl(oid: int) -> Acl:
    """pg_proc.proacl of a built-in function: None unless initdb revoked PUBLIC's EXECUTE."""
    own = AclItem(BOOTSTRAP_ROLE_OID, BOOTSTRAP_ROLE_OID, "X")
    if oid in _CLOSED_FUNCTIONS:
        return (own,)
    if oid in _MONITOR_FUNCTIONS:
        return (own, AclItem(PG_MONITOR, BOOTSTRAP_ROLE_OID, "X"))
    if oid in _STATISTICS_FUNCTIONS:
        return (own, AclItem(PG_READ_ALL_STATS, BOOTSTRAP_ROLE_OID, "X"))
    return None


def initial_relation_acl(name: str) -> tuple[AclItem, ...]:
    """pg_class.relacl of a system relation."""
    own = AclItem(BOOTSTRAP_ROLE_OID, BOOTSTRAP_ROLE_OID, KINDS["table"].letters)
    if name in _CLOSED_RELATIONS:
        return (own,)
    if name in _STATISTICS_RELATIONS:
        return (own, AclItem(PG_READ_ALL_STATS, BOOTSTRAP_ROLE_OID, "r"))
    public = "rw" if name == "pg_settings" else "r"
    return (own, AclItem(PUBLIC_ROLE, BOOTSTRAP_ROLE_OID, public))


def initial_column_acl(relation: str, column: str) -> Acl:
    """pg_attribute.attacl of a system relation's column."""
    if relation == "pg_subscription" and (relation, column) not in _CLOSED_COLUMNS:
        return (AclItem(PUBLIC_ROLE, BOOTSTRAP_ROLE_OID, "r"),)
    return None


def is_open_function(catalog: Catalog, oid: int) -> bool:
    """Whether a built-in function is everybody's: nobody has closed it."""
    return initial_function_acl(oid) is None and find_built_in(catalog, "function", oid) is None


def is_open_relation(catalog: Catalog, relation: SystemView) -> bool:
    """Whether everybody may read a system relation."""
    name = relation.name
    closed = name in _CLOSED_RELATIONS or name in _STATISTICS_RELATIONS
    return not closed and find_built_in(catalog, "relation", relation.oid) is None


def is_untrusted_language(oid: int) -> bool:
    """Whether only superusers may use the language (42501, 42809 for GRANT)."""
    return oid in _UNTRUSTED_LANGUAGES
