"""The addresses of channels, in the form that apprise reads: slack://..., json://host/path."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

#: What would show a message on the server's own desktop, or write into its system log.
_LOCAL: Final = frozenset({"dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "syslog", "gsyslog"})
LONGEST: Final = 2_000
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

    scheme = url.partition("://")[0].lower()
    if len(url) > LONGEST:
        raise AddressInvalid(f"The address has {len(url)} characters; {LONGEST} is the most.")
    if not url.isprintable() or "://" not in url:
        raise AddressInvalid("An address begins with its service, as in json://host/path or slack://...")
    if scheme in _LOCAL:
        raise AddressInvalid(f"{scheme}:// would tell this server's own desktop or system log; nobody looks there.")
    plugin = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if plugin is None:
        raise AddressInvalid(f"apprise can't read this {scheme}:// address; its documentation has the form of each.")
    plugin.socket_connect_timeout = min(plugin.socket_connect_timeout or WITHIN, WITHIN)
    plugin.socket_read_timeout = min(plugin.socket_read_timeout or WITHIN, WITHIN)
    return plugin


def scrubbed(text: str, url: str) -> str:
    """Return `text` with all that could be secret in `url` taken out: all of it but scheme and host."""
    parts = urlsplit(url)
    secrets = [url, parts.username or "", parts.password or "", *parts.path.split("/")]
    secrets += [value for _, value in parse_qsl(parts.query)]
    for secret in sorted({s for found in secrets for s in (found, unquote(found))}, key=len, reverse=True):
        if len(secret) > 3:
            text = text.replace(secret, "***")
    return text
