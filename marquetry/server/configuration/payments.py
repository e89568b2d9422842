"""Settings of payment providers, invoices and what happens when a payment is late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

if TYPE_CHECKING:
    from marquetry.marketplace.payments.provider import ProviderKeys

Environment = Literal["development", "staging", "production"]


class ProviderKeySettings(BaseModel):
    """How a provider knows this installation. Stripe needs no `key_id`; PayPal's webhook secrets are the ids of its webhooks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: str = Field(default="", max_length=200, description="Razorpay: key id; PayPal: client id")
    secret_key: SecretStr = Field(default=SecretStr(""), description="Stripe: secret key; Razorpay: key secret; PayPal: client secret")
    webhook_secrets: list[SecretStr] = Field(
        default=[], max_length=6, description="secrets of webhooks; the old and the new one while they change, and Stripe Connect's own"
    )
    api_address: str = Field(default="", max_length=300, description="address of the API where it is not the usual one: PayPal's sandbox")
    timeout_s: int = Field(default=20, ge=1, le=120, description="how long an answer may take")


class SellerSettings(BaseModel):
    """Who sells, as it stands on invoices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="Marquetry", max_length=200)
    address: str = Field(default="", max_length=1000, description="lines of the address")
    tax_id: str = Field(default="", max_length=64, description="VAT id, GSTIN, ...")
    email: str = Field(default="", max_length=254)
    invoice_prefix: str = Field(default="INV-", max_length=16, pattern=r"^[A-Za-z0-9-]*$", description="what invoice numbers begin with")


class TaxSettings(BaseModel):
    """A tax that is part of prices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=60)
    percent_hundredths: int = Field(ge=0, le=10_000, description="1800 is 18 %")
    currencies: list[str] = Field(default=[], max_length=50, description="only on prices in these; empty: on all")
    countries: list[str] = Field(default=[], max_length=300, description="only for buyers of these; empty: for all")


class PaymentSettings(BaseModel):
    """See the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    providers: dict[str, ProviderKeySettings] = Field(default={}, description="keys by provider: stripe, razorpay, paypal")
    order: dict[str, list[str]] = Field(
        default={"INR": ["razorpay", "stripe"]}, description="which providers take a currency, the first that has keys and answers"
    )
    other_currencies: list[str] = Field(default=["stripe", "paypal"], description="which providers take all other currencies")
    seller: SellerSettings = SellerSettings()
    taxes: list[TaxSettings] = Field(default=[], max_length=8)
    ladder_days: list[int] = Field(
        default=[0, 3, 7, 14], max_length=12, description="days after a failed payment on which it is told and tried again"
    )
    ends_days: int = Field(default=21, ge=1, le=365, description="days after which a subscription that is not paid ends")
    connect_country: str = Field(default="", max_length=2, description="country of creators' accounts for payouts; empty: they choose")

    @model_validator(mode="after")
    def _climb(self) -> PaymentSettings:
        if self.ladder_days != sorted(set(self.ladder_days)) or any(day < 0 or day >= self.ends_days for day in self.ladder_days):
            raise ValueError("payments.ladder_days must rise, from 0 on, and end before ends_days")
        return self

    def protect_money(self, environment: Environment) -> None:
        """Real money moves in production only, and keys go to the providers only. Raises ValueError."""
        from marquetry.marketplace.payments.provider import kinds

        known = kinds() if self.providers else {}
        for name, keys in self.providers.items():
            kind = known.get(name)
            if kind is None:
                raise ValueError(f"payments.providers: there is no provider '{name[:40]}'; there are {', '.join(known)}")
            if environment != "production" and kind.is_live(provider_keys(keys)):
                raise ValueError(
                    f"payments.providers.{name} has live keys, which move real money; environment {environment} takes test keys"
                )
            sandbox = keys.api_address.replace("api-m.sandbox.", "api-m.")
            if environment != "development" and keys.api_address and sandbox.rstrip("/") != kind.address:
                raise ValueError(f"payments.providers.{name}.api_address is not {kind.title}'s; keys are sent nowhere else")


def provider_keys(settings: ProviderKeySettings) -> ProviderKeys:
    """The keys as providers take them."""
    from marquetry.marketplace.payments.provider import ProviderKeys

    secrets = tuple(secret.get_secret_value() for secret in settings.webhook_secrets)
    return ProviderKeys(settings.key_id, settings.secret_key.get_secret_value(), secrets, settings.api_address, settings.timeout_s)
