"""What CREATE, ALTER, DROP and COMMENT share: option lists, objects by name, signatures."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_ID, COL_LABEL, RESERVED, TYPE_FUNC_NAME, TYPE_FUNCTION_NAME
from heliosd.sql.parser.maintenance import MaintenanceParser
from heliosd.sql.tree import (
    DropBehavior,
    FunctionParameter,
    NumericText,
    ObjectKind,
    ObjectRef,
    Option,
    OptionAction,
    OptionValue,
    ParameterMode,
    QualifiedName,
    StringConstant,
    TypeName,
)

# Kinds that a dotted name names, by the words for them.
_ANY_NAME_KINDS: Final = {
    "table": ObjectKind.TABLE,
    "sequence": ObjectKind.SEQUENCE,
    "view": ObjectKind.VIEW,
    "index": ObjectKind.INDEX,
    "collation": ObjectKind.COLLATION,
    "conversion": ObjectKind.CONVERSION,
    "statistics": ObjectKind.STATISTICS,
}
# Kinds that a simple name names.
_NAME_KINDS: Final = {
    "database": ObjectKind.DATABASE,
    "extension": ObjectKind.EXTENSION,
    "language": ObjectKind.LANGUAGE,
    "publication": ObjectKind.PUBLICATION,
    "role": ObjectKind.ROLE,
    "schema": ObjectKind.SCHEMA,
    "server": ObjectKind.FOREIGN_SERVER,
    "subscription": ObjectKind.SUBSCRIPTION,
    "tablespace": ObjectKind.TABLESPACE,
}
_ON_TABLE_KINDS: Final = {
    "policy": ObjectKind.POLICY,
    "rule": ObjectKind.RULE,
    "trigger": ObjectKind.TRIGGER,
}
_SEARCH_KINDS: Final = {
    "parser": ObjectKind.TEXT_SEARCH_PARSER,
    "dictionary": ObjectKind.TEXT_SEARCH_DICTIONARY,
    "template": ObjectKind.TEXT_SEARCH_TEMPLATE,
    "configuration": ObjectKind.TEXT_SEARCH_CONFIGURATION,
}
_ROUTINE_KINDS: Final = {
    "function": ObjectKind.FUNCTION,
    "procedure": ObjectKind.PROCEDURE,
    "routine": ObjectKind.ROUTINE,
}
_MODES: Final = {
    "in": ParameterMode.IN,
    "out": ParameterMode.OUT,
    "inout": ParameterMode.INOUT,
    "variadic": ParameterMode.VARIADIC,
}


class DefinitionParser(MaintenanceParser):
    """Parts of definitions."""

    # -- options ---------------------------------------------------------------------------------

    def relation_options(self) -> tuple[Option, ...]:
        """`(name [= value], namespace.name [= value], ...)`."""
        self.expect("(")
        options = []
        while True:
            position = self.position
            name = self.word_of(COL_LABEL)
            namespace = None
            if self.accept("."):
                namespace, name = name, self.word_of(COL_LABEL)
            value = self.definition_argument() if self.accept("=") else None
            options.append(Option(position, name, value, namespace))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(options)

    def definition(self) -> tuple[Option, ...]:
        """`(name [= value], ...)`."""
        self.expect("(")
        options = []
        while True:
            position = self.position
            name = self.word_of(COL_LABEL)
            value = self.definition_argument() if self.accept("=") else None
            options.append(Option(position, name, value))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(options)

    def definition_argument(self) -> OptionValue:
        """A type, a reserved word, an operator, a number, a string or NONE."""
        kind = self.kind
        if kind in ("ICONST", "FCONST"):
            return self.numeric_only()
        if kind in ("+", "-") and self.peek() in ("ICONST", "FCONST"):
            return self.numeric_only()
        if kind == "SCONST":
            return self.string()
        if kind in RESERVED or kind == "none":
            self.advance()
            return kind
        if kind == "operator" and self.peek() == "(":
            position = self.position
            return QualifiedName(position, self.qualified_any_operator())
        if kind in TYPE_FUNCTION_NAME or kind in COL_ID:
            return self.function_type()
        position = self.position
        return QualifiedName(position, (self.all_operator(),))

    def generic_options(self) -> tuple[Option, ...]:
        """OPTIONS (name 'value', ...), or nothing."""
        if not self.accept("options"):
            return ()
        self.expect("(")
        options = []
        while True:
            position = self.position
            name = self.word_of(COL_LABEL)
            options.append(Option(position, name, self.string()))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(options)

    def alter_generic_options(self) -> tuple[Option, ...]:
        """OPTIONS ([SET|ADD|DROP] name ['value'], ...)."""
        self.expect_words("options", "(")
        options = []
        while True:
            position = self.position
            action = OptionAction.UNSPECIFIED
            if self.kind in ("set", "add", "drop") and self.peek() in COL_LABEL:
                action = OptionAction(self.kind)
                self.advance()
            name = self.word_of(COL_LABEL)
            value = None if action is OptionAction.DROP else self.string()
            options.append(Option(position, name, value, None, action))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(options)

    def sequence_options(self) -> tuple[Option, ...]:
        """AS, INCREMENT, MINVALUE, ... until none follows."""
        options: list[Option] = []
        while True:
            option = self._sequence_option()
            if option is None:
                return tuple(options)
            options.append(option)

    def _sequence_option(self) -> Option | None:
        position, word = self.position, self.kind
        value: OptionValue = None
        if word not in _SEQUENCE_WORDS:
            return None
        self.advance()
        if word == "as":
            value = self.simple_type_name()
        elif word in ("cache", "maxvalue", "minvalue"):
            value = self.numeric_only()
        elif word == "cycle":
            value = True
        elif word == "increment":
            self.accept("by")
            value = self.numeric_only()
        elif word == "no":
            word = self.one_of("cycle", "maxvalue", "minvalue")
            value = False if word == "cycle" else None
        elif word == "owned":
            self.expect("by")
            word, value = "owned_by", self.any_name_node()
        elif word == "sequence":
            self.expect("name")
            word, value = "sequence_name", self.any_name_node()
        elif word == "start":
            self.accept("with")
            value = self.numeric_only()
        elif word == "restart" and (
            self.accept("with") or self.kind in ("ICONST", "FCONST", "+", "-")
        ):
            value = self.numeric_only()
        return Option(position, word, value)

    def parenthesised_sequence_options(self) -> tuple[Option, ...]:
        """`(options)`, or nothing."""
        if not self.accept("("):
            return ()
        options = self.sequence_options()
        if not options:
            self.fail()
        self.expect(")")
        return options

    # -- behaviour -------------------------------------------------------------------------------

    def drop_behavior(self) -> DropBehavior:
        """CASCADE or RESTRICT, or nothing."""
        if self.accept("cascade"):
            return DropBehavior.CASCADE
        self.accept("restrict")
        return DropBehavior.RESTRICT

    # -- functions' signatures -------------------------------------------------------------------

    def function_type(self) -> TypeName:
        """A type, or `name%TYPE`."""
        position = self.position
        setof = self.kind == "setof"
        ahead = 1 if setof else 0
        if self.peek(ahead) in TYPE_FUNCTION_NAME and self.peek(ahead + 1) == ".":
            after = ahead + 1
            while self.peek(after) == ".":
                after += 2
            if self.peek(after) == "%" and self.peek(after + 1) == "type":
                if setof:
                    self.advance()
                names = [self.type_function_name()]
                while self.accept("."):
                    names.append(self.col_label())
                self.expect_words("%", "type")
                return TypeName(position, tuple(names), setof=setof, percent_type=True)
        return self.type_name()

    def function_parameter(self, *, defaults: bool) -> FunctionParameter:
        """`[mode] [name] type [DEFAULT expression]`; mode and name in either order."""
        position = self.position
        mode = self._parameter_mode()
        name = None
        if self.kind in TYPE_FUNCTION_NAME and self._names_parameter():
            name = self.type_function_name()
            if mode is ParameterMode.DEFAULT:
                mode = self._parameter_mode()
        parameter_type = self.function_type()
        default = None
        if defaults and self.kind in ("default", "="):
            self.advance()
            default = self.a_expr()
        return FunctionParameter(position, parameter_type, name, mode, default)

    def _parameter_mode(self) -> ParameterMode:
        mode = _MODES.get(self.kind)
        if mode is None:
            return ParameterMode.DEFAULT
        self.advance()
        if mode is ParameterMode.IN and self.accept("out"):
            return ParameterMode.INOUT
        return mode

    def _names_parameter(self) -> bool:
        """Whether the word at the cursor is the parameter's name: a type follows it."""
        following = self.peek()
        if self.kind == "double" and following == "precision":
            return self.peek(2) in COL_LABEL
        return following in _TYPE_STARTS or following in _MODES

    def function_parameters(self, *, defaults: bool = False) -> tuple[FunctionParameter, ...]:
        """`(parameters)`."""
        self.expect("(")
        parameters = []
        if self.kind != ")":
            parameters.append(self.function_parameter(defaults=defaults))
            while self.accept(","):
                parameters.append(self.function_parameter(defaults=defaults))
        self.expect(")")
        return tuple(parameters)

    def function_name_node(self) -> QualifiedName:
        """`function_name` with its position."""
        position = self.position
        return QualifiedName(position, self.function_name())

    def function_with_types(self) -> ObjectRef:
        """A function with its argument types, or by its name alone."""
        position = self.position
        if self.kind in TYPE_FUNC_NAME or self.kind in COL_ID:
            if self.peek() == ".":
                parts = self.any_name()
            elif self.peek() == "(":
                parts = (self.type_function_name(),)
            else:
                parts = (str(self.values[self.index]),)
                self.advance()
        else:
            self.fail()
        arguments = self.function_parameters() if self.kind == "(" else None
        return ObjectRef(position, parts, arguments)

    def functions_with_types(self) -> tuple[ObjectRef, ...]:
        """A comma-separated list of functions."""
        functions = [self.function_with_types()]
        while self.accept(","):
            functions.append(self.function_with_types())
        return tuple(functions)

    def aggregate_with_types(self) -> ObjectRef:
        """An aggregate with its argument types."""
        position = self.position
        name = self.function_name()
        arguments, order_arguments = self.aggregate_parameters()
        return ObjectRef(position, name, arguments, order_arguments)

    def aggregate_parameters(
        self,
    ) -> tuple[tuple[FunctionParameter, ...], tuple[FunctionParameter, ...] | None]:
        """`(*)`, `(types)`, `(types ORDER BY types)`."""
        self.expect("(")
        if self.accept("*"):
            self.expect(")")
            return (), None
        direct: list[FunctionParameter] = []
        ordered: list[FunctionParameter] | None = None
        if self.kind != "order":
            direct = self._parameter_list()
        if self.kind == "order":
            self.expect_words("order", "by")
            ordered = self._parameter_list()
        self.expect(")")
        return tuple(direct), None if ordered is None else tuple(ordered)

    def _parameter_list(self) -> list[FunctionParameter]:
        parameters = [self.function_parameter(defaults=False)]
        while self.accept(","):
            parameters.append(self.function_parameter(defaults=False))
        return parameters

    def operator_with_types(self) -> ObjectRef:
        """An operator with its operands' types; NONE for a missing one."""
        position = self.position
        operator = self.any_operator()
        return ObjectRef(position, operator, self.operator_types())

    def operator_types(self) -> tuple[TypeName | None, ...]:
        """`(left, right)`, either may be NONE."""
        self.expect("(")
        left = None if self.accept("none") else self.type_name()
        if self.kind == ")":
            raise SqlError(
                "42601", "missing argument", position=self.position,
                hint="Use NONE to denote the missing argument of a unary operator.",
            )  # fmt: skip
        self.expect(",")
        if left is not None and self.accept("none"):
            right = None
        else:
            right = self.type_name()
        self.expect(")")
        return (left, right)

    # -- any object ------------------------------------------------------------------------------

    def object_reference(self) -> tuple[ObjectKind, ObjectRef]:
        """A kind's words and the object's name, as COMMENT ON and ALTER EXTENSION take them."""
        position, word = self.position, self.kind
        kind = self.any_name_kind()
        if kind is not None:
            at = self.position
            return kind, ObjectRef(at, self.any_name())
        kind = self.name_kind()
        if kind is not None:
            at = self.position
            return kind, ObjectRef(at, (self.col_id(),))
        on_table = _ON_TABLE_KINDS.get(word)
        if on_table is not None:
            self.advance()
            at = self.position
            name = self.col_id()
            self.expect("on")
            return on_table, ObjectRef(at, (name,), relation=self.any_name_node())
        routine = _ROUTINE_KINDS.get(word)
        if routine is not None:
            self.advance()
            return routine, self.function_with_types()
        self.advance()
        if word == "column":
            return ObjectKind.COLUMN, self._column_reference()
        if word in ("type", "domain"):
            at = self.position
            named = ObjectRef(at, type=self.type_name())
            return ObjectKind(word), named
        if word == "aggregate":
            return ObjectKind.AGGREGATE, self.aggregate_with_types()
        if word == "operator":
            return self.operator_reference()
        if word == "constraint":
            return self._constraint_reference()
        if word == "cast":
            return ObjectKind.CAST, self.cast_reference()
        if word == "transform":
            return ObjectKind.TRANSFORM, self.transform_reference()
        if word == "large":
            self.expect("object")
            return ObjectKind.LARGE_OBJECT, self.large_object()
        self.index -= 1
        self.kind = self.kinds[self.index]
        assert self.position == position
        return self.fail()

    def any_name_kind(self) -> ObjectKind | None:
        """Step over the words of a kind that dotted names name."""
        kind = _ANY_NAME_KINDS.get(self.kind)
        if kind is not None:
            self.advance()
            return kind
        if self.kind == "materialized":
            self.expect_words("materialized", "view")
            return ObjectKind.MATERIALIZED_VIEW
        if self.kind == "foreign" and self.peek() == "table":
            self.expect_words("foreign", "table")
            return ObjectKind.FOREIGN_TABLE
        if self.kind == "text":
            self.expect_words("text", "search")
            return _SEARCH_KINDS[self.one_of(*_SEARCH_KINDS)]
        return None

    def name_kind(self) -> ObjectKind | None:
        """Step over the words of a kind that simple names name."""
        kind = _NAME_KINDS.get(self.kind)
        if kind is not None:
            self.advance()
            return kind
        if self.kind == "access":
            self.expect_words("access", "method")
            return ObjectKind.ACCESS_METHOD
        if self.kind == "event":
            self.expect_words("event", "trigger")
            return ObjectKind.EVENT_TRIGGER
        if self.kind == "foreign":
            self.expect_words("foreign", "data", "wrapper")
            return ObjectKind.FOREIGN_DATA_WRAPPER
        if self.kind == "procedural":
            self.expect_words("procedural", "language")
            return ObjectKind.LANGUAGE
        return None

    def on_table_kind(self) -> ObjectKind | None:
        """Step over POLICY, RULE or TRIGGER."""
        kind = _ON_TABLE_KINDS.get(self.kind)
        if kind is not None:
            self.advance()
        return kind

    def routine_kind(self) -> ObjectKind | None:
        """Step over FUNCTION, PROCEDURE or ROUTINE."""
        kind = _ROUTINE_KINDS.get(self.kind)
        if kind is not None:
            self.advance()
        return kind

    def _column_reference(self) -> ObjectRef:
        position = self.position
        parts = self.any_name()
        if len(parts) < 2:
            raise SqlError("42601", "column name must be qualified")
        return ObjectRef(position, parts[-1:], relation=QualifiedName(position, parts[:-1]))

    def operator_reference(self) -> tuple[ObjectKind, ObjectRef]:
        """After OPERATOR: an operator, or CLASS|FAMILY name USING method."""
        if self.kind in ("class", "family") and self.peek() != ".":
            kind = ObjectKind.OPERATOR_CLASS if self.kind == "class" else ObjectKind.OPERATOR_FAMILY
            self.advance()
            position = self.position
            name = self.any_name()
            self.expect("using")
            return kind, ObjectRef(position, name, access_method=self.col_id())
        return ObjectKind.OPERATOR, self.operator_with_types()

    def _constraint_reference(self) -> tuple[ObjectKind, ObjectRef]:
        position = self.position
        name = self.col_id()
        self.expect("on")
        if self.kind == "domain" and self.peek() in COL_ID:
            self.advance()
            domain = TypeName(self.position, self.any_name())
            return ObjectKind.DOMAIN_CONSTRAINT, ObjectRef(position, (name,), type=domain)
        reference = ObjectRef(position, (name,), relation=self.any_name_node())
        return ObjectKind.TABLE_CONSTRAINT, reference

    def cast_reference(self) -> ObjectRef:
        """`(source AS target)`."""
        position = self.position
        self.expect("(")
        source = self.type_name()
        self.expect("as")
        target = self.type_name()
        self.expect(")")
        return ObjectRef(position, type=source, target_type=target)

    def transform_reference(self) -> ObjectRef:
        """FOR type LANGUAGE language."""
        position = self.position
        self.expect("for")
        of_type = self.type_name()
        self.expect("language")
        return ObjectRef(position, type=of_type, language=self.col_id())

    def large_object(self) -> ObjectRef:
        """A large object's number."""
        position = self.position
        number = self.numeric_only()
        text = number.text if isinstance(number, NumericText) else str(number)
        return ObjectRef(position, large_object=text)

    def comment_text(self) -> str | None:
        """A string, or NULL."""
        return None if self.accept("null") else self.string()

    def string_constant(self) -> StringConstant:
        """A string with its position."""
        position = self.position
        return StringConstant(position, self.string())


_SEQUENCE_WORDS: Final = frozenset(
    ("as", "cache", "cycle", "increment", "maxvalue", "minvalue", "no", "owned", "sequence",
     "start", "restart", "logged", "unlogged")
)  # fmt: skip
# What may begin a type, so that the word before it must be a parameter's name.
_TYPE_STARTS: Final = TYPE_FUNCTION_NAME | {
    "int", "integer", "smallint", "bigint", "real", "float", "decimal", "dec", "numeric",
    "boolean", "bit", "character", "char", "varchar", "national", "nchar", "timestamp", "time",
    "interval", "setof",
}  # fmt: skip
