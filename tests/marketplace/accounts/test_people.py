"""Accounts: who there is, and what can't be doubled. The tables are those of the migrations."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from marquetry.marketplace.accounts import identities, people, sessions, tables
from marquetry.marketplace.accounts.email_address import checked_email
from marquetry.marketplace.accounts.errors import AccountConflict, AccountMissing, InvalidAccountInput, WrongCredentials
from marquetry.marketplace.accounts.identities import Profile
from marquetry.marketplace.accounts.people import NewPerson, Person
from marquetry.marketplace.accounts.sessions import Place, SessionLimits
from marquetry.marketplace.schema import metadata
from tests.marketplace.accounts.conftest import NOW_MS

OURS = {table.name for table in vars(tables).values() if table.__class__.__name__ == "Table"}


def test_the_tables_are_those_of_the_migrations(connection: Connection) -> None:
    def ours(thing: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in OURS

    context = MigrationContext.configure(connection, opts={"include_object": ours})
    assert compare_metadata(context, metadata) == []


def test_one_address_has_one_account_however_it_is_written(connection: Connection, ann: Person) -> None:
    with pytest.raises(AccountConflict):
        people.add_person(connection, NewPerson(email="ANN@Example.ORG"), NOW_MS)
    found = people.find_by_email(connection, "Ann@EXAMPLE.org")
    assert found is not None and found.id == ann.id and found.email == "ann@example.org"


@pytest.mark.parametrize(
    "text", ["", "ann", "ann@", "@x.org", "ann@x", "a b@x.org", "ann@x..org", "ann@-x.org", f"{'a' * 250}@x.org", "a\nb@x.org"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAccountInput):
        checked_email(text)


def test_accounts_are_found_by_parts_of_name_and_address_in_pages(connection: Connection, ann: Person, bob: Person) -> None:
    assert [person.id for person in people.search_people(connection, "AN")[0]] == [ann.id]
    assert people.search_people(connection, "example.org", limit=1)[1] == 2
    assert people.search_people(connection, "%") == ([], 0)
    assert [person.id for person in people.search_people(connection, bob.id)[0]] == [bob.id]


def test_roles_are_known_ones_and_everybody_is_a_user(connection: Connection, ann: Person) -> None:
    assert people.set_roles(connection, ann.id, ["admin"], NOW_MS).roles == {"user", "admin"}
    with pytest.raises(InvalidAccountInput, match="root"):
        people.set_roles(connection, ann.id, ["root"], NOW_MS)
    with pytest.raises(AccountMissing):
        people.set_roles(connection, "u_none", ["user"], NOW_MS)


def test_another_site_signs_in_to_an_account_only_by_a_confirmed_address(connection: Connection, ann: Person) -> None:
    with pytest.raises(WrongCredentials, match="not confirmed"):
        identities.sign_in_with(connection, Profile("site", "1", "ann@example.org", False), NOW_MS)
    assert identities.sign_in_with(connection, Profile("site", "1", "Ann@example.org", True), NOW_MS).id == ann.id
    again = identities.sign_in_with(connection, Profile("site", "1", "new@example.org", False), NOW_MS)
    assert again.id == ann.id and identities.linked_to(connection, ann.id) == {"site": "Ann@example.org"}


def test_who_confirms_an_address_takes_over_what_a_stranger_made_of_it(connection: Connection) -> None:
    squatter = people.add_person(connection, NewPerson(email="eve@example.org", password_hash="their own"), NOW_MS)
    opened = sessions.open_session(connection, squatter.id, Place(), SessionLimits(), NOW_MS)
    owner = identities.sign_in_with(connection, Profile("site", "7", "eve@example.org", True), NOW_MS)
    assert owner.id == squatter.id and owner.password_hash is None and owner.email_confirmed
    standing = sessions.standing(connection, opened.session_id)
    assert standing is not None and standing.ended


def test_a_site_that_is_linked_elsewhere_and_the_last_way_in_stay(connection: Connection, ann: Person, bob: Person) -> None:
    identities.link(connection, ann.id, Profile("site", "1"), NOW_MS)
    with pytest.raises(AccountConflict, match="another account"):
        identities.link(connection, bob.id, Profile("site", "1"), NOW_MS)
    with pytest.raises(AccountConflict, match="set a password"):
        identities.unlink(connection, ann.id, "site")
    people.change_person(connection, ann.id, NOW_MS, password_hash="x")
    identities.unlink(connection, ann.id, "site")
    with pytest.raises(AccountMissing):
        identities.unlink(connection, ann.id, "site")


def test_new_accounts_through_sites_are_refused_where_registration_is_closed(connection: Connection) -> None:
    with pytest.raises(WrongCredentials, match="no new accounts"):
        identities.sign_in_with(connection, Profile("site", "9", "new@example.org", True), NOW_MS, may_register=False)


def test_an_account_is_removed_with_all_that_hangs_on_it(connection: Connection, ann: Person) -> None:
    opened = sessions.open_session(connection, ann.id, Place(), SessionLimits(), NOW_MS)
    assert people.remove_person(connection, ann.id) and not people.remove_person(connection, ann.id)
    assert sessions.standing(connection, opened.session_id) is None
