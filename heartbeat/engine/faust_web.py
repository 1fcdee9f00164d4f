"""Faust's web server as Heartbeat runs it: bounded, and with nothing on it but what the app puts there."""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from aiohttp.web import AppRunner, TCPSite
from faust.web.drivers.aiohttp import Web as AiohttpWeb

from heartbeat.errors import StartError

_NO_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL})
WEB_IDLE_S: Final = 75.0
"""How long a connection may be open without a whole request; a proxy should keep its own for less."""
WEB_LINGER_S: Final = 2.0
"""How long the rest of a body is read that nobody wants."""
WEB_STOP_S: Final = 0.5
"""How long open connections are waited for when the worker stops."""


class Web(AiohttpWeb):
    """Faust's web server with nothing on it but what the app puts there."""

    default_blueprints: list[Any] = []
    production_blueprints: list[Any] = []
    debug_blueprints: list[Any] = []
    optional_blueprints: list[Any] = []

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = AppRunner(
            self.web_app,
            access_log=None,
            shutdown_timeout=WEB_STOP_S,
            keepalive_timeout=WEB_IDLE_S,
            lingering_time=WEB_LINGER_S,
        )

    def _new_transport_tcp(self) -> TCPSite:
        conf = self.app.conf
        return TCPSite(self._runner, conf.web_bind, 0 if self.app.any_port else conf.web_port)

    async def start_server(self) -> None:
        """Bind.

        Raises:
            StartError: the port is in use, or the address is none of this machine's.
        """
        conf = self.app.conf
        try:
            await super().start_server()
            self.app.bound_port = next((address[1] for address in self._runner.addresses), None)
        except OSError as error:
            remedy = "choose another port with HEARTBEAT_WEB_PORT"
            if isinstance(error, socket.gaierror) or error.errno in _NO_ADDRESS:
                remedy = "set HEARTBEAT_WEB_HOST to an address of this machine, such as 127.0.0.1"
            raise StartError(
                f"the pages cannot be served on {conf.web_bind}:{conf.web_port} ({error.strerror}); {remedy}"
            ) from error
