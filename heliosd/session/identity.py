"""Who a session is and what names mean to it: roles, search_path, the statements it shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from helios_protocol.connection import Connection as Wire
from heliosd.catalog import acl
from heliosd.catalog.holdings import holds_parameter
from heliosd.catalog.lookup import Catalog, Overlay, SearchPath
from heliosd.catalog.objects import Database, Role
from heliosd.errors import INSUFFICIENT_PRIVILEGE, INVALID_PARAMETER_VALUE, SqlError
from heliosd.session.channel import Channel
from heliosd.session.client import ClientState
from heliosd.session.evaluation import make_styles
from heliosd.session.search_path import split_search_path
from heliosd.session.statement_cache import (
    KnownStatement,
    Prepared,
    ScopeKey,
    StatementCache,
    StatementCaches,
    names_of,
)
from heliosd.settings.session import SessionSettings

if TYPE_CHECKING:
    from heliosd.session.instance import Instance


class IdentityState(ClientState):
    """Roles and names. `refresh` takes over what SET changed."""

    __slots__ = (
        "_acting",
        "_cache",
        "_own_caches",
        "_path_names",
        "_role_oids",
        "_scope_overlay",
        "_scope_roles",
        "_scope_settings",
        "_scope_temporary",
        "_settings_version",
        "_stamp_settings",
        "_stamp_version",
        "catalog",
        "catalog_state",
        "client_role",
        "current_role",
        "current_role_oid",
        "database_object",
        "idle_session_timeout_ms",
        "idle_transaction_timeout_ms",
        "is_restricted",
        "lock_timeout_ms",
        "plain_defaults",
        "resolver",
        "session_role",
        "session_role_oid",
        "start_role",
        "statement_timeout_ms",
    )

    def __init__(
        self, instance: Instance, channel: Channel, wire: Wire, role: Role, database: Database
    ) -> None:
        super().__init__(instance, channel, wire)
        self.catalog = Catalog(instance.catalog, database)
        self.resolver = instance.resolver.over(self.catalog.types)
        self.catalog_state = instance.catalog.state
        self.database_object = database
        # The role that logged in never changes; SET SESSION AUTHORIZATION changes session_role.
        self.client_role = role
        self.session_role = self.current_role = role.name
        self.session_role_oid = self.current_role_oid = role.oid
        # Which roles the settings' names mean: a name may come to mean another role, an oid cannot.
        self._role_oids = {role.name: role.oid}
        # The role that RESET ROLE returns to: ALTER ROLE ... SET role, or the client's wish.
        self.start_role: str | None = None
        self.statement_timeout_ms = self.lock_timeout_ms = 0
        self.idle_session_timeout_ms = self.idle_transaction_timeout_ms = 0
        # Whether a statement alone is READ COMMITTED, may write and needs no timer afterwards.
        self.plain_defaults = False
        self._settings_version = -1
        self._path_names: tuple[str, ...] = ()
        # The cache in use, and what it was chosen by.
        self._cache = StatementCache()
        self._scope_settings = self._scope_roles = self._scope_temporary = -1
        self._scope_overlay: Overlay | None = None
        self._own_caches: StatementCaches | None = None
        # Whose rights a SECURITY DEFINER routine that runs now has.
        self._acting: Role | None = None
        self.is_restricted = False
        """Whether code of another runs for upkeep: nothing may outlast it."""
        self._stamp_version = -1
        self._stamp_settings: tuple[object, ...] = ()

    @property
    def database(self) -> str:
        return self.database_object.name

    @property
    def database_oid(self) -> int:
        return self.database_object.oid

    @property
    def search_path(self) -> SearchPath:
        """The resolved search_path now."""
        self.refresh()
        return self.catalog.search_path(self._path_names, self.current_role)

    def refresh(self) -> None:
        """Take over what SET changed; one comparison while nothing has."""
        state = self.settings_state
        if state.version == self._settings_version:
            return
        self._settings_version = state.version
        self._path_names = split_search_path(state.value(SessionSettings.search_path))
        self.statement_timeout_ms = state.value(SessionSettings.statement_timeout)
        self.lock_timeout_ms = state.value(SessionSettings.lock_timeout)
        self.idle_session_timeout_ms = state.value(SessionSettings.idle_session_timeout)
        self.idle_transaction_timeout_ms = state.value(
            SessionSettings.idle_in_transaction_session_timeout
        )
        self.plain_defaults = (
            state.value(SessionSettings.default_transaction_isolation) == "read committed"
            and not state.value(SessionSettings.default_transaction_read_only)
            and not self.idle_session_timeout_ms
        )
        self._refresh_roles()

    @property
    def is_superuser(self) -> bool:
        """Whether the current role is a superuser now."""
        return acl.is_superuser(self.catalog, self.current_role_oid)

    def may_set(self, name: str) -> bool:
        """Whether the current role may SET what only superusers may, or was granted it."""
        return self.is_superuser or holds_parameter(
            self.catalog, self.current_role_oid, name, "SET"
        )

    def _refresh_roles(self) -> None:
        """Both ids come from settings, so that ROLLBACK and SET LOCAL restore them (S-17).

        A setting holds a name; which role it meant when it was set is remembered by oid, so that a
        role renamed or made anew under that name changes nobody's identity.
        """
        state = self.settings_state
        session_role = state.value(SessionSettings.session_authorization) or self.client_role.name
        chosen = state.value(SessionSettings.role)
        self.session_role, self.session_role_oid = self._meant(session_role)
        if chosen == "none":
            self.current_role, self.current_role_oid = self.session_role, self.session_role_oid
        else:
            self.current_role, self.current_role_oid = self._meant(chosen)
        if self._acting is not None:
            self.current_role, self.current_role_oid = self._acting.name, self._acting.oid

    def _meant(self, name: str) -> tuple[str, int]:
        """(the role's name now, its oid)."""
        oid = self._role_oids[name]
        role = self.catalog.of_kind(Role, oid)
        return (name if role is None else role.name), oid

    def set_session_role(self, name: str | None, *, local: bool = False) -> None:
        """SET SESSION AUTHORIZATION; None is DEFAULT. 42501 unless the login was a superuser's."""
        self._refuse_while_acting("session_authorization")
        if name is None:
            role = self.catalog.of_kind(Role, self.client_role.oid) or self.client_role
        else:
            found = self.catalog.role(name)
            if found is None:
                raise SqlError(INVALID_PARAMETER_VALUE, f'role "{name}" does not exist')
            role = found
        if role.oid != self.client_role.oid and not self.client_role.superuser:
            raise SqlError(INSUFFICIENT_PRIVILEGE, "permission denied to set session authorization")
        self._role_oids[role.name] = role.oid
        state = self.settings_state
        state.force(SessionSettings.session_authorization, role.name, local=local)
        state.force(SessionSettings.is_superuser, role.superuser, local=local)
        state.force(SessionSettings.role, "none", local=local)
        self.refresh()

    def set_role(self, name: str | None, *, local: bool = False) -> None:
        """SET ROLE; None is NONE. 22023 for no such role, 42501 unless a member."""
        self.refresh()
        role = self.catalog.of_kind(Role, self.session_role_oid)
        self._refuse_while_acting("role")
        if name is not None:
            role = self.catalog.role(name)
            if role is None:
                raise SqlError(INVALID_PARAMETER_VALUE, f'role "{name}" does not exist')
            if not acl.may_become(self.catalog, self.session_role_oid, role.oid):
                raise SqlError(INSUFFICIENT_PRIVILEGE, f'permission denied to set role "{name}"')
            self._role_oids[role.name] = role.oid
        superuser = role is not None and role.superuser
        state = self.settings_state
        state.force(SessionSettings.is_superuser, superuser, local=local)
        state.force(SessionSettings.role, name or "none", local=local)
        self.refresh()

    def reset_role(self) -> None:
        """RESET ROLE: back to what the session started with."""
        self.set_role(self.start_role)

    def _refuse_while_acting(self, setting: str) -> None:
        if self.is_restricted:
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f'cannot set parameter "{setting}" within security-restricted operation',
            )
        if self._acting is not None:
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f'cannot set parameter "{setting}" within security-definer function',
            )

    @contextmanager
    def acting_as(
        self,
        role: Role | None,
        settings: tuple[tuple[str, str], ...],
        *,
        restricted: bool = False,
    ) -> Iterator[None]:
        """Another current role, and other settings, while a routine runs.

        No statement that is kept for the one role may be found as the other's. `restricted`: the
        code is another's, so nothing of what it does may outlast it (S-16).
        """
        outer_restricted = self.is_restricted
        self.is_restricted = restricted or outer_restricted
        state = self.settings_state
        outer, name, oid = self._acting, self.current_role, self.current_role_oid
        before = state.override(settings, superuser=self.is_superuser)
        if role is not None:
            self._acting, self.current_role, self.current_role_oid = role, role.name, role.oid
        self._scope_settings = -1
        try:
            yield
        finally:
            state.restore(before)
            if role is not None:
                self._acting, self.current_role, self.current_role_oid = outer, name, oid
            self.is_restricted = outer_restricted
            self._scope_settings = -1

    def plan_stamp(self) -> tuple[object, ...]:
        """Equal while a kept program still means the same: role, path, settings, names."""
        version = self.settings_state.version
        if version != self._stamp_version:
            self._stamp_version = version
            self._stamp_settings = self._plan_settings()
        return (
            self.current_role_oid,
            self.search_path.schemas,
            names_of(self.catalog),
            self._stamp_settings,
        )

    def statement_cache(self) -> StatementCache:
        """Where this session's statements are kept now: shared, unless what it sees is its own."""
        catalog = self.catalog
        if (
            self.settings_state.version == self._scope_settings
            and catalog.shared.state.roles_generation == self._scope_roles
            and catalog.overlay is self._scope_overlay
            and catalog.temporary_schema == self._scope_temporary
        ):
            return self._cache
        return self._find_cache()

    def _find_cache(self) -> StatementCache:
        self.refresh()
        self._refresh_roles()
        catalog = self.catalog
        key = ScopeKey(
            self.database_object.oid,
            self.current_role_oid,
            self.search_path.schemas,
            self._plan_settings(),
        )
        if catalog.overlay is not None or catalog.temporary_schema:
            if self._own_caches is None:
                self._own_caches = StatementCaches()
            self._cache = self._own_caches.of(key)
        else:
            self._cache = self.instance.statements.of(key)
        self._scope_settings = self.settings_state.version
        self._scope_roles = catalog.shared.state.roles_generation
        self._scope_overlay = catalog.overlay
        self._scope_temporary = catalog.temporary_schema
        return self._cache

    def is_current(self, prepared: Prepared) -> bool:
        """Whether a statement may run as it was prepared: same role, path and settings, and what
        it leans on has not changed."""
        return prepared.scope is self.statement_cache() and prepared.is_current(self.catalog)

    def is_still_current(self, known: KnownStatement) -> bool:
        """`is_current` of a statement found by its frame: a few comparisons while nothing has
        changed."""
        catalog = self.catalog
        generation = self.catalog_state.generation
        if (
            known.generation == generation
            and self.settings_state.version == self._scope_settings
            and known.prepared.scope is self._cache
            and catalog.overlay is None
            and not catalog.temporary_schema
        ):
            return True
        if not self.is_current(known.prepared):
            return False
        known.generation = generation
        return True

    def _plan_settings(self) -> tuple[object, ...]:
        """Values that binding and planning look at."""
        state = self.settings_state
        return (
            make_styles(state),
            state.value(SessionSettings.client_encoding),
            self.session_role_oid,
            state.value(SessionSettings.row_security),
            *(
                value
                for name, _, value in state.items()
                if name.startswith("enable_")
                or name.endswith(("_limit", "rules_off", "_cost", "column_programs"))
            ),
        )

    def forget_plans(self) -> None:
        """DISCARD PLANS: of this session's own caches."""
        self._own_caches = None
        self._scope_settings = -1
