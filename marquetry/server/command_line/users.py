"""`marquetry users`: the accounts of this installation, for its operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from marquetry.server.command_line.exits import FAILED, NOT_FOUND, explained, leave
from marquetry.server.command_line.options import Config, Data, Json, settings_from

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from marquetry.marketplace.accounts.people import Person
    from marquetry.server.settings import Settings

users = typer.Typer(help="Add, list and change accounts; they count where accounts are switched on.", no_args_is_help=True)
Email = Annotated[str, typer.Argument(help="E-mail address of the account.")]
Result = TypeVar("Result")


@users.command()
def add(
    email: Email,
    role: Annotated[
        list[str] | None, typer.Option(help="user, creator, moderator or admin; may be given again.", show_default="admin")
    ] = None,
    name: Annotated[str, typer.Option(help="Name that others see.")] = "",
    password: Annotated[
        str | None,
        typer.Option(help="Password; by default it is asked for, without being shown.", show_default=False, envvar="MARQUETRY_PASSWORD"),
    ] = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add an account; its e-mail counts as confirmed."""
    from marquetry.marketplace.accounts import people
    from marquetry.marketplace.accounts.email_address import checked_email

    settings, chosen = settings_from(config, data=data), _asked(password)

    def added(connection: Connection, now_ms: int) -> Person:
        kept = _hashed(chosen, email, name)
        roles = people.checked_roles(role or ["admin"])
        new = people.NewPerson(email=checked_email(email), name=name, password_hash=kept, email_confirmed=True, roles=roles)
        return people.add_person(connection, new, now_ms)

    person = _perform(settings, added)
    typer.echo(f"{person.email} ({', '.join(sorted(person.roles))}) is {person.id}")
    if not settings.accounts.enabled:
        typer.echo("accounts are off; MARQUETRY_ACCOUNTS__ENABLED=true, or accounts: {enabled: true} in marquetry.yaml, switches them on")


@users.command("list")
def list_users(
    text: Annotated[str, typer.Argument(help="Part of the name or e-mail.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most, the newest.")] = 100,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List accounts."""
    import json

    from marquetry.marketplace.accounts import people

    found, total = _perform(
        settings_from(config, data=data), lambda connection, now_ms: people.search_people(connection, text, limit=limit)
    )
    shown = [_shown(person) for person in found]
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    for entry in shown:
        suspended = "  suspended" if entry["suspended"] else ""
        typer.echo(f"{entry['id']}  {entry['email'] or '-'}  {', '.join(entry['roles'])}{suspended}")
    if total > len(found):
        typer.echo(f"{total - len(found)} more")


@users.command("set-role")
def set_role(
    email: Email,
    roles: Annotated[list[str], typer.Argument(help="user, creator, moderator, admin: exactly these.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Give an account exactly these roles."""
    from marquetry.marketplace.accounts import people, security_events

    def changed(connection: Connection, now_ms: int) -> Person:
        person = people.set_roles(connection, _find(connection, email).id, roles, now_ms)
        event = security_events.SecurityEvent("permissions_changed", now_ms, person.id, "operator", details={"after": sorted(person.roles)})
        security_events.record(connection, event)
        return person

    person = _perform(settings_from(config, data=data), changed)
    typer.echo(f"{person.email}: {', '.join(sorted(person.roles))}")


@users.command("reset-password")
def reset_password(
    email: Email,
    password: Annotated[
        str | None,
        typer.Option(help="Password; by default it is asked for, without being shown.", show_default=False, envvar="MARQUETRY_PASSWORD"),
    ] = None,
    remove_second_factor: Annotated[bool, typer.Option("--remove-second-factor", help="The authenticator app was lost, too.")] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Set another password; all sessions of the account end, and its locks open."""
    from marquetry.marketplace.accounts import lockout, people, second_factor, security_events, sessions
    from marquetry.marketplace.accounts.email_address import email_key

    chosen = _asked(password)

    def changed(connection: Connection, now_ms: int) -> Person:
        person = _find(connection, email)
        kept = _hashed(chosen, email, person.name)
        people.change_person(connection, person.id, now_ms, password_hash=kept, password_changed_ms=now_ms)
        sessions.end_sessions(connection, person.id, "password changed", now_ms)
        lockout.forgive(connection, f"email:{email_key(email)}")
        if remove_second_factor:
            second_factor.remove(connection, person.id, now_ms)
        event = security_events.SecurityEvent(
            "password_reset", now_ms, person.id, "operator", details={"second_factor_removed": remove_second_factor}
        )
        security_events.record(connection, event)
        return person

    person = _perform(settings_from(config, data=data), changed)
    typer.echo(f"the password of {person.email} is set")


@users.command("rotate-keys")
def rotate_keys(data: Data = None, config: Config = None) -> None:
    """Sign with a new key from now on; what older ones signed stays good. A running server notices."""
    from marquetry.marketplace.accounts.signing import KeyFile

    settings = settings_from(config, data=data)
    if settings.accounts.keys is not None:
        leave(FAILED, "the keys come from the setting accounts.keys; put a new one first there")
    with explained():
        keys = KeyFile(settings.accounts.keys_file or settings.data / "keys" / "accounts.json").rotate()
    typer.echo(f"new tokens are signed with {keys.keys[0].id}; {len(keys.keys)} keys are known")


def _perform(settings: Settings, action: Callable[[Connection, int], Result]) -> Result:
    """Run an action in a transaction of the database that the settings name."""
    import asyncio
    import time

    from marquetry.marketplace.errors import MarketError, Missing
    from marquetry.server.database.database import Database, one_by_one

    async def run() -> Result:
        settings.data.mkdir(parents=True, exist_ok=True)
        database = await Database.open(settings.database)
        operation: Any = one_by_one(lambda connection, now_ms: action(connection, now_ms))
        try:
            done: Result = await database.write(operation, time.time_ns() // 1_000_000)
        finally:
            await database.close()
        return done

    with explained():
        try:
            return asyncio.run(run())
        except MarketError as error:
            leave(NOT_FOUND if isinstance(error, Missing) else FAILED, error.message)


def _asked(password: str | None) -> str:
    return password if password is not None else str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _hashed(password: str, email: str, name: str) -> str:
    from marquetry.marketplace.accounts.password_policy import check_password
    from marquetry.marketplace.accounts.passwords import hash_password

    check_password(password, email=email, name=name)
    return hash_password(password)


def _find(connection: Connection, email: str) -> Person:
    from marquetry.marketplace.accounts import people
    from marquetry.marketplace.accounts.errors import AccountMissing

    person = people.find_by_email(connection, email) or people.find_person(connection, email)
    if person is None:
        raise AccountMissing(f"there is no account '{email}'; 'marquetry users list' shows them")
    return person


def _shown(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "roles": sorted(person.roles),
        "second_factor": person.has_second_factor,
        "suspended": person.suspended_ms is not None,
        "created_ms": person.created_ms,
    }
