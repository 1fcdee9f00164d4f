"""Settings: `config/heartbeat.yaml`, overruled by the environment (`HEARTBEAT_…`), frozen once read.

Secrets come from the environment alone. Every setting is described here once; `docs/settings.md` is held in step by a
test.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from heartbeat import configfile
from heartbeat.configfile import ConfigFile
from heartbeat.errors import ConfigError
from heartbeat.settings_values import (
    CENTURY_DAYS,
    Broker,
    DaysBySize,
    Folder,
    InfluxToken,
    InfluxUrl,
    JetstreamHosts,
    WebHosts,
    WebToken,
    WindowSizes,
)

PREFIX = "HEARTBEAT_"
_HOUR_S = 3_600
_DAY_S = 24 * _HOUR_S
_YEAR_S = 366 * _DAY_S
_DECADE_HOURS = 10 * 366 * 24
_MOST_BYTES = 2**60
"""Bounds that nobody meets on purpose; beyond them times and sizes do not fit where they have to."""
_HERE = Path(__file__).resolve().parent.parent


def _beside(name: str) -> Path:
    """A folder of the working directory if it is there, else of the checkout that this package runs from."""
    here = Path(name)
    return here if here.is_dir() else _HERE / name


class Settings(BaseSettings):
    """Everything that can be set. Durations say their unit in their name."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        validate_default=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    data_dir: Folder = Field(Path("data"), description="where everything that is kept lives; owned by one worker")
    config_dir: Folder = Field(_beside("config"), description="where heartbeat.yaml and tasks.yaml are")
    models_dir: Folder = Field(_beside("onnx_models"), description="the catalogue of models: NAME/VERSION/model.yaml")
    broker: Broker = Field("sqlite:", description="the log: `sqlite:` is the embedded one, in the data directory")

    web_host: str = Field("127.0.0.1", description="the address that the pages are served on")
    web_port: int = Field(6066, ge=1, le=65535, description="the port that the pages are served on")
    web_hosts: WebHosts = Field(
        (), description="further names under which browsers reach the pages, such as that of a proxy: NAME or NAME:PORT"
    )
    web_token: WebToken | None = Field(
        None, description="whoever comes in has to know it; needed for any web_host but loopback; environment only"
    )

    bluesky_hosts: JetstreamHosts = Field(
        (
            "jetstream1.us-east.bsky.network",
            "jetstream2.us-east.bsky.network",
            "jetstream1.us-west.bsky.network",
            "jetstream2.us-west.bsky.network",
        ),
        min_length=1,
        description="Jetstream hosts that the feed `bluesky` tries in turn: names or wss:// addresses",
    )

    partitions: int = Field(4, ge=1, le=256, description="partitions of each topic; fixed once the log exists")
    batch_posts: int = Field(512, ge=1, le=10_000, description="the most messages that an agent takes at once")
    max_lag_posts: int = Field(
        8_000, ge=100, le=10**9, description="a feed pauses while a topic has this many unread messages"
    )

    window_sizes_s: WindowSizes = Field((10, 60, 900), description="sizes of the tumbling windows in seconds")
    grace_s: float = Field(5.0, ge=0, le=_DAY_S, description="how far a live feed's watermark stays behind the clock")
    allowed_lateness_s: int = Field(
        900, ge=0, le=_YEAR_S, description="how long after its end a closed window takes corrections"
    )
    longest_wait_s: int = Field(
        86_400, ge=1, le=_YEAR_S, description="a window is sealed after this, whatever its feeds do"
    )
    heartbeat_s: float = Field(1.0, gt=0, le=_HOUR_S, description="how often a feed writes its watermark")
    publish_s: float = Field(1.0, gt=0, le=_HOUR_S, description="how often a changed window is published")

    duplicate_horizon_s: int = Field(
        86_400,
        ge=1,
        le=_YEAR_S,
        description="how long a post is remembered, to know it again; never shorter than its text is kept",
    )
    content_hours: float = Field(
        24.0, gt=0, le=_DECADE_HOURS, description="how long posts' texts are kept, in every place"
    )
    retention_hours: float = Field(
        24.0, gt=0, le=_DECADE_HOURS, description="how long topics keep messages that everybody has read"
    )
    history_days: int = Field(
        400, ge=1, le=CENTURY_DAYS, description="how long windows and posts' scores are kept for charts"
    )
    history_days_by_size: DaysBySize = Field(
        {10: 2, 60: 14},
        description="days that small windows are kept, by size in seconds; larger ones tell of what is older",
    )
    corrections_days: int = Field(
        400, ge=1, le=CENTURY_DAYS, description="how long corrections are kept, with their posts' texts"
    )
    max_topic_bytes: int = Field(
        2 * 10**9, ge=10**6, le=_MOST_BYTES, description="feeds pause when a topic is this large"
    )
    max_log_bytes: int = Field(
        10 * 10**9, ge=10**6, le=_MOST_BYTES, description="feeds pause when the log is this large"
    )
    durable: bool = Field(False, description="wait for the disk at every commit: a power cut then loses nothing")

    language_model: str = Field("language", description="the model that finds the language: NAME or NAME/VERSION")
    hint_below: float = Field(0.6, ge=0, le=1, description="a feed's own word on the language decides below this")
    sentiment_model: str = Field("sentiment", description="the model that scores: NAME or NAME/VERSION")
    sentiment_fast_model: str = Field(
        "sentiment-fast", description="scores languages that the other does not know, and live posts while it is behind"
    )
    sentiment_by_lang: Mapping[str, str] = Field(
        default_factory=dict, description="another model for a language: {tr: NAME}; `none` leaves it unscored"
    )
    sentiment_by_task: Mapping[str, str] = Field(default_factory=dict, description="another model for a task")
    sentiment_least_recall: float = Field(
        0.0, ge=0, le=1, description="languages that a model's card gives a lower recall for stay unscored by it"
    )
    overload_posts: int = Field(
        2_000, ge=0, le=10**9, description="live posts go to the fast model while so many are waiting; 0: they wait"
    )
    overload_age_s: float = Field(30.0, gt=0, le=_DAY_S, description="… or while the oldest has waited for so long")
    model_lanes: int = Field(
        0,
        ge=0,
        le=64,
        description="posts that a transformer scores side by side; 0: one fewer than processors",
    )
    mixed_from: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="a post is mixed when pos and neg both reach this; by default what its model says",
    )
    mixed_neutral_to: float | None = Field(
        None, ge=0, le=1, description="… and neu is at most this; by default what its model says"
    )

    influx_url: InfluxUrl = Field(
        "", description="the InfluxDB to write windows to, such as http://127.0.0.1:8086; empty: none"
    )
    influx_org: str = Field("", description="its organization")
    influx_bucket: str = Field("heartbeat", description="its bucket")
    influx_token: InfluxToken = Field(
        SecretStr(""), description="a token that may write to the bucket; from the environment alone"
    )

    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="the least level that is logged")
    log_format: str = Field("text", pattern="^(text|json)$", description="how lines are logged: `text` or `json`")

    @property
    def content_ms(self) -> int:
        """How long texts are kept."""
        return round(self.content_hours * _HOUR_S * 1000)

    @property
    def remembered_ms(self) -> int:
        """How long a post is known again: while its text is kept, its deletion has to find it."""
        return max(self.duplicate_horizon_s * 1000, self.content_ms)

    @property
    def lanes(self) -> int:
        """How many posts a transformer scores side by side: one processor is left to the event loop."""
        return self.model_lanes or max((os.cpu_count() or 2) - 1, 1)

    @property
    def influx_unused(self) -> str | None:
        """What is said of InfluxDB for nothing, since its address is not; None if that is no trouble."""
        names = [
            f"{PREFIX}{name}".upper() if f"{PREFIX}{name}".upper() in os.environ else name
            for name in ("influx_org", "influx_bucket", "influx_token")
            if name in self.model_fields_set
        ]
        if self.influx_url or not names:
            return None
        return (
            f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} set, but {PREFIX}INFLUX_URL is not: nothing "
            "is written to InfluxDB; set the address, or take the rest away"
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment overrules what was read from the file."""
        return env_settings, init_settings


def load(config_dir: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        config_dir: the folder that holds heartbeat.yaml; by default HEARTBEAT_CONFIG_DIR, ./config, or the
            checkout's own. Without a file the defaults stand.

    Raises:
        ConfigError: a value is wrong or a key unknown; names the file, line and key, or the variable.
    """
    found = examine(config_dir)
    if isinstance(found, Settings):
        return found
    raise found[0]


def examine(config_dir: Path | None = None) -> Settings | list[ConfigError]:
    """The settings, or everything that is wrong with them. See `load`."""
    folder = config_dir or Path(os.environ.get(f"{PREFIX}CONFIG_DIR") or _beside("config"))
    path = folder / "heartbeat.yaml"
    try:
        file = configfile.read(path) if path.exists() else None
    except ConfigError as error:
        return [error]
    values: dict[str, Any] = {}
    if file is not None and file.values is not None:
        if not isinstance(file.values, dict):
            return [file.error("", "has to be a mapping of settings")]
        values = file.values
    problems = [
        file.error(key, f"is no setting; known are: {', '.join(sorted(Settings.model_fields))}")
        for key in values
        if file is not None and key not in Settings.model_fields
    ]
    for key in values:
        if file is not None and key in _SECRETS:
            variable = f"{PREFIX}{key}".upper()
            problems.append(
                file.error(key, f"is a secret, and files get around: change it, and set {variable} instead")
            )
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX).lower() not in {
            *Settings.model_fields,
            *_READ_ELSEWHERE,
        }:
            problems.append(ConfigError("is no setting; see docs/settings.md", key=variable))
    try:
        settings = Settings(**{**values, "config_dir": folder})
    except ValidationError as error:
        problems += [_problem(file, found) for found in error.errors()]
    except SettingsError as error:  # of a variable that is not JSON where it must be; it names the field
        named = re.search(r'field "(\w+)"', str(error))
        problem = 'is not JSON; write a list as [10, 60], a mapping as {"tr": "NAME"}'
        problems.append(ConfigError(problem, key=f"{PREFIX}{named[1]}".upper() if named else None))
    return problems or settings


def _problem(file: ConfigFile | None, found: ErrorDetails) -> ConfigError:
    """One of pydantic's errors, with the place that it stands at."""
    field = str(found["loc"][0])
    problem = found["msg"].removeprefix("Value error, ")
    if f"{PREFIX}{field}".upper() in os.environ or file is None:
        return ConfigError(problem, key=f"{PREFIX}{field}".upper())
    dotted = field + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in found["loc"][1:])
    return file.error(dotted, problem)


_SECRETS = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
"""What only the environment may say."""
_READ_ELSEWHERE = {"faults"}
"""Variables that are no settings: what only tests use."""
