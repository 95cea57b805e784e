"""Who asks: somebody on this machine, or anybody.

A client counts as local when its connection comes from the loopback interface or through a Unix socket, the request was not
passed on by a proxy, and its ``Host`` is a name of this machine. The last is about browsers: a page of another site whose name
its owner lets point to 127.0.0.1 sends requests from here, with that name (DNS rebinding).

A request that another worker has passed on is judged as any other: it carries nothing that a stranger could not write as well,
since workers share no secret. So what is for this machine only stays on it, until the setting is given explicitly.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from faust.web.routing import ROUTED_BY

__all__ = [
    "dashboard_for",
    "is_local",
    "why_dashboard_is_withheld",
    "why_values_are_withheld",
]

PROXIED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_local(request: Any, conf: Any) -> bool:
    """Say whether *request* was made on this machine."""
    if any(name in request.headers for name in PROXIED):
        return False
    names = LOCAL_NAMES | {conf.web_host, conf.canonical_url.host}
    if _host(request) not in names:
        return False
    if request.transport is not None and isinstance(
        request.transport.get_extra_info("sockname"), str | bytes
    ):
        return True  # a Unix socket
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _host(request: Any) -> str:
    """Return the name in ``Host``, without port."""
    name: str = request.headers.get("Host", "")
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].lower()


def why_dashboard_is_withheld(request: Any, conf: Any) -> str | None:
    """Say why a client may not see the dashboard; None: it may."""
    if not conf.is_default("web_dashboard_enabled") or is_local(request, conf):
        return None
    return (
        "The dashboard is shown to clients on this machine only. To show it to everybody who can reach this port, give "
        "setting web_dashboard_enabled=True explicitly (variable APP_WEB_DASHBOARD_ENABLED); to see it from elsewhere "
        f"without that, forward the port: ssh -L {conf.web_port}:localhost:{conf.web_port} {conf.web_host}"
    )


def dashboard_for(view: Any, request: Any) -> Any:
    """Return the redirection to the dashboard for a browser that asks for the index; None: it is to get what others get."""
    conf = view.app.conf
    if (
        not conf.web_dashboard_enabled
        or request.path != "/"
        or "text/html" not in request.headers.get("Accept", "")
        or why_dashboard_is_withheld(request, conf) is not None
    ):
        return None
    return view.text(
        "", status=302, headers={"Location": view.path_for("dashboard:index"), "Vary": "Accept"}
    )


def why_values_are_withheld(request: Any, conf: Any) -> str | None:
    """Say why a client may not see what is in tables; None: it may."""
    if not conf.is_default("web_tables_enabled") or is_local(request, conf):
        return None
    sender = request.headers.get(ROUTED_BY)
    passed_on = (
        ""
        if sender is None
        else f". This request was passed on by the worker {sender}, from another machine"
    )
    return (
        "Values of tables are shown to clients on this machine only. To show them to everybody who can reach this port, "
        "give setting web_tables_enabled=True explicitly to every worker (variable APP_WEB_TABLES_ENABLED)"
        f"{passed_on}"
    )
