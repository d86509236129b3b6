"""CREATE, ALTER, DROP and COMMENT ON POLICY; ALTER POLICY ... RENAME."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from heliosd.catalog import acl
from heliosd.catalog.dependencies import Part
from heliosd.catalog.objects import PUBLIC_ROLE, Policy, Reference, Relation, Table
from heliosd.errors import SqlError
from heliosd.execute.utility.describe import canonical_names
from heliosd.execute.utility.names import (
    current_role_oid,
    lock_relation,
    missing_relation,
    require_relation_owner,
    resolve_role,
    shown,
)
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.stored_text import attribute_reference, type_reference
from heliosd.security.masks import require_unmask
from heliosd.sql.bind.coerce import to_boolean
from heliosd.sql.bind.policies import bind_new_policy
from heliosd.sql.bind.statement import collect_privileges
from heliosd.sql.bound import Const, FieldSelect, Var, WholeRow
from heliosd.sql.bound.walk import all_nodes
from heliosd.sql.parser import parse_expression
from heliosd.sql.tree.base import QualifiedName, RoleKind, RoleSpec
from heliosd.sql.tree.define import AlterPolicy, CreatePolicy, PolicyCommand
from heliosd.types.oids import FIRST_NORMAL_OID

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.bind.state import BindState
    from heliosd.sql.bound import Expr
    from heliosd.sql.tree.base import Expression, ObjectRef

Letter = Literal["*", "r", "a", "w", "d"]

_LETTERS: Final[dict[PolicyCommand, Letter]] = {
    PolicyCommand.ALL: "*",
    PolicyCommand.SELECT: "r",
    PolicyCommand.INSERT: "a",
    PolicyCommand.UPDATE: "w",
    PolicyCommand.DELETE: "d",
}
_REGCLASS: Final = 2205


@runs(CreatePolicy, tag="CREATE POLICY", writes=True, audit="policy")
def create_policy(statement: CreatePolicy, session: SessionServices) -> None:
    """CREATE POLICY name ON table [AS ...] [FOR ...] [TO ...] [USING (...)] [WITH CHECK (...)]."""
    command = _LETTERS[statement.command]
    if statement.with_check is not None and command in "rd":
        raise SqlError("42601", "WITH CHECK cannot be applied to SELECT or DELETE")
    if statement.using is not None and command == "a":
        raise SqlError("42601", "only WITH CHECK expression allowed for INSERT")
    roles = _role_oids(session, statement.roles)
    table = _own_table(session, statement.relation)
    texts = _Texts(session, table)
    using = texts.of(statement.using)
    check = texts.of(statement.with_check)
    if table.policy_by_name(statement.name) is not None:
        raise _taken(statement.name, table)
    edit = session.catalog_edit()
    policy = Policy(
        oid=edit.new_oid(),
        name=statement.name,
        command=command,
        permissive=statement.permissive,
        roles=roles,
        using=using,
        check=check,
        references=texts.references(),
    )
    edit.replace(table, with_policies(table, (*table.policies, policy)))


@runs(AlterPolicy, tag="ALTER POLICY", writes=True, audit="policy")
def alter_policy(statement: AlterPolicy, session: SessionServices) -> None:
    """ALTER POLICY name ON table [TO roles] [USING (...)] [WITH CHECK (...)]."""
    roles = None if statement.roles is None else _role_oids(session, statement.roles)
    table = _own_table(session, statement.relation)
    texts = _Texts(session, table)
    using = texts.of(statement.using)
    check = texts.of(statement.with_check)
    policy = _required(table, statement.name)
    if check is not None and policy.command in "rd":
        raise SqlError("42601", "only USING expression allowed for SELECT, DELETE")
    if using is not None and policy.command == "a":
        raise SqlError("42601", "only WITH CHECK expression allowed for INSERT")
    if using is None:
        using = texts.kept(policy.using)
    if check is None:
        check = texts.kept(policy.check)
    changed = replace(
        policy,
        roles=policy.roles if roles is None else roles,
        using=using,
        check=check,
        references=texts.references(),
    )
    put_policy(session, table, changed)


def rename_policy(session: SessionServices, name: QualifiedName, old: str, new: str) -> None:
    """ALTER POLICY [IF EXISTS] old ON name RENAME TO new; as in PostgreSQL both must exist."""
    table = _own_table(session, name)
    if table.policy_by_name(new) is not None:
        raise _taken(new, table)
    put_policy(session, table, replace(_required(table, old), name=new))


def find_policy(session: SessionServices, reference: ObjectRef, *, missing_ok: bool) -> Part | None:
    """What DROP POLICY name ON table drops; None after IF EXISTS's notice."""
    assert reference.relation is not None
    name, policy_name = reference.relation, reference.name
    found = lock_relation(session, name)
    if found is None:
        if not missing_ok:
            raise missing_relation(session, name)
        if name.schema is not None and session.catalog.schema(name.schema) is None:
            session.notice(f'schema "{name.schema}" does not exist, skipping')
        else:
            session.notice(f'relation "{shown(name)}" does not exist, skipping')
        return None
    policy = found.policy_by_name(policy_name) if isinstance(found, Table) else None
    if policy is None:
        if not missing_ok:
            raise SqlError(
                "42704", f'policy "{policy_name}" for table "{found.name}" does not exist'
            )
        session.notice(
            f'policy "{policy_name}" for relation "{shown(name)}" does not exist, skipping'
        )
        return None
    _require_owner_of_relation(session, found)
    return Part("policy", found.oid, policy.oid)


def comment_on_policy(session: SessionServices, reference: ObjectRef, comment: str | None) -> None:
    """COMMENT ON POLICY name ON table."""
    assert reference.relation is not None
    found = lock_relation(session, reference.relation)
    if found is None:
        raise missing_relation(session, reference.relation)
    policy = _required(_require_table(found), reference.name)
    _require_owner_of_relation(session, found)
    put_policy(session, _require_table(found), replace(policy, comment=comment))


def forget_role(session: SessionServices, table: Table, role: int) -> None:
    """DROP OWNED: the role is taken out of the table's policies; those for it alone go."""
    kept = tuple(
        replace(policy, roles=tuple(r for r in policy.roles if r != role))
        for policy in table.policies
        if policy.roles != (role,)
    )
    session.catalog_edit().replace(table, replace(table, policies=kept))


def put_policy(session: SessionServices, table: Table, policy: Policy) -> None:
    """Put a changed policy in the place of the one with its oid."""
    others = tuple(p for p in table.policies if p.oid != policy.oid)
    session.catalog_edit().replace(table, with_policies(table, (*others, policy)))


def with_policies(table: Table, policies: Sequence[Policy]) -> Table:
    """The table with these policies, by name."""
    return replace(table, policies=tuple(sorted(policies, key=lambda policy: policy.name)))


def _own_table(session: SessionServices, name: QualifiedName) -> Table:
    """The table, locked, for its owner alone; 42P01, 42809, 42501."""
    found = lock_relation(session, name)
    if found is None:
        raise missing_relation(session, name)
    require_relation_owner(session, found)
    return _require_table(found)


def _require_owner_of_relation(session: SessionServices, found: Relation) -> None:
    """In the words of statements that name what is in a relation."""
    if not acl.is_owner(session.catalog, current_role_oid(session), found):
        raise SqlError("42501", f"must be owner of relation {found.name}")


def _require_table(found: Relation) -> Table:
    if not isinstance(found, Table):
        raise SqlError("42809", f'"{found.name}" is not a table')
    return found


def _required(table: Table, name: str) -> Policy:
    policy = table.policy_by_name(name)
    if policy is None:
        raise SqlError("42704", f'policy "{name}" for table "{table.name}" does not exist')
    return policy


def _taken(name: str, table: Table) -> SqlError:
    return SqlError("42710", f'policy "{name}" for table "{table.name}" already exists')


def _role_oids(session: SessionServices, specs: Sequence[RoleSpec]) -> tuple[int, ...]:
    """TO roles; PUBLIC makes the others needless."""
    if not specs:
        return (PUBLIC_ROLE,)
    if any(spec.kind is RoleKind.PUBLIC for spec in specs):
        if len(specs) > 1:
            session.notice(
                "ignoring specified roles other than PUBLIC",
                severity="WARNING",
                sqlstate="22023",
                hint="All roles are members of the PUBLIC role.",
            )
        return (PUBLIC_ROLE,)
    return tuple(dict.fromkeys(resolve_role(session, spec).oid for spec in specs))


class _Texts:
    """Expressions of one policy on their way into the catalog, and what they depend on."""

    def __init__(self, session: SessionServices, table: Table) -> None:
        self._session = session
        self._table = table
        self._references: dict[Reference, None] = {}

    def of(self, tree: Expression | None) -> str | None:
        """Canonical text of what DDL says; 42804 when it is no boolean."""
        if tree is None:
            return None
        scope = self._session.bind_scope()
        expression, state = bind_new_policy(tree, self._table, scope)
        expression = to_boolean(state, expression, "POLICY", tree)
        self._note(expression, state)
        return canonical_names(scope).expression(expression, self._table)

    def kept(self, text: str | None) -> str | None:
        """A text that stays: what it depends on is found again."""
        if text is None:
            return None
        scope = self._session.bind_scope()
        expression, state = bind_new_policy(parse_expression(text), self._table, scope)
        self._note(expression, state)
        return text

    def references(self) -> tuple[Reference, ...]:
        return tuple(self._references)

    def _note(self, expression: Expr, state: BindState) -> None:
        catalog = state.catalog
        own: dict[int, None] = {}
        for node in all_nodes(expression):
            if isinstance(node, Var) and node.rel == 1 and node.column >= 0:
                own[node.column + 1] = None
            elif isinstance(node, WholeRow) and node.rel == 1:
                own.update(dict.fromkeys(c.attnum for c in self._table.live_columns))
            elif isinstance(node, Const) and node.type == _REGCLASS and node.value is not None:
                self._references[Reference(node.value)] = None
            if isinstance(node, FieldSelect):
                attribute = attribute_reference(catalog, node)
                if attribute is not None:
                    self._references[attribute] = None
            called = getattr(node, "target", None) or getattr(node, "function", None)
            if getattr(called, "oid", 0) >= FIRST_NORMAL_OID:
                self._references[Reference(called.oid)] = None  # type: ignore[union-attr]
            used = type_reference(catalog, getattr(node, "type", 0))
            if used is not None and used.oid != self._table.oid:
                self._references[used] = None
        self._needs_unmask(state, self._table, tuple(own))
        self._references.update(dict.fromkeys(Reference(self._table.oid, a) for a in own))
        for need in collect_privileges(state):
            # What stands behind a view is that view's own business.
            relation = catalog.by_oid(need.oid)
            if need.as_role or not isinstance(relation, Relation):
                continue
            attnums = tuple(slot + 1 for slot in need.columns or ())
            if isinstance(relation, Table):
                self._needs_unmask(state, relation, attnums)
            self._references[Reference(need.oid)] = None
            self._references.update(dict.fromkeys(Reference(need.oid, a) for a in attnums))

    def _needs_unmask(self, state: BindState, table: Table, attnums: tuple[int, ...]) -> None:
        """A policy compares the values as they are, so its author must be allowed to see them."""
        require_unmask(state.catalog, state.scope.role, table, attnums, "make a policy")
