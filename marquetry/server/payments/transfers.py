"""Transfers to creators through Stripe Connect, each once. A refusal is told apart from what nobody knows, which is asked again."""

from __future__ import annotations

from marquetry.marketplace.listings.payouts import Payout
from marquetry.marketplace.payments.errors import NoPayoutAccount, ProviderFailed
from marquetry.marketplace.payments.payout_accounts import PayoutAccount, find_account, keep_account
from marquetry.server.payments.desk import Desk

NOT_FOR_GOOD = frozenset({"balance_insufficient", "rate_limit", "lock_timeout", "api_key_expired"})
CURRENCY = "USD"


class TransferUnknown(Exception):
    """Nobody knows yet whether the transfer was made; it is no refusal, so the payout stays open."""


class ConnectTransfers:
    """A `PayoutTransfer`."""

    method = "stripe"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def transfer(self, payout: Payout) -> str:
        """What was made before is looked for first, whatever has become of the account since. Raises TransferUnknown, NoPayoutAccount, ProviderFailed."""
        payer = self._desk.payer()
        try:
            made = await payer.find_transfer(payout.id)
        except ProviderFailed as error:
            raise TransferUnknown(error.message) from error
        if made is not None:
            return made.id
        account = await self._desk.read(find_account, payout.owner, self.method)
        if account is None or not account.payouts_enabled:
            raise NoPayoutAccount("the creator has not finished setting up an account for payouts at Stripe")
        try:
            return (await payer.transfer(payout.id, account.account_id, payout.cents, CURRENCY)).id
        except ProviderFailed as error:
            if error.unknown or error.details.get("provider_code") in NOT_FOR_GOOD or error.details.get("status") in (401, 403):
                raise TransferUnknown(error.message) from error
            raise


async def onboard(desk: Desk, owner: str, email: str) -> str:
    """The page on which a creator sets an account up; the account is made once. Raises PaymentsNotConfigured, ProviderFailed."""
    payer = desk.payer()
    account = await desk.read(find_account, owner, ConnectTransfers.method)
    if account is None:
        id = await payer.payout_account(owner, email, desk.settings.payments.connect_country.upper())
        account = await desk.write(keep_account, owner, ConnectTransfers.method, id, desk.clock_ms())
    page = f"{desk.public_url}/earnings?payouts="
    return await payer.onboarding(account.account_id, f"{page}done", f"{page}again")


async def account_of(desk: Desk, owner: str) -> PayoutAccount | None:
    """How a creator's account stands."""
    return await desk.read(find_account, owner, ConnectTransfers.method)
