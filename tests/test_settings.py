"""Settings: the file, the environment over it, and errors that name the place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from heartbeat.errors import ConfigError
from heartbeat.feeds.jetstream_socket import Address
from heartbeat.settings import PREFIX, Settings, load

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith(PREFIX):
            monkeypatch.delenv(variable)


def write(folder: Path, text: str) -> Path:
    (folder / "heartbeat.yaml").write_text(text)
    return folder


def test_the_environment_overrules_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "web_port: 7000\npartitions: 12\n")
    assert (load(tmp_path).web_port, load(tmp_path).partitions) == (7000, 12)
    monkeypatch.setenv("HEARTBEAT_WEB_PORT", "7001")
    assert (load(tmp_path).web_port, load(tmp_path).partitions) == (7001, 12)


def test_without_a_file_the_defaults_stand(tmp_path: Path) -> None:
    assert load(tmp_path).web_port == 6066


def test_settings_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        load(tmp_path).web_port = 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("web_port: many\n", "heartbeat.yaml:1: web_port: "),
        ("grace_s: 5\nweb_prot: 1\n", "heartbeat.yaml:2: web_prot: is no setting"),
        ("window_sizes_s:\n  - 10\n  - 7\n", "heartbeat.yaml:1: window_sizes_s: each size has to divide a day"),
        ("window_sizes_s:\n  - 10\n  - ten\n", "heartbeat.yaml:3: window_sizes_s[1]: "),
        ("broker: sqlite:///var/x.db\n", "heartbeat.yaml:1: broker: 'sqlite:///var/x.db': only `sqlite:`"),
        ("bluesky_hosts: [a b]\n", "heartbeat.yaml:1: bluesky_hosts: 'a b' has to be a host's name"),
        ("bluesky_hosts: [https://example.com]\n", "heartbeat.yaml:1: bluesky_hosts: "),
        ("bluesky_hosts: []\n", "heartbeat.yaml:1: bluesky_hosts: "),
        ("a: 1\na: 2\n", "heartbeat.yaml:2: a: stands twice"),
        ("a: [1\n", "heartbeat.yaml:2: is not valid YAML"),
        ("- 1\n", "heartbeat.yaml:1: has to be a mapping"),
        ("web_port: !!python/object:x 1\n", "heartbeat.yaml:1: web_port: "),
        ("\tx: 1\n", "heartbeat.yaml:1: is not valid YAML"),
        ("log_level: 2026-13-45\n", "heartbeat.yaml:1: log_level: "),
        ("grace_s: .inf\n", "heartbeat.yaml:1: grace_s: Input should be a finite number"),
        ("content_hours: .inf\n", "heartbeat.yaml:1: content_hours: Input should be a finite number"),
        ("retention_hours: .nan\n", "heartbeat.yaml:1: retention_hours: "),
        ("publish_s: .inf\n", "heartbeat.yaml:1: publish_s: Input should be a finite number"),
        ("grace_s: 1.0e+300\n", "heartbeat.yaml:1: grace_s: Input should be less than or equal to"),
        ("\nhistory_days: 999999999999\n", "heartbeat.yaml:2: history_days: Input should be less than or equal to"),
        ("max_log_bytes: 1000000000000000000000\n", "heartbeat.yaml:1: max_log_bytes: "),
        ('data_dir: "a\\0b"\n', "heartbeat.yaml:1: data_dir: holds a NUL character"),
        ("web_port: 1\na: &x [*x]\n", "heartbeat.yaml:2: a[0]: stands within itself"),
        ("a: &x {b: [*x]}\n", "heartbeat.yaml:1: a.b[0]: stands within itself"),
        (f"a: {'[' * 60}{']' * 60}\n", "is nested too deeply"),
        (f"a: {'[' * 5000}{']' * 5000}\n", "heartbeat.yaml: is nested too deeply"),
        (
            "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
            "the file has more than 100,000 values",
        ),
        ("\n? [a]\n: 1\n", "heartbeat.yaml:2: a key has to be a plain word"),
        ("web_port: !!python/object:x {a: 1}\n", "heartbeat.yaml:1: web_port: cannot be read as a value"),
        ("web_port: \0\n", "heartbeat.yaml: is not valid YAML: "),
    ],
)
def test_a_mistake_in_the_file_is_pointed_at(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value) and "Node" not in str(caught.value)


def test_an_alias_that_does_not_recurse_is_no_mistake(tmp_path: Path) -> None:
    assert load(write(tmp_path, "grace_s: &five 5\npublish_s: *five\n")).publish_s == 5


def test_a_mistake_in_the_environment_is_pointed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_WEB_PORT", "99999999")
    with pytest.raises(ConfigError, match="environment: HEARTBEAT_WEB_PORT: "):
        load(tmp_path)
    monkeypatch.delenv("HEARTBEAT_WEB_PORT")
    monkeypatch.setenv("HEARTBEAT_WBE_PORT", "1")
    with pytest.raises(ConfigError, match="environment: HEARTBEAT_WBE_PORT: is no setting"):
        load(tmp_path)
    monkeypatch.delenv("HEARTBEAT_WBE_PORT")
    monkeypatch.setenv("HEARTBEAT_WINDOW_SIZES_S", "ten")
    with pytest.raises(ConfigError, match="environment: HEARTBEAT_WINDOW_SIZES_S: is not JSON; write a list as"):
        load(tmp_path)


TOKEN = "correct-horse-battery"


def test_secrets_come_from_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, f"\nweb_token: {TOKEN}\n")
    with pytest.raises(ConfigError, match="heartbeat.yaml:2: web_token: is a secret.*HEARTBEAT_WEB_TOKEN") as caught:
        load(tmp_path)
    assert TOKEN not in str(caught.value)
    write(tmp_path, "")
    monkeypatch.setenv("HEARTBEAT_WEB_TOKEN", TOKEN)
    settings = load(tmp_path)
    assert settings.web_token is not None and settings.web_token.get_secret_value() == TOKEN
    assert TOKEN not in repr(settings) and TOKEN not in settings.model_dump_json()


@pytest.mark.parametrize(
    "token", ["short", "fifteen-letters", "with a space in the middle", "x" * 1001, "äöüäöüäöüäöüäöüäöü"]
)
def test_a_token_that_is_no_good_is_refused_and_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HEARTBEAT_WEB_TOKEN", token)
    with pytest.raises(ConfigError, match="HEARTBEAT_WEB_TOKEN: has to have 16") as caught:
        load(tmp_path)
    assert token not in str(caught.value)


def test_hosts_are_names(tmp_path: Path) -> None:
    hosts = ["Pulse.Example.org", "a:8080", "[::1]:80", "192.0.2.7"]
    assert load(write(tmp_path, f"web_hosts: {hosts}\n")).web_hosts == ("pulse.example.org", *hosts[1:])
    for bad in ("https://a", "a/b", "*", "a:b", ""):
        with pytest.raises(ConfigError, match="web_hosts: .*is no host"):
            load(write(tmp_path, f"web_hosts: ['{bad}']\n"))


def test_a_secret_in_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="heartbeat.yaml:2: influx_token: is a secret, .*HEARTBEAT_INFLUX_TOKEN"
    ) as caught:
        load(write(tmp_path, "web_port: 1\ninflux_token: abcdef\n"))
    assert "abcdef" not in str(caught.value)


def test_a_secret_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_INFLUX_TOKEN", "abcdef")
    settings = load(tmp_path)
    assert settings.influx_token.get_secret_value() == "abcdef"
    assert "abcdef" not in repr(settings) + str(settings.model_dump(mode="json"))
    monkeypatch.setenv("HEARTBEAT_INFLUX_TOKEN", "abc\ndef")
    with pytest.raises(ConfigError, match="HEARTBEAT_INFLUX_TOKEN: is no token") as caught:
        load(tmp_path)
    assert "def" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8086", "ftp://x", "http://", "http://x:6x", "http://u:pw@x", "http://x/?a=1"]
)
def test_an_address_of_influxdb_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HEARTBEAT_INFLUX_URL", url)
    with pytest.raises(ConfigError, match="environment: HEARTBEAT_INFLUX_URL: ") as caught:
        load(tmp_path)
    assert "pw" not in str(caught.value)


def test_not_utf8_and_not_readable(tmp_path: Path) -> None:
    (tmp_path / "heartbeat.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path)
    (tmp_path / "heartbeat.yaml").unlink()
    (tmp_path / "heartbeat.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_every_setting_is_documented_as_it_is() -> None:
    rows = [
        tuple(cell.strip(" `") for cell in line.strip("|\n").split("|"))
        for line in DOCS.read_text().splitlines()
        if line.startswith("| `")
    ]
    documented = {row[0]: row[-1] for row in rows}
    assert documented == {name: (field.description or "").strip("`") for name, field in Settings.model_fields.items()}


@pytest.mark.parametrize(
    "host",
    ["jetstream.example", "localhost:6008", "ws://[::1]:6008", "wss://a.example/xrpc/x.y.z", "ws://127.0.0.1:1/a"],
)
def test_hosts_of_bluesky_that_are_taken_can_be_asked(tmp_path: Path, host: str) -> None:
    assert load(write(tmp_path, f"bluesky_hosts: ['{host}']\n")).bluesky_hosts == (host,)
    assert Address.of(host).url.startswith(("ws://", "wss://"))


@pytest.mark.parametrize("host", ["", "http://a", "wss://a?b=c", "wss://u:p@a", "a b", "wss://", "a#b"])
def test_hosts_of_bluesky_that_cannot_be_asked_are_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="has to be a host's name"):
        load(write(tmp_path, f"bluesky_hosts: ['{host}']\n"))
    with pytest.raises(ValueError):
        Address.of(host)
