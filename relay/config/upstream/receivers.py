"""Receivers: what keeps a webhook from telling Relay everything, at once and safely."""

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address

from relay.config.document import Route as Way
from relay.config.types import spell
from relay.config.upstream.finding import Finding
from relay.config.upstream.model import PATH, Alertmanager, Webhook

LEAST_TIMEOUT = timedelta(seconds=5)
"""A storm of 20,000 alerts is a body of 14 MB; cut off, it is sent again and again."""
_PRIVATE_NAMES = (".local", ".internal", ".lan", ".svc", ".cluster.local", ".localhost", ".test", ".home.arpa")


def receivers(config: Alertmanager, sent_to: set[str]) -> Iterator[Finding]:
    """Look at each webhook to Relay; `sent_to` are the receivers that routes name."""
    if not config.to_relay():
        advice = f"add a receiver with a webhook whose url is https://RELAY{PATH}SOURCE"
        yield Finding(("receivers",), "no receiver posts to Relay", advice, key=True)
    seen: set[str] = set()
    for i, receiver in enumerate(config.receivers):
        if receiver.name in seen:
            advice = "Alertmanager refuses it: rename one"
            yield Finding(("receivers", i, "name"), f'two receivers are called "{receiver.name}"', advice)
        seen.add(receiver.name)
    for way, receiver, webhook in config.webhooks():
        if receiver.name not in sent_to:
            name_way = (*way[:2], "name")
            yield Finding(name_way, "no route sends to this receiver", f'write "receiver: {receiver.name}" in a route')
        yield from _body(way, webhook)
        yield from _redirects(way, config, webhook)
        if webhook.url:
            yield from _address(way, webhook)
            yield from _credentials(way, config, webhook)


def _body(way: Way, webhook: Webhook) -> Iterator[Finding]:
    if not webhook.send_resolved:
        problem = "nothing tells Relay when an alert has ended"
        yield Finding((*way, "send_resolved"), problem, "write true, or leave it out")
    if webhook.max_alerts:
        problem = "a cut body hides alerts, and may say that all is resolved while they fire"
        yield Finding((*way, "max_alerts"), problem, "write 0, or leave it out")
    if webhook.payload is not None:
        problem = "a payload of its own takes the place of the body that Relay reads"
        yield Finding((*way, "payload"), problem, "leave it out", key=True)
    if timedelta() < webhook.timeout < LEAST_TIMEOUT:
        problem = f"{spell(webhook.timeout)} is little for a large body: what is cut off is sent again from the start"
        yield Finding((*way, "timeout"), problem, "write 10s", warning=True)


def _address(way: Way, webhook: Webhook) -> Iterator[Finding]:
    tail, host = webhook.tail, webhook.address.hostname or ""
    if not tail[0] or len(tail) > 2 or not tail[-1]:
        yield Finding((*way, "url"), "Relay answers 404 here", f"end the url with {PATH}SOURCE, without a slash behind")
    if len(tail) == 2 and tail[1] and "{{" not in tail[1]:
        problem = "the secret stands in the configuration, and proxies log paths"
        yield Finding((*way, "url"), problem, "write url_file, or better http_config.authorization", warning=True)
    if webhook.address.scheme == "http" and not _is_private(host):
        problem = "the token and all labels cross the network in the clear"
        yield Finding((*way, "url"), problem, "write https", warning=True)


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or ".svc." in host or host.endswith(_PRIVATE_NAMES) or "{{" in host


def _redirects(way: Way, config: Alertmanager, webhook: Webhook) -> Iterator[Finding]:
    if config.http_of(webhook).follow_redirects:
        problem = "a redirect would turn the POST into a GET without a body, and count as delivered"
        advice = "write http_config: {follow_redirects: false}; Relay never redirects"
        yield Finding((*way, "http_config", "follow_redirects"), problem, advice, warning=True)


def _credentials(way: Way, config: Alertmanager, webhook: Webhook) -> Iterator[Finding]:
    in_address = webhook.address.password or len(webhook.tail) > 1
    if not config.http_of(webhook).has_credentials and not in_address:
        advice = "add http_config: {authorization: {credentials_file: ...}}"
        yield Finding((*way, "url"), "no credentials are sent: Relay answers 401", advice)
