"""Random worlds of roles, grants and memberships: who may do what, as statements and probes.

A world is a list of `Step`s: a statement and the role that says it. `world_steps(seed)` builds the
same world for the same seed; `probe_steps` then asks every role for everything. Both are run on
heliosd and on PostgreSQL 15, and every answer must be the same (tests/security/
test_privileges_differential.py). Policies are a few and simple: policy_worlds has the many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random


@dataclass(frozen=True)
class Step:
    """One statement, said by `role` (None: the superuser)."""

    role: str | None
    sql: str


@dataclass
class World:
    """What has been made so far. Names carry the seed: roles are shared by all databases."""

    seed: int
    random: Random
    roles: list[str] = field(default_factory=list)
    schemas: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    views: list[str] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    writes_all: bool = False

    def pick(self, *chosen: str) -> str:
        """One of these."""
        return self.random.choice(chosen)

    def chance(self, share: float) -> bool:
        """True in that share of cases."""
        return self.random.random() < share

    def role(self, *, public: float = 0.0) -> str:
        """A role, or PUBLIC."""
        return "public" if self.chance(public) else self.random.choice(self.roles)

    def relation(self) -> str:
        """A table or view."""
        return self.random.choice([*self.tables, *self.views])

    def who(self) -> str | None:
        """Who says the next statement: mostly the superuser or a role of the world."""
        return None if self.chance(0.45) else self.role()


TABLE_PRIVILEGES = ("select", "insert", "update", "delete", "truncate", "references", "trigger")
COLUMN_PRIVILEGES = ("select", "insert", "update", "references")


def world_steps(seed: int) -> tuple[World, list[Step]]:
    """The world of a seed and the statements that make it."""
    world = World(seed, Random(seed))
    steps = [*_roles(world), *_memberships(world), *_schemas(world), *_defaults(world)]
    steps += [*_objects(world), *_functions(world)]
    for _ in range(world.random.randint(18, 34)):
        steps.append(world.random.choice(_CHANGES)(world))
    steps += _policies(world)
    return world, steps


def clean_steps(world: World) -> list[Step]:
    """Take the world away again."""
    roles = ", ".join(world.roles)
    steps = [Step(None, f"drop schema if exists {schema} cascade") for schema in world.schemas]
    return [
        *steps,
        *(Step(None, f"drop owned by {role} cascade") for role in world.roles * 2),
        Step(None, f"drop role {roles}"),
    ]


# -- making ---------------------------------------------------------------------------------------


def _roles(world: World) -> Iterator[Step]:
    for letter in "abcde"[: world.random.randint(3, 5)]:
        name = f"w{world.seed}{letter}"
        options = [
            world.pick("", "", "noinherit"),
            world.pick("", "", "", "createrole"),
            world.pick("", "", "", "createdb"),
            world.pick("", "login"),
            world.pick("", "", "", "", "bypassrls"),
        ]
        yield Step(None, f"create role {name} {' '.join(options)}".strip())
        world.roles.append(name)
    yield Step(None, f"alter role {world.role()} {world.pick('inherit', 'noinherit', 'login')}")


def _memberships(world: World) -> Iterator[Step]:
    for _ in range(world.random.randint(2, 5)):
        option = " with admin option" if world.chance(0.3) else ""
        yield Step(world.who(), f"grant {world.role()} to {world.role()}{option}")
    for _ in range(world.random.randint(0, 2)):
        group = world.pick("pg_read_all_data", "pg_write_all_data", "pg_monitor", "pg_checkpoint")
        world.writes_all |= group == "pg_write_all_data"
        yield Step(None, f"grant {group} to {world.role()}")
    if world.chance(0.4):
        admin = world.pick("", "admin option for ")
        yield Step(world.who(), f"revoke {admin}{world.role()} from {world.role()}")


def _schemas(world: World) -> Iterator[Step]:
    database = "current_database"
    for role in world.roles:
        if world.chance(0.4):
            yield Step(None, f"do_grant_create_on_{database} to {role}")
    for number in range(world.random.randint(1, 3)):
        name = f"w{world.seed}_{number}"
        owner = f" authorization {world.role()}" if world.chance(0.7) else ""
        yield Step(None, f"create schema {name}{owner}")
        world.schemas.append(name)
    for _ in range(world.random.randint(1, 4)):
        privilege = world.pick("usage", "usage", "create", "all", "usage, create")
        option = " with grant option" if world.chance(0.15) else ""
        schema = world.random.choice(world.schemas)
        yield Step(world.who(), f"grant {privilege} on schema {schema} to {world.role()}{option}")
    if world.chance(0.5):
        schema = world.random.choice(world.schemas)
        yield Step(None, f"grant usage on schema {schema} to public")


def _defaults(world: World) -> Iterator[Step]:
    for _ in range(world.random.randint(0, 3)):
        target = f" for role {world.role()}" if world.chance(0.6) else ""
        where = f" in schema {world.random.choice(world.schemas)}" if world.chance(0.4) else ""
        what = world.pick(
            "grant select on tables", "grant all on tables", "grant insert, update on tables",
            "revoke all on tables", "grant usage on sequences", "grant all on sequences",
            "grant usage on schemas", "revoke select on tables", "grant execute on functions",
            "revoke usage on types", "grant usage on types", "revoke execute on functions",
        )  # fmt: skip
        direction = "to" if what.startswith("grant") else "from"
        option = ""
        if direction == "to" and world.chance(0.15):
            option = " with grant option"
        grantee = world.role(public=0.2)
        yield Step(
            world.who(),
            f"alter default privileges{target}{where} {what} {direction} {grantee}{option}",
        )


def _objects(world: World) -> Iterator[Step]:
    for number in range(world.random.randint(1, 3)):
        schema = world.random.choice(world.schemas)
        name = f"{schema}.t{number}"
        columns = ["id", "a", "b", "c"][: world.random.randint(2, 4)]
        kind = world.pick("serial", "int", "int generated by default as identity")
        key = world.pick("primary key", "unique", "primary key")
        rest = "".join(f", {c} {world.pick('int', 'text')} " for c in columns[1:])
        maker = world.role() if world.chance(0.4) else None
        yield Step(maker, f"create table {name} (id {kind} {key}{rest})")
        if maker is not None:
            yield Step(None, f"create table if not exists {name} (id {kind} {key}{rest})")
        world.tables[name] = columns
        values = ", ".join(str(each) for each in range(1, len(columns) + 1))
        yield Step(None, f"insert into {name} values ({values})")
        if world.chance(0.7):
            yield Step(None, f"alter table {name} owner to {world.role()}")
    for number in range(world.random.randint(0, 2)):
        schema = world.random.choice(world.schemas)
        table = world.random.choice(list(world.tables))
        invoker = " with (security_invoker = true)" if world.chance(0.3) else ""
        shown = world.pick("*", *world.tables[table])
        name = f"{schema}.v{number}"
        yield Step(None, f"create view {name}{invoker} as select {shown} from {table}")
        world.views.append(name)
        if world.chance(0.7):
            yield Step(None, f"alter view {name} owner to {world.role()}")
    if world.chance(0.6):
        schema = world.random.choice(world.schemas)
        yield Step(None, f"create sequence {schema}.s0")
        world.sequences.append(f"{schema}.s0")
    if world.chance(0.4):
        schema = world.random.choice(world.schemas)
        yield Step(None, f"create type {schema}.e0 as enum ('x', 'y')")
        world.types.append(f"{schema}.e0")
        if world.chance(0.5):
            yield Step(None, f"alter type {schema}.e0 owner to {world.role()}")


def _functions(world: World) -> Iterator[Step]:
    for number in range(world.random.randint(0, 2)):
        schema = world.random.choice(world.schemas)
        table = world.random.choice(list(world.tables))
        body = world.pick("select $1 + 1", f"select $1 + count(*)::int from {table}")
        definer = world.pick("", " security definer")
        name = f"{schema}.f{number}(int)"
        maker = world.role() if world.chance(0.3) else None
        create = f"function {name} returns int language sql{definer} as '{body}'"
        yield Step(maker, f"create {create}")
        if maker is not None:
            yield Step(None, f"create or replace {create}")
        world.functions.append(name)
        if world.chance(0.6):
            yield Step(None, f"alter function {name} owner to {world.role()}")
        if world.chance(0.5):
            yield Step(None, f"revoke execute on function {name} from public")


def _policies(world: World) -> Iterator[Step]:
    """Policies on some tables, made by whoever tries."""
    for number in range(world.random.randint(0, 4)):
        table = world.random.choice(list(world.tables))
        last = world.tables[table][-1]
        condition = world.pick(
            "true", "false", "id = 1", "id > 1", f"{last} is not null",
            f"current_user = '{world.role()}'", f"pg_has_role('{world.role()}', 'usage')",
        )  # fmt: skip
        command = world.pick("all", "all", "select", "insert", "update", "delete")
        clauses = "" if command == "insert" else f" using ({condition})"
        if command in ("insert", "update", "all") and world.chance(0.5):
            clauses += f" with check ({condition})"
        kind = world.pick("", "", " as restrictive")
        who = world.pick("public", world.role(), "current_user")
        yield Step(
            world.who(), f"create policy p{number} on {table}{kind} for {command} to {who}{clauses}"
        )
        if world.chance(0.8):
            word = world.pick("enable", "enable", "enable", "force", "disable")
            yield Step(world.who(), f"alter table {table} {word} row level security")


# -- changing -------------------------------------------------------------------------------------


def _end(world: World, *, grant: bool) -> str:
    if grant:
        option = " with grant option" if world.chance(0.3) else ""
        return f" to {world.role(public=0.0 if option else 0.1)}{option}"
    return f" from {world.role(public=0.1)}{world.pick('', '', ' cascade')}"


def _head(world: World, *, grant: bool) -> str:
    if grant:
        return "grant "
    return "revoke " + ("grant option for " if world.chance(0.2) else "")


def _some(world: World, names: tuple[str, ...]) -> str:
    if world.chance(0.2):
        return "all"
    return ", ".join(world.random.sample(names, world.random.randint(1, 2)))


def _on_table(world: World) -> Step:
    grant = world.chance(0.7)
    what = _some(world, TABLE_PRIVILEGES)
    text = f"{_head(world, grant=grant)}{what} on {world.relation()}{_end(world, grant=grant)}"
    return Step(world.who(), text)


def _on_column(world: World) -> Step:
    grant = world.chance(0.75)
    table = world.random.choice(list(world.tables))
    columns = world.tables[table]
    parts = []
    for name in world.random.sample(COLUMN_PRIVILEGES, world.random.randint(1, 2)):
        some = world.random.sample(columns, world.random.randint(1, len(columns)))
        parts.append(f"{name} ({', '.join(some)})")
    text = f"{_head(world, grant=grant)}{', '.join(parts)} on {table}{_end(world, grant=grant)}"
    return Step(world.who(), text)


def _on_schema(world: World) -> Step:
    grant = world.chance(0.7)
    schema = world.random.choice(world.schemas)
    what = world.pick("usage", "create", "all")
    text = f"{_head(world, grant=grant)}{what} on schema {schema}{_end(world, grant=grant)}"
    return Step(world.who(), text)


def _on_all(world: World) -> Step:
    grant = world.chance(0.7)
    schema = world.random.choice(world.schemas)
    kind, names = world.random.choice(
        [("tables", TABLE_PRIVILEGES), ("sequences", ("usage", "select", "update"))]
    )
    what = _some(world, names)
    text = (
        f"{_head(world, grant=grant)}{what} on all {kind} in schema {schema}"
        f"{_end(world, grant=grant)}"
    )
    return Step(world.who(), text)


def _on_sequence(world: World) -> Step:
    if not world.sequences:
        return _on_table(world)
    grant = world.chance(0.7)
    what = _some(world, ("usage", "select", "update"))
    text = (
        f"{_head(world, grant=grant)}{what} on sequence {world.random.choice(world.sequences)}"
        f"{_end(world, grant=grant)}"
    )
    return Step(world.who(), text)


def _on_type(world: World) -> Step:
    if not world.types:
        return _on_column(world)
    grant = world.chance(0.5)
    text = (
        f"{_head(world, grant=grant)}usage on type {world.random.choice(world.types)}"
        f"{_end(world, grant=grant)}"
    )
    return Step(world.who(), text)


def _on_function(world: World) -> Step:
    if not world.functions:
        return _on_schema(world)
    grant = world.chance(0.6)
    name = world.random.choice(world.functions)
    what, kind = world.pick("all", "execute"), world.pick("function", "routine")
    return Step(
        world.who(), f"{_head(world, grant=grant)}{what} on {kind} {name}{_end(world, grant=grant)}"
    )


def _member(world: World) -> Step:
    if world.chance(0.6):
        option = " with admin option" if world.chance(0.4) else ""
        return Step(world.who(), f"grant {world.role()} to {world.role()}{option}")
    admin = world.pick("", "admin option for ")
    return Step(world.who(), f"revoke {admin}{world.role()} from {world.role()}")


def _owner(world: World) -> Step:
    kind = world.random.choice(["table", "schema", "view", "sequence", "type", "function"])
    names = {
        "table": list(world.tables), "schema": world.schemas, "view": world.views,
        "sequence": world.sequences, "type": world.types, "function": world.functions,
    }[kind]  # fmt: skip
    if not names:
        kind, names = "table", list(world.tables)
    return Step(world.who(), f"alter {kind} {world.random.choice(names)} owner to {world.role()}")


def _reassign(world: World) -> Step:
    if world.chance(0.3):
        return Step(world.role(), f"reassign owned by {world.role()} to {world.role()}")
    if world.chance(0.3):
        return Step(None, f"reassign owned by {world.role()} to {world.role()}")
    return Step(world.role(), f"drop role {world.role()}")


def _bad(world: World) -> Step:
    table = world.random.choice(list(world.tables))
    role = world.role()
    return Step(
        world.who(),
        world.pick(
            f"grant usage on table {table} to {role}",
            f"grant execute on table {table} to {role}",
            f"grant select (nosuch) on {table} to {role}",
            f"grant delete (id) on {table} to {role}",
            f"grant select on {table} to nosuchrole",
            f"grant nosuch on {table} to {role}",
            f"grant select on {table} to public with grant option",
            f"grant create on sequence {table} to {role}",
            f"revoke select on {table} from {role} granted by {world.role()}",
            f"grant all on schema nosuch to {role}",
        ),
    )


_CHANGES: tuple[Callable[[World], Step], ...] = (
    _on_table, _on_table, _on_table, _on_column, _on_column, _on_schema, _on_all, _on_sequence,
    _on_type, _on_function, _member, _owner, _owner, _reassign, _bad,
)  # fmt: skip


# -- asking ---------------------------------------------------------------------------------------


def probe_steps(world: World) -> Iterator[Step]:
    """Everything that a role can try, each to be undone, and what the catalog says."""
    for role in world.roles:
        for table, columns in world.tables.items():
            yield from _table_probes(world, role, table, columns)
        for view in world.views:
            yield Step(role, f"select * from {view}")
            yield Step(role, f"delete from {view}")
            yield Step(role, f"update {view} set id = 7")
        for sequence in world.sequences:
            yield Step(role, f"select nextval('{sequence}')")
            yield Step(role, f"select setval('{sequence}', 9)")
            yield Step(role, f"select last_value from {sequence}")
        for function in world.functions:
            yield Step(role, f"select {function.replace('(int)', '(1)')}")
            yield Step(role, f"drop function {function}")
        for kind in world.types:
            yield Step(role, f"select 'x'::{kind}")
            yield Step(role, f"create temp table x (y {kind})")
        for schema in world.schemas:
            yield Step(role, f"create table {schema}.made (x int)")
            yield Step(role, f"create view {schema}.made as select 1 as x")
            yield Step(role, f"create sequence {schema}.made")
            yield Step(role, f"drop schema {schema}")
        yield Step(role, f"create role w{world.seed}new")
        yield Step(role, f"create schema w{world.seed}new")
        for other in world.roles:
            yield Step(role, f"set role {other}")
        yield Step(role, _roles_question(world))
        yield from _information(role, world)
    for privileges in _has_questions(world):
        yield Step(None, privileges)
    yield from _catalog(world)


def _table_probes(world: World, role: str, table: str, columns: list[str]) -> Iterator[Step]:
    last = columns[-1]
    yield Step(role, f"select * from {table}")
    yield Step(role, f"select {last} from {table}")
    yield Step(role, f"select count(*) from {table}")
    yield Step(role, f"select 1 from {table} where {last} is null")
    yield Step(role, f"insert into {table} ({last}) values (null)")
    yield Step(role, f"insert into {table} (id, {last}) values (50, null) returning id")
    if not world.writes_all:
        # PostgreSQL 15 does not count pg_write_all_data where the role holds one of INSERT and
        # UPDATE by a grant and the statement needs both; here it counts.
        yield Step(
            role,
            f"insert into {table} (id) values (1) on conflict (id) do update "
            f"set {last} = excluded.{last}",
        )
    yield Step(role, f"insert into {table} (id) values (1) on conflict do nothing")
    yield Step(role, f"update {table} set {last} = null")
    yield Step(role, f"update {table} set {last} = null where id = 1")
    yield Step(role, f"update {table} set {last} = {last}")
    yield Step(role, f"delete from {table}")
    yield Step(role, f"delete from {table} where {last} is null")
    yield Step(role, f"delete from {table} returning {columns[0]}")
    yield Step(role, f"truncate {table}")
    yield Step(role, f"select id from {table} for update")
    yield Step(role, f"select id from {table} for share")
    yield Step(role, f"lock table {table} in {world.pick('share', 'access share')} mode")
    yield Step(role, f"alter table {table} add column z int")
    yield Step(role, f"create index on {table} (id)")
    yield Step(role, f"comment on table {table} is 'x'")
    yield Step(role, f"drop table {table}")
    yield Step(role, f"create temp table x (y int references {table})")
    yield Step(role, f"alter table {table} rename to other")
    yield Step(role, f"analyze {table}")


def _roles_question(world: World) -> str:
    parts = []
    for other in world.roles:
        parts += [f"pg_has_role('{other}', '{mode}')" for mode in (
            "member", "usage", "member with admin option")]  # fmt: skip
    return "select " + ", ".join(parts)


def _has_questions(world: World) -> Iterator[str]:
    roles = ", ".join(f"'{role}'" for role in [*world.roles, "public"])
    words = ", ".join(f"'{x}', '{x} with grant option'" for x in TABLE_PRIVILEGES)
    for name in [*world.tables, *world.views]:
        yield (
            f"select r, p, has_table_privilege(r, '{name}', p) from unnest(array[{roles}]) r, "
            f"unnest(array[{words}]) p order by 1, 2"
        )
    words = ", ".join(f"'{x}', '{x} with grant option'" for x in COLUMN_PRIVILEGES)
    for name, columns in world.tables.items():
        names = ", ".join(f"'{column}'" for column in columns)
        yield (
            f"select r, c, p, has_column_privilege(r, '{name}', c, p), "
            f"has_any_column_privilege(r, '{name}', p) from unnest(array[{roles}]) r, "
            f"unnest(array[{names}]) c, unnest(array[{words}]) p order by 1, 2, 3"
        )
    for schema in world.schemas:
        yield (
            f"select r, p, has_schema_privilege(r, '{schema}', p) from unnest(array[{roles}]) r, "
            "unnest(array['usage', 'create', 'usage with grant option']) p order by 1, 2"
        )
    for sequence in world.sequences:
        yield (
            f"select r, p, has_sequence_privilege(r, '{sequence}', p) from "
            f"unnest(array[{roles}]) r, unnest(array['usage', 'select', 'update']) p order by 1, 2"
        )
    for function in world.functions:
        yield (
            f"select r, p, has_function_privilege(r, '{function}', p) from "
            f"unnest(array[{roles}]) r, unnest(array['execute', 'execute with grant option']) p "
            "order by 1, 2"
        )
    for kind in world.types:
        yield f"select r, has_type_privilege(r, '{kind}', 'usage') from unnest(array[{roles}]) r"


def _information(role: str, world: World) -> Iterator[Step]:
    where = f"like 'w{world.seed}\\_%'"
    for view, column, order in (
        ("table_privileges", "table_schema", "1, 2, 4, 5, 6, 7, 8"),
        ("role_table_grants", "table_schema", "1, 2, 4, 5, 6, 7, 8"),
        ("column_privileges", "table_schema", "1, 2, 4, 5, 6, 7, 8"),
        ("role_column_grants", "table_schema", "1, 2, 4, 5, 6, 7, 8"),
        ("usage_privileges", "object_schema", "1, 2, 4, 5, 6, 7, 8"),
        ("role_usage_grants", "object_schema", "1, 2, 4, 5, 6, 7, 8"),
    ):
        columns = "grantor, grantee"
        if view.endswith(("usage_privileges", "usage_grants")):
            columns += ", object_catalog, object_schema, object_name, object_type, privilege_type"
        elif "column" in view:
            columns += ", table_catalog, table_schema, table_name, column_name, privilege_type"
        else:
            columns += ", table_catalog, table_schema, table_name, privilege_type, with_hierarchy"
        yield Step(
            role,
            f"select {columns}, is_grantable from information_schema.{view} where {column} {where} "
            f"order by {order}",
        )
    yield Step(role, f"select * from information_schema.applicable_roles where grantee like "
                     f"'w{world.seed}_' order by 1, 2")  # fmt: skip
    yield Step(role, "select * from information_schema.administrable_role_authorizations "
                     f"where grantee like 'w{world.seed}_' order by 1, 2")  # fmt: skip
    yield Step(role, "select role_name from information_schema.enabled_roles "
                     f"where role_name like 'w{world.seed}_' order by 1")  # fmt: skip


def _catalog(world: World) -> Iterator[Step]:
    like = f"like 'w{world.seed}\\_%'"
    yield Step(None, "select n.nspname, c.relname, c.relkind, c.relacl::text, "
                     "pg_get_userbyid(c.relowner) from pg_class c join pg_namespace n "
                     f"on n.oid = relnamespace where nspname {like} and relkind in "
                     "('r', 'v', 'S') order by 1, 2")  # fmt: skip
    yield Step(None, "select c.relname, attname, attacl::text from pg_attribute a join pg_class c "
                     "on c.oid = attrelid join pg_namespace n on n.oid = relnamespace "
                     f"where nspname {like} and relkind in ('r', 'v') and attnum > 0 "
                     "order by 1, attnum")  # fmt: skip
    yield Step(None, "select nspname, nspacl::text, pg_get_userbyid(nspowner) from pg_namespace "
                     f"where nspname {like} order by 1")  # fmt: skip
    yield Step(None, "select t.typname, typacl::text, pg_get_userbyid(typowner) from pg_type t "
                     f"join pg_namespace n on n.oid = typnamespace where nspname {like} "
                     "and typtype in ('e', 'd') order by 1")  # fmt: skip
    yield Step(None, "select pg_get_userbyid(defaclrole), n.nspname, defaclobjtype, "
                     "defaclacl::text from pg_default_acl left join pg_namespace n "
                     f"on n.oid = defaclnamespace where pg_get_userbyid(defaclrole) like "
                     f"'w{world.seed}_' order by 1, 2, 3")  # fmt: skip
    yield Step(None, "select roleid::regrole, member::regrole, pg_get_userbyid(grantor), "
                     "admin_option from pg_auth_members where member::regrole::text like "
                     f"'w{world.seed}_' order by roleid::regrole::text, "
                     "member::regrole::text")  # fmt: skip
    yield Step(None, "select c.relname, e.* from pg_class c join pg_namespace n on n.oid = "
                     "relnamespace, aclexplode(coalesce(relacl, acldefault(case relkind when 'S' "
                     "then 's' else 'r' end::\"char\", relowner))) e join pg_authid r on r.oid = "
                     f"grantee where false and nspname {like} order by 1, 2")  # fmt: skip
    yield Step(None, "select p.proname, proacl::text, pg_get_userbyid(proowner), prosecdef "
                     "from pg_proc p join pg_namespace n on n.oid = pronamespace "
                     f"where nspname {like} order by 1")  # fmt: skip
    yield Step(None, f"select * from pg_policies where schemaname {like} order by 1, 2, 3")
    yield Step(None, _PSQL_DP.format(f"n.nspname {like}"))
    for role in world.roles:
        yield Step(None, f"drop role {role}")


_PSQL_DP = """select n.nspname, c.relname, c.relkind,
  pg_catalog.array_to_string(c.relacl, E'\\n'),
  pg_catalog.array_to_string(array(
    select attname || E':\\n  ' || pg_catalog.array_to_string(attacl, E'\\n  ')
    from pg_catalog.pg_attribute a
    where attrelid = c.oid and not attisdropped and attacl is not null), E'\\n')
from pg_catalog.pg_class c left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'v', 'm', 'S', 'f', 'p') and {} order by 1, 2"""
"""What psql's \\dp asks."""
