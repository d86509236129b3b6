"""Row-level security statement by statement, answered as PostgreSQL answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sql.agree import Connection, check

ROLES = ("rs_ann", "rs_bob", "rs_team", "rs_new")

SETUP = """
    create role rs_ann;
    create role rs_bob;
    create role rs_team;
    grant rs_team to rs_bob;
    create table t (id int primary key, owner text, secret text, n int);
    insert into t values (1, 'rs_ann', 'a1', 10), (2, 'rs_bob', 'b1', 20), (3, 'rs_ann', 'a2', 30);
    create table other (id int references t, note text);
    insert into other values (1, 'x'), (2, 'y');
    grant all on t, other to public;
"""

SCRIPTS = {
    "statements": """
        create policy p on t;
        create policy p on t using (true);
        create policy q on t as restrictive for select to rs_ann, rs_bob using (n > 10);
        create policy r on t for insert with check (n is not null);
        create policy bad on t for insert using (true);
        create policy bad on t for select with check (true);
        create policy bad on t for delete with check (true);
        create policy bad on t using (1);
        create policy bad on t using (nosuch = 1);
        create policy bad on t using (sum(n) > 1);
        create policy bad on t using (rank() over () > 1);
        create policy bad on t using (generate_series(1, 2) > 1);
        create policy bad on t to nosuch using (true);
        create policy bad on nosuch using (true);
        create policy bad on pg_class using (true);
        create policy w on t to public, rs_ann using (true);
        create policy s on t to current_user, rs_ann using (true);
        create view v as select * from t;
        create policy bad on v using (true);
        select polname, polcmd, polpermissive, polroles = '{0}' from pg_policy order by 1;
        select * from pg_policies order by policyname;
        alter policy q on t to public using (n > 5);
        alter policy q on t with check (true);
        alter policy r on t using (true);
        alter policy r on t with check (n > 0);
        alter policy p on t with check (id > 0);
        alter policy nosuch on t using (true);
        alter policy p on nosuch using (true);
        alter policy p on t rename to q;
        alter policy p on t rename to pp;
        alter policy nosuch on t rename to x;
        alter policy if exists nosuch on t rename to x;
        alter policy if exists p on nosuch rename to x;
        select policyname, roles, cmd, permissive, qual, with_check from pg_policies order by 1;
        comment on policy pp on t is 'a policy';
        select obj_description(oid, 'pg_policy') from pg_policy where polname = 'pp';
        comment on policy nosuch on t is 'x';
        drop policy nosuch on t;
        drop policy if exists nosuch on t;
        drop policy if exists p on nosuch;
        drop policy p on nosuch;
        drop policy pp on t;
        select count(*) from pg_policy;
        set role rs_ann;
        create policy mine on t using (true);
        alter policy q on t using (true);
        drop policy q on t;
        alter table t enable row level security;
        alter table t force row level security;
        comment on policy q on t is 'x';
        reset role;
    """,
    "switches": """
        select relrowsecurity, relforcerowsecurity from pg_class where relname = 't';
        alter table t enable row level security, force row level security;
        select relrowsecurity, relforcerowsecurity from pg_class where relname = 't';
        select rowsecurity from pg_tables where tablename = 't';
        alter table t no force row level security;
        select relrowsecurity, relforcerowsecurity from pg_class where relname = 't';
        alter table t disable row level security;
        select relrowsecurity, relforcerowsecurity from pg_class where relname = 't';
        create view v as select 1 as a;
        alter table v enable row level security;
        show row_security;
        set row_security = maybe;
    """,
    "texts": """
        create policy a on t using (owner = current_user and n + 1 > 2);
        create policy b on t using (id in (select o.id from other o where o.note <> t.secret));
        create policy c on t using (exists (select 1 from other where other.id = t.id));
        create policy d on t using (n > (select avg(id) from other));
        select policyname, qual from pg_policies order by 1;
        select polname, pg_get_expr(polqual, polrelid) from pg_policy order by 1;
        alter table t rename to tt;
        alter table tt rename column secret to hidden;
        alter table other rename to others;
        alter table others rename column note to said;
        select policyname, qual from pg_policies order by 1;
        create schema elsewhere;
        alter table others set schema elsewhere;
        select policyname, qual from pg_policies order by 1;
        alter table tt enable row level security;
        grant usage on schema elsewhere to public;
        set role rs_ann;
        select id from tt order by id;
        reset role;
    """,
    "dependencies": """
        create policy p on t to rs_ann using (n > 0);
        create policy q on t to rs_ann, rs_bob using (exists (select 1 from other where id = t.id));
        alter table t drop column n;
        alter table t drop column owner;
        alter table t alter column n type bigint;
        drop table other;
        drop role rs_ann;
        drop owned by rs_ann;
        select policyname, roles from pg_policies order by 1;
        drop table other cascade;
        select policyname from pg_policies;
        create policy r on t to rs_bob using (n > 0);
        drop role rs_bob;
        alter table t drop column n cascade;
        select policyname from pg_policies;
        create policy s on t using (id > 0);
        drop table t;
        select count(*) from pg_policy;
    """,
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
    "views": """
        alter table t enable row level security;
        create policy p on t using (owner = current_user);
        create policy team on t to rs_team using (n = 20);
        create view plain as select id, owner, n from t;
        create view invoker with (security_invoker) as select id, owner, n from t;
        create view sealed with (security_barrier) as select id, secret from t where n > 10;
        alter view plain owner to rs_team;
        grant all on plain, invoker, sealed to public;
        set role rs_ann;
        select * from plain order by id;
        select * from invoker order by id;
        select * from sealed order by id;
        update plain set n = 21;
        update invoker set n = n + 1 returning *;
        insert into plain values (10, 'rs_ann', 1);
        insert into invoker values (10, 'rs_bob', 1);
        insert into invoker values (10, 'rs_ann', 1);
        delete from invoker where id = 10;
        select * from sealed where secret::int > 0 and id = 2;
        reset role;
        alter table t owner to rs_team;
        set role rs_ann;
        select * from plain order by id;
        reset role;
        alter table t force row level security;
        set role rs_ann;
        select * from plain order by id;
        select * from invoker order by id;
        reset role;
        alter view invoker set (security_invoker = false);
        alter view plain set (security_barrier, security_invoker = true);
        select reloptions from pg_class where relname = 'plain';
        alter view plain reset (security_invoker);
        select reloptions from pg_class where relname = 'plain';
        set role rs_ann;
        select * from invoker order by id;
        select * from plain order by id;
        reset role;
    """,
    "functions": """
        create function mine(text) returns boolean language sql stable as
          'select $1 = current_user';
        create function above(int) returns boolean language sql stable security definer as
          'select $1 > (select min(id) * 10 from t)';
        create function counted() returns bigint language sql stable as 'select count(*) from t';
        create type kind as enum ('a', 'b');
        create policy p on t using (mine(owner));
        create policy q on t as restrictive using (above(n));
        create policy e on t for delete using (secret::kind = 'a');
        drop function mine(text);
        drop type kind;
        alter function mine(text) rename to own;
        select policyname, qual from pg_policies order by 1;
        alter table t enable row level security;
        set role rs_ann;
        select id from t order by id;
        select counted();
        update t set n = 5 where id = 3;
        reset role;
        revoke execute on function own(text) from public;
        set role rs_ann;
        select id from t order by id;
        reset role;
        grant execute on function own(text) to public;
        alter function counted() security definer;
        set role rs_ann;
        select counted();
        reset role;
        alter policy q on t using (counted() > 0);
        set role rs_bob;
        select id from t order by id;
        reset role;
        drop function own(text) cascade;
        select policyname from pg_policies order by 1;
    """,
    "recursion": """
        alter table t enable row level security;
        alter table other enable row level security;
        create policy p on t using (id in (select id from t));
        set role rs_ann;
        select * from t;
        insert into t values (20, 'x', 'y', 1);
        update t set n = 1;
        reset role;
        drop policy p on t;
        create policy p on t using (id in (select id from other));
        create policy p on other using (id in (select id from t));
        set role rs_ann;
        select * from t;
        select * from other;
        reset role;
        create view v as select * from t;
        drop policy p on t;
        create policy p on t using (id in (select id from v));
        set role rs_ann;
        select id from t order by id;
        reset role;
        alter view v set (security_invoker);
        set role rs_ann;
        select id from t order by id;
        reset role;
        grant select on v to public;
        set role rs_ann;
        select id from t order by id;
        reset role;
    """,
    "more of it": """
        alter table t enable row level security;
        create policy p on t using (owner = current_user);
        create view chk as select id, owner, n from t where n < 50 with check option;
        create view chki with (security_invoker) as select id, owner, n from t where n < 50
          with check option;
        grant all on chk, chki to public;
        set role rs_ann;
        insert into chk values (5, 'rs_ann', 60);
        insert into chk values (5, 'rs_bob', 60);
        insert into chki values (5, 'rs_bob', 60);
        insert into chki values (5, 'rs_ann', 60);
        update chki set n = 70 where id = 1;
        update chki set owner = 'rs_bob' where id = 1;
        reset role;
        create materialized view mv as select * from t;
        grant select on mv to public;
        set role rs_ann;
        select count(*) from mv;
        set row_security to off;
        refresh materialized view mv;
        reset row_security;
        reset role;
        create table parent (id int primary key, who text);
        create table child (id int references parent on delete set null, v int);
        alter table parent enable row level security;
        alter table child enable row level security;
        create policy p on parent using (who = current_user);
        grant all on parent, child to public;
        insert into parent values (1, 'rs_ann'), (2, 'rs_bob');
        insert into child values (1, 1), (2, 2);
        set role rs_ann;
        delete from parent;
        select * from child;
        insert into child values (2, 3);
        reset role;
        select * from child order by v;
        create policy ins on child for insert with check (v > (select count(*) from child));
        set role rs_ann;
        insert into child values (2, 5);
        insert into child values (2, 1);
        reset role;
        create policy sel on child for select using (v > 2);
        set role rs_ann;
        insert into child values (2, 5) returning v;
        insert into child values (2, 2) returning v;
        insert into child select 2, generate_series(3, 5) returning v;
        with ins as (insert into child values (2, 9) returning v) select * from ins;
        update child set v = 4;
        delete from child;
        reset role;
        create policy upd on child for update using (v > 4);
        create policy del on child for delete using (v = 5);
        set role rs_ann;
        update child set v = v;
        update child set v = 4;
        update child set v = 2;
        delete from child;
        delete from child where true;
        delete from child where v = 5;
        reset role;
        select * from child order by v;
        create policy a on child for all to rs_bob;
        set role rs_bob;
        select count(*) from child;
        reset role;
        select polname, polqual is null, polwithcheck is null from pg_policy order by 1;
        alter policy a on child using (null);
        alter policy a on child with check (v > 1);
        alter policy a on child to rs_ann, rs_bob, public;
        select policyname, roles, qual, with_check from pg_policies where policyname = 'a';
        drop role rs_ann;
        create policy b on child to rs_team with check (false);
        drop role rs_team;
        reassign owned by rs_ann to rs_bob;
        drop table t cascade;
        create policy selfref on parent as restrictive using (exists (select 1 from parent q
          where q.id = parent.id));
        set role rs_ann;
        select * from parent;
        reset role;
        drop policy selfref on parent;
        create policy cte on parent using (id in (with q as (select 1 as x) select x from q));
        create policy arr on parent using (id = any (array(select id from child)) or who ~ '^rs');
        create policy cs on parent using (case when id > 1 then who else 'rs_ann' end =
          current_user);
        create policy sys on parent using (parent is not null and (parent.*) is not null);
        select policyname, qual from pg_policies where tablename = 'parent' order by 1;
        set role rs_ann;
        select * from parent order by id;
        reset role;
        alter table parent rename to "Par ent";
        alter table "Par ent" rename column id to "I d";
        select policyname, qual from pg_policies where tablename = 'Par ent' order by 1;
        set role rs_ann;
        select * from "Par ent" order by 1;
        prepare s as select * from "Par ent" where "I d" = $1;
        execute s(1);
        execute s(2);
        reset role;
        execute s(2);
        create policy dup on child using (true);
        create policy "dup" on child using (true);
        create policy "Ünï" on child using (true);
        drop policy "Ünï" on child;
        alter table child disable row level security, no force row level security;
        select row_security_active('child'), row_security_active('nosuch');
        select row_security_active('child'::regclass);
        select row_security_active(0::oid);
        create temp table tt (a int);
        alter table tt enable row level security;
        create policy p on tt using (a > 0);
        set role rs_ann;
        select * from tt;
        reset role;
        comment on policy p on tt is 'x';
        comment on policy p on tt is null;
        drop policy p on tt cascade;
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


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_as_postgres(fresh_roles: tuple[Connection, Connection], script: str) -> None:
    check(*fresh_roles, SETUP)
    check(*fresh_roles, script)
