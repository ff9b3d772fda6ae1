"""Settings: environment `VERISTREAM_*`, a TOML file, flags; in rising order of precedence: file, environment, flag."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import EnvSettingsSource, TomlConfigSettingsSource

from schemas.topics import LOG_DAYS
from streams import security

PREFIX = "VERISTREAM_"
#: Named by `VERISTREAM_CONFIG`, else looked for in the folder the command runs in.
DEFAULT_FILE = "veristream.toml"


_SERVER = re.compile(r"([^\s,:\[\]]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "veristream"


def _most_of(replicas: int) -> int:
    """With 3 replicas 2, so that one broker may be away and what is acknowledged survives the next; with 2, 1: with 2
    nothing could be written while one is away."""
    return replicas // 2 + 1 if replicas > 2 else 1


#: Lists are written `a,b,c` in the environment; JSON would make `VERISTREAM_AGENTS=identity` an error.
Names = Annotated[tuple[str, ...], NoDecode]
Paths = Annotated[tuple[Path, ...], NoDecode]


class Settings(BaseSettings):
    """What one process needs to know. Every field has a default that works with `veristream up` on one machine."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    broker: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port[,host:port]")
    broker_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how the broker is spoken to; SASL names a user, SSL encrypts"
    )
    broker_ca: Path | None = Field(None, description="PEM file of the CAs that sign brokers; none: the system's")
    broker_cert: Path | None = Field(
        None, description="PEM file of this client's certificate, where brokers ask for it"
    )
    broker_key: Path | None = Field(None, description="PEM file of that certificate's key; none: it is in broker_cert")
    broker_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        "SCRAM-SHA-512", description="how the user's password is shown to the broker"
    )
    broker_user: str = Field("", description="user at the broker")
    broker_password: SecretStr | None = Field(None, description="the user's password")
    broker_password_file: Path | None = Field(
        None, description="file of the password instead, read again at each connection (PLAIN: at each start)"
    )
    topic_prefix: str = Field("", description="goes before every topic name", pattern=r"^[a-zA-Z0-9._-]*$")
    group_prefix: str = Field("veristream", description="consumer group of an agent: PREFIX-AGENT")
    replication: int = Field(1, ge=1, description="replicas of the topics that are created; 3 outlive a broker")
    min_insync_replicas: int = Field(
        default_factory=lambda data: _most_of(data.get("replication", 1)),
        ge=1,
        description="replicas that must have a message before it counts as written; with 3 replicas 2",
    )
    session_timeout_s: float = Field(45.0, ge=2, description="a worker silent for so long is put out of its group")
    instance: str = Field(
        "",
        description="name of this worker, its own for ever: restarted within the session it gets its partitions back",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
    )
    idempotent_producer: Literal["auto", "on", "off"] = Field(
        "auto", description="no output twice after a lost answer; auto: where the broker can (Apache Kafka: always)"
    )
    fetch_max_wait_s: float = Field(0.5, gt=0, description="how long the broker may hold back an empty answer")
    shutdown_grace_s: float = Field(30.0, gt=0, description="how long a stopping worker may finish what it began")
    max_message_bytes: int = Field(1_000_000, ge=10_000, description="largest message that is produced")

    replay_limit: int = Field(3, ge=1, description="replays of a dead letter after which only --force replays it again")

    agents: Names = Field((), description="agents this worker runs; empty: all that are installed")
    detectors: Names = Field((), description="detectors extraction runs; empty: all that are installed")
    policy: str = Field("default", description="name of the policy in force")

    http_host: str = Field("127.0.0.1", description="where /metrics, /livez and /readyz listen")
    http_port: int = Field(9464, ge=0, le=65535, description="0: any free port")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = Field(False, description="one JSON object a line instead of text")

    store: Path = Field(default_factory=lambda: _data_home() / "media", description="where `submit` puts media")
    media_roots: Paths = Field((), description="folders that file:// media may lie in, besides the store")
    media_hosts: Names = Field((), description="hosts (host or host:port) that http(s):// media may come from")
    media_networks: Names = Field(
        (), description="networks (CIDR) that media hosts may stand for, though they are loopback or link-local"
    )
    media_cache_mb: int = Field(256, ge=0, description="media kept beside the spool in case it comes again; 0: none")
    s3_buckets: Names = Field((), description="buckets that s3:// media may come from")
    s3_endpoint: str | None = Field(None, description="URL of an S3-compatible store; none: AWS")
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None

    labelled_store: str = Field(
        "", description="where labelled copies go, as file:///folder or s3://bucket/prefix; empty: none are made"
    )
    labeler_workers: int = Field(1, ge=1, description="labelled copies that are made side by side")
    labeler_timeout_s: float = Field(1800.0, gt=0, description="making a copy that takes longer is given up")

    identity_keys: Path | None = Field(None, description="JSON file of keys for the digests of identity numbers")
    verifier: str = Field("", description="verifier of real names, by its entry point; empty: verifier_url, or none")
    verifier_url: str = Field("", description="URL of a verifier over HTTP", pattern=r"^$|^https?://")
    verifier_token: SecretStr | None = Field(None, description="bearer token for the verifier")
    verifier_timeout_s: float = Field(5.0, gt=0, description="for one request to the verifier")
    registrar_host: str = Field("127.0.0.1", description="where the registrar listens")
    registrar_port: int = Field(9465, ge=0, le=65535, description="0: any free port")
    registrar_token: SecretStr | None = Field(None, description="bearer token that whoever registers publishers sends")
    registrar_queue: int = Field(10_000, ge=1, description="publishers that wait for the verifier, kept in memory")
    registrar_retry_s: float = Field(5.0, gt=0, description="how often the verifier is asked for those that wait")

    models_dir: Path | None = Field(
        None, description="folder of picture classifiers of your own, each with a manifest (docs/models.md); none: none"
    )
    c2pa_trust: Path | None = Field(
        None, description="PEM file of authorities whose signatures of Content Credentials are trusted; none: nobody's"
    )
    state_dir: Path | None = Field(
        None, description="folder for publishers and standings on disk, wiped at each start; none: in memory"
    )
    bank_dir: Path | None = Field(
        None,
        description="folder of the hash bank's index, one for all workers of a machine; none: state_dir, or in memory",
    )

    index_dir: Path | None = Field(
        None,
        description="folder of what was published, to refute and recognise it later; kept over restarts; none: "
        "a temporary one, filled from the topics at each start",
    )
    index_mb: int = Field(20_000, ge=10, description="what is kept there at most, in MB; the oldest goes first")

    archive_dir: Path | None = Field(None, description="folder of the archive (docs/archive.md); none: nothing is kept")
    archive_key: Path = Field(
        default_factory=lambda: _data_home() / "archive-key.pem",
        description="private key that signs the archive's chain; made at the first start, and best kept elsewhere",
    )
    archive_days: int | None = Field(None, description="rows are deleted after so many days, 184 at least; none: never")
    archive_flush_s: float = Field(30.0, gt=0, description="rows wait for so long at most until they are in a file")
    archive_http_port: int = Field(9466, ge=0, le=65535, description="probes of the archiver; 0: any free port")

    complaints_host: str = Field("127.0.0.1", description="where the entry for complaints listens")
    complaints_port: int = Field(8081, ge=0, le=65535, description="0: any free port")
    complaints_origins: Names = Field((), description="web origins whose pages may send complaints; empty: none")
    complaints_rate: float = Field(20.0, ge=0, description="complaints of one complainant an hour; 0: no limit")
    complaints_peer_rate: float = Field(
        600.0, ge=0, description="complaints from one address an hour; 0: no limit, as behind a proxy that limits"
    )
    complaints_ack_s: float = Field(3.0, gt=0, description="a broker that takes longer is away: no receipt, but a 503")

    max_media_bytes: int = Field(4 * 2**30, ge=1, description="larger media is not fetched")
    fetch_timeout_s: float = Field(120.0, gt=0, description="for one fetch, all tries together")
    spool: Path | None = Field(None, description="folder for media being read; none: the system's temporary folder")
    extract_workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="decoding processes")
    extract_timeout_s: float = Field(600.0, gt=0, description="a decoding process that takes longer is ended")
    extract_memory_mb: int = Field(4096, ge=512, description="address space of one decoding process")
    confinement: Literal["require", "best", "off"] = Field(
        "best", description="of decoding processes; require: no start without the full level, best: what there is"
    )
    sample_interval_s: float = Field(1.0, gt=0, description="a frame is sampled each so many seconds")
    max_pixels: int = Field(8192 * 4320, ge=1, description="larger pictures are refused")
    max_duration_s: float = Field(6 * 3600.0, gt=0, description="longer media is refused")
    max_streams: int = Field(32, ge=1, description="media with more streams of picture and sound is refused")
    max_frames: int = Field(6 * 3600 * 120, ge=1, description="decoded frames of picture of one item or stretch of it")
    max_decoded_bytes: int = Field(8 << 40, ge=1, description="bytes of its decoded pictures")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())

    @field_validator(
        "agents",
        "detectors",
        "media_roots",
        "media_hosts",
        "media_networks",
        "s3_buckets",
        "complaints_origins",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("broker_ca", "broker_cert", "broker_key", "broker_password", "broker_password_file", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return value or None  # how deployments leave a variable out

    @field_validator("broker")
    @classmethod
    def _address(cls, value: str) -> str:
        servers = [server.removeprefix("kafka://") for server in value.split(",")]
        if not all(_SERVER.fullmatch(server) for server in servers):
            raise ValueError("write HOST:PORT, or several with commas between them")
        return ",".join(servers)

    @field_validator("media_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)  # its ValueError says what is wrong
        return value

    @property
    def roots(self) -> tuple[Path, ...]:
        """Every folder that file:// media may lie in."""
        return (self.store, *self.media_roots)


def config_file() -> Path:
    """The TOML file that is read if it is there."""
    return Path(os.environ.get(PREFIX + "CONFIG") or DEFAULT_FILE)


class SettingsError(ValueError):
    """Settings that cannot be used: one line a fault, each with name, value, reason and origin."""


def load(**flags: Any) -> Settings:
    """Settings from flags (None: not given), environment and file.

    Raises:
        SettingsError: a setting is unknown or not allowed, or the file is not TOML or, though named, not there.
    """
    if os.environ.get(PREFIX + "CONFIG") and not config_file().is_file():
        raise SettingsError(f"{PREFIX}CONFIG = {str(config_file())!r}: there is no such file (environment)")
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        # A default that is derived from another setting is not made where any is wrong: no fault of its own.
        wrong = [dict(fault) for fault in error.errors() if fault["type"] != "default_factory_not_called"]
        raise SettingsError("\n".join(_fault(fault, given) for fault in wrong)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config_file()} is not TOML: {error}") from error
    if together := [*_too_few(settings), *security.faults(settings)]:
        faults = (
            {"loc": (name,), "type": "", "msg": reason, "input": _shown(getattr(settings, name))}
            for name, reason in together
        )
        raise SettingsError("\n".join(_fault(fault, given) for fault in faults))
    if unknown := _unknown_variables():
        raise SettingsError("\n".join(f"{name}: there is no such setting (environment)" for name in unknown))
    return settings


def _fault(fault: dict[str, Any], given: dict[str, Any]) -> str:
    name = str(fault["loc"][0]) if fault["loc"] else "settings"
    reason = "there is no such setting" if fault["type"] == "extra_forbidden" else fault["msg"]
    value = "" if _secret(name) else f" = {fault['input']!r}"
    return f"{name}{value}: {reason} ({_origin_of(name, given)})"


def _secret(name: str) -> bool:
    if field := Settings.model_fields.get(name):
        return "SecretStr" in str(field.annotation)
    return name.endswith(("key", "token", "password"))  # a secret's name written wrong


def _too_few(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.archive_days is not None and settings.archive_days < LOG_DAYS:
        yield (
            "archive_days",
            f"logs are kept at least six months by law, which {LOG_DAYS} days cover",
        )
    if settings.min_insync_replicas > settings.replication:
        yield "min_insync_replicas", f"replication is {settings.replication}: nothing could ever be written"


def _unknown_variables() -> list[str]:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + "CONFIG"}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _origin_of(name: str, given: dict[str, Any]) -> str:
    if name in given:
        return "flag"
    if name in EnvSettingsSource(Settings)():
        return "environment " + PREFIX + name.upper()
    try:
        in_file = name in TomlConfigSettingsSource(Settings, toml_file=config_file())()
    except tomllib.TOMLDecodeError:
        in_file = False
    return f"file {config_file()}" if in_file else "default"


class Shown(NamedTuple):
    """One setting as `veristream settings` prints it; secrets are masked."""

    name: str
    value: str
    origin: str
    about: str


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def explain(settings: Settings, **flags: Any) -> list[Shown]:
    """Every setting with the place its value comes from."""
    given = {name: value for name, value in flags.items() if value is not None}
    rows = []
    for name, field in Settings.model_fields.items():
        shown = _shown(getattr(settings, name))
        rows.append(Shown(name, shown, _origin_of(name, given), field.description or ""))
    return rows
