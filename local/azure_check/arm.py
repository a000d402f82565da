"""Azure Resource Manager and Log Analytics over plain REST, as far as the check reads them.

Addresses, versions and shapes are those of the published reference: "Resources - List By Resource Group" (2021-04-01),
"Role Assignments - List For Scope" (2022-04-01), "Web Apps - List Host Keys" (2024-11-01), the types of infra/ at their
versions, and "Query - Execute" of Log Analytics (v1). No answer of Azure was recorded: the stand-in is synthetic.
"""

import re
from collections.abc import Iterator
from typing import Any, Protocol

import requests

from local.azure_check.outcome import CheckError
from shared.adapters.connections import EnvironmentSession, no_connection
from shared.domain.address import AddressError, secure
from shared.domain.json import JsonObject, as_list, as_object

MANAGEMENT = "https://management.azure.com"
LOGS = "https://api.loganalytics.azure.com"
_TIMEOUTS = (10.0, 60.0)
_PAGES = 50


class AccessToken(Protocol):
    """A token as azure-core describes it."""

    @property
    def token(self) -> str:
        """Return the text for the header."""
        ...


class Credential(Protocol):
    """The method of azure-identity's credentials that is used here."""

    def get_token(self, *scopes: str) -> AccessToken:
        """Return a token for a scope. Raises an error of azure-identity."""
        ...


class AzureApi:
    """Reads one resource group and its logs with the caller's own identity. It changes nothing."""

    def __init__(
        self,
        subscription: str,
        group: str,
        credential: Credential,
        management: str = MANAGEMENT,
        logs: str = LOGS,
    ) -> None:
        """Raises CheckError if an address cannot be used."""
        try:
            self._management, self._logs = secure(management, "the token").url, secure(logs, "the token").url
        except AddressError as error:
            raise CheckError(f"the address of Azure {error}") from None
        self.group = f"/subscriptions/{subscription}/resourceGroups/{group}"
        self._credential = credential
        self._scopes = {self._management: f"{MANAGEMENT}/.default", self._logs: f"{LOGS}/.default"}
        self._session = EnvironmentSession()

    def get(self, path: str, version: str) -> JsonObject:
        """Return one resource, by its id. Raises CheckError."""
        return self._answer("GET", self._management, path, {"api-version": version})

    def post(self, path: str, version: str) -> JsonObject:
        """Return the answer of an action that reads (`listkeys`). Raises CheckError."""
        return self._answer("POST", self._management, path, {"api-version": version})

    def all(self, path: str, version: str, query: str = "") -> list[JsonObject]:
        """Return every row of a list below the resource group, over all of its pages. Raises CheckError."""
        return list(
            self._rows(f"{self.group}/{path}", {"api-version": version} | ({"$filter": query} if query else {}))
        )

    def resources(self, kind: str) -> list[JsonObject]:
        """Return the resources of one type in the group. Raises CheckError."""
        return self.all("resources", "2021-04-01", f"resourceType eq '{kind}'")

    def query(self, workspace: str, text: str, timespan: str) -> list[dict[str, Any]]:
        """Return the rows of a query in a Log Analytics workspace, by column. Raises CheckError."""
        body = {"query": text, "timespan": timespan}
        answer = self._answer("POST", self._logs, f"/v1/workspaces/{workspace}/query", {}, body)
        tables = [as_object(table) or {} for table in as_list(answer.get("tables")) or []]
        primary = next((table for table in tables if table.get("name") == "PrimaryResult"), None)
        if primary is None:
            raise CheckError("Log Analytics answers without a table PrimaryResult: is that its address?")
        names = [str((as_object(column) or {}).get("name")) for column in as_list(primary.get("columns")) or []]
        return [dict(zip(names, as_list(row) or [], strict=False)) for row in as_list(primary.get("rows")) or []]

    def _rows(self, path: str, query: dict[str, str]) -> Iterator[JsonObject]:
        for _ in range(_PAGES):
            page = self._answer("GET", self._management, path, query)
            yield from (as_object(row) or {} for row in as_list(page.get("value")) or [])
            following = str(page.get("nextLink") or "")
            if not following:
                return
            if not following.startswith(f"{self._management}/"):
                raise CheckError("Azure Resource Manager names a next page at another host, which would get the token")
            path, query = following.removeprefix(self._management), {}

    def _answer(
        self, method: str, base: str, path: str, query: dict[str, str], body: JsonObject | None = None
    ) -> JsonObject:
        host = base.split("/")[2]
        what = f"{method} {re.sub(r'^/subscriptions/[^/]+', '', path.split('?')[0])} at {host}"
        headers = {"Authorization": f"Bearer {self._token(base)}"}
        try:
            answer = self._session.request(
                method,
                base + path,
                params=query,
                json=body,
                headers=headers,
                timeout=_TIMEOUTS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            why = no_connection(error) or f"no answer ({type(error).__name__})"
            raise CheckError(f"{what}: {why}") from None
        if answer.status_code != 200:
            raise CheckError(f"{what}: {_refusal(answer)}")
        try:
            found = as_object(answer.json())
        except ValueError:
            found = None
        if found is None:
            raise CheckError(f"{what}: the answer is not a JSON object: is that Azure's address?")
        return found

    def _token(self, base: str) -> str:
        try:
            return self._credential.get_token(self._scopes[base]).token
        except Exception as error:
            # Its text may name accounts and tenants, over many lines; the type says which way of signing in failed.
            why = f"no token for {self._scopes[base]} ({type(error).__name__})"
            raise CheckError(f"{why}: sign in with `az login` or `azd auth login`") from None


def _refusal(answer: requests.Response) -> str:
    """Return status, code and request id of a refusal, and the remedy of the common ones."""
    try:
        error = as_object((as_object(answer.json()) or {}).get("error")) or {}
    except ValueError:
        error = {}
    code, request = str(error.get("code") or ""), answer.headers.get("x-ms-request-id", "")
    text = f"HTTP {answer.status_code} {code}".rstrip() + (f", request {request}" if request else "")
    if answer.status_code in (401, 403):
        return (
            f"{text}: your identity needs Reader on the resource group, and Website Contributor to read the app's key"
        )
    if answer.status_code == 404:
        return f"{text}: has `azd up` created it, in this subscription?"
    return text
