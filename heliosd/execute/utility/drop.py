"""DROP of tables, views, sequences, indexes, schemas; and what carries out a drop's closure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from helios_storage.locks import TableLockMode
from helios_storage.spec import TreeId
from heliosd.catalog import acl
from heliosd.catalog.dependencies import (
    DropPlan,
    Part,
    cascade_notice,
    describe,
    plan_drop,
    refuse,
    refuse_many,
)
from heliosd.catalog.objects import (
    IndexRelation,
    MaterializedView,
    Relation,
    Routine,
    Schema,
    Sequence,
    Statistics,
    SystemView,
    Table,
    TypeObject,
    View,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.foreign_keys import forget_reference
from heliosd.execute.utility.names import (
    current_role_oid,
    lock_object,
    lock_relation,
    missing_relation,
    refuse_in_use,
    relation_kind_word,
    require_owner,
    shown,
    system_relation,
)
from heliosd.execute.utility.physical import drop_trees
from heliosd.execute.utility.policies import find_policy
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.routine_names import (
    ROUTINES,
    find_routine,
    missing_routine,
    reference_text,
)
from heliosd.sql.tree.base import DropBehavior, ObjectKind, ObjectRef, QualifiedName
from heliosd.sql.tree.define import Drop

if TYPE_CHECKING:
    from heliosd.catalog.objects import CatalogObject
    from heliosd.execute.context import SessionServices

_RELATIONS: Final[dict[ObjectKind, type[Relation]]] = {
    ObjectKind.TABLE: Table,
    ObjectKind.VIEW: View,
    ObjectKind.SEQUENCE: Sequence,
    ObjectKind.INDEX: IndexRelation,
    ObjectKind.MATERIALIZED_VIEW: MaterializedView,
}
_HINTS: Final = {
    "table": "Use DROP TABLE to remove a table.",
    "view": "Use DROP VIEW to remove a view.",
    "sequence": "Use DROP SEQUENCE to remove a sequence.",
    "index": "Use DROP INDEX to remove an index.",
    "materialized view": "Use DROP MATERIALIZED VIEW to remove a materialized view.",
}


@runs(Drop, tag="DROP", writes=True, audit="ddl")
def drop(statement: Drop, session: SessionServices) -> str:
    """DROP kind [IF EXISTS] names [CASCADE]."""
    kind = statement.kind
    tag = f"DROP {kind.value.upper()}"
    roots: list[Part] = []
    for reference in statement.objects:
        root = _find_root(session, kind, reference, missing_ok=statement.missing_ok)
        if root is not None and root not in roots:
            roots.append(root)
    if roots:
        drop_parts(session, roots, cascade=statement.behavior is DropBehavior.CASCADE)
    return tag


def _find_root(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, *, missing_ok: bool
) -> Part | None:
    if kind in _RELATIONS:
        return _find_relation(session, kind, reference, missing_ok=missing_ok)
    if kind is ObjectKind.SCHEMA:
        return _find_schema(session, reference.name, missing_ok=missing_ok)
    if kind in ROUTINES:
        return _find_routine(session, kind, reference, missing_ok=missing_ok)
    if kind in (ObjectKind.TYPE, ObjectKind.DOMAIN):
        return _find_type(session, kind, reference, missing_ok=missing_ok)
    if kind is ObjectKind.POLICY:
        return find_policy(session, reference, missing_ok=missing_ok)
    if missing_ok:
        name = ".".join(reference.parts) or "?"
        session.notice(f'{kind.value} "{name}" does not exist, skipping')
        return None
    raise not_supported(f"DROP {kind.value.upper()}")


def _find_relation(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, *, missing_ok: bool
) -> Part | None:
    name = QualifiedName(reference.position, reference.parts)
    word = kind.value
    found = lock_relation(session, name)
    if found is None:
        if not missing_ok:
            error = missing_relation(session, name, word)
            if kind is ObjectKind.INDEX and error.sqlstate == "42P01":
                raise SqlError("42704", error.message)
            raise error
        if name.schema is not None and session.catalog.schema(name.schema) is None:
            session.notice(f'schema "{name.schema}" does not exist, skipping')
        else:
            session.notice(f'{word} "{shown(name)}" does not exist, skipping')
        return None
    other_kind = isinstance(found, MaterializedView) and kind is ObjectKind.TABLE
    if other_kind or not isinstance(found, _RELATIONS[kind]):
        article = "an" if word == "index" else "a"
        raise SqlError(
            "42809",
            f'"{found.name}" is not {article} {word}',
            hint=_HINTS.get(relation_kind_word(found)),
        )
    if isinstance(found, SystemView):
        raise system_relation(found)
    _require_drop_right(session, found)
    if isinstance(found, IndexRelation):
        return _index_part(session, found)
    if isinstance(found, Sequence):
        _refuse_identity_sequence(session, found)
    return Part("object", found.oid)


def _require_drop_right(session: SessionServices, relation: Relation) -> None:
    """The relation's owner may drop it, or its schema's owner."""
    schema = session.catalog.of_kind(Schema, relation.schema)
    role = current_role_oid(session)
    if schema is not None and acl.is_owner(session.catalog, role, schema):
        return
    require_owner(session, relation)


def _index_part(session: SessionServices, relation: IndexRelation) -> Part:
    table, index = session.catalog.table(relation.table), relation.index
    constraint = table.constraint_by_oid(index.constraint) if index.constraint else None
    if constraint is not None:
        path = session.search_path.schemas
        whole = describe(session.catalog, Part("constraint", table.oid, constraint.oid), path)
        raise SqlError(
            "2BP01",
            f"cannot drop index {index.name} because {whole} requires it",
            hint=f"You can drop {whole} instead.",
        )
    return Part("index", table.oid, index.oid)


def _refuse_identity_sequence(session: SessionServices, sequence: Sequence) -> None:
    if not sequence.internal or sequence.owned_by is None:
        return
    owner = Part("column", sequence.owned_by.oid, sequence.owned_by.attnum)
    words = describe(session.catalog, owner, session.search_path.schemas)
    raise SqlError(
        "2BP01",
        f"cannot drop sequence {sequence.name} because {words} requires it",
        hint=f"You can drop {words} instead.",
    )


def _find_schema(session: SessionServices, name: str, *, missing_ok: bool) -> Part | None:
    schema = session.catalog.schema(name)
    if schema is None:
        if missing_ok:
            session.notice(f'schema "{name}" does not exist, skipping')
            return None
        raise SqlError("3F000", f'schema "{name}" does not exist')
    if session.catalog.is_system(schema.oid):
        raise SqlError(
            "2BP01",
            f"cannot drop schema {name} because it is required by the database system",
        )
    require_owner(session, schema)
    lock_object(session, schema.oid, TableLockMode.ACCESS_EXCLUSIVE)
    return Part("object", schema.oid)


def _find_routine(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, *, missing_ok: bool
) -> Part | None:
    found = None
    schema = reference.parts[-2] if len(reference.parts) > 1 else None
    if not missing_ok or schema is None or session.catalog.schema(schema) is not None:
        found = find_routine(session, kind, reference)
    if found is None:
        if not missing_ok:
            raise missing_routine(session, kind, reference)
        text = reference_text(session, reference)
        session.notice(f"{kind.value} {text} does not exist, skipping")
        return None
    role = current_role_oid(session)
    namespace = session.catalog.of_kind(Schema, found.schema)
    owners = [found] if namespace is None else [found, namespace]
    if not any(acl.is_owner(session.catalog, role, each) for each in owners):
        word = acl.kind_words(found)
        raise SqlError("42501", f"must be owner of {word} {'.'.join(reference.parts)}")
    return Part("object", found.oid)


def _find_type(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, *, missing_ok: bool
) -> Part | None:
    type_name = reference.type
    parts = reference.parts or (type_name.names if type_name is not None else ())
    schema = parts[-2] if len(parts) > 1 else None
    shown_name = ".".join(parts)
    if type_name is not None and type_name.array_bounds:
        shown_name += "[]" * len(type_name.array_bounds)
    if schema is not None and session.catalog.schema(schema) is None:
        if missing_ok:
            session.notice(f'schema "{schema}" does not exist, skipping')
            return None
        raise SqlError("3F000", f'schema "{schema}" does not exist')
    oid = session.catalog.type_oid(schema, parts[-1], session.search_path.schemas)
    if oid is None:
        if missing_ok:
            session.notice(f'type "{shown_name}" does not exist, skipping')
            return None
        raise SqlError("42704", f'type "{shown_name}" does not exist')
    found = session.catalog.by_oid(oid)
    if not isinstance(found, TypeObject):
        raise _undroppable(session, oid, parts[-1])
    if kind is ObjectKind.DOMAIN and found.kind != "d":
        raise SqlError("42809", f'"{shown_name}" is not a domain')
    if found.kind == "m":
        whole = session.catalog.by_oid(found.base_type)
        name = "" if whole is None else whole.name
        raise SqlError(
            "2BP01",
            f"cannot drop type {found.name} because type {name} requires it",
            hint=f"You can drop type {name} instead.",
        )
    _require_schema_owner_or(session, found)
    lock_object(session, found.oid, TableLockMode.ACCESS_EXCLUSIVE)
    return Part("object", found.oid)


def _require_schema_owner_or(session: SessionServices, made: TypeObject) -> None:
    """The type's owner may drop it, or its schema's owner."""
    schema = session.catalog.of_kind(Schema, made.schema)
    role = current_role_oid(session)
    if schema is None or not acl.is_owner(session.catalog, role, schema):
        require_owner(session, made)


def _undroppable(session: SessionServices, oid: int, name: str) -> SqlError:
    """2BP01 for a table's row type, an array type, a built-in type."""
    owner = session.catalog.owner_of_part(oid)
    if isinstance(owner, Relation):
        words = f"{relation_kind_word(owner)} {owner.name}"
        return SqlError(
            "2BP01",
            f"cannot drop type {name} because {words} requires it",
            hint=f"You can drop {words} instead.",
        )
    if isinstance(owner, TypeObject):
        return SqlError(
            "2BP01",
            f"cannot drop type {owner.name}[] because type {owner.name} requires it",
            hint=f"You can drop type {owner.name} instead.",
        )
    shown = session.catalog.types.type(oid).display
    return SqlError(
        "2BP01", f"cannot drop type {shown} because it is required by the database system"
    )


# -- carrying it out ------------------------------------------------------------------------------


def drop_parts(session: SessionServices, roots: list[Part], *, cascade: bool) -> None:
    """Drop these and what falls with them; 2BP01 when others depend and CASCADE is not said."""
    catalog = session.catalog
    path = session.search_path.schemas
    plan = plan_drop(catalog, roots)
    if plan.reported and not cascade:
        if len(roots) == 1:
            raise refuse(catalog, roots[0], plan, path)
        raise refuse_many(catalog, plan, path)
    notice = cascade_notice(catalog, plan, path)
    if notice is not None:
        session.notice(notice[0], detail=notice[1])
    carry_out(session, plan)


def carry_out(session: SessionServices, plan: DropPlan) -> None:
    """Lock and drop everything of the plan, dependents first."""
    going = frozenset(plan.objects())
    for part in plan.parts:
        lock_object(session, part.oid, TableLockMode.ACCESS_EXCLUSIVE)
    for part in plan.parts:
        if part.kind != "object" and part.oid in going:
            continue
        if part.kind == "object":
            obj = session.catalog.by_oid(part.oid)
            if obj is not None:
                drop_object(session, obj, going)
        else:
            drop_part(session, part)


def drop_part(session: SessionServices, part: Part) -> None:
    """Drop what rests inside a table or a type."""
    if part.kind == "type":
        return  # it goes with its owner
    made = session.catalog.by_oid(part.oid)
    if not isinstance(made, TypeObject):
        drop_table_part(session, part)
        return
    edit = session.catalog_edit()
    match part.kind:
        case "attribute":
            columns = tuple(
                replace(c, dropped=True, name=f"........pg.dropped.{c.attnum}........")
                if c.attnum == part.sub
                else c
                for c in made.columns
            )
            edit.replace(made, replace(made, columns=columns))
        case "domain constraint":
            kept = tuple(c for c in made.constraints if c.oid != part.sub)
            edit.replace(made, replace(made, constraints=kept))
        case "type default":
            edit.replace(made, replace(made, default=None, references=()))


def drop_object(session: SessionServices, obj: CatalogObject, going: frozenset[int]) -> None:
    """Drop one whole object and its storage."""
    edit = session.catalog_edit()
    match obj:
        case Table():
            refuse_in_use(session, obj, "DROP TABLE")
            for target in {key.referenced_table for key in obj.foreign_keys}:
                if target != obj.oid and target not in going:
                    forget_reference(session, obj.oid, target)
            drop_trees(session, obj)
            statistics = session.catalog.statistics(obj.oid)
            if statistics is not None:
                edit.drop(statistics)
            if obj.row_sequence:
                _drop_counter(session, obj.row_sequence)
        case Sequence():
            _drop_counter(session, obj.store_id)
        case Statistics() | View() | Schema() | TypeObject() | Routine():
            pass
    current = session.catalog.by_oid(obj.oid)
    if current is not None:
        edit.drop(current)


def _drop_counter(session: SessionServices, store_id: int) -> None:
    """Counters live outside transactions: forget one only when the drop is committed."""
    sequences = session.storage.sequences
    session.run_after_commit(lambda: sequences.drop(store_id))


def drop_table_part(session: SessionServices, part: Part) -> None:
    """Drop a column's default, an index, a constraint or a column, keeping the table."""
    table = session.catalog.table(part.oid)
    edit = session.catalog_edit()
    match part.kind:
        case "default":
            edit.replace(table, without_default(table, part.sub))
        case "index":
            index = table.index_by_oid(part.sub)
            if index is None:
                return
            if index.primary:
                _drop_primary_key(session, table)
                return
            session.transaction.drop_tree(TreeId(index.tree_id))
            kept = tuple(x for x in table.indexes if x.oid != index.oid)
            edit.replace(table, replace(table, indexes=kept))
        case "constraint":
            _drop_constraint(session, table, part.sub)
        case "policy":
            kept_policies = tuple(p for p in table.policies if p.oid != part.sub)
            edit.replace(table, replace(table, policies=kept_policies))
        case "column":
            edit.replace(table, without_column(table, part.sub))


def _drop_constraint(session: SessionServices, table: Table, oid: int) -> None:
    constraint = table.constraint_by_oid(oid)
    if constraint is None:
        return
    kept = tuple(c for c in table.constraints if c.oid != oid)
    changed = replace(table, constraints=kept)
    if constraint.kind == "f":
        target = constraint.referenced_table
        if not any(c.kind == "f" and c.referenced_table == target for c in kept):
            if target == table.oid:
                others = tuple(x for x in changed.referenced_by if x != table.oid)
                changed = replace(changed, referenced_by=others)
            else:
                forget_reference(session, table.oid, target)
    indexes = tuple(
        replace(x, constraint=0) if x.oid == constraint.index else x for x in changed.indexes
    )
    session.catalog_edit().replace(table, replace(changed, indexes=indexes))


def _drop_primary_key(session: SessionServices, table: Table) -> None:
    """Without its primary key the table is clustered on hidden row numbers."""
    from heliosd.execute.utility.rewrite import recluster

    kept = tuple(index for index in table.indexes if not index.primary)
    recluster(session, table, replace(table, indexes=kept), ())


def without_default(table: Table, attnum: int) -> Table:
    """The table with a column's default gone."""
    return replace(
        table,
        columns=tuple(
            replace(c, default=None, default_oid=0, default_references=())
            if c.attnum == attnum
            else c
            for c in table.columns
        ),
    )


def without_column(table: Table, attnum: int) -> Table:
    """The table with a column dropped: its slot stays, its name and rules go."""
    return replace(
        table,
        columns=tuple(
            replace(
                c,
                name=f"........pg.dropped.{attnum}........",
                dropped=True,
                not_null=False,
                default=None,
                default_oid=0,
                default_references=(),
                identity="",
                generated="",
                comment=None,
                acl=None,
            )
            if c.attnum == attnum
            else c
            for c in table.columns
        ),
    )
