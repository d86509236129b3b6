"""Statements about the session: transactions, settings, cursors, prepared statements, LISTEN."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_ID, NON_RESERVED_WORD
from heliosd.sql.parser.modify import ModifyParser
from heliosd.sql.tree import (
    Call,
    ClosePortal,
    Deallocate,
    DeclareCursor,
    Discard,
    Do,
    Execute,
    Expression,
    Fetch,
    FetchDirection,
    FunctionCall,
    IntegerConstant,
    Listen,
    Load,
    Notify,
    NumericText,
    Option,
    OptionValue,
    Prepare,
    QualifiedName,
    SetConstraints,
    SetKind,
    SetTransaction,
    SetTransactionSnapshot,
    SetVariable,
    Show,
    Statement,
    StringConstant,
    Transaction,
    TransactionKind,
    TransactionModes,
    TypeCast,
    TypeName,
    Unlisten,
)

_GENERIC_SET: Final = frozenset(("=", "to", "."))


class UtilityParser(ModifyParser):
    """Session statements."""

    # -- transactions ----------------------------------------------------------------------------

    def begin(self) -> Statement:
        """BEGIN [WORK] modes."""
        position = self.position
        self.advance()
        self._optional_transaction()
        return Transaction(position, TransactionKind.BEGIN, self._optional_modes())

    def start_transaction(self) -> Statement:
        """START TRANSACTION modes."""
        position = self.position
        self.expect_words("start", "transaction")
        return Transaction(position, TransactionKind.START, self._optional_modes())

    def _optional_transaction(self) -> None:
        if self.kind in ("work", "transaction"):
            self.advance()

    def _optional_modes(self) -> TransactionModes | None:
        return None if self.kind in (";", "EOF") else self.transaction_modes()

    def transaction_modes(self) -> TransactionModes:
        """ISOLATION LEVEL, READ ONLY, ..., with or without commas."""
        position = self.position
        isolation: str | None = None
        read_only: bool | None = None
        deferrable: bool | None = None
        while True:
            word = self.one_of("isolation", "read", "deferrable", "not")
            if word == "isolation":
                self.expect("level")
                isolation = self._isolation_level()
            elif word == "read":
                read_only = self.one_of("only", "write") == "only"
            elif word == "not":
                self.expect("deferrable")
                deferrable = False
            else:
                deferrable = True
            if not self.accept(",") and self.kind not in ("isolation", "read", "deferrable", "not"):
                return TransactionModes(position, isolation, read_only, deferrable)

    def _isolation_level(self) -> str:
        word = self.one_of("read", "repeatable", "serializable")
        if word == "read":
            return "read " + self.one_of("committed", "uncommitted")
        if word == "repeatable":
            self.expect("read")
            return "repeatable read"
        return word

    def commit(self) -> Statement:
        """COMMIT, END, COMMIT PREPARED."""
        position, word = self.position, self.kind
        self.advance()
        if word == "commit" and self.accept("prepared"):
            return Transaction(position, TransactionKind.COMMIT_PREPARED, name=self.string())
        self._optional_transaction()
        return Transaction(position, TransactionKind.COMMIT, chain=self._chain())

    def rollback(self) -> Statement:
        """ROLLBACK, ABORT, ROLLBACK TO, ROLLBACK PREPARED."""
        position, word = self.position, self.kind
        self.advance()
        if word == "rollback" and self.accept("prepared"):
            return Transaction(position, TransactionKind.ROLLBACK_PREPARED, name=self.string())
        self._optional_transaction()
        if word == "rollback" and self.accept("to"):
            return Transaction(position, TransactionKind.ROLLBACK_TO, name=self._savepoint_name())
        return Transaction(position, TransactionKind.ROLLBACK, chain=self._chain())

    def _savepoint_name(self) -> str:
        if self.kind == "savepoint" and self.peek() in COL_ID:
            self.advance()
        return self.col_id()

    def _chain(self) -> bool:
        if not self.accept("and"):
            return False
        no = self.accept("no")
        self.expect("chain")
        return not no

    def savepoint(self) -> Statement:
        """SAVEPOINT name."""
        position = self.position
        self.advance()
        return Transaction(position, TransactionKind.SAVEPOINT, name=self.col_id())

    def release(self) -> Statement:
        """RELEASE [SAVEPOINT] name."""
        position = self.position
        self.advance()
        return Transaction(position, TransactionKind.RELEASE, name=self._savepoint_name())

    # -- SET, RESET, SHOW ------------------------------------------------------------------------

    def set(self) -> Statement:
        """SET ..."""
        position = self.position
        self.advance()
        if self.kind == "constraints" and self.peek() not in _GENERIC_SET:
            return self._set_constraints(position)
        local = False
        if self.kind in ("local", "session") and self.peek() not in _GENERIC_SET:
            if self.kind == "local":
                local = True
                self.advance()
            elif self.peek() not in ("authorization", "characteristics"):
                self.advance()
        return self.set_rest(position, local=local)

    def set_rest(self, position: int, *, local: bool = False) -> Statement:
        """What follows SET [LOCAL|SESSION], transaction modes included."""
        if self.kind == "transaction" and self.peek() not in (*_GENERIC_SET, "snapshot", "from"):
            self.advance()
            return SetTransaction(position, self.transaction_modes(), local=local)
        if self.kind == "session" and self.peek() == "characteristics":
            self.advance()
            self.expect_words("characteristics", "as", "transaction")
            return SetTransaction(position, self.transaction_modes(), session=True, local=local)
        if self.kind == "transaction" and self.peek() == "snapshot":
            self.advance()
            self.advance()
            return SetTransactionSnapshot(position, self.string())
        return self.set_variable(position, local=local)

    def set_variable(self, position: int, *, local: bool = False) -> SetVariable:
        """A setting and its values, also in SQL's own spellings."""
        word, following = self.kind, self.peek()
        if following in _GENERIC_SET or following == "from":
            return self._generic_set(position, local=local)
        if word == "time" and following == "zone":
            self.advance()
            self.advance()
            return self._set_time_zone(position, local=local)
        if word == "session" and following == "authorization":
            self.advance()
            self.advance()
            name = "session_authorization"
            if self.accept("default"):
                return SetVariable(position, SetKind.DEFAULT, name, local=local)
            values = (self.non_reserved_word_or_string(),)
            return SetVariable(position, SetKind.VALUE, name, values, local)
        if word == "role":
            self.advance()
            values = (self.non_reserved_word_or_string(),)
            return SetVariable(position, SetKind.VALUE, "role", values, local)
        if word == "names":
            self.advance()
            name = "client_encoding"
            if self.kind == "SCONST":
                return SetVariable(position, SetKind.VALUE, name, (self.string(),), local)
            self.accept("default")
            return SetVariable(position, SetKind.DEFAULT, name, local=local)
        if word == "schema":
            self.advance()
            return SetVariable(position, SetKind.VALUE, "search_path", (self.string(),), local)
        if word == "catalog":
            self.advance()
            at = self.position
            self.string()
            raise SqlError("0A000", "current database cannot be changed", position=at)
        if word == "xml" and following == "option":
            self.advance()
            self.advance()
            option = self.one_of("document", "content")
            return SetVariable(position, SetKind.VALUE, "xmloption", (option,), local)
        return self._generic_set(position, local=local)

    def variable_name(self) -> str:
        """A setting's name, perhaps with its extension's."""
        name = self.col_id()
        while self.accept("."):
            name += "." + self.col_id()
        return name

    def _generic_set(self, position: int, *, local: bool) -> SetVariable:
        name = self.variable_name()
        if self.accept("from"):
            self.expect("current")
            return SetVariable(position, SetKind.CURRENT, name, local=local)
        self.one_of("to", "=")
        if self.accept("default"):
            return SetVariable(position, SetKind.DEFAULT, name, local=local)
        values = [self._set_value()]
        while self.accept(","):
            values.append(self._set_value())
        return SetVariable(position, SetKind.VALUE, name, tuple(values), local)

    def _set_value(self) -> str | int | NumericText:
        if self.kind in ("ICONST", "FCONST", "+", "-"):
            return self.numeric_only()
        return self.boolean_or_string()

    def _set_time_zone(self, position: int, *, local: bool) -> SetVariable:
        name = "timezone"
        if self.kind in ("default", "local"):
            self.advance()
            return SetVariable(position, SetKind.DEFAULT, name, local=local)
        value: str | int | NumericText | Expression
        if self.kind == "interval":
            value = self._zone_interval()
        elif self.kind in ("ICONST", "FCONST", "+", "-"):
            value = self.numeric_only()
        elif self.kind == "SCONST":
            value = self.string()
        else:
            value = self.word_of(frozenset(("IDENT",)))
        return SetVariable(position, SetKind.VALUE, name, (value,), local)

    def _zone_interval(self) -> Expression:
        position = self.position
        if self.peek() == "(":
            interval = self.interval_type()
            return TypeCast(position, StringConstant(self.position, self.string()), interval)
        self.advance()
        literal = StringConstant(self.position, self.string())
        at = self.position
        fields = self.interval_fields()
        if fields:
            mask = fields[0]
            assert isinstance(mask, IntegerConstant)
            if mask.value & ~((1 << 10) | (1 << 11)):
                raise SqlError(
                    "42601", "time zone interval must be HOUR or HOUR TO MINUTE", position=at
                )
        interval = TypeName(position, ("pg_catalog", "interval"), fields)
        return TypeCast(position, literal, interval)

    def _set_constraints(self, position: int) -> Statement:
        self.advance()
        names: tuple[QualifiedName, ...] = ()
        if not self.accept("all"):
            names = self.qualified_names()
        return SetConstraints(position, names, self.one_of("deferred", "immediate") == "deferred")

    def reset(self) -> Statement:
        """RESET ..."""
        position = self.position
        self.advance()
        return self.reset_variable(position)

    def reset_variable(self, position: int) -> SetVariable:
        """What follows RESET."""
        if self.accept("all"):
            return SetVariable(position, SetKind.RESET_ALL, "all")
        return SetVariable(position, SetKind.RESET, self._shown_name())

    def _shown_name(self) -> str:
        if self.accept_words("time", "zone"):
            return "timezone"
        if self.kind == "transaction" and self.peek() == "isolation":
            self.advance()
            self.expect_words("isolation", "level")
            return "transaction_isolation"
        if self.accept_words("session", "authorization"):
            return "session_authorization"
        return self.variable_name()

    def set_or_reset(self) -> SetVariable:
        """SET ... or RESET ... inside ALTER DATABASE, ROLE, FUNCTION."""
        position = self.position
        if self.accept("reset"):
            return self.reset_variable(position)
        self.expect("set")
        return self.set_variable(position)

    def show(self) -> Statement:
        """SHOW name|ALL."""
        position = self.position
        self.advance()
        return Show(position, "all" if self.accept("all") else self._shown_name())

    def discard(self) -> Statement:
        """DISCARD ALL|PLANS|SEQUENCES|TEMP."""
        position = self.position
        self.advance()
        target = self.one_of("all", "plans", "sequences", "temp", "temporary")
        return Discard(position, "temp" if target == "temporary" else target)

    # -- prepared statements ---------------------------------------------------------------------

    def prepare(self) -> Statement:
        """PREPARE name AS statement, or PREPARE TRANSACTION."""
        position = self.position
        self.advance()
        if self.kind == "transaction" and self.peek() == "SCONST":
            self.advance()
            return Transaction(position, TransactionKind.PREPARE, name=self.string())
        name = self.col_id()
        types: tuple[TypeName, ...] = ()
        if self.accept("("):
            types = self.type_names()
            self.expect(")")
        self.expect("as")
        return Prepare(position, name, types, self.preparable_statement())

    def execute(self) -> Execute:
        """EXECUTE name (arguments)."""
        position = self.position
        self.expect("execute")
        name = self.col_id()
        arguments: tuple[Expression, ...] = ()
        if self.accept("("):
            arguments = self.expression_list()
            self.expect(")")
        return Execute(position, name, arguments)

    def deallocate(self) -> Statement:
        """DEALLOCATE [PREPARE] name|ALL."""
        position = self.position
        self.advance()
        if self.kind == "prepare" and (self.peek() in COL_ID or self.peek() == "all"):
            self.advance()
        return Deallocate(position, None if self.accept("all") else self.col_id())

    # -- cursors ---------------------------------------------------------------------------------

    def declare(self) -> Statement:
        """DECLARE name ... CURSOR ... FOR query."""
        position = self.position
        self.advance()
        name = self.col_id()
        binary = False
        insensitive: bool | None = None
        scroll: bool | None = None
        while self.kind != "cursor":
            word = self.one_of("no", "scroll", "binary", "asensitive", "insensitive")
            if word == "binary":
                binary = True
            elif word in ("asensitive", "insensitive"):
                insensitive = self._once(
                    old=insensitive, new=word == "insensitive", words="INSENSITIVE and ASENSITIVE",
                    position=position,
                )  # fmt: skip
            else:
                if word == "no":
                    self.expect("scroll")
                scroll = self._once(
                    old=scroll,
                    new=word == "scroll",
                    words="SCROLL and NO SCROLL",
                    position=position,
                )
        self.advance()
        hold = False
        if self.kind in ("with", "without"):
            hold = self.kind == "with"
            self.advance()
            self.expect("hold")
        self.expect("for")
        query = self.select_statement()
        return DeclareCursor(position, name, query, binary, insensitive, scroll, hold)

    def _once(self, *, old: bool | None, new: bool, words: str, position: int) -> bool:
        if old is not None and old != new:
            raise SqlError("42P11", f"cannot specify both {words}", position=position)
        return new

    def fetch(self) -> Statement:
        """FETCH and MOVE."""
        position = self.position
        move = self.kind == "move"
        self.advance()
        direction, count = self._fetch_direction()
        if self.kind in ("from", "in"):
            self.advance()
        return Fetch(position, self.col_id(), direction, count, move)

    def _fetch_direction(self) -> tuple[FetchDirection, int | None]:
        """The direction and count; a cursor may be named like any of the words."""
        word = self.kind
        direction = FetchDirection.FORWARD
        if word in ("ICONST", "+", "-"):
            return direction, self.signed_integer()
        if word == "all":
            self.advance()
            return direction, None
        following = self.peek()
        if following in (";", "EOF"):
            return direction, 1
        if word in ("next", "prior", "first", "last"):
            self.advance()
            if word in ("next", "prior"):
                back = word == "prior"
                return FetchDirection.BACKWARD if back else direction, 1
            return FetchDirection.ABSOLUTE, 1 if word == "first" else -1
        if word in ("absolute", "relative"):
            self.advance()
            absolute = word == "absolute"
            kind = FetchDirection.ABSOLUTE if absolute else FetchDirection.RELATIVE
            return kind, self.signed_integer()
        if word in ("forward", "backward"):
            self.advance()
            if word == "backward":
                direction = FetchDirection.BACKWARD
            if self.kind in ("ICONST", "+", "-"):
                return direction, self.signed_integer()
            if self.accept("all"):
                return direction, None
        return direction, 1

    def close(self) -> Statement:
        """CLOSE name|ALL."""
        position = self.position
        self.advance()
        return ClosePortal(position, None if self.accept("all") else self.col_id())

    # -- LISTEN, DO, CALL, LOAD ------------------------------------------------------------------

    def listen(self) -> Statement:
        """LISTEN channel."""
        position = self.position
        self.advance()
        return Listen(position, self.col_id())

    def unlisten(self) -> Statement:
        """UNLISTEN channel|*."""
        position = self.position
        self.advance()
        return Unlisten(position, None if self.accept("*") else self.col_id())

    def notify(self) -> Statement:
        """NOTIFY channel [, payload]."""
        position = self.position
        self.advance()
        channel = self.col_id()
        return Notify(position, channel, self.string() if self.accept(",") else None)

    def do(self) -> Statement:
        """DO body [LANGUAGE name], in either order."""
        position = self.position
        self.advance()
        body = language = None
        while self.kind in ("SCONST", "language"):
            if self.accept("language"):
                language = self.non_reserved_word_or_string()
            else:
                body = self.string()
        if body is None:
            if language is None or self.kind not in (";", "EOF"):
                self.fail()
            raise SqlError("42601", "no inline code specified")
        return Do(position, body, language)

    def call(self) -> Statement:
        """CALL procedure(arguments)."""
        position = self.position
        self.advance()
        at = self.position
        application = self.function_application(self.function_name(), at)
        assert isinstance(application, FunctionCall)
        return Call(position, application)

    def load(self) -> Statement:
        """LOAD 'library'."""
        position = self.position
        self.advance()
        return Load(position, self.string())

    # -- option lists ----------------------------------------------------------------------------

    def utility_options(self) -> tuple[Option, ...]:
        """`(name [value], ...)` of EXPLAIN, VACUUM, REINDEX, CLUSTER."""
        self.expect("(")
        options = []
        while True:
            position = self.position
            if self.kind in ("analyze", "analyse"):
                self.advance()
                name = "analyze"
            else:
                name = self.word_of(NON_RESERVED_WORD)
            value: OptionValue = None
            if self.kind not in (",", ")"):
                value = self._set_value()
            options.append(Option(position, name, value))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(options)
