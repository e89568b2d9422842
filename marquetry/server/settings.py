"""Settings: everything that a person may configure, typed, in one place.

Sources in order of increasing weight: the environment (`MARQUETRY_PORT=...`, nested as `MARQUETRY_LIMITS__BODY_BYTES`), a YAML file
(`--config`, or `marquetry.yaml` in the data folder), the command line.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from marquetry.engine.graph import GraphLimits
from marquetry.server.configuration.accounts import AccountSettings
from marquetry.server.configuration.automation import AutomationSettings
from marquetry.server.configuration.listings import ListingSettings
from marquetry.server.configuration.market import MarketSettings
from marquetry.server.configuration.payments import PaymentSettings
from marquetry.server.configuration.storage import StorageSettings
from marquetry.server.errors import SettingsError

FILE_NAME = "marquetry.yaml"
HIDDEN = "**********"
ENCRYPTED = ("require", "verify-ca", "verify-full")
GIB = 2**30


def _machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_disk_bytes() -> int:
    return shutil.disk_usage(Path.cwd()).free


class Limits(BaseModel):
    """What one request or one job may ask for; beyond it, it is refused with a message that names the limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_bytes: int = Field(default=100 * 2**20, gt=0, description="size of one uploaded file")
    body_bytes: int = Field(default=32 * 2**20, gt=0, description="size of one request body other than an upload")
    graph_nodes: int = Field(default=20_000, gt=0, description="nodes in a submitted graph")
    graph_depth: int = Field(default=20_000, gt=0, description="nodes on the longest path through a graph")
    expansion_nodes: int = Field(default=100_000, gt=0, description="nodes that a job may add to its graph while it runs")
    queued_jobs_per_client: int = Field(default=1_000, gt=0, description="jobs that one client may have waiting")
    image_pixels: int = Field(default=16384 * 16384, gt=0, description="pixels of one picture that is read")

    def of_graphs(self) -> GraphLimits:
        """What the engine is told of them."""
        return GraphLimits(nodes=self.graph_nodes, depth=self.graph_depth, expanded_nodes=self.expansion_nodes)


class Settings(BaseSettings):
    """The configuration of one process. Immutable; `Settings.read()` makes it."""

    model_config = SettingsConfigDict(env_prefix="MARQUETRY_", env_nested_delimiter="__", frozen=True, extra="forbid")

    environment: Literal["development", "staging", "production"] = Field(
        default="production",
        description="profile of this installation: development starts anew when sources change and tells reasons of faults to callers, and is the only one that may use mock services",
    )
    reload: bool | None = Field(
        default=None, description="start anew when the program, a node pack or the configuration changes; by default in development only"
    )
    mock_services: bool = Field(default=False, description="use local mocks of outside services; in development only")
    data: Path = Field(default=Path("data"), description="folder with everything that is kept")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8188, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    listen: bool = Field(default=False, description="permission to listen beyond this machine without accounts")

    input_directory: Path | None = Field(default=None, description="where uploads are; by default `input` in the data folder")
    output_directory: Path | None = Field(default=None, description="where results are saved; by default `output` in the data folder")
    temp_directory: Path | None = Field(default=None, description="where previews are; by default `temp` in the data folder")
    user_directory: Path | None = Field(
        default=None, description="where settings and graphs of people are; by default `user` in the data folder"
    )
    models_directory: Path | None = Field(default=None, description="where weights are; by default `models` in the data folder")
    extra_model_paths: list[Path] = Field(
        default=[], description="files that name further model folders, as ComfyUI's extra_model_paths.yaml"
    )
    custom_nodes: bool = Field(default=True, description="whether node packs are loaded")
    custom_nodes_allowed: list[str] = Field(default=[], description="names of the only packs to load, when not empty")

    database_url: SecretStr | None = Field(default=None, description="SQLAlchemy URL of the database; by default SQLite in the data folder")
    workers: Literal["process", "inline"] = Field(default="process", description="where graphs run: child processes, or the server's own")
    worker_count: int = Field(default=1, ge=1, description="how many workers")
    concurrent_jobs: int = Field(default=4, ge=1, description="jobs that one worker runs at the same time")
    quick_jobs: int = Field(
        default=16,
        ge=1,
        description="jobs that one worker holds while each is over within milliseconds, so that it never waits for the queue; nobody waits long behind those",
    )

    cache_memory_bytes: int = Field(default_factory=lambda: _machine_memory_bytes() // 4, ge=0, description="results kept in memory")
    cache_disk_bytes: int = Field(default_factory=lambda: min(10 * GIB, _free_disk_bytes() // 10), ge=0, description="results kept on disk")
    cache_disk_hours: float = Field(default=24.0, gt=0, description="how long results stay on disk after they were last used")
    cache_entries: int | None = Field(default=None, ge=1, description="how many results are kept at most")
    device: str = Field(default="auto", description="accelerator: auto, cpu, cuda, cuda:1, mps, ...")
    preview_method: Literal["none", "auto", "latent2rgb", "taesd"] = Field(
        default="auto", description="how pictures are shown while they are made"
    )
    preview_size: int = Field(default=512, ge=16, le=2048, description="largest side of a preview, in pixels")

    limits: Limits = Limits()
    accounts: AccountSettings = AccountSettings()
    market: MarketSettings = MarketSettings()
    listings: ListingSettings = ListingSettings()
    payments: PaymentSettings = PaymentSettings()
    automation: AutomationSettings = AutomationSettings()
    storage: StorageSettings = StorageSettings()
    cors_origin: str = Field(default="", description="origin whose pages may call this server; * for every one")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(default="INFO", description="what is logged")
    multi_user: bool = Field(default=False, description="keep settings and files of several people apart, as ComfyUI's --multi-user")
    disable_metadata: bool = Field(default=False, description="save pictures without the graph that made them")
    huggingface_token: SecretStr | None = Field(default=None, description="for weights that Hugging Face asks a token for")
    civitai_token: SecretStr | None = Field(default=None, description="for weights that Civitai asks a token for")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Two sources; `read` puts the file below the command line, in what is given at construction."""
        return (init_settings, env_settings)

    @classmethod
    def read(cls, config: Path | None = None, **command_line: Any) -> Settings:
        """Settings from all sources. Options that are None were not given. Raises SettingsError, which names each wrong value."""
        given = {name: value for name, value in command_line.items() if value is not None}
        if config is None:
            data = Path(given.get("data") or os.environ.get("MARQUETRY_DATA") or "data")
            found = data / FILE_NAME
            config = found if found.is_file() else None
        from_file = {} if config is None else _read_file(config)
        try:
            return cls(**_merged(from_file, given))
        except ValueError as error:
            raise SettingsError(_explained(error)) from error

    @model_validator(mode="after")
    def _stay_on_this_machine(self) -> Settings:
        if not self.listen and not self.accounts.enabled and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines, and without accounts whoever reaches it may use it: switch accounts "
                "on with MARQUETRY_ACCOUNTS__ENABLED=true, or accounts: {enabled: true} in marquetry.yaml, and add yourself with 'marquetry "
                f"users add'; or let everybody in with --listen {self.host}"
            )
        return self

    @model_validator(mode="after")
    def _protect_the_way_to_the_database(self) -> Settings:
        parts = urlsplit(self.database_url.get_secret_value() if self.database_url is not None else "")
        if (
            self.environment != "production"
            or not parts.scheme.startswith("postgres")
            or not parts.hostname
            or _is_loopback(parts.hostname)
        ):
            return self
        if not any(value.startswith(ENCRYPTED) for value in parse_qs(parts.query).get("sslmode", [])):
            raise ValueError(f"database_url leads to {parts.hostname} without encryption; add ?sslmode=verify-full, or require, to it")
        return self

    @model_validator(mode="after")
    def _keep_development_apart(self) -> Settings:
        if self.mock_services and not self.in_development:
            raise ValueError(
                f"mock_services answer with nothing real, so they are for environment development only, not {self.environment}"
            )
        return self

    @model_validator(mode="after")
    def _keep_money_apart(self) -> Settings:
        self.payments.protect_money(self.environment)
        return self

    @property
    def in_development(self) -> bool:
        """Whether this is a developer's own installation."""
        return self.environment == "development"

    @property
    def reloads(self) -> bool:
        """Whether the server starts anew when its sources change."""
        return self.in_development if self.reload is None else self.reload

    @property
    def database(self) -> str:
        """The SQLAlchemy URL, secrets included."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.data / 'marquetry.db').absolute()}"

    @property
    def reachable_from_elsewhere(self) -> bool:
        """Whether other machines can reach the address."""
        return not _is_loopback(self.host)

    def shown(self) -> dict[str, Any]:
        """Plain values for a person, secrets hidden."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        for name, value in self:
            if isinstance(value, SecretStr):
                plain[name] = HIDDEN
        return plain


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return all(ipaddress.ip_address(part.strip().strip("[]")).is_loopback for part in host.split(","))
    except ValueError:
        return False


def _read_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"the configuration file {path} can't be read: {error}") from error
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise SettingsError(f"the configuration file {path} must hold names and values")
    return read


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        merged[name] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged


def _explained(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}".removeprefix(": ").removeprefix("Value error, ")
        for entry in errors()
    )
