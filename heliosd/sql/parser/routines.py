"""Functions, types, domains, operators, casts, aggregates."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.parser.roles import RoleParser
from heliosd.sql.tree import (
    AlterDomain,
    AlterDomainKind,
    AlterEnum,
    AlterFunction,
    AlterOperatorFamily,
    ColumnDefinition,
    ConstraintKind,
    CreateCast,
    CreateCompositeType,
    CreateConversion,
    CreateDomain,
    CreateEnum,
    CreateFunction,
    CreateOperatorClass,
    CreateOperatorFamily,
    CreateRange,
    CreateTransform,
    Define,
    FunctionParameter,
    ObjectKind,
    ObjectRef,
    OperatorClassItem,
    Option,
    OptionValue,
    ParameterMode,
    QualifiedName,
    Return,
    Statement,
    TypeName,
)

_SEARCH_KINDS: Final = {
    "parser": ObjectKind.TEXT_SEARCH_PARSER,
    "dictionary": ObjectKind.TEXT_SEARCH_DICTIONARY,
    "template": ObjectKind.TEXT_SEARCH_TEMPLATE,
    "configuration": ObjectKind.TEXT_SEARCH_CONFIGURATION,
}


class RoutineParser(RoleParser):
    """What has types and code."""

    def body_statement(self) -> Statement:
        """A statement of an SQL-standard body (defined in `statement`)."""
        raise NotImplementedError

    # -- functions -------------------------------------------------------------------------------

    def create_function(self, position: int, *, or_replace: bool) -> Statement:
        """From FUNCTION or PROCEDURE on."""
        procedure = self.one_of("function", "procedure") == "procedure"
        name = self.function_name_node()
        parameters = self.function_parameters(defaults=True)
        returns: TypeName | None = None
        table = False
        if not procedure and self.kind == "returns" and self.peek() != "null":
            self.advance()
            if self.kind == "table" and self.peek() == "(":
                table = True
                self.advance()
                parameters = (*parameters, *self._table_columns())
            else:
                returns = self.function_type()
        options = self._function_options(create=True)
        body: tuple[Statement, ...] | None = None
        atomic = False
        start = self.starts[self.index]
        if self.kind == "return":
            body = (self.return_statement(),)
        elif self.kind == "begin":
            self.expect_words("begin", "atomic")
            atomic = True
            body = self._atomic_body()
        text = "" if body is None else self.tokens.text[start : self.tokens.ends[self.index - 1]]
        return CreateFunction(
            position, name, parameters, returns, options, procedure, or_replace, table, body,
            atomic, text,
        )  # fmt: skip

    def _table_columns(self) -> tuple[FunctionParameter, ...]:
        self.expect("(")
        columns = []
        while True:
            position = self.position
            name = self.type_function_name()
            column_type = self.function_type()
            columns.append(FunctionParameter(position, column_type, name, ParameterMode.TABLE))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(columns)

    def return_statement(self) -> Return:
        """RETURN expression."""
        position = self.position
        self.expect("return")
        return Return(position, self.a_expr())

    def _atomic_body(self) -> tuple[Statement, ...]:
        statements = []
        while self.kind != "end":
            if self.accept(";"):
                continue
            statements.append(
                self.return_statement() if self.kind == "return" else self.body_statement()
            )
            self.expect(";")
        self.expect("end")
        return tuple(statements)

    def _function_options(self, *, create: bool) -> tuple[Option, ...]:
        options: list[Option] = []
        while True:
            option = self._create_option() if create else None
            option = option or self._common_option()
            if option is None:
                return tuple(options)
            options.append(option)

    def _create_option(self) -> Option | None:
        position, word = self.position, self.kind
        value: OptionValue
        if word == "as":
            self.advance()
            first = self.string()
            value = (first, self.string()) if self.accept(",") else (first,)
        elif word == "language":
            self.advance()
            value = self.non_reserved_word_or_string()
        elif word == "window":
            self.advance()
            value = True
        elif word == "transform":
            self.advance()
            types = []
            while True:
                self.expect_words("for", "type")
                types.append(self.type_name())
                if not self.accept(","):
                    break
            value = tuple(types)
        else:
            return None
        return Option(position, word, value)

    def _common_option(self) -> Option | None:
        position, word = self.position, self.kind
        if word in ("immutable", "stable", "volatile"):
            self.advance()
            return Option(position, "volatility", word)
        if word in ("set", "reset"):
            return Option(position, "set", self.set_or_reset())
        if word in ("cost", "rows"):
            self.advance()
            return Option(position, word, self.numeric_only())
        if word in ("strict", "leakproof"):
            self.advance()
            return Option(position, word, True)
        if word == "not":
            self.expect_words("not", "leakproof")
            return Option(position, "leakproof", False)
        if word == "called":
            self.expect_words("called", "on", "null", "input")
            return Option(position, "strict", False)
        if word == "returns":
            self.expect_words("returns", "null", "on", "null", "input")
            return Option(position, "strict", True)
        if word in ("external", "security"):
            self.accept("external")
            self.expect("security")
            return Option(position, "security", self.one_of("definer", "invoker") == "definer")
        if word == "support":
            self.advance()
            return Option(position, "support", self.any_name_node())
        if word == "parallel":
            self.advance()
            return Option(position, "parallel", self.col_id())
        return None

    def alter_function(self, position: int, kind: ObjectKind, function: ObjectRef) -> Statement:
        """The options of ALTER FUNCTION, PROCEDURE, ROUTINE."""
        options = self._function_options(create=False)
        if not options:
            self.fail()
        self.accept("restrict")
        return AlterFunction(position, kind, function, options)

    # -- types -----------------------------------------------------------------------------------

    def create_type(self, position: int) -> Statement:
        """From TYPE on."""
        self.expect("type")
        name = self.any_name_node()
        if self.kind == "(":
            return Define(position, ObjectKind.TYPE, name, self.definition())
        if not self.accept("as"):
            return Define(position, ObjectKind.TYPE, name)
        if self.accept("enum"):
            return CreateEnum(position, name, self._labels())
        if self.accept("range"):
            return CreateRange(position, name, self.definition())
        self.expect("(")
        columns: list[ColumnDefinition] = []
        if self.kind != ")":
            columns = [
                ColumnDefinition(item.position, item.name, item.type, (), item.collation)
                for item in self.column_definition_items()
            ]
        self.expect(")")
        return CreateCompositeType(position, name, tuple(columns))

    def _labels(self) -> tuple[str, ...]:
        self.expect("(")
        labels: list[str] = []
        if self.kind != ")":
            labels.append(self.string())
            while self.accept(","):
                labels.append(self.string())
        self.expect(")")
        return tuple(labels)

    def alter_enum(self, position: int, name: QualifiedName) -> Statement:
        """ADD VALUE or RENAME VALUE."""
        if self.accept("rename"):
            self.expect("value")
            old = self.string()
            self.expect("to")
            return AlterEnum(position, name, self.string(), old)
        self.expect_words("add", "value")
        if_not_exists = self.if_not_exists()
        label = self.string()
        if self.kind not in ("before", "after"):
            return AlterEnum(position, name, label, None, if_not_exists)
        after = self.one_of("before", "after") == "after"
        return AlterEnum(position, name, label, None, if_not_exists, self.string(), after)

    def create_domain(self, position: int) -> Statement:
        """From DOMAIN on."""
        self.expect("domain")
        name = self.any_name_node()
        self.accept("as")
        base = self.type_name()
        constraints, collation = self.column_constraints()
        for constraint in constraints:
            if constraint.kind in (ConstraintKind.IDENTITY, ConstraintKind.GENERATED):
                raise SqlError(
                    "42601", "specifying GENERATED is not supported for domains",
                    position=constraint.position,
                )  # fmt: skip
        return CreateDomain(position, name, base, collation, constraints)

    def alter_domain(self, position: int, name: QualifiedName) -> Statement:
        """SET, DROP, ADD and VALIDATE of ALTER DOMAIN."""
        kinds = AlterDomainKind
        word = self.one_of("set", "drop", "add", "validate")
        if word == "set":
            if self.accept("default"):
                return AlterDomain(position, kinds.DEFAULT, name, self.a_expr())
            self.expect_words("not", "null")
            return AlterDomain(position, kinds.SET_NOT_NULL, name)
        if word == "add":
            constraint = self.table_constraint()
            return AlterDomain(position, kinds.ADD_CONSTRAINT, name, constraint=constraint)
        if word == "validate":
            self.expect("constraint")
            return AlterDomain(
                position, kinds.VALIDATE_CONSTRAINT, name, constraint_name=self.col_id()
            )
        if self.accept("default"):
            return AlterDomain(position, kinds.DEFAULT, name)
        if self.accept("not"):
            self.expect("null")
            return AlterDomain(position, kinds.DROP_NOT_NULL, name)
        self.expect("constraint")
        missing_ok = self.if_exists()
        return AlterDomain(
            position, kinds.DROP_CONSTRAINT, name, constraint_name=self.col_id(),
            missing_ok=missing_ok, behavior=self.drop_behavior(),
        )  # fmt: skip

    # -- aggregates, operators, casts ------------------------------------------------------------

    def create_aggregate(self, position: int, *, or_replace: bool) -> Statement:
        """From AGGREGATE on."""
        self.expect("aggregate")
        name = self.function_name_node()
        if self.kind == "(" and self.peek(2) == "=":
            options = self.definition()
            return Define(
                position, ObjectKind.AGGREGATE, name, options, old_style=True,
                or_replace=or_replace,
            )  # fmt: skip
        arguments, order_arguments = self.aggregate_parameters()
        return Define(
            position, ObjectKind.AGGREGATE, name, self.definition(), arguments, order_arguments,
            or_replace=or_replace,
        )  # fmt: skip

    def create_operator(self, position: int) -> Statement:
        """From OPERATOR on: an operator, class or family."""
        self.expect("operator")
        if self.kind == "class" and self.peek() != ".":
            return self._create_operator_class(position)
        if self.kind == "family" and self.peek() != ".":
            self.advance()
            name = self.any_name_node()
            self.expect("using")
            return CreateOperatorFamily(position, name, self.col_id())
        at = self.position
        name = QualifiedName(at, self.any_operator())
        return Define(position, ObjectKind.OPERATOR, name, self.definition())

    def _create_operator_class(self, position: int) -> Statement:
        self.expect("class")
        name = self.any_name_node()
        default = self.accept("default")
        self.expect_words("for", "type")
        of_type = self.type_name()
        self.expect("using")
        method = self.col_id()
        family = self.any_name_node() if self.accept("family") else None
        self.expect("as")
        items = self.operator_class_items()
        return CreateOperatorClass(position, name, of_type, method, items, family, default)

    def operator_class_items(self) -> tuple[OperatorClassItem, ...]:
        """OPERATOR, FUNCTION and STORAGE items."""
        items = [self._operator_class_item()]
        while self.accept(","):
            items.append(self._operator_class_item())
        return tuple(items)

    def _operator_class_item(self) -> OperatorClassItem:
        position = self.position
        word = self.one_of("operator", "function", "storage")
        if word == "storage":
            return OperatorClassItem(position, word, storage=self.type_name())
        number = self.integer()
        if word == "function":
            types: tuple[TypeName, ...] = ()
            if self.accept("("):
                types = self.type_names()
                self.expect(")")
            return OperatorClassItem(position, word, number, self.function_with_types(), types)
        at = self.position
        operator = self.any_operator()
        arguments = self.operator_types() if self.kind == "(" else None
        family = None
        if self.accept("for") and self.one_of("search", "order") == "order":
            self.expect("by")
            family = self.any_name_node()
        self.accept("recheck")
        reference = ObjectRef(at, operator, arguments)
        return OperatorClassItem(position, word, number, reference, order_family=family)

    def alter_operator_family(self, position: int, family: ObjectRef) -> Statement:
        """ADD or DROP items."""
        assert family.access_method is not None
        name = QualifiedName(family.position, family.parts)
        if self.accept("add"):
            items = self.operator_class_items()
            return AlterOperatorFamily(position, name, family.access_method, items)
        self.expect("drop")
        dropped = []
        while True:
            at = self.position
            word = self.one_of("operator", "function")
            number = self.integer()
            self.expect("(")
            dropped.append(OperatorClassItem(at, word, number, types=self.type_names()))
            self.expect(")")
            if not self.accept(","):
                break
        return AlterOperatorFamily(position, name, family.access_method, tuple(dropped), True)

    def create_cast(self, position: int) -> Statement:
        """From CAST on."""
        self.expect("cast")
        reference = self.cast_reference()
        assert reference.type is not None
        assert reference.target_type is not None
        function = None
        inout = False
        if self.accept("without"):
            self.expect("function")
        else:
            self.expect("with")
            inout = self.accept("inout")
            if not inout:
                self.expect("function")
                function = self.function_with_types()
        context = "explicit"
        if self.accept("as"):
            context = self.one_of("implicit", "assignment")
        return CreateCast(position, reference.type, reference.target_type, function, inout, context)

    def create_transform(self, position: int, *, or_replace: bool) -> Statement:
        """From TRANSFORM on."""
        self.expect("transform")
        reference = self.transform_reference()
        assert reference.type is not None
        assert reference.language is not None
        self.expect("(")
        functions: dict[str, ObjectRef] = {}
        while True:
            word = self.kind
            if word not in ("from", "to") or word in functions:
                self.fail()
            self.advance()
            self.expect_words("sql", "with", "function")
            functions[word] = self.function_with_types()
            if len(functions) == 2 or not self.accept(","):
                break
        self.expect(")")
        return CreateTransform(
            position, reference.type, reference.language, functions.get("from"),
            functions.get("to"), or_replace,
        )  # fmt: skip

    def create_conversion(self, position: int) -> Statement:
        """From DEFAULT or CONVERSION on."""
        default = self.accept("default")
        self.expect("conversion")
        name = self.any_name_node()
        self.expect("for")
        source = self.string()
        self.expect("to")
        target = self.string()
        self.expect("from")
        return CreateConversion(position, name, source, target, self.any_name_node(), default)

    def create_text_search(self, position: int) -> Statement:
        """From TEXT on."""
        self.expect_words("text", "search")
        kind = _SEARCH_KINDS[self.one_of(*_SEARCH_KINDS)]
        name = self.any_name_node()
        return Define(position, kind, name, self.definition())

    def create_collation(self, position: int) -> Statement:
        """From COLLATION on."""
        self.expect("collation")
        if_not_exists = self.if_not_exists()
        name = self.any_name_node()
        if self.accept("from"):
            source = self.any_name_node()
            return Define(
                position, ObjectKind.COLLATION, name, copy_from=source,
                if_not_exists=if_not_exists,
            )  # fmt: skip
        return Define(
            position, ObjectKind.COLLATION, name, self.definition(), if_not_exists=if_not_exists
        )
