"""Row-level security statement by statement, answered as PostgreSQL answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.policy_scripts import SCRIPTS as POLICY_SCRIPTS
from tests.security.policy_scripts import SETUP
from tests.sql.agree import Connection, check

ROLES = ("rs_ann", "rs_bob", "rs_team", "rs_new")

SCRIPTS = {
    "who": """
        alter table t enable row level security;
        create policy p on t to rs_team using (n > 10);
        select id from t order by id;
        set role rs_ann;
        select id from t order by id;
        select row_security_active('t'), row_security_active('other');
        set role rs_bob;
        select id from t order by id;
        set row_security = off;
        select id from t;
        select id from other order by id;
        insert into t values (9, 'x', 'y', 100);
        update t set n = 1;
        delete from t;
        truncate t;
        reset row_security;
        reset role;
        revoke rs_team from rs_bob;
        set role rs_bob;
        select id from t order by id;
        reset role;
        alter role rs_bob bypassrls;
        set role rs_bob;
        select id from t order by id;
        set row_security = off;
        select id from t order by id;
        reset row_security;
        reset role;
        alter table t owner to rs_ann;
        set role rs_ann;
        select id from t order by id;
        reset role;
        alter table t force row level security;
        set role rs_ann;
        select id from t order by id;
        set row_security = off;
        select id from t order by id;
        reset row_security;
        reset role;
    """,
    "changes": """
        alter table t enable row level security;
        create policy r on t for select using (n < 30);
        create policy a on t for insert with check (n < 50);
        create policy w on t for update using (n < 40) with check (n < 60);
        create policy d on t for delete using (owner = current_user);
        set role rs_ann;
        select id from t order by id;
        insert into t values (4, 'rs_ann', 'x', 60);
        insert into t values (4, 'rs_ann', 'x', 45);
        insert into t values (5, 'rs_ann', 'x', 45) returning id;
        insert into t values (5, 'rs_ann', 'x', 5) returning id;
        insert into t values (6, 'rs_ann', 'x', null);
        update t set n = 55;
        update t set n = 55 where id = 1;
        update t set n = n + 1;
        update t set n = 70 where id = 1 returning *;
        update t set n = 12 where id = 1 returning id, n;
        delete from t where id = 2;
        delete from t where id = 3;
        delete from t returning id;
        delete from t;
        reset role;
        select * from t order by id;
        set role rs_ann;
        insert into t values (2, 'rs_ann', 'x', 5) on conflict do nothing;
        insert into t values (3, 'rs_ann', 'x', 5) on conflict (id) do nothing;
        insert into t values (2, 'rs_ann', 'x', 5) on conflict (id) do update set n = 6;
        insert into t values (2, 'rs_ann', 'x', 5) on conflict (id) do update set n = 80;
        insert into t values (2, 'rs_ann', 'x', 5) on conflict (id) do update set n = 35;
        insert into t values (2, 'rs_ann', 'x', 5) on conflict (id) do update set n = 9
          where t.n > 100 returning id;
        insert into t values (2, 'rs_ann', 'x', 90) on conflict (id) do update set n = 9;
        select * from t where id = 2 for update;
        with q as (delete from t returning id) select * from q;
        reset role;
    """,
    "conflicts": """
        alter table t enable row level security;
        create policy r on t for select using (n < 30);
        create policy a on t for insert with check (n < 50);
        create policy w on t for update using (n < 25) with check (n < 60);
        set role rs_ann;
        insert into t values (2, 'x', 'y', 5) on conflict (id) do update set n = 6;
        insert into t values (2, 'x', 'y', 5) on conflict (id) do update set n = 35;
        insert into t values (2, 'x', 'y', 5) on conflict (id) do update set n = 70;
        insert into t values (2, 'x', 'y', 55) on conflict (id) do update set n = 7;
        insert into t values (3, 'x', 'y', 5) on conflict (id) do update set n = 7;
        insert into t values (3, 'x', 'y', 5) on conflict (id) do update set n = 7 where false;
        insert into t values (3, 'x', 'y', 5) on conflict (id) do nothing;
        insert into t values (3, 'x', 'y', 35) on conflict (id) do nothing;
        insert into t values (3, 'x', 'y', 35) on conflict do nothing;
        insert into t values (4, 'x', 'y', 35) on conflict do nothing;
        insert into t values (5, 'x', 'y', 35) on conflict (id) do nothing;
        insert into t values (3, 'x', 'y', 35) on conflict on constraint t_pkey do nothing;
        reset role;
        select * from t order by id;
        revoke all on t from public;
        grant insert (id, n), update (n), select (n) on t to public;
        set role rs_ann;
        insert into t (id, n) values (3, 5) on conflict (id) do nothing;
        insert into t (id, n) values (3, 5) on conflict do nothing;
        insert into t (id, n) values (3, 5) on conflict on constraint t_pkey do nothing;
        insert into t (id, n) values (9, 5) on conflict (id) do update set n = t.n;
        reset role;
    """,
    "merge": """
        alter table t enable row level security;
        create policy r on t for select using (n < 35);
        create policy a on t for insert with check (n < 50);
        create policy w on t for update using (n < 25) with check (n < 60);
        create policy d on t for delete using (owner = current_user);
        create policy z on t as restrictive for delete using (n > 5);
        create table s (id int, n int);
        insert into s values (1, 1), (2, 2), (3, 3), (4, 4), (5, 55);
        grant select on s to public;
        insert into t values (4, 'rs_bob', 'b3', 40);
        set role rs_ann;
        merge into t using s on s.id = t.id when matched then do nothing;
        merge into t using s on s.id = t.id when matched and s.id < 3 then update set n = s.n;
        merge into t using s on s.id = t.id when matched then update set n = s.n;
        merge into t using s on s.id = t.id when matched and s.id = 2 then update set n = 70;
        merge into t using s on s.id = t.id when matched and s.id = 2 then update set n = 40;
        merge into t using s on s.id = t.id when matched and s.id = 1 then delete;
        merge into t using s on s.id = t.id when matched and s.id = 2 then delete;
        merge into t using s on s.id = t.id when matched and s.id = 3 then delete;
        merge into t using s on s.id = t.id when not matched then insert values (s.id, 'x', 'y', 7);
        merge into t using s on s.id = t.id when not matched and s.id = 5 then
          insert values (s.id, 'x', 'y', 7);
        merge into t using s on s.id = t.id when not matched and s.id = 4 then
          insert values (s.id, 'x', 'y', 7);
        merge into t using s on s.id = 6 and t.id = 6 when not matched and s.id = 1 then
          insert values (6, 'x', 'y', 77);
        merge into t using s on false when not matched then insert values (s.id + 10, 'x', 'y', 1);
        merge into t using s on s.id = 99 when matched then delete;
        reset role;
        select id, owner, n from t order by id;
    """,
    "restrictive": """
        alter table t enable row level security;
        create policy z on t as restrictive using (n <> 20);
        set role rs_ann;
        select id from t order by id;
        reset role;
        create policy p on t using (true);
        create policy y on t as restrictive for update using (n < 25) with check (n < 26);
        set role rs_ann;
        select id from t order by id;
        update t set n = 27 where id = 1;
        update t set n = 20 where id = 1;
        update t set n = 11 where id in (1, 2, 3) returning id;
        select id from t order by id for share;
        insert into t values (7, 'x', 'y', 20);
        insert into t values (7, 'x', 'y', 21);
        reset role;
    """,
    "errors": """
        alter table t enable row level security;
        create policy p on t using (owner = 'rs_ann') with check (owner = 'rs_ann');
        alter table t add check (n < 1000);
        alter table t alter secret set not null;
        create unique index t_secret on t (secret);
        set role rs_ann;
        insert into t values (2, 'rs_ann', 'zz', 1);
        insert into t values (8, 'rs_ann', 'b1', 1);
        insert into t values (8, 'rs_ann', 'b2', 5000);
        insert into t values (8, 'rs_ann', null, 5);
        insert into t values (8, 'rs_bob', null, 5);
        insert into other values (99, 'x');
        delete from t where id = 1;
        update t set id = 2 where id = 3;
        reset role;
        delete from t where id = 1;
    """,
    "foreign keys": """
        alter table t enable row level security;
        alter table other enable row level security;
        create policy p on t using (owner = current_user);
        create policy p on other using (note = 'mine') with check (true);
        set role rs_ann;
        insert into other values (2, 'mine');
        insert into other values (77, 'mine');
        select * from other;
        delete from t where id = 1;
        reset role;
        alter table other drop constraint other_id_fkey;
        alter table other add foreign key (id) references t on delete cascade on update cascade;
        alter table t force row level security;
        alter table other force row level security;
        alter table t owner to rs_ann;
        alter table other owner to rs_ann;
        set role rs_ann;
        delete from t where id = 1;
        reset role;
        select * from other order by id;
    """,
    "roles and columns": """
        alter table t enable row level security;
        create policy p on t using (owner = current_user);
        create function sneak(text) returns boolean language sql immutable as 'select 1 /
          (length($1) - length($1)) > 0';
        create function sneak_proof(text) returns boolean language sql immutable leakproof as
          'select length($1) > 0';
        set role rs_ann;
        select id from t where sneak(secret) and owner <> 'rs_ann';
        create function pg_temp.s(text) returns boolean language sql leakproof as 'select true';
        select id from t where sneak_proof(secret) order by id;
        reset role;
        set session authorization rs_ann;
        set role rs_bob;
        set session authorization default;
        create policy sess on t using (session_user = 'rs_bob');
        set session authorization rs_bob;
        select id from t order by id;
        set session authorization default;
        grant rs_ann to rs_bob;
        set session authorization rs_bob;
        select id from t order by id;
        set role rs_ann;
        select id from t order by id;
        reset role;
        set session authorization default;
        begin;
        savepoint a;
        create policy extra on t using (true);
        set role rs_ann;
        select id from t order by id;
        reset role;
        rollback to a;
        set role rs_ann;
        select id from t order by id;
        rollback;
        create schema other_schema;
        grant usage on schema other_schema to public;
        create table other_schema.t (id int, owner text);
        insert into other_schema.t values (1, 'rs_ann');
        grant all on other_schema.t to public;
        alter table other_schema.t enable row level security;
        create policy p on other_schema.t using (exists (select 1 from public.t x where x.id =
          t.id));
        set role rs_ann;
        select * from other_schema.t;
        set search_path = other_schema;
        select * from t;
        reset search_path;
        reset role;
        select policyname, schemaname, qual from pg_policies order by 2, 1;
        select pg_get_expr(polqual, polrelid), pg_get_expr(polqual, polrelid, true) from
          pg_policy order by oid;
        drop schema other_schema cascade;
        create table gen (id int, dbl int generated always as (id * 2) stored, d int default 7,
          who text default current_user);
        alter table gen enable row level security;
        create policy p on gen using (dbl > 4) with check (dbl > 4 and d = 7 and who =
          current_user);
        grant all on gen to public;
        set role rs_ann;
        insert into gen (id) values (1);
        insert into gen (id) values (3);
        insert into gen (id, d) values (3, 8);
        update gen set id = 1;
        update gen set id = 5 returning *;
        select * from gen;
        reset role;
        create table idn (id int generated always as identity, v int);
        alter table idn enable row level security;
        create policy p on idn with check (id < 3);
        grant all on idn to public;
        set role rs_ann;
        insert into idn (v) values (1), (2);
        insert into idn (v) values (3);
        insert into idn (v) values (1), (2), (3);
        reset role;
        select * from idn;
        create table big (id int primary key, g int, s text);
        insert into big select i, i % 3, 'x' || i from generate_series(1, 300) i;
        create index on big (g);
        alter table big enable row level security;
        create policy p on big using (g = 1);
        grant all on big to public;
        set role rs_ann;
        select count(*), min(id), max(id), sum(id) from big;
        select count(*) from big where g = 2;
        select count(*) from big b1 join big b2 on b1.g = b2.g where b1.id < 20;
        select count(*) from big where id in (select id + 1 from big);
        select g, count(*) from big group by g;
        select count(*) from big where s like 'x1%';
        select id from big where id > 290 order by id desc;
        select id from big order by id desc limit 2;
        update big set g = 2 where id = 1;
        update big set s = 'y' where id = 2;
        delete from big where id < 10;
        select count(*) from big;
        truncate big;
        reset role;
        select count(*) from big;
    """,
    "copy and more": """
        alter table t enable row level security;
        create policy p on t using (n < 25);
        set role rs_ann;
        create temporary table mine as select * from t;
        select id from mine order by id;
        insert into mine select * from t;
        select count(*) from mine;
        select count(*) from t;
        select min(id), max(id), count(*) from t where id > 0;
        select exists (select 1 from t where id = 3);
        select (select secret from t where id = 3);
        select id from t union all select id from t order by 1;
        with q as materialized (select * from t) select count(*) from q;
        with recursive q(id) as (select 1 union all select t.id from t join q on t.id = q.id + 1)
          select * from q order by 1;
        select x.id, y.id from t x full join t y on x.id = y.id + 1 order by 1, 2;
        select id, lag(id) over (order by id), sum(n) over () from t order by id;
        declare c cursor for select 1;
        begin;
        declare c cursor for select id from t order by id;
        fetch 1 from c;
        reset role;
        fetch all from c;
        commit;
    """,
}


@pytest.fixture
def fresh_roles(both: tuple[Connection, Connection]) -> Iterator[tuple[Connection, Connection]]:
    """Both connections, without the scripts' roles before and after."""
    _drop_roles(both)
    yield both
    _drop_roles(both)


def _drop_roles(both: tuple[Connection, Connection]) -> None:
    for each in both:
        each.execute("reset session authorization")
        each.execute("reset role")
        each.execute("set client_min_messages = error")
        each.execute("drop schema public cascade")
        each.execute("drop schema if exists elsewhere, other_schema cascade")
        each.execute("create schema public")
        each.execute("grant usage on schema public to public")
        for role in ROLES:
            if each.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone():
                each.execute(f"drop owned by {role} cascade")
                each.execute(f"drop role {role}")
        each.execute("reset client_min_messages")


EVERY = {**POLICY_SCRIPTS, **SCRIPTS}


@pytest.mark.parametrize("script", EVERY.values(), ids=EVERY.keys())
def test_as_postgres(fresh_roles: tuple[Connection, Connection], script: str) -> None:
    check(*fresh_roles, SETUP)
    check(*fresh_roles, script)
