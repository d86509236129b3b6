"""Which statement a text begins with; CREATE, ALTER, DROP and COMMENT by their objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from heliosd.sql.parser.alter import AlterParser
from heliosd.sql.tree import (
    AlterDefinition,
    AlterObjectSchema,
    AlterOwner,
    AlterStatistics,
    AlterSystem,
    AlterTablespace,
    CommentOn,
    Drop,
    DropSubscription,
    DropTablespace,
    ObjectKind,
    ObjectRef,
    Persistence,
    QualifiedName,
    RangeVar,
    Rename,
    SecurityLabel,
    SetKind,
    Statement,
)

_RELATION_KINDS: Final = {
    "table": ObjectKind.TABLE,
    "index": ObjectKind.INDEX,
    "sequence": ObjectKind.SEQUENCE,
    "view": ObjectKind.VIEW,
}
_QUERY_STARTS: Final = frozenset(
    ("select", "values", "table", "with", "(", "insert", "update", "delete", "merge")
)
_EXPLAINABLE: Final = _QUERY_STARTS | {"declare", "create", "refresh", "execute"}
_LABELLED: Final = frozenset(
    (
        ObjectKind.OPERATOR, ObjectKind.OPERATOR_CLASS, ObjectKind.OPERATOR_FAMILY,
        ObjectKind.CAST, ObjectKind.TRANSFORM, ObjectKind.TABLE_CONSTRAINT,
        ObjectKind.DOMAIN_CONSTRAINT, ObjectKind.POLICY, ObjectKind.RULE, ObjectKind.TRIGGER,
    )
)  # fmt: skip
_TEMPORARY_WORDS: Final = frozenset(("temporary", "temp", "local", "global", "unlogged"))


class StatementParser(AlterParser):
    """Whole statements."""

    def statements(self) -> tuple[Statement, ...]:
        """All statements of the text; empty ones are left out."""
        found: list[Statement] = []
        while True:
            while self.kind == ";":
                self.advance()
            if self.kind == "EOF":
                return tuple(found)
            found.append(self.statement())
            if self.kind != ";" and self.kind != "EOF":
                self.fail()

    def statement(self) -> Statement:
        """One statement."""
        if self.kind in _QUERY_STARTS:
            return self.preparable_statement()
        handler = _STATEMENTS.get(self.kind)
        if handler is None:
            return self.fail()
        return handler(self)

    def body_statement(self) -> Statement:
        """A statement of an SQL-standard body."""
        if self.kind in ("begin", "end") and self.peek() != "atomic":
            self.fail()
        return self.statement()

    def explainable_statement(self) -> Statement:
        """What EXPLAIN takes."""
        if self.kind not in _EXPLAINABLE:
            self.fail()
        if self.kind == "create":
            return self._explained_create()
        return self.statement()

    def _explained_create(self) -> Statement:
        position = self.position
        self.advance()
        persistence = self._persistence()
        if self.kind == "materialized":
            return self.create_materialized_view(position, persistence)
        return self.create_table(position, persistence)

    def schema_elements(self) -> tuple[Statement, ...]:
        """The statements inside CREATE SCHEMA."""
        elements = []
        while self.kind in ("create", "grant"):
            elements.append(self.grant() if self.kind == "grant" else self.create())
        return tuple(elements)

    # -- CREATE ----------------------------------------------------------------------------------

    def create(self) -> Statement:
        """CREATE anything."""
        position = self.position
        self.advance()
        or_replace = False
        if self.kind == "or":
            self.advance()
            self.expect("replace")
            or_replace = True
            handler = _CREATE_OR_REPLACE.get(self.kind)
            if handler is not None:
                return handler(self, position, or_replace)
            persistence = self._persistence()
            if self.kind not in ("view", "recursive"):
                self.fail()
            return self.create_view(position, persistence, or_replace=True)
        handler = _CREATE_OR_REPLACE.get(self.kind)
        if handler is not None:
            return handler(self, position, or_replace)
        plain = _CREATE.get(self.kind)
        if plain is not None:
            return plain(self, position)
        return self._create_by_words(position)

    def _create_by_words(self, position: int) -> Statement:
        """Kinds that need a second look."""
        kind, following = self.kind, self.peek()
        if kind == "user" and following == "mapping":
            return self.user_mapping(position, "create")
        if kind in ("role", "user", "group"):
            return self.create_role(position)
        if kind == "foreign":
            if following == "table":
                return self.create_foreign_table(position)
            self.expect_words("foreign", "data", "wrapper")
            return self.create_foreign_data_wrapper(position)
        persistence = self._persistence()
        if self.kind == "table":
            return self.create_table(position, persistence)
        if self.kind == "sequence":
            return self.create_sequence(position, persistence)
        if self.kind in ("view", "recursive"):
            return self.create_view(position, persistence, or_replace=False)
        if self.kind == "materialized" and persistence is not Persistence.TEMPORARY:
            return self.create_materialized_view(position, persistence)
        return self.fail()

    def _persistence(self) -> Persistence:
        if self.kind not in _TEMPORARY_WORDS:
            return Persistence.PERMANENT
        word = self.kind
        self.advance()
        if word == "unlogged":
            return Persistence.UNLOGGED
        if word in ("local", "global"):
            self.one_of("temporary", "temp")
        return Persistence.TEMPORARY

    # -- ALTER -----------------------------------------------------------------------------------

    def alter(self) -> Statement:
        """ALTER anything."""
        position = self.position
        self.advance()
        kind, following = self.kind, self.peek()
        relation_kind = _RELATION_KINDS.get(kind)
        if relation_kind is not None:
            self.advance()
            return self.alter_relation(position, relation_kind)
        if kind == "materialized":
            self.expect_words("materialized", "view")
            return self.alter_relation(position, ObjectKind.MATERIALIZED_VIEW)
        if kind == "foreign" and following == "table":
            self.expect_words("foreign", "table")
            return self.alter_relation(position, ObjectKind.FOREIGN_TABLE)
        if kind == "user" and following == "mapping":
            return self.user_mapping(position, "alter")
        if kind in ("role", "user", "group"):
            return self.alter_role(position)
        if kind == "default":
            return self.alter_default_privileges(position)
        if kind == "policy":
            return self.alter_policy(position)
        if kind == "system":
            return self._alter_system(position)
        if kind in ("type", "domain"):
            return self._alter_type(position)
        return self._alter_object(position)

    def _alter_system(self, position: int) -> Statement:
        self.advance()
        at = self.position
        if self.accept("reset"):
            variable = self.reset_variable(at)
        else:
            self.expect("set")
            variable = self._generic_set(at, local=False)
            if variable.kind is SetKind.CURRENT:
                self.fail()
        return AlterSystem(position, variable)

    def _alter_type(self, position: int) -> Statement:
        kind = ObjectKind(self.kind)
        self.advance()
        name = self.any_name_node()
        reference = ObjectRef(name.position, name.parts)
        common = self._alter_common(position, kind, reference)
        if common is not None:
            return common
        if kind is ObjectKind.DOMAIN:
            return self.alter_domain(position, name)
        if self.kind in ("add", "rename") and self.peek() == "value":
            return self.alter_enum(position, name)
        if self.kind == "set":
            self.advance()
            return AlterDefinition(position, kind, reference, self.definition())
        return self.alter_attributes(position, RangeVar(name.position, name))

    def _alter_object(self, position: int) -> Statement:
        """ALTER of the kinds that have little more than a name, an owner and a schema."""
        at, word = self.position, self.kind
        routine = self.routine_kind()
        if routine is not None:
            function = self.function_with_types()
            common = self._alter_common(position, routine, function)
            return common or self.alter_function(position, routine, function)
        if word == "aggregate":
            self.advance()
            return self._only_common(position, ObjectKind.AGGREGATE, self.aggregate_with_types())
        if word == "operator":
            self.advance()
            return self._alter_operator(position)
        if word == "large":
            self.expect_words("large", "object")
            return self._only_common(position, ObjectKind.LARGE_OBJECT, self.large_object())
        on_table = self.on_table_kind()
        if on_table is not None:
            at = self.position
            name = self.col_id()
            self.expect("on")
            reference = ObjectRef(at, (name,), relation=self.qualified_name())
            return self._only_common(position, on_table, reference)
        kind = self.any_name_kind()
        if kind is not None:
            if kind is ObjectKind.STATISTICS and self.if_exists():
                return self._alter_statistics(position, self.any_name_node(), missing_ok=True)
            dotted = self.any_name_node()
            return self._alter_named(position, kind, dotted)
        kind = self.name_kind()
        if kind is None:
            return self.fail()
        at = self.position
        name = self.col_id()
        return self._alter_simple(position, kind, name, ObjectRef(at, (name,)))

    def _only_common(self, position: int, kind: ObjectKind, reference: ObjectRef) -> Statement:
        return self._alter_common(position, kind, reference) or self.fail()

    def _alter_common(
        self, position: int, kind: ObjectKind, reference: ObjectRef
    ) -> Statement | None:
        """RENAME TO, OWNER TO, SET SCHEMA, DEPENDS ON: what most kinds share."""
        word, following = self.kind, self.peek()
        if word == "rename":
            if following == "constraint" and kind is ObjectKind.DOMAIN:
                return self._rename_part(position, kind, ObjectKind.DOMAIN_CONSTRAINT, reference)
            if following == "attribute" and kind is ObjectKind.TYPE:
                return self._rename_part(position, kind, ObjectKind.ATTRIBUTE, reference)
            if following == "value" and kind is ObjectKind.TYPE:
                return None
            self.advance()
            self.expect("to")
            return Rename(position, kind, kind, reference, self.col_id())
        if word == "owner":
            self.advance()
            self.expect("to")
            return AlterOwner(position, kind, reference, self.role_spec())
        if word == "set" and following == "schema":
            self.advance()
            self.advance()
            return AlterObjectSchema(position, kind, reference, self.col_id())
        if word == "depends" or (word == "no" and following == "depends"):
            return self.depends(position, kind, reference)
        return None

    def _rename_part(
        self, position: int, kind: ObjectKind, renamed: ObjectKind, reference: ObjectRef
    ) -> Statement:
        self.advance()
        self.advance()
        old = self.col_id()
        self.expect("to")
        new = self.col_id()
        return Rename(position, renamed, kind, reference, new, old, behavior=self.drop_behavior())

    def _alter_operator(self, position: int) -> Statement:
        kind, reference = self.operator_reference()
        common = self._alter_common(position, kind, reference)
        if common is not None:
            return common
        if kind is ObjectKind.OPERATOR_FAMILY:
            return self.alter_operator_family(position, reference)
        self.expect("set")
        return AlterDefinition(position, kind, reference, self.definition())

    def _alter_named(self, position: int, kind: ObjectKind, name: QualifiedName) -> Statement:
        reference = ObjectRef(name.position, name.parts)
        common = self._alter_common(position, kind, reference)
        if common is not None:
            return common
        if kind is ObjectKind.STATISTICS:
            return self._alter_statistics(position, name, missing_ok=False)
        if kind is ObjectKind.COLLATION:
            self.expect_words("refresh", "version")
            return AlterDefinition(position, kind, reference, refresh_version=True)
        if kind is ObjectKind.TEXT_SEARCH_DICTIONARY:
            return AlterDefinition(position, kind, reference, self.definition())
        if kind is ObjectKind.TEXT_SEARCH_CONFIGURATION:
            return self.alter_text_search(position, name)
        return self.fail()

    def _alter_statistics(
        self, position: int, name: QualifiedName, *, missing_ok: bool
    ) -> Statement:
        self.expect_words("set", "statistics")
        return AlterStatistics(position, name, self.signed_integer(), missing_ok)

    def _alter_simple(
        self, position: int, kind: ObjectKind, name: str, reference: ObjectRef
    ) -> Statement:
        if kind is ObjectKind.DATABASE and self.kind not in ("rename", "owner"):
            self.index -= 1
            self.kind = self.kinds[self.index]
            return self.alter_database(position)
        common = self._alter_common(position, kind, reference)
        if common is not None:
            return common
        if kind is ObjectKind.EXTENSION:
            return self.alter_extension(position, name)
        if kind is ObjectKind.TABLESPACE:
            reset = self.one_of("set", "reset") == "reset"
            return AlterTablespace(position, name, self.relation_options(), reset)
        if kind is ObjectKind.FOREIGN_DATA_WRAPPER:
            return self.alter_foreign_data_wrapper(position, name)
        if kind is ObjectKind.FOREIGN_SERVER:
            return self.alter_server(position, name)
        if kind is ObjectKind.PUBLICATION:
            return self.alter_publication(position, name)
        if kind is ObjectKind.SUBSCRIPTION:
            return self.alter_subscription(position, name)
        if kind is ObjectKind.EVENT_TRIGGER:
            return self.alter_event_trigger(position, name)
        return self.fail()

    # -- DROP ------------------------------------------------------------------------------------

    def drop(self) -> Statement:
        """DROP anything."""
        position = self.position
        self.advance()
        word, following = self.kind, self.peek()
        if word == "owned":
            return self.drop_owned(position)
        if word == "user" and following == "mapping":
            return self.user_mapping(position, "drop")
        if word in ("role", "user", "group"):
            return self.drop_role(position)
        if word == "database":
            return self.drop_database(position)
        if word in ("tablespace", "subscription"):
            self.advance()
            missing_ok = self.if_exists()
            name = self.col_id()
            if word == "tablespace":
                return DropTablespace(position, name, missing_ok)
            return DropSubscription(position, name, missing_ok, self.drop_behavior())
        return self._drop_objects(position)

    def _drop_objects(self, position: int) -> Statement:
        word = self.kind
        kind = self.any_name_kind()
        if kind is not None:
            concurrent = kind is ObjectKind.INDEX and self.accept("concurrently")
            missing_ok = self.if_exists()
            objects = self._named_objects()
            behavior = self.drop_behavior()
            return Drop(position, kind, objects, missing_ok, behavior, concurrent)
        on_table = self.on_table_kind()
        if on_table is not None:
            missing_ok = self.if_exists()
            at = self.position
            name = self.col_id()
            self.expect("on")
            reference = ObjectRef(at, (name,), relation=self.any_name_node())
            return Drop(position, on_table, (reference,), missing_ok, self.drop_behavior())
        routine = self.routine_kind()
        if routine is not None:
            missing_ok = self.if_exists()
            functions = self.functions_with_types()
            return Drop(position, routine, functions, missing_ok, self.drop_behavior())
        kind = self.name_kind()
        if kind is not None:
            missing_ok = self.if_exists()
            objects = self._simple_objects()
            return Drop(position, kind, objects, missing_ok, self.drop_behavior())
        if word not in ("type", "domain", "aggregate", "operator", "cast", "transform"):
            return self.fail()
        self.advance()
        return self._drop_typed(position, word)

    def _drop_typed(self, position: int, word: str) -> Statement:
        if word == "operator" and self.kind in ("class", "family") and self.peek() != ".":
            kind = ObjectKind.OPERATOR_CLASS if self.kind == "class" else ObjectKind.OPERATOR_FAMILY
            self.advance()
            missing_ok = self.if_exists()
            at = self.position
            name = self.any_name()
            self.expect("using")
            reference = ObjectRef(at, name, access_method=self.col_id())
            return Drop(position, kind, (reference,), missing_ok, self.drop_behavior())
        missing_ok = self.if_exists()
        kind = ObjectKind(word)
        if word == "cast":
            objects = [self.cast_reference()]
        elif word == "transform":
            objects = [self.transform_reference()]
        else:
            objects = [self._typed_object(word)]
            while self.accept(","):
                objects.append(self._typed_object(word))
        return Drop(position, kind, tuple(objects), missing_ok, self.drop_behavior())

    def _typed_object(self, word: str) -> ObjectRef:
        if word == "aggregate":
            return self.aggregate_with_types()
        if word == "operator":
            return self.operator_with_types()
        position = self.position
        return ObjectRef(position, type=self.type_name())

    # -- COMMENT and SECURITY LABEL --------------------------------------------------------------

    def comment(self) -> Statement:
        """COMMENT ON object IS text."""
        position = self.position
        self.expect_words("comment", "on")
        kind, reference = self.object_reference()
        self.expect("is")
        return CommentOn(position, kind, reference, self.comment_text())

    def security_label(self) -> Statement:
        """SECURITY LABEL [FOR provider] ON object IS label."""
        position = self.position
        self.expect_words("security", "label")
        provider = self.non_reserved_word_or_string() if self.accept("for") else None
        self.expect("on")
        start = self.index
        kind, reference = self.object_reference()
        if kind in _LABELLED:
            self.index = start
            self.kind = self.kinds[start]
            self.fail()
        self.expect("is")
        return SecurityLabel(position, kind, reference, provider, self.comment_text())


def _create_handlers() -> Mapping[str, Callable[[StatementParser, int], Statement]]:
    parser = StatementParser
    return {
        "unique": parser.create_index,
        "index": parser.create_index,
        "schema": parser.create_schema,
        "database": parser.create_database,
        "policy": parser.create_policy,
        "type": parser.create_type,
        "domain": parser.create_domain,
        "operator": parser.create_operator,
        "cast": parser.create_cast,
        "default": parser.create_conversion,
        "conversion": parser.create_conversion,
        "text": parser.create_text_search,
        "collation": parser.create_collation,
        "event": parser.create_event_trigger,
        "statistics": parser.create_statistics,
        "extension": parser.create_extension,
        "tablespace": parser.create_tablespace,
        "access": parser.create_access_method,
        "server": parser.create_server,
        "publication": parser.create_publication,
        "subscription": parser.create_subscription,
        "assertion": lambda self, _position: self.create_assertion(),
    }


def _replace_handlers() -> Mapping[str, Callable[[StatementParser, int, bool], Statement]]:
    parser = StatementParser
    trigger = lambda self, at, replace: parser.create_trigger(self, at, or_replace=replace)  # noqa: E731
    function = lambda self, at, replace: parser.create_function(self, at, or_replace=replace)  # noqa: E731
    language = lambda self, at, replace: parser.create_language(self, at, or_replace=replace)  # noqa: E731
    return {
        "function": function,
        "procedure": function,
        "trigger": trigger,
        "constraint": trigger,
        "language": language,
        "trusted": language,
        "procedural": language,
        "rule": lambda self, at, replace: self.create_rule(at, or_replace=replace),
        "aggregate": lambda self, at, replace: self.create_aggregate(at, or_replace=replace),
        "transform": lambda self, at, replace: self.create_transform(at, or_replace=replace),
    }


def _statement_handlers() -> Mapping[str, Callable[[StatementParser], Statement]]:
    parser = StatementParser
    return {
        "abort": parser.rollback,
        "alter": parser.alter,
        "analyse": parser.analyze,
        "analyze": parser.analyze,
        "begin": parser.begin,
        "call": parser.call,
        "checkpoint": parser.checkpoint,
        "close": parser.close,
        "cluster": parser.cluster,
        "comment": parser.comment,
        "commit": parser.commit,
        "copy": parser.copy,
        "create": parser.create,
        "deallocate": parser.deallocate,
        "declare": parser.declare,
        "discard": parser.discard,
        "do": parser.do,
        "drop": parser.drop,
        "end": parser.commit,
        "execute": parser.execute,
        "explain": parser.explain,
        "fetch": parser.fetch,
        "grant": parser.grant,
        "import": parser.import_foreign_schema,
        "listen": parser.listen,
        "load": parser.load,
        "lock": parser.lock,
        "move": parser.fetch,
        "notify": parser.notify,
        "prepare": parser.prepare,
        "reassign": parser.reassign,
        "refresh": parser.refresh,
        "reindex": parser.reindex,
        "release": parser.release,
        "reset": parser.reset,
        "revoke": parser.revoke,
        "rollback": parser.rollback,
        "savepoint": parser.savepoint,
        "security": parser.security_label,
        "set": parser.set,
        "show": parser.show,
        "start": parser.start_transaction,
        "truncate": parser.truncate,
        "unlisten": parser.unlisten,
        "vacuum": parser.vacuum,
    }


_CREATE: Final = _create_handlers()
_CREATE_OR_REPLACE: Final = _replace_handlers()
_STATEMENTS: Final = _statement_handlers()
