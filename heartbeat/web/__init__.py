"""The web side: the Pulse page, the JSON API, server-sent events and the probes.

`install(web_app, sources)` adds all of it to an aiohttp application before that starts; `WebSources` is everything it
asks of the rest, and `LogTail` the live stream over a log. Nothing else may be imported from here.

    sources   what the pages are made from            guard    which requests are answered at all
    tail      durable records from the log, live      params   query parameters, or a reason why not
    hub       events with ids, for many clients       shapes   JSON objects
    live      fills the hub while somebody watches    attempts how often a wrong token may be tried
    access    who may come in, where a token is set   api, corrections, events, pages, login, assets: the routes
"""

from heartbeat.web.install import install
from heartbeat.web.sources import FeedInfo, HistorySource, WebSources
from heartbeat.web.tail import LogTail

__all__ = ["FeedInfo", "HistorySource", "LogTail", "WebSources", "install"]
