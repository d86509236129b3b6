"""Triggers, rules, statistics, and what a database is extended with."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_ID, COL_LABEL
from heliosd.sql.parser.routines import RoutineParser
from heliosd.sql.tree import (
    AlterEventTrigger,
    AlterExtension,
    AlterExtensionContents,
    AlterPublication,
    AlterSubscription,
    AlterTextSearch,
    CreateAccessMethod,
    CreateEventTrigger,
    CreateExtension,
    CreateForeignDataWrapper,
    CreateLanguage,
    CreatePublication,
    CreateRule,
    CreateServer,
    CreateStatistics,
    CreateSubscription,
    CreateTablespace,
    CreateTrigger,
    CreateUserMapping,
    Expression,
    ImportForeignSchema,
    Option,
    PublicationObject,
    QualifiedName,
    RangeVar,
    RoleKind,
    RoleSpec,
    Statement,
    TriggerTransition,
)
from heliosd.sql.tree import ColumnRef as Reference

_EVENTS: Final = ("insert", "delete", "update", "truncate")


class ExtendParser(RoutineParser):
    """Extensions of the database."""

    # -- triggers --------------------------------------------------------------------------------

    def create_trigger(self, position: int, *, or_replace: bool) -> Statement:
        """From CONSTRAINT or TRIGGER on."""
        constraint = self.accept("constraint")
        self.expect("trigger")
        name = self.col_id()
        if constraint:
            self.expect("after")
            timing = "after"
        else:
            timing = self._timing()
        events, columns = self._trigger_events()
        self.expect("on")
        relation = self.qualified_name()
        referenced = None
        deferrable = deferred = False
        transitions: tuple[TriggerTransition, ...] = ()
        each_row = False
        if constraint:
            if self.accept("from"):
                referenced = self.qualified_name()
            attributes = self.constraint_attributes()
            deferrable = bool(attributes.deferrable)
            deferred = bool(attributes.initially_deferred)
            self.expect_words("for", "each", "row")
            each_row = True
        else:
            if self.accept("referencing"):
                transitions = self._transitions()
            if self.accept("for"):
                self.accept("each")
                each_row = self.one_of("row", "statement") == "row"
        when = self._trigger_when()
        function, arguments = self._trigger_function()
        return CreateTrigger(
            position, name, relation, function, arguments, timing, events, columns, each_row, when,
            transitions, or_replace, constraint, referenced, deferrable, deferred,
        )  # fmt: skip

    def _timing(self) -> str:
        word = self.one_of("before", "after", "instead")
        if word != "instead":
            return word
        self.expect("of")
        return "instead of"

    def _trigger_events(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        events: list[str] = []
        columns: tuple[str, ...] = ()
        while True:
            word = self.one_of(*_EVENTS)
            if word == "update" and self.accept("of"):
                columns = self.names()
            if word in events:
                self.fail_because("duplicate trigger events specified")
            events.append(word)
            if not self.accept("or"):
                return tuple(events), columns

    def _transitions(self) -> tuple[TriggerTransition, ...]:
        transitions = []
        while self.kind in ("new", "old"):
            position = self.position
            new = self.one_of("new", "old") == "new"
            table = self.one_of("table", "row") == "table"
            self.accept("as")
            transitions.append(TriggerTransition(position, self.col_id(), new, table))
        if not transitions:
            self.fail()
        return tuple(transitions)

    def _trigger_when(self) -> Expression | None:
        if not self.accept("when"):
            return None
        self.expect("(")
        condition = self.a_expr()
        self.expect(")")
        return condition

    def _trigger_function(self) -> tuple[QualifiedName, tuple[str, ...]]:
        self.expect("execute")
        self.one_of("function", "procedure")
        function = self.function_name_node()
        self.expect("(")
        arguments: list[str] = []
        while self.kind != ")":
            if self.kind not in ("ICONST", "FCONST", "SCONST") and self.kind not in COL_LABEL:
                self.fail()
            arguments.append(str(self.values[self.index]))
            self.advance()
            if not self.accept(","):
                break
        self.expect(")")
        return function, tuple(arguments)

    def create_event_trigger(self, position: int) -> Statement:
        """From EVENT on."""
        self.expect_words("event", "trigger")
        name = self.col_id()
        self.expect("on")
        event = self.col_label()
        filters: list[tuple[str, tuple[str, ...]]] = []
        if self.accept("when"):
            while True:
                variable = self.col_id()
                self.expect_words("in", "(")
                values = [self.string()]
                while self.accept(","):
                    values.append(self.string())
                self.expect(")")
                filters.append((variable, tuple(values)))
                if not self.accept("and"):
                    break
        self.expect("execute")
        self.one_of("function", "procedure")
        function = self.function_name_node()
        self.expect_words("(", ")")
        return CreateEventTrigger(position, name, event, function, tuple(filters))

    def alter_event_trigger(self, position: int, name: str) -> Statement:
        """ENABLE, DISABLE, ..."""
        state = self.one_of("enable", "disable")
        if state == "enable" and self.kind in ("replica", "always"):
            state += " " + self.one_of("replica", "always")
        return AlterEventTrigger(position, name, state)

    # -- rules and statistics --------------------------------------------------------------------

    def rule_action(self) -> Statement:
        """One action of a rule."""
        if self.kind == "notify":
            return self.notify()
        return self.preparable_statement()

    def create_rule(self, position: int, *, or_replace: bool) -> Statement:
        """From RULE on."""
        self.expect("rule")
        name = self.col_id()
        self.expect_words("as", "on")
        event = self.one_of("select", "update", "delete", "insert")
        self.expect("to")
        relation = self.qualified_name()
        where = self.a_expr() if self.accept("where") else None
        self.expect("do")
        instead = False
        if self.kind in ("instead", "also"):
            instead = self.one_of("instead", "also") == "instead"
        actions: list[Statement] = []
        if self.accept("nothing"):
            pass
        elif self.kind == "(" and not self.opens_query():
            self.advance()
            while self.kind != ")":
                if self.accept(";"):
                    continue
                actions.append(self.rule_action())
                if self.kind != ")":
                    self.expect(";")
            self.expect(")")
        else:
            actions.append(self._rule_actions_or_query(actions))
        return CreateRule(
            position, name, relation, event, instead, tuple(actions), where, or_replace
        )

    def _rule_actions_or_query(self, actions: list[Statement]) -> Statement:
        """`(SELECT ...)` may be a query or the first of several actions."""
        if self.kind != "(":
            return self.rule_action()
        if self.peek() == "(":
            return self.select_statement()
        self.advance()
        first = self.rule_action()
        while self.accept(";"):
            if self.kind not in (";", ")"):
                actions.append(first)
                first = self.rule_action()
        self.expect(")")
        return first

    def create_statistics(self, position: int) -> Statement:
        """From STATISTICS on."""
        self.expect("statistics")
        if_not_exists = self.if_not_exists()
        name = self.any_name_node()
        kinds = self.optional_names()
        self.expect("on")
        expressions: list[Expression] = []
        while True:
            at = self.position
            column, expression = self.name_or_expression()
            if column is not None:
                expressions.append(Reference(at, (column,)))
            elif expression is not None:
                expressions.append(expression)
            if not self.accept(","):
                break
        self.expect("from")
        relations = self.from_list()
        return CreateStatistics(position, name, kinds, tuple(expressions), relations, if_not_exists)

    # -- extensions, tablespaces, languages ------------------------------------------------------

    def create_extension(self, position: int) -> Statement:
        """From EXTENSION on."""
        self.expect("extension")
        if_not_exists = self.if_not_exists()
        name = self.col_id()
        self.accept("with")
        options = []
        while self.kind in ("schema", "version", "from", "cascade"):
            at, word = self.position, self.kind
            self.advance()
            if word == "schema":
                options.append(Option(at, "schema", self.col_id()))
            elif word == "cascade":
                options.append(Option(at, "cascade", True))
            else:
                value = self.non_reserved_word_or_string()
                if word == "from":
                    raise SqlError(
                        "0A000", "CREATE EXTENSION ... FROM is no longer supported", position=at
                    )
                options.append(Option(at, "new_version", value))
        return CreateExtension(position, name, tuple(options), if_not_exists)

    def alter_extension(self, position: int, name: str) -> Statement:
        """UPDATE, ADD, DROP."""
        if self.accept("update"):
            options = []
            while self.kind == "to":
                at = self.position
                self.advance()
                options.append(Option(at, "new_version", self.non_reserved_word_or_string()))
            return AlterExtension(position, name, tuple(options))
        add = self.one_of("add", "drop") == "add"
        kind, reference = self.object_reference()
        return AlterExtensionContents(position, name, add, kind, reference)

    def create_tablespace(self, position: int) -> Statement:
        """From TABLESPACE on."""
        self.expect("tablespace")
        name = self.col_id()
        owner = self.role_spec() if self.accept("owner") else None
        self.expect("location")
        location = self.string()
        options = self.relation_options() if self.accept("with") else ()
        return CreateTablespace(position, name, location, owner, options)

    def create_language(self, position: int, *, or_replace: bool) -> Statement:
        """From TRUSTED, PROCEDURAL or LANGUAGE on."""
        trusted = self.accept("trusted")
        self.accept("procedural")
        self.expect("language")
        name = self.col_id()
        handler = inline = validator = None
        if self.accept("handler"):
            handler = self.any_name_node()
            if self.accept("inline"):
                inline = self.any_name_node()
            if self.accept("validator"):
                validator = self.any_name_node()
            elif self.accept("no"):
                self.expect("validator")
        return CreateLanguage(position, name, handler, inline, validator, trusted, or_replace)

    def create_access_method(self, position: int) -> Statement:
        """From ACCESS on."""
        self.expect_words("access", "method")
        name = self.col_id()
        self.expect("type")
        kind = self.one_of("index", "table")
        self.expect("handler")
        return CreateAccessMethod(position, name, kind, self.any_name_node())

    # -- foreign data ----------------------------------------------------------------------------

    def create_foreign_data_wrapper(self, position: int) -> Statement:
        """After FOREIGN DATA WRAPPER."""
        name = self.col_id()
        functions = self._wrapper_functions()
        return CreateForeignDataWrapper(position, name, functions, self.generic_options())

    def alter_foreign_data_wrapper(self, position: int, name: str) -> Statement:
        """Functions and options."""
        functions = self._wrapper_functions()
        options: tuple[Option, ...] = ()
        if self.kind == "options":
            options = self.alter_generic_options()
        elif not functions:
            self.fail()
        return CreateForeignDataWrapper(position, name, functions, options, True)

    def _wrapper_functions(self) -> tuple[Option, ...]:
        functions = []
        while self.kind in ("handler", "validator", "no"):
            at = self.position
            if self.accept("no"):
                functions.append(Option(at, self.one_of("handler", "validator"), None))
            else:
                word = self.one_of("handler", "validator")
                functions.append(Option(at, word, self.any_name_node()))
        return tuple(functions)

    def create_server(self, position: int) -> Statement:
        """From SERVER on."""
        self.expect("server")
        if_not_exists = self.if_not_exists()
        name = self.col_id()
        server_type = self.string() if self.accept("type") else None
        version = self.comment_text() if self.accept("version") else None
        self.expect_words("foreign", "data", "wrapper")
        wrapper = self.col_id()
        return CreateServer(
            position, name, wrapper, server_type, version, self.generic_options(), if_not_exists
        )

    def alter_server(self, position: int, name: str) -> Statement:
        """VERSION and OPTIONS."""
        version = None
        changed = self.accept("version")
        if changed:
            version = self.comment_text()
        options: tuple[Option, ...] = ()
        if self.kind == "options" or not changed:
            options = self.alter_generic_options()
        return CreateServer(position, name, None, None, version, options, alter=True)

    def user_mapping(self, position: int, action: str) -> Statement:
        """After CREATE, ALTER or DROP: from USER MAPPING on."""
        self.expect_words("user", "mapping")
        exists = False
        if action == "create":
            exists = self.if_not_exists()
        elif action == "drop":
            exists = self.if_exists()
        self.expect("for")
        at = self.position
        if self.accept("user"):
            role = RoleSpec(at, RoleKind.CURRENT_USER)
        else:
            role = self.role_spec()
        self.expect("server")
        server = self.col_id()
        options: tuple[Option, ...] = ()
        if action == "create":
            options = self.generic_options()
        elif action == "alter":
            options = self.alter_generic_options()
        return CreateUserMapping(position, action, role, server, options, exists)

    def import_foreign_schema(self) -> Statement:
        """IMPORT FOREIGN SCHEMA."""
        position = self.position
        self.expect_words("import", "foreign", "schema")
        remote = self.col_id()
        limit, tables = "all", []
        if self.kind in ("limit", "except"):
            limit = "limit to" if self.kind == "limit" else "except"
            self.advance()
            if limit == "limit to":
                self.expect("to")
            self.expect("(")
            tables.append(self.relation_expr())
            while self.accept(","):
                tables.append(self.relation_expr())
            self.expect(")")
        self.expect_words("from", "server")
        server = self.col_id()
        self.expect("into")
        local = self.col_id()
        return ImportForeignSchema(
            position, remote, server, local, limit, tuple(tables), self.generic_options()
        )

    # -- publications and subscriptions ----------------------------------------------------------

    def create_publication(self, position: int) -> Statement:
        """From PUBLICATION on."""
        self.expect("publication")
        name = self.col_id()
        objects: tuple[PublicationObject, ...] = ()
        every = False
        if self.accept("for"):
            every = self.accept_words("all", "tables")
            if not every:
                objects = self._publication_objects()
        return CreatePublication(position, name, objects, every, self._with_definition())

    def _with_definition(self) -> tuple[Option, ...]:
        return self.definition() if self.accept("with") else ()

    def _publication_objects(self) -> tuple[PublicationObject, ...]:
        """Objects; one without its own word is of the kind before it."""
        objects: list[PublicationObject] = []
        mode = ""
        while True:
            position = self.position
            worded = self.kind in ("table", "tables")
            if self.accept("table"):
                mode = "table"
            elif self.accept_words("tables", "in", "schema"):
                mode = "schema"
            if self.kind not in COL_ID and self.kind not in ("only", "current_schema"):
                self.fail()
            if not mode:
                raise SqlError(
                    "42601", "invalid publication object list", position=position,
                    detail="One of TABLE or TABLES IN SCHEMA must be specified before a"
                    " standalone table or schema name.",
                )  # fmt: skip
            objects.append(self._publication_object(position, mode, worded=worded))
            if not self.accept(","):
                return tuple(objects)

    def _publication_object(self, position: int, mode: str, *, worded: bool) -> PublicationObject:
        if mode == "schema":
            if self.accept("current_schema"):
                return PublicationObject(position, current_schema=True)
            if worded:
                return PublicationObject(position, schema=self.col_id())
            schema = self.any_name()
            if self.kind == "(":
                self._not_for_schema("column specification not allowed for schema", position)
            if self.kind == "where":
                self._not_for_schema("WHERE clause not allowed for schema", position)
            if len(schema) > 1:
                self._not_for_schema("invalid schema name", position)
            return PublicationObject(position, schema=schema[0])
        if not worded and self.kind == "current_schema":
            self._not_for_schema("invalid table name", position)
        relation: RangeVar = self.relation_expr()
        columns = self.optional_names()
        where = None
        if self.accept("where"):
            self.expect("(")
            where = self.a_expr()
            self.expect(")")
        return PublicationObject(position, relation, columns, where)

    def _not_for_schema(self, message: str, position: int) -> None:
        raise SqlError("42601", message, position=position)

    def alter_publication(self, position: int, name: str) -> Statement:
        """SET, ADD, DROP."""
        action = self.one_of("set", "add", "drop")
        if action == "set" and self.kind == "(":
            return AlterPublication(position, name, "options", (), self.definition())
        return AlterPublication(position, name, action, self._publication_objects())

    def create_subscription(self, position: int) -> Statement:
        """From SUBSCRIPTION on."""
        self.expect("subscription")
        name = self.col_id()
        self.expect("connection")
        connection = self.string()
        self.expect("publication")
        publications = self.names()
        return CreateSubscription(position, name, connection, publications, self._with_definition())

    def alter_subscription(self, position: int, name: str) -> Statement:
        """Whatever changes."""
        action = self.one_of(
            "set", "connection", "refresh", "add", "drop", "enable", "disable", "skip"
        )
        if action == "connection":
            return AlterSubscription(position, name, action, self.string())
        if action in ("enable", "disable"):
            return AlterSubscription(position, name, action)
        if action == "skip" or (action == "set" and self.kind == "("):
            action = "skip" if action == "skip" else "options"
            return AlterSubscription(position, name, action, options=self.definition())
        self.expect("publication")
        publications = () if action == "refresh" else self.names()
        action = "refresh publication" if action == "refresh" else f"{action} publication"
        return AlterSubscription(
            position, name, action, None, publications, self._with_definition()
        )

    # -- text search -----------------------------------------------------------------------------

    def alter_text_search(self, position: int, name: QualifiedName) -> Statement:
        """ADD, ALTER, DROP MAPPING."""
        word = self.one_of("add", "alter", "drop")
        self.expect("mapping")
        missing_ok = word == "drop" and self.if_exists()
        if word == "alter" and self.accept("replace"):
            return self._replace_mapping(position, name, ())
        self.expect("for")
        tokens = self.names()
        if word == "drop":
            return AlterTextSearch(position, name, word, tokens, (), missing_ok)
        if word == "alter" and self.accept("replace"):
            return self._replace_mapping(position, name, tokens)
        self.expect("with")
        return AlterTextSearch(position, name, word, tokens, self.any_names())

    def _replace_mapping(
        self, position: int, name: QualifiedName, tokens: tuple[str, ...]
    ) -> Statement:
        old = self.any_name_node()
        self.expect("with")
        return AlterTextSearch(position, name, "replace", tokens, (old, self.any_name_node()))
