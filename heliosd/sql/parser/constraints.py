"""Columns and constraints of CREATE TABLE, ALTER TABLE and CREATE DOMAIN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.parser.definition import DefinitionParser
from heliosd.sql.tree import (
    ColumnDefinition,
    Constraint,
    ConstraintKind,
    Expression,
    ForeignKeyAction,
    ForeignKeyMatch,
    GeneratedWhen,
    IndexElement,
    Option,
    TableElement,
    TableLike,
)

_LIKE_OPTIONS: Final = (
    "comments", "compression", "constraints", "defaults", "identity", "generated", "indexes",
    "statistics", "storage", "all",
)  # fmt: skip
_CONSTRAINT_STARTS: Final = frozenset(
    ("constraint", "check", "unique", "primary", "exclude", "foreign")
)


@dataclass(slots=True)
class _Attributes:
    """DEFERRABLE and the rest of a constraint's attributes, while they are read."""

    deferrable: bool | None = None
    initially_deferred: bool | None = None
    not_valid: bool = False
    no_inherit: bool = False


class ConstraintParser(DefinitionParser):
    """Columns, constraints, their attributes."""

    # -- columns ---------------------------------------------------------------------------------

    def _elements(self) -> tuple[TableElement, ...]:
        self.expect("(")
        elements: list[TableElement] = []
        if self.kind != ")":
            elements.append(self._element())
            while self.accept(","):
                elements.append(self._element())
        self.expect(")")
        return tuple(elements)

    def _element(self) -> TableElement:
        if self.kind == "like":
            return self._like_clause()
        if self._starts_constraint():
            return self.table_constraint()
        return self.column_definition()

    def _starts_constraint(self) -> bool:
        """Whether a table constraint starts here; EXCLUDE may also name a column."""
        if self.kind == "exclude":
            return self.peek() in ("(", "using")
        return self.kind in _CONSTRAINT_STARTS

    def _like_clause(self) -> TableLike:
        position = self.position
        self.advance()
        relation = self.qualified_name()
        options = []
        while self.kind in ("including", "excluding"):
            included = self.kind == "including"
            self.advance()
            options.append((self.one_of(*_LIKE_OPTIONS), included))
        return TableLike(position, relation, tuple(options))

    def _typed_elements(self) -> tuple[TableElement, ...]:
        if self.kind != "(":
            return ()
        self.advance()
        elements: list[TableElement] = []
        while True:
            if self._starts_constraint():
                elements.append(self.table_constraint())
            else:
                position = self.position
                name = self.col_id()
                if self.accept("with"):
                    self.expect("options")
                constraints, collation = self.column_constraints()
                elements.append(ColumnDefinition(position, name, None, constraints, collation))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(elements)

    def column_definition(self) -> ColumnDefinition:
        """`name type constraints`."""
        position = self.position
        name = self.col_id()
        column_type = self.type_name()
        compression = self.compression() if self.kind == "compression" else None
        fdw_options = self.generic_options()
        constraints, collation = self.column_constraints()
        return ColumnDefinition(
            position, name, column_type, constraints, collation, compression, fdw_options
        )

    def compression(self) -> str:
        """COMPRESSION method."""
        self.expect("compression")
        return "default" if self.accept("default") else self.col_id()

    def column_constraints(self) -> tuple[tuple[Constraint, ...], tuple[str, ...] | None]:
        """All constraints of a column, and its collation."""
        constraints: list[Constraint] = []
        collation: tuple[str, ...] | None = None
        while True:
            position = self.position
            if self.kind == "collate":
                if collation is not None:
                    raise SqlError(
                        "42601", "multiple COLLATE clauses not allowed", position=position
                    )
                collation = self.collation()
                continue
            name = None
            if self.kind == "constraint":
                self.advance()
                name = self.col_id()
            constraint = self._column_constraint(position, name)
            if constraint is not None:
                constraints.append(constraint)
            elif name is not None:
                self.fail()
            elif not self._column_attribute(constraints):
                return tuple(constraints), collation

    def _column_constraint(self, position: int, name: str | None) -> Constraint | None:
        kind, kinds = self.kind, ConstraintKind
        if kind == "not" and self.peek() != "deferrable":
            self.advance()
            self.expect("null")
            return Constraint(position, kinds.NOT_NULL, name)
        if kind == "null":
            self.advance()
            return Constraint(position, kinds.NULL, name)
        if kind == "default":
            self.advance()
            return Constraint(position, kinds.DEFAULT, name, self.b_expr())
        if kind == "check":
            expression = self._check()
            return Constraint(
                position, kinds.CHECK, name, expression, no_inherit=self._no_inherit()
            )
        if kind in ("unique", "primary"):
            distinct = self._key_words()
            options, tablespace = self._index_storage()
            return Constraint(
                position, kinds.UNIQUE if kind == "unique" else kinds.PRIMARY, name,
                options=options, tablespace=tablespace, nulls_not_distinct=distinct,
            )  # fmt: skip
        if kind == "references":
            return self._references(position, name, (), _Attributes())
        if kind == "generated":
            return self._generated(position, name)
        return None

    def _column_attribute(self, constraints: list[Constraint]) -> bool:
        """DEFERRABLE and INITIALLY after a constraint: changes the last one."""
        kind = self.kind
        if not (
            kind in ("deferrable", "initially") or (kind == "not" and self.peek() == "deferrable")
        ):
            return False
        position = self.position
        attributes = _Attributes()
        self._attribute(attributes)
        if not constraints or constraints[-1].kind not in _DEFERRABLE:
            words = {"deferrable": "DEFERRABLE", "not": "NOT DEFERRABLE"}
            word = words.get(kind) or (
                "INITIALLY DEFERRED" if attributes.initially_deferred else "INITIALLY IMMEDIATE"
            )
            raise SqlError("42601", f"misplaced {word} clause", position=position)
        last = constraints[-1]
        if attributes.deferrable is not None and last.deferrable is not None:
            raise SqlError(
                "42601", "multiple DEFERRABLE/NOT DEFERRABLE clauses not allowed",
                position=position,
            )  # fmt: skip
        if attributes.initially_deferred is not None and last.initially_deferred is not None:
            raise SqlError(
                "42601", "multiple INITIALLY IMMEDIATE/DEFERRED clauses not allowed",
                position=position,
            )  # fmt: skip
        constraints[-1] = self._with_attributes(last, attributes, position)
        return True

    def _with_attributes(
        self, constraint: Constraint, attributes: _Attributes, position: int
    ) -> Constraint:
        deferrable = attributes.deferrable
        deferred = attributes.initially_deferred
        if deferrable is None:
            deferrable = constraint.deferrable
        if deferred is None:
            deferred = constraint.initially_deferred
        if deferred and deferrable is False:
            raise SqlError(
                "42601", "constraint declared INITIALLY DEFERRED must be DEFERRABLE",
                position=position,
            )  # fmt: skip
        return replace(constraint, deferrable=deferrable, initially_deferred=deferred)

    def _generated(self, position: int, name: str | None) -> Constraint:
        self.expect("generated")
        at = self.position
        when = self.generated_when()
        self.expect("as")
        if self.accept("identity"):
            return Constraint(
                position, ConstraintKind.IDENTITY, name, generated=when,
                sequence_options=self.parenthesised_sequence_options(),
            )  # fmt: skip
        self.expect("(")
        expression = self.a_expr()
        self.expect(")")
        self.expect("stored")
        if when is not GeneratedWhen.ALWAYS:
            raise SqlError(
                "42601", "for a generated column, GENERATED ALWAYS must be specified", position=at
            )
        return Constraint(position, ConstraintKind.GENERATED, name, expression, generated=when)

    def generated_when(self) -> GeneratedWhen:
        """ALWAYS or BY DEFAULT."""
        if self.accept("always"):
            return GeneratedWhen.ALWAYS
        self.expect_words("by", "default")
        return GeneratedWhen.BY_DEFAULT

    # -- constraints -----------------------------------------------------------------------------

    def _check(self) -> Expression:
        self.expect_words("check", "(")
        expression = self.a_expr()
        self.expect(")")
        return expression

    def _no_inherit(self) -> bool:
        if self.kind == "no" and self.peek() == "inherit":
            self.advance()
            self.advance()
            return True
        return False

    def _key_words(self) -> bool:
        """UNIQUE [NULLS [NOT] DISTINCT] or PRIMARY KEY: whether NULLs are not distinct."""
        if self.one_of("unique", "primary") == "primary":
            self.expect("key")
            return False
        return self.nulls_treatment()

    def nulls_treatment(self) -> bool:
        """NULLS [NOT] DISTINCT: whether NULLs are not distinct."""
        if self.kind != "nulls" or self.peek() not in ("not", "distinct"):
            return False
        self.advance()
        negated = self.accept("not")
        self.expect("distinct")
        return negated

    def _index_storage(self) -> tuple[tuple[Option, ...], str | None]:
        options: tuple[Option, ...] = ()
        if self.kind == "with" and self.peek() == "(":
            self.advance()
            options = self.definition()
        tablespace = None
        if self.accept_words("using", "index", "tablespace"):
            tablespace = self.col_id()
        return options, tablespace

    def _include(self) -> tuple[str, ...]:
        return self.names_in_parentheses() if self.accept("include") else ()

    def table_constraint(self) -> Constraint:
        """A table constraint with its attributes."""
        position = self.position
        name = None
        if self.accept("constraint"):
            name = self.col_id()
        kind = self.kind
        if kind == "check":
            return self._table_check(position, name)
        if kind in ("unique", "primary"):
            return self._table_key(position, name)
        if kind == "exclude":
            return self._exclude(position, name)
        self.expect_words("foreign", "key")
        columns = self.names_in_parentheses()
        if self.kind != "references":
            self.fail()
        return self._references(position, name, columns, None)

    def _table_check(self, position: int, name: str | None) -> Constraint:
        expression = self._check()
        attributes = self._attributes("CHECK", not_valid=True, no_inherit=True, deferrable=False)
        return Constraint(
            position, ConstraintKind.CHECK, name, expression,
            no_inherit=attributes.no_inherit, not_valid=attributes.not_valid,
        )  # fmt: skip

    def _table_key(self, position: int, name: str | None) -> Constraint:
        word = self.kind
        kind = ConstraintKind.UNIQUE if word == "unique" else ConstraintKind.PRIMARY
        distinct = self._key_words()
        columns: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        options: tuple[Option, ...] = ()
        index = tablespace = None
        if self.kind == "using":
            self.expect_words("using", "index")
            index = self.col_id()
        else:
            columns = self.names_in_parentheses()
            include = self._include()
            options, tablespace = self._index_storage()
        attributes = self._attributes(word.upper() + (" KEY" if word == "primary" else ""))
        return Constraint(
            position, kind, name, columns=columns, include=include, index=index, options=options,
            tablespace=tablespace, nulls_not_distinct=distinct, deferrable=attributes.deferrable,
            initially_deferred=attributes.initially_deferred,
        )  # fmt: skip

    def _exclude(self, position: int, name: str | None) -> Constraint:
        self.advance()
        method = self.col_id() if self.accept("using") else "gist"
        self.expect("(")
        exclusions: list[tuple[IndexElement, tuple[str, ...]]] = []
        while True:
            element = self.index_element()
            self.expect("with")
            if self.kind == "operator" and self.peek() == "(":
                operator = self.qualified_any_operator()
            else:
                operator = self.any_operator()
            exclusions.append((element, operator))
            if not self.accept(","):
                break
        self.expect(")")
        include = self._include()
        options, tablespace = self._index_storage()
        where = None
        if self.accept("where"):
            self.expect("(")
            where = self.a_expr()
            self.expect(")")
        attributes = self._attributes("EXCLUDE")
        return Constraint(
            position, ConstraintKind.EXCLUSION, name, include=include, options=options,
            tablespace=tablespace, access_method=method, exclusions=tuple(exclusions), where=where,
            deferrable=attributes.deferrable, initially_deferred=attributes.initially_deferred,
        )  # fmt: skip

    def _references(
        self,
        position: int,
        name: str | None,
        columns: tuple[str, ...],
        attributes: _Attributes | None,
    ) -> Constraint:
        """REFERENCES ...; a table's constraint (no `attributes` yet) reads them at its end."""
        self.expect("references")
        referenced = self.qualified_name()
        referenced_columns = self.optional_names()
        match = ForeignKeyMatch.SIMPLE
        if self.kind == "match":
            at = self.position
            self.advance()
            match = ForeignKeyMatch(self.one_of("full", "partial", "simple"))
            if match is ForeignKeyMatch.PARTIAL:
                raise SqlError("0A000", "MATCH PARTIAL not yet implemented", position=at)
        actions: dict[str, ForeignKeyAction] = {}
        set_columns: tuple[str, ...] = ()
        while self.kind == "on":
            at = self.position
            self.advance()
            event = self.one_of("update", "delete")
            if event in actions:
                self.index -= 1
                self.kind = self.kinds[self.index]
                self.fail()
            actions[event], listed = self._foreign_key_action(event, at)
            set_columns = listed or set_columns
        if attributes is None:
            attributes = self._attributes("FOREIGN KEY", not_valid=True)
        return Constraint(
            position, ConstraintKind.FOREIGN, name, columns=columns, referenced=referenced,
            referenced_columns=referenced_columns, match=match,
            on_delete=actions.get("delete", ForeignKeyAction.NO_ACTION),
            on_update=actions.get("update", ForeignKeyAction.NO_ACTION),
            set_columns=set_columns, not_valid=attributes.not_valid,
            deferrable=attributes.deferrable, initially_deferred=attributes.initially_deferred,
        )  # fmt: skip

    def _foreign_key_action(self, event: str, at: int) -> tuple[ForeignKeyAction, tuple[str, ...]]:
        word = self.one_of("no", "restrict", "cascade", "set")
        if word == "no":
            self.expect("action")
            return ForeignKeyAction.NO_ACTION, ()
        if word != "set":
            return ForeignKeyAction(word), ()
        action = ForeignKeyAction("set " + self.one_of("null", "default"))
        columns = self.optional_names()
        if columns and event == "update":
            raise SqlError(
                "0A000",
                f"a column list with {action.value.upper()} is only supported for"
                " ON DELETE actions",
                position=at,
            )
        return action, columns

    def constraint_attributes(self) -> _Attributes:
        """The attributes of ALTER CONSTRAINT and CREATE CONSTRAINT TRIGGER."""
        return self._attributes("FOREIGN KEY", placed=False)

    def _attributes(
        self, what: str, *, not_valid: bool = False, no_inherit: bool = False,
        deferrable: bool = True, placed: bool = True,
    ) -> _Attributes:  # fmt: skip
        attributes = _Attributes()
        start = self.position if placed else 0
        while self._attribute(attributes, table=True):
            pass
        for given, allowed, word in (
            (attributes.deferrable or attributes.initially_deferred, deferrable, "DEFERRABLE"),
            (attributes.not_valid, not_valid, "NOT VALID"),
            (attributes.no_inherit, no_inherit, "NO INHERIT"),
        ):
            if given and not allowed:
                raise SqlError(
                    "0A000", f"{what} constraints cannot be marked {word}", position=start
                )
        if attributes.initially_deferred and attributes.deferrable is None:
            attributes.deferrable = True
        return attributes

    def _attribute(self, attributes: _Attributes, *, table: bool = False) -> bool:
        position, kind, following = self.position, self.kind, self.peek()
        if kind == "deferrable":
            if attributes.deferrable is False:
                self._conflicting(position)
            attributes.deferrable = True
        elif kind == "not" and following == "deferrable":
            self.advance()
            if attributes.deferrable or attributes.initially_deferred:
                self._conflicting(position, deferred=not attributes.deferrable)
            attributes.deferrable = False
        elif table and kind == "not" and following != "valid":
            self.advance()
            self.fail()
        elif kind == "initially":
            self.advance()
            deferred = self.kind == "deferred"
            if not deferred and self.kind != "immediate":
                self.fail()
            if attributes.initially_deferred not in (None, deferred):
                self._conflicting(position)
            if deferred and attributes.deferrable is False:
                self._conflicting(position, deferred=True)
            attributes.initially_deferred = deferred
        elif table and kind == "not" and following == "valid":
            self.advance()
            attributes.not_valid = True
        elif table and kind == "no" and following == "inherit":
            self.advance()
            attributes.no_inherit = True
        else:
            return False
        self.advance()
        return True

    def _conflicting(self, position: int, *, deferred: bool = False) -> None:
        message = "conflicting constraint properties"
        if deferred:
            message = "constraint declared INITIALLY DEFERRED must be DEFERRABLE"
        raise SqlError("42601", message, position=position)


_DEFERRABLE: Final = (
    ConstraintKind.PRIMARY,
    ConstraintKind.UNIQUE,
    ConstraintKind.EXCLUSION,
    ConstraintKind.FOREIGN,
)
