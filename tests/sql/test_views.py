"""Views, sequences, schemas, temporary objects: answer by answer as PostgreSQL's."""

from __future__ import annotations

import pytest

from tests.sql.agree import Connection, check

SCRIPTS = {
    "views": """
        create table t (id int primary key, v text);
        insert into t values (1, 'a'), (2, 'b');
        create view w as select id, upper(v) as u from t where id > 1;
        select * from w;
        create view w as select 1;
        create or replace view w as select id, upper(v) as u, 5 as five from t;
        select * from w order by id;
        create or replace view w as select id from t;
        create or replace view w as select id, v as other, 5 as five from t;
        create or replace view w as select id::bigint, upper(v) as u, 5 as five from t;
        create or replace view t as select 1;
        create view x (a, b, c) as select 1, 2;
        create view x as select 1 as a, 2 as a;
        create view x as select nosuch from t;
        create view x as select $1::int;
        create view y (a) as select id, v from t;
        select a, v from y order by a;
        create view z as with q as (select max(id) as m from t)
          select t.* from t join q on t.id = q.m;
        select * from z;
        select pg_get_viewdef('z'::regclass);
        select pg_get_viewdef('w'::regclass, true);
        create view agg as select v, count(*) as n, sum(id) from t group by v
          having count(*) > 0 order by v;
        select * from agg;
        select pg_get_viewdef('agg'::regclass);
        create view un as select id from t union all select 5 order by 1;
        select * from un;
        select pg_get_viewdef('un'::regclass);
        alter table t add column extra int;
        select * from z;
        alter view y rename to yy;
        alter view yy set (security_barrier = true);
        alter view yy set (nosuch = true);
        alter table t rename column v to vv;
        alter table t rename to tt;
        select * from z;
        select pg_get_viewdef('agg'::regclass, true);
        select * from agg;
        alter table tt rename to t;
        drop view w, yy;
        drop table t;
        drop table t cascade;
    """,
    "temporary views": """
        create temp table tt (a int);
        create view tv as select * from tt;
        select count(*) from tv;
        drop table tt;
        drop table tt cascade;
        create temp view only as select 1 as one;
        select * from only;
    """,
    "sequences": """
        create sequence s;
        select nextval('s'), nextval('s'), currval('s'), lastval();
        select last_value, is_called from s;
        create sequence s;
        create sequence if not exists s;
        create sequence d increment -1 maxvalue 10 minvalue 8 start 9 cycle;
        select nextval('d'), nextval('d'), nextval('d');
        create sequence e maxvalue 2;
        select nextval('e'), nextval('e');
        select nextval('e');
        create sequence bad increment 0;
        create sequence bad minvalue 10 maxvalue 5;
        create sequence bad start 0;
        create sequence bad cache 0;
        create sequence bad as text;
        create sequence small as smallint maxvalue 70000;
        select setval('s', 100), nextval('s');
        select setval('s', 5, false), nextval('s');
        select setval('e', 5);
        alter sequence s restart with 50;
        select nextval('s');
        alter sequence s restart increment 10;
        select nextval('s'), nextval('s');
        alter sequence s maxvalue 5;
        create sequence typed as smallint;
        alter sequence typed as int;
        select seqtypid::regtype, seqmin, seqmax from pg_sequence
            where seqrelid = 'typed'::regclass;
        alter sequence typed set unlogged;
        drop sequence typed;
        create sequence again;
        select nextval('again');
        select nextval('again');
        drop sequence again;
        create sequence again;
        select nextval('again');
        alter sequence nosuch restart;
        alter sequence if exists nosuch restart;
        begin;
        alter sequence s restart with 7;
        select nextval('s');
        rollback;
        select nextval('s');
        create table o (a int, b int);
        alter sequence s owned by o.a;
        drop table o;
        select nextval('s');
        create sequence f;
        create table g (a int default nextval('f'));
        drop sequence f;
        drop sequence f cascade;
        insert into g default values returning a;
        select sequencename, data_type::text, start_value, min_value, max_value, increment_by,
          cycle, last_value
          from pg_sequences order by 1;
        select currval('nosuch');
        create sequence never;
        select currval('never');
        alter sequence d rename to dd;
        select nextval('dd');
        alter table e rename to ee;
    """,
    "schemas": """
        create schema one;
        create schema one;
        create schema if not exists one;
        create schema pg_bad;
        create table one.t (a int primary key);
        create table t (b text);
        set search_path = one, public;
        insert into t values (1);
        select * from t;
        select * from public.t;
        select current_schema(), current_schemas(true);
        create table made (x int);
        select schemaname from pg_tables where tablename = 'made';
        alter table made set schema public;
        select schemaname from pg_tables where tablename = 'made';
        alter table one.t set schema nosuch;
        alter table one.t set schema public;
        set search_path = nosuch;
        create table lost (a int);
        select * from lost;
        reset search_path;
        drop schema one;
        drop schema one cascade;
        create schema two create table x (a int) create view y as select * from x;
        select * from two.y;
        alter schema two rename to three;
        select * from three.x;
        select * from three.y;
        drop schema three cascade;
        drop schema nosuch;
        drop schema if exists nosuch;
        drop schema pg_catalog;
        create schema authorization current_user;
        select nspname from pg_namespace where nspname = current_user;
        drop schema postgres;
    """,
    "comments": """
        create table t (id int primary key, v text);
        comment on table t is 'a table';
        comment on column t.v is 'a column';
        comment on constraint t_pkey on t is 'a key';
        comment on index t_pkey is 'an index';
        select obj_description('t'::regclass), col_description('t'::regclass, 2);
        select description from pg_description where objoid = 't'::regclass order by objsubid;
        comment on table t is null;
        select obj_description('t'::regclass);
        comment on column t.nosuch is 'x';
        comment on table nosuch is 'x';
        comment on view t is 'x';
        comment on constraint nosuch on t is 'x';
        comment on schema public is 'changed';
        select obj_description('public'::regnamespace, 'pg_namespace');
        comment on schema nosuch is 'x';
    """,
    "prepared and cursors": """
        prepare p (int, text) as select $1 + 1 as n, $2 as t;
        execute p (1, 'x');
        execute p (1);
        execute p ('2', 3);
        prepare p as select 1;
        deallocate p;
        execute p (1, 'x');
        deallocate nosuch;
        prepare q as select $1::int * 2;
        execute q (21);
        deallocate all;
        declare c cursor for select 1;
        begin;
        declare c cursor for select g from generate_series(1, 5) g;
        fetch c;
        fetch 2 from c;
        fetch all c;
        fetch c;
        move backward 2 in c;
        close c;
        fetch c;
        rollback;
        close nosuch;
    """,
    "transactions": """
        commit;
        begin;
        begin;
        savepoint a;
        select 1 / 0;
        select 1;
        rollback to a;
        select 1;
        release a;
        release a;
        commit;
        savepoint x;
        rollback;
        begin isolation level repeatable read read only;
        show transaction_isolation;
        create table ro (a int);
        rollback;
        set transaction isolation level serializable;
        begin;
        set local datestyle = 'sql, dmy';
        show datestyle;
        commit;
        show datestyle;
        set local datestyle = 'sql, dmy';
        lock table nosuch;
        begin;
        lock table pg_class in access share mode;
        rollback;
        show nosuch;
        set nosuch = 1;
        set statement_timeout = '5s';
        show statement_timeout;
        reset statement_timeout;
        discard all;
        begin;
        discard all;
        rollback;
        set search_path = a, "B c", public;
        show search_path;
        set search_path to default;
        show search_path;
    """,
    "deferred": """
        create table p (id int primary key);
        create table c (r int constraint cr references p deferrable initially deferred);
        begin;
        insert into c values (1);
        insert into p values (1);
        commit;
        begin;
        insert into c values (2);
        set constraints all immediate;
        rollback;
        begin;
        insert into c values (2);
        commit;
        begin;
        set constraints cr immediate;
        insert into c values (3);
        rollback;
        set constraints nosuch deferred;
        alter table c alter constraint cr not deferrable;
        set constraints cr deferred;
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_as_postgres(both: tuple[Connection, Connection], name: str) -> None:
    check(*both, SCRIPTS[name])
