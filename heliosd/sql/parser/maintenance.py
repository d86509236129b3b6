"""COPY, EXPLAIN, VACUUM, TRUNCATE, LOCK, CLUSTER, REINDEX."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_LABEL
from heliosd.sql.parser.utility import UtilityParser
from heliosd.sql.tree import (
    Checkpoint,
    Cluster,
    Copy,
    Explain,
    LockTable,
    ObjectKind,
    Option,
    OptionValue,
    QualifiedName,
    Reindex,
    Statement,
    TableLockWord,
    Truncate,
    Vacuum,
    VacuumRelation,
)

_REINDEX_KINDS: Final = {
    "index": ObjectKind.INDEX,
    "table": ObjectKind.TABLE,
    "schema": ObjectKind.SCHEMA,
    "database": ObjectKind.DATABASE,
    "system": ObjectKind.DATABASE,
}


class MaintenanceParser(UtilityParser):
    """Statements about whole tables."""

    def explainable_statement(self) -> Statement:
        """What EXPLAIN takes (defined in `statement`)."""
        raise NotImplementedError

    # -- COPY ------------------------------------------------------------------------------------

    def copy(self) -> Statement:
        """COPY."""
        position = self.position
        self.advance()
        if self.kind == "(":
            return self._copy_query(position)
        options: list[Option] = []
        if self.kind == "binary":
            options.append(Option(self.position, "format", "binary"))
            self.advance()
        relation = self.qualified_name()
        columns = self.names_in_parentheses() if self.kind == "(" else None
        source = self.one_of("from", "to") == "from"
        filename, program = self._copy_place()
        if self.kind in ("using", "delimiters"):
            at = self.position
            self.accept("using")
            self.expect("delimiters")
            options.append(Option(at, "delimiter", self.string()))
        options += self._copy_options()
        where = None
        if self.kind == "where":
            at = self.position
            self.advance()
            where = self.a_expr()
            if not source:
                raise SqlError("42601", "WHERE clause not allowed with COPY TO", position=at)
        return Copy(
            position, source, relation, columns, None, filename, program, tuple(options), where
        )

    def _copy_query(self, position: int) -> Statement:
        self.expect("(")
        query = self.preparable_statement()
        self.expect(")")
        self.expect("to")
        filename, program = self._copy_place()
        options = self._copy_options()
        return Copy(position, False, None, None, query, filename, program, tuple(options))

    def _copy_place(self) -> tuple[str | None, bool]:
        at = self.position
        program = self.kind == "program"
        if program:
            self.advance()
        if self.kind in ("stdin", "stdout"):
            if program:
                raise SqlError("42601", "STDIN/STDOUT not allowed with PROGRAM", position=at)
            self.advance()
            return None, False
        return self.string(), program

    def _copy_options(self) -> list[Option]:
        self.accept("with")
        if self.kind != "(":
            return self._old_copy_options()
        self.advance()
        options: list[Option] = []
        while True:
            position = self.position
            name = self.word_of(COL_LABEL)
            options.append(Option(position, name, self._copy_value()))
            if not self.accept(","):
                break
        self.expect(")")
        return options

    def _copy_value(self) -> OptionValue:
        if self.kind in (",", ")"):
            return None
        if self.accept("*"):
            return "*"
        if self.kind in ("ICONST", "FCONST", "+", "-"):
            return self.numeric_only()
        if not self.accept("("):
            return self.boolean_or_string()
        items = [self.boolean_or_string()]
        while self.accept(","):
            items.append(self.boolean_or_string())
        self.expect(")")
        return tuple(items)

    def _old_copy_options(self) -> list[Option]:
        options: list[Option] = []
        while True:
            position, word = self.position, self.kind
            if word in ("binary", "csv"):
                option = Option(position, "format", word)
                self.advance()
            elif word in ("freeze", "header"):
                option = Option(position, word, True)
                self.advance()
            elif word in ("delimiter", "null", "quote", "escape"):
                self.advance()
                self.accept("as")
                option = Option(position, word, self.string())
            elif word == "encoding":
                self.advance()
                option = Option(position, word, self.string())
            elif word == "force":
                option = self._old_force(position)
            else:
                return options
            options.append(option)

    def _old_force(self, position: int) -> Option:
        self.expect("force")
        if self.accept("quote"):
            return Option(position, "force_quote", "*" if self.accept("*") else self.names())
        if self.accept("not"):
            self.expect("null")
            return Option(position, "force_not_null", self.names())
        self.expect("null")
        return Option(position, "force_null", self.names())

    # -- EXPLAIN and the rest --------------------------------------------------------------------

    def explain(self) -> Statement:
        """EXPLAIN [ANALYZE] [VERBOSE] | (options) statement."""
        position = self.position
        self.advance()
        options: tuple[Option, ...] = ()
        if self.kind == "(" and self.peek() != "(" and not self.opens_query():
            options = self.utility_options()
        else:
            if self.kind in ("analyze", "analyse"):
                options = (Option(self.position, "analyze"),)
                self.advance()
            if self.kind == "verbose":
                options = (*options, Option(self.position, "verbose"))
                self.advance()
        return Explain(position, self.explainable_statement(), options)

    def vacuum(self) -> Statement:
        """VACUUM."""
        position = self.position
        self.advance()
        options: list[Option] = []
        if self.kind == "(":
            options = list(self.utility_options())
        else:
            for words in (("full",), ("freeze",), ("verbose",), ("analyze", "analyse")):
                if self.kind in words:
                    options.append(Option(self.position, words[0]))
                    self.advance()
        return Vacuum(position, True, tuple(options), self._vacuum_relations())

    def analyze(self) -> Statement:
        """ANALYZE."""
        position = self.position
        self.advance()
        options: tuple[Option, ...] = ()
        if self.kind == "(":
            options = self.utility_options()
        elif self.kind == "verbose":
            options = (Option(self.position, "verbose"),)
            self.advance()
        return Vacuum(position, False, options, self._vacuum_relations())

    def _vacuum_relations(self) -> tuple[VacuumRelation, ...]:
        if self.kind in (";", "EOF"):
            return ()
        relations = []
        while True:
            name = self.qualified_name()
            relations.append(VacuumRelation(name.position, name, self.optional_names()))
            if not self.accept(","):
                return tuple(relations)

    def truncate(self) -> Statement:
        """TRUNCATE."""
        position = self.position
        self.advance()
        self.accept("table")
        relations = self.relation_exprs()
        restart = False
        if self.kind in ("continue", "restart"):
            restart = self.kind == "restart"
            self.advance()
            self.expect("identity")
        cascade = self.accept("cascade")
        if not cascade:
            self.accept("restrict")
        return Truncate(position, relations, restart, cascade)

    def lock(self) -> Statement:
        """LOCK [TABLE] relations [IN mode MODE] [NOWAIT]."""
        position = self.position
        self.advance()
        self.accept("table")
        relations = self.relation_exprs()
        mode = TableLockWord.ACCESS_EXCLUSIVE
        if self.accept("in"):
            mode = self._lock_mode()
            self.expect("mode")
        return LockTable(position, relations, mode, self.accept("nowait"))

    def _lock_mode(self) -> TableLockWord:
        word = self.one_of("access", "row", "share", "exclusive")
        if word in ("access", "row"):
            return TableLockWord(word + " " + self.one_of("share", "exclusive"))
        if word == "share":
            if self.accept("update"):
                self.expect("exclusive")
                return TableLockWord.SHARE_UPDATE_EXCLUSIVE
            if self.accept("row"):
                self.expect("exclusive")
                return TableLockWord.SHARE_ROW_EXCLUSIVE
        return TableLockWord(word)

    def cluster(self) -> Statement:
        """CLUSTER."""
        position = self.position
        self.advance()
        options: tuple[Option, ...] = ()
        if self.kind == "(":
            options = self.utility_options()
        elif self.kind == "verbose":
            options = (Option(self.position, "verbose"),)
            self.advance()
        if self.kind in (";", "EOF"):
            return Cluster(position, None, options=options)
        relation = self.qualified_name()
        if self.kind == "on" and len(relation.parts) == 1:
            self.advance()
            return Cluster(position, self.qualified_name(), relation.name, options)
        index = self.col_id() if self.accept("using") else None
        return Cluster(position, relation, index, options)

    def reindex(self) -> Statement:
        """REINDEX."""
        position = self.position
        self.advance()
        options = self.utility_options() if self.kind == "(" else ()
        word = self.one_of(*_REINDEX_KINDS)
        if self.kind == "concurrently":
            options = (*options, Option(self.position, "concurrently"))
            self.advance()
        if word == "system":
            options = (*options, Option(position, "system"))
        kind = _REINDEX_KINDS[word]
        relation: QualifiedName | None = None
        if word in ("index", "table"):
            relation = self.qualified_name()
            return Reindex(position, kind, relation, None, options)
        return Reindex(position, kind, None, self.col_id(), options)

    def checkpoint(self) -> Statement:
        """CHECKPOINT."""
        position = self.position
        self.advance()
        return Checkpoint(position)
