"""What can go wrong with accounts. Messages never tell whether an e-mail is known."""

from __future__ import annotations

from marquetry.marketplace.errors import (
    Conflict,
    MarketError,
    Missing,
    NotAllowed,
    NotConfigured,
    PaymentRequired,
    TooManyRequests,
    Unauthenticated,
)


class InvalidAccountInput(MarketError):
    """A value about an account is not as it must be."""

    code = "invalid_account_input"


class WeakPassword(InvalidAccountInput):
    """The password would be guessed; `details` has every reason."""

    code = "weak_password"


class WrongCredentials(Unauthenticated):
    """E-mail, password or code are wrong, or the e-mail has not been confirmed. Which of it is not told."""

    code = "wrong_credentials"


class SecondFactorRequired(Unauthenticated):
    """The password was right; `details` has the challenge that the code is sent with."""

    code = "second_factor_required"


class TokenInvalid(Unauthenticated):
    """A token, key, code or ticket is unknown, used, revoked or past its time."""

    code = "token_invalid"


class TokenReused(TokenInvalid):
    """A refresh token came a second time: somebody else may have it, so that the whole session is over."""

    code = "token_reused"


class SignInLocked(TooManyRequests):
    """Too many wrong attempts; `details` has `retry_after_s`."""

    code = "sign_in_locked"


class PermissionMissing(NotAllowed):
    """No role of the caller allows it."""

    code = "permission_missing"


class ScopeMissing(NotAllowed):
    """The key may not be used for that."""

    code = "scope_missing"


class SignInNeeded(NotAllowed):
    """Only a person who signed in may do it, not a key."""

    code = "sign_in_needed"


class CsrfRefused(NotAllowed):
    """A request that a cookie vouches for lacks the token that only our own pages can send."""

    code = "csrf_refused"


class AccountSuspended(NotAllowed):
    """The account was suspended by an admin."""

    code = "account_suspended"


class AccountMissing(Missing):
    """There is no such account, session or key, or it is not the caller's."""

    code = "account_not_found"


class AccountConflict(Conflict):
    """It can't be done in the state that the account is in."""

    code = "account_conflict"


class KeySpendLimit(PaymentRequired):
    """The key has spent what it may."""

    code = "key_spend_limit"


class QuotaExceeded(TooManyRequests):
    """The calls of this month are used up; `details` has `retry_after_s`."""

    code = "quota_exceeded"


class AccountsOff(NotConfigured):
    """The server keeps no accounts."""

    code = "accounts_off"


class ProviderMissing(NotConfigured):
    """Sign-in through that provider, or what it needs, is not set up."""

    code = "provider_not_configured"
