"""The addresses of channels, in the form that apprise reads: slack://..., json://host/path."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

#: What would show a message on the server's own desktop, or write into its system log.
_LOCAL: Final = frozenset({"dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "syslog", "gsyslog"})
LONGEST: Final = 2_000
_SCHEME: Final = re.compile(r"[a-z][a-z0-9]{0,20}\Z")
#: Whose host is just that. Elsewhere the place of the host holds a token.
_WITH_HOST: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "http", "https"})
#: Seconds that a receiver may take to accept the connection, and to answer.
WITHIN: Final = 5.0


class AddressInvalid(Exception):
    """The sentence says what is wrong with the address, without repeating it: it mostly holds a token."""


def service_of(url: str) -> str:
    """Return what people call the service of `url`: Slack, JSON. Raises AddressInvalid. Opens no connection."""
    plugin = plugin_of(url)
    return str(plugin.service_name or type(plugin).__name__)[:100]


def plugin_of(url: str) -> Any:
    """Return apprise's notifier for `url`, with bounded waits. Raises AddressInvalid."""
    import apprise  # a hundred plugins: loaded by whoever needs one, not by each web process at its start

    scheme, found, _ = url.partition("://")
    scheme = scheme.lower()
    if len(url) > LONGEST:
        raise AddressInvalid(f"The address has {len(url)} characters; {LONGEST} is the most.")
    if not url.isprintable() or not found or not _SCHEME.match(scheme):
        raise AddressInvalid("An address begins with its service, as in json://host/path or slack://...")
    if scheme in _LOCAL:
        raise AddressInvalid(f"{scheme}:// would tell this server's own desktop or system log; nobody looks there.")
    plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if plugin is None:
        raise AddressInvalid(f"apprise can't read this {scheme}:// address; its documentation has the form of each.")
    if len(plugin) > 1:
        raise AddressInvalid(
            f"This address has {len(plugin)} targets; give each a channel of its own, so that each is tried by itself."
        )
    plugin.socket_connect_timeout = min(plugin.socket_connect_timeout or WITHIN, WITHIN)
    plugin.socket_read_timeout = min(plugin.socket_read_timeout or WITHIN, WITHIN)
    return plugin


def scrubbed(text: str, url: str) -> str:
    """Return `text` with all that could be secret in `url` taken out: all of it but the scheme, and a real host."""
    parts = urlsplit(url)
    secrets = [url, parts.username or "", parts.password or "", *parts.path.split("/"), parts.fragment]
    if parts.scheme.lower() not in _WITH_HOST:
        secrets += [part for part in re.split(r"[@:]", parts.netloc) if part]
    secrets += [value for _, value in parse_qsl(parts.query)]
    for secret in sorted({s for found in secrets for s in (found, unquote(found))}, key=len, reverse=True):
        if len(secret) > 3:
            text = text.replace(secret, "***")
    return text
